"""Drafts: models and tables that propose the next tokens for the target to check.

A draft has two methods. `begin` is called once with the rows; `propose` is called once a round with
the current rows, and returns a `Proposal`. The text keeps the target's distribution for any
proposal; a better draft makes it quicker, not different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.reading.rows import on_device
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a draft proposes for B rows.

    Parameters
    ----------
    tokens : (B, k) tensor
        On the rows' device; padding where a row has fewer.
    counts : list of int
        How many of the k each row has; 0 is allowed.
    probabilities : (B, k, V) tensor, optional
        What each token was sampled from; None where the draft was certain of it. The children of a
        token in a tree are sampled without replacement from one distribution, which stands at each
        of them; a child to which it gives 0 is passed over.
    kinds : list of list of int, optional
        Kind of each token, by which an adaptive length separates good proposals from poor ones; by
        default they are all of one kind.
    states : (B, k, D) tensor, optional
        The target's states for the last token and all drafted ones except the last, where they are
        already computed.
    parents : (B, k) list of list of int, optional
        Makes a tree of each row's tokens: the index of the token before each, -1 for the text's
        last one. Parents come before their children, and the children of a token differ. By default
        the tokens are a chain. A tree has no `states`.
    """

    tokens: torch.Tensor
    counts: Sequence[int]
    probabilities: torch.Tensor | None = None
    kinds: Sequence[Sequence[int]] | None = None
    states: torch.Tensor | None = None
    parents: Sequence[Sequence[int]] | None = None

    def kinds_of(self, row: int) -> Sequence[int]:
        """The kinds of a row's tokens; sampled ones are all of one kind.

        Whether a token is verified must not depend on which token was drawn, or the distribution
        would change.
        """
        alike = self.kinds is None or self.probabilities is not None
        return [0] * self.counts[row] if alike else self.kinds[row]

    def cut(self, counts: Sequence[int], k: int, further: int = 0) -> Proposal:
        """The first k tokens, of which each row has so many, and probabilities `further` on."""
        q = None if self.probabilities is None else self.probabilities[:, : k + further]
        return replace(self, tokens=self.tokens[:, :k], counts=counts, probabilities=q)

    def without_last(self, running: Sequence[int]) -> Proposal:
        """The same without the last token of each row, but with its probabilities.

        Parameters
        ----------
        running : sequence of int
            The rows whose texts have not ended.

        Raises
        ------
        ModelError
            One of these rows has no token.
        """
        if self.probabilities is None or min(self.counts[i] for i in running) < 1:
            raise ModelError(
                "this rule needs the draft's probabilities at every position, and here the draft"
                " gives none: propose at least one token with its probabilities in every round"
            )
        return self.cut([max(n - 1, 0) for n in self.counts], self.tokens.shape[1] - 1, 1)

    def check_size(self, size: int) -> None:
        """Raise `ModelError` unless there are `size` probabilities a token, or none at all."""
        if self.probabilities is not None and self.probabilities.shape[-1] != size:
            raise ModelError(
                f"the draft gives {self.probabilities.shape[-1]:,} probabilities for a token,"
                f" the target {size:,}: give one for every row of the target's table, 0"
                " where the draft has none"
            )


def padded(found: Sequence[Sequence[int]], kinds: Sequence[Sequence[int]], rows: Rows) -> Proposal:
    """A proposal of tokens that were chosen on the host, one list a row."""
    counts = [len(tokens) for tokens in found]
    k = max(counts, default=0)
    table = [[*tokens, *[0] * (k - len(tokens))] for tokens in found]
    tokens = on_device(table, rows.tokens.device).reshape(len(found), k)
    return Proposal(tokens, counts, kinds=kinds)


def check_begun(begun: Rows, rows: Rows) -> None:
    """Raise `ModelError` where a draft that follows one stream is asked to go on with another."""
    if begun is not rows:
        raise ModelError(
            "this draft has begun another stream since, and follows one at a time: give each stream"
            " a draft of its own"
        )


class Draft(Protocol):
    """The methods that a draft of your own must have.

    Where it also has `observe(tokens, logits)`, that is called with what the target read in each
    round: the text's last token and the drafted ones (B, k + 1), and its logits (B, k + 1, V). They
    stand in the proposal's order, and padding is among them. `samples = True` says that it gives
    probabilities for every token, which a `Mixture` needs.
    """

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        """Read the prompts."""

    def propose(self, rows: Rows, most: int) -> Proposal:
        """Propose at most `most` tokens for every row.

        The number of tokens must not depend on tokens that were drawn at random: the text would no
        longer follow the target's distribution.
        """


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator):
    """A token (B,) for logits (B, V), and the distribution (B, V) it was drawn from, or None."""
    if sampling.greedy:
        return logits.argmax(-1), None
    q = sampling.distribution(logits)
    return sampled(q, generator), q
