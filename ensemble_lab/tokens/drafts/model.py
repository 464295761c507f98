"""A smaller model that writes ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ensemble_lab.tokens.reading.reader import Reader, ShortReader

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.drafts.base import Proposal, draw, padded


class ModelDraft:
    """A smaller model with the target's vocabulary, which writes ahead.

    Parameters
    ----------
    model : PreTrainedModel
    reader : callable
        What reads it: `Reader`, or `CompiledReader`.
    size : int, optional
        Rows of the target's table, where the model's is padded to another size. The model then
        proposes ids that both have: what it gives to the others is left out before its
        distribution is normalised, and ids that it lacks have probability 0.
    """

    at_once = 2  # tokens that are read together with what comes next

    def __init__(
        self,
        model: PreTrainedModel,
        reader: Callable[..., Reader] = Reader,
        size: int | None = None,
    ):
        self.model, self.reads_with, self.table = model, reader, size

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.sampling, self.generator = sampling, generator
        self.reader = self.reads_with(self.model, *rows.tokens.shape)
        if self.table is not None and self.table > self.model.config.vocab_size:
            self.reader = ShortReader(self.reader, self.model.config.vocab_size)
        rows.read_prompts(self.reader, but=1)
        self.reader.warm(rows, 2)
        self.round, self.lengths = rows.rounds - 1, [len(text) - 1 for text in rows.texts]

    def draw(self, logits: torch.Tensor):
        """A token (B,) for logits (B, V), and the distribution q (B, V) that it was drawn from."""
        from torch.nn.functional import pad

        token, q = draw(logits[:, : self.table], self.sampling, self.generator)
        if q is not None and self.table is not None:
            q = pad(q, (0, self.table - q.shape[1]))
        return token, q

    def goes_on(self, logits: torch.Tensor) -> bool:
        """Whether to draft another token behind the one of these logits: as many as are asked."""
        return True

    def stale(self, new: int, paused: bool) -> int:
        """How many of the last tokens are to be read, of which `new` came since it proposed last.

        Of a round in which all its tokens stayed the draft has not read the last one, so after
        each it reads two: to write a key again where it was changes nothing.
        """
        return new + 1 if paused else 2

    def _catch_up(self, rows: Rows) -> int:
        """Read what is stale but the last few tokens; how many these are."""
        new = max(len(text) - was for text, was in zip(rows.texts, self.lengths, strict=True))
        stale = self.stale(new, rows.rounds > self.round + 1)
        self.round, self.lengths = rows.rounds, [len(text) for text in rows.texts]
        few = min(stale, self.at_once, *self.lengths)
        if stale > few:
            self.reader.fill(*rows.last(stale))
        return few

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        context = getattr(self.model.config, "max_position_embeddings", None)
        if context is not None:  # a draft may see less than its target
            most = min(most, context - max(len(text) for text in rows.texts))
        if most < 1:
            return padded([[]] * len(rows), [[]] * len(rows), rows)
        behind = self._catch_up(rows)
        tokens, at = rows.last(behind)
        drafted, probabilities = [], []
        for _ in range(most):
            logits = self.reader.read(tokens, at)[:, -1]
            token, q = self.draw(logits)
            drafted.append(token)
            probabilities.append(q)
            if not self.goes_on(logits):
                break
            tokens, at = token[:, None], at.ahead(tokens.shape[1])
        drafted = torch.stack(drafted, 1)  # (B, k)
        probabilities = None if self.sampling.greedy else torch.stack(probabilities, 1)
        return Proposal(drafted, [drafted.shape[1]] * len(drafted), probabilities)
