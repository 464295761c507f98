"""A smaller model as a draft."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ensemble_lab.tokens.reading.reader import Reader, ShortReader

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.drafts.base import Proposal, draw, padded


class ModelDraft:
    """A smaller model with the target's vocabulary, which drafts.

    Parameters
    ----------
    model : PreTrainedModel
    reader : callable
        `Reader` or `CompiledReader`, which reads the model.
    size : int, optional
        Rows of the target's table, where the model's is padded to another size. The model then
        proposes only ids that both have: the probabilities of the others are left out before its
        distribution is normalised, and ids that it lacks have probability 0.
    weights : str
        Its name in an error.
    """

    samples = True  # it gives probabilities for every token
    at_once = 2  # tokens that are read together with what comes next

    def __init__(
        self,
        model: PreTrainedModel,
        reader: Callable[..., Reader] = Reader,
        size: int | None = None,
        weights: str = "the draft",
    ):
        self.model, self.reads_with, self.table = model, reader, size
        self.weights = weights
        self.context = getattr(model.config, "max_position_embeddings", None)  # None: no end

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
        token, q = draw(self.usable(logits), self.sampling, self.generator)
        return self.ids_of(token), None if q is None else self.widened(q)

    def usable(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits of the ids that it can propose."""
        return logits[..., : self.table]

    def ids_of(self, tokens: torch.Tensor) -> torch.Tensor:
        """The target's ids of places among the logits."""
        return tokens

    def widened(self, q: torch.Tensor) -> torch.Tensor:
        """Distributions over the target's ids, 0 where the draft has none."""
        from torch.nn.functional import pad

        return q if self.table is None else pad(q, (0, self.table - q.shape[-1]))

    def goes_on(self, logits: torch.Tensor) -> bool:
        """Whether to draft another token after the one of these logits: always, up to the limit."""
        return True

    def stale(self, new: int, paused: bool) -> int:
        """How many of the last tokens to read; `new` of them were added since its last proposal.

        After a round in which all its tokens were accepted the draft has not read the last one, so
        it always reads two: writing a key again in its place changes nothing.
        """
        return new + 1 if paused else 2

    def catch_up(self, rows: Rows) -> int:
        """Read new tokens except the last few; returns how many are left."""
        new = max(len(text) - was for text, was in zip(rows.texts, self.lengths, strict=True))
        stale = self.stale(new, rows.rounds > self.round + 1)
        self.round, self.lengths = rows.rounds, [len(text) for text in rows.texts]
        few = min(stale, self.at_once, *self.lengths)
        if stale > few:
            self.reader.fill(*rows.last(stale))
        return few

    def within_context(self, rows: Rows, most: int) -> int:
        """How many tokens it can draft: it may have a shorter context than its target.

        Rows that fill its context get none, and do not count.
        """
        lengths = [len(text) for text in rows.texts if self.has_room(text)]
        if self.context is None:
            return most
        return min(most, self.context - max(lengths, default=self.context))

    def has_room(self, text: Sequence[int]) -> bool:
        """Whether it can see one token more than the text."""
        return self.context is None or len(text) < self.context

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        most = self.within_context(rows, most)
        if most < 1:
            return padded([[]] * len(rows), [[]] * len(rows), rows)
        behind = self.catch_up(rows)
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
        counts = [drafted.shape[1] * self.has_room(text) for text in rows.texts]
        return Proposal(drafted, counts, probabilities)
