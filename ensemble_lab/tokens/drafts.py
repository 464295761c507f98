"""Drafts: whoever proposes the next tokens, for the target to check.

A draft has two methods. `begin` is called once with the rows; `propose` once a round with the
rows as they are then, and returns a `Proposal`. Whatever it proposes, the text keeps the target's
law; a better draft makes it quicker, not different.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ensemble_lab.tokens.reader import Reader, ShortReader, SplitReader
from ensemble_lab.tokens.rows import on_device
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a draft proposes for B rows.

    Parameters
    ----------
    tokens : (B, k) tensor
        On the rows' device; padding where a row has fewer.
    counts : list of int
        How many of the k each row has; perhaps none.
    laws : (B, k, V) tensor, optional
        What each token was sampled from; None where the draft was certain of it.
    kinds : list of list of int, optional
        Kind of each token, by which an adaptive length tells good proposals from poor ones; by
        default they are all of one kind.
    states : (B, k, D) tensor, optional
        What the target has already computed for the last token and the drafted ones but the last.
    """

    tokens: torch.Tensor
    counts: Sequence[int]
    laws: torch.Tensor | None = None
    kinds: Sequence[Sequence[int]] | None = None
    states: torch.Tensor | None = None

    def kinds_of(self, row: int) -> Sequence[int]:
        """The kinds of a row's tokens; sampled ones are all alike.

        What was drawn must not decide whether it is verified, or the law would change.
        """
        alike = self.kinds is None or self.laws is not None
        return [0] * self.counts[row] if alike else self.kinds[row]


def padded(found: Sequence[Sequence[int]], kinds: Sequence[Sequence[int]], rows: Rows) -> Proposal:
    """A proposal of tokens that were found on the host, one list a row."""
    counts = [len(tokens) for tokens in found]
    k = max(counts, default=0)
    table = [[*tokens, *[0] * (k - len(tokens))] for tokens in found]
    tokens = on_device(table, rows.tokens.device).reshape(len(found), k)
    return Proposal(tokens, counts, kinds=kinds)


class Draft(Protocol):
    """What a draft of your own must have."""

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        """Take note of the prompts."""

    def propose(self, rows: Rows, most: int) -> Proposal:
        """Propose at most `most` tokens for every row.

        How many there are must not depend on tokens that were drawn at random: the text would no
        longer follow the target's law.
        """


class ModelDraft:
    """A smaller model with the target's vocabulary, which writes ahead.

    Parameters
    ----------
    model : PreTrainedModel
    reader : callable
        What reads it: `Reader`, or `CompiledReader`.
    size : int, optional
        Rows of the target's table, where the model's is padded to another size. The model then
        proposes ids that both have: what it gives to the others is left out before its law is
        normalised, and ids that it lacks have probability 0.
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
        """A token (B,) for logits (B, V), and the law (B, V) that it was drawn from."""
        from torch.nn.functional import pad

        token, law = draw(logits[:, : self.table], self.sampling, self.generator)
        if law is not None and self.table is not None:
            law = pad(law, (0, self.table - law.shape[1]))
        return token, law

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
        few = min(stale, self.at_once, rows.spans(0)[0])
        if stale > few:
            self.reader.fill(*rows.last(stale), rows.spans(-stale))
        return few

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        context = getattr(self.model.config, "max_position_embeddings", None)
        if context is not None:  # a draft may see less than its target
            most = min(most, context - rows.spans(0)[1])
        if most < 1:
            return padded([[]] * len(rows), [[]] * len(rows), rows)
        behind = self._catch_up(rows)
        tokens, start = rows.last(behind)
        drafted, laws = [], []
        for i in range(most):
            logits = self.reader.read(tokens, start, rows.spans(i - 1 if i else -behind))[:, -1]
            token, law = self.draw(logits)
            drafted.append(token)
            laws.append(law)
            if not self.goes_on(logits):
                break
            tokens, start = token[:, None], rows.length + i
        drafted = torch.stack(drafted, 1)  # (B, k)
        laws = None if self.sampling.greedy else torch.stack(laws, 1)
        return Proposal(drafted, [drafted.shape[1]] * len(drafted), laws)


class EarlyExitDraft:
    """The target's own first layers, whose keys, values and states the verification goes on with.

    Parameters
    ----------
    reader : SplitReader
        The target.
    """

    def __init__(self, reader: SplitReader):
        self.reader = reader

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.sampling, self.generator = sampling, generator

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        tokens, start = rows.last(1)
        drafted, laws, states = [], [], []
        for i in range(most):
            state, logits = self.reader.early(tokens, start, rows.spans(i - 1))
            token, law = draw(logits[:, -1], self.sampling, self.generator)
            drafted.append(token)
            laws.append(law)
            states.append(state)
            tokens, start = token[:, None], rows.length + i
        drafted = torch.stack(drafted, 1)
        laws = None if self.sampling.greedy else torch.stack(laws, 1)
        return Proposal(drafted, [most] * len(drafted), laws, states=torch.cat(states, 1))


class LookupDraft:
    """Prompt lookup: what followed when the last few tokens were there before.

    The longest match wins, and of equally long ones the most recent. transformers takes the
    left-most, which in a text that repeats itself with changes is the stalest.

    Parameters
    ----------
    longest, shortest : int
        Tokens of a match.

    References
    ----------
    Saxena, Prompt lookup decoding, 2023.
    """

    def __init__(self, longest: int = 5, shortest: int = 1):
        if not 1 <= shortest <= longest:
            raise ValueError(
                f"matches of {shortest} to {longest} tokens; use 1 <= shortest <= longest"
            )
        self.longest, self.shortest = longest, shortest

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.after = [{} for _ in rows.texts]  # n-gram to the position behind it, the latest
        self.known = [0] * len(rows.texts)

    def propose(self, rows: Rows, most: int) -> Proposal:
        found = [self._row(i, text, most) for i, text in enumerate(rows.texts)]
        kinds = [[size] * len(tokens) for tokens, size in found]
        return padded([tokens for tokens, _ in found], kinds, rows)

    def _row(self, i: int, text: list[int], most: int) -> tuple[list[int], int]:
        """The tokens behind the best match, and its length."""
        self.index(i, text)
        for size in range(min(self.longest, len(text) - 1), self.shortest - 1, -1):
            at = self.after[i].get(tuple(text[-size:]))
            if at is not None:
                return continued(text, at, most), size
        return [], 0

    def index(self, i: int, text: list[int]) -> None:
        """Take in the n-grams that end before the last token."""
        for end in range(max(self.known[i], 1), len(text)):
            for size in range(self.shortest, min(self.longest, end) + 1):
                self.after[i][tuple(text[end - size : end])] = end
        self.known[i] = len(text)


def continued(text: list[int], at: int, most: int) -> list[int]:
    """`most` tokens from `at` on; a match that overlaps the end repeats itself."""
    found = list(text[at : at + most])
    period = len(text) - at
    while len(found) < most:
        found.append(found[-period])
    return found


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator):
    """A token (B,) for logits (B, V), and the law that it was drawn from; None when greedy."""
    if sampling.greedy:
        return logits.argmax(-1), None
    law = sampling.law(logits)
    return sampled(law, generator), law
