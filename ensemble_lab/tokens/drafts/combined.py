"""Drafts as one: prompt lookup with an n-gram table, and either of them with a head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ensemble_lab.tokens.drafts.base import Proposal, padded
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.ngram import LEVELS, NgramDraft

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Draft
    from ensemble_lab.tokens.drafts.head import FeatureHead
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

# The table's confidence from which it overrules a match of so many tokens. On held-out text a
# match of one token is right once in four times, longer ones more often than not.
OVERRULES = {1: 4, 2: 13}
# What is right more often than a head is, of the kinds of `StackedDraft`: what the table knows
# well, what it and a match agree on, and what longer matches say.
SURE = frozenset({3, 6, *range(7, 13)})
SECOND = -1  # the kind of tokens of a draft that has its turn after another


class StackedDraft:
    """Two drafts as one: prompt lookup where it matches well, the table elsewhere.

    They take turns within a proposal: a copied passage goes on as long as its match does, and
    where the text has no model the table writes. The table also speaks up while a match is read:
    where both say the same they are hardly ever wrong, which is a kind of its own.

    Parameters
    ----------
    first : LookupDraft
    second : NgramDraft
    """

    def __init__(self, first: LookupDraft, second: NgramDraft):
        self.first, self.second = first, second

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.first.begin(rows, sampling, generator)
        self.second.begin(rows, sampling, generator)

    def propose(self, rows: Rows, most: int) -> Proposal:
        found = [self._row(i, text, most) for i, text in enumerate(rows.texts)]
        return padded([tokens for tokens, _ in found], [kinds for _, kinds in found], rows)

    def _row(self, i: int, text: list[int], most: int) -> tuple[list[int], list[int]]:
        """The tokens behind a row's text, and their kinds."""
        self.first.index(i, text)
        table, reach = self.second.table, max(self.first.longest, self.second.table.order)
        before, kinds, size = text[-reach:], [], 0
        behind = len(before)
        while len(kinds) < most:
            if not size:  # no match is being read
                at, size = self._match(i, before)
            token, level, _ = table.find(before)
            if size:
                copied = text[at] if at < len(text) else before[behind + at - len(text)]
            agree = size and copied == token
            if agree or (size and level < OVERRULES.get(size, LEVELS + 1)):
                kinds.append(kind_of(size, level if agree else 0))
                token = copied
            elif level:
                kinds.append(level // 4)
            else:
                break
            before.append(token)
            at, size = (at + 1, size + 1) if size and copied == token else (0, 0)
        return before[behind:], kinds

    def _match(self, i: int, before: list[int]) -> tuple[int, int]:
        """Where the longest match of the last tokens goes on, and its length; 0, 0 if none."""
        for size in range(min(self.first.longest, len(before)), self.first.shortest - 1, -1):
            at = self.first.after[i].get(tuple(before[-size:]))
            if at is not None:
                return at, size
        return 0, 0


def kind_of(size: int, level: int) -> int:
    """Kind of a copied token: 4 to 12, by the length of the match and what the table says.

    Parameters
    ----------
    size : int
        Tokens of the match.
    level : int
        The table's confidence in the same token; 0 where it names another or none.
    """
    length = 0 if size == 1 else 1 if size < 6 else 2
    agreed = 0 if not level else 1 if level < 8 else 2
    return 4 + 3 * length + agreed


@dataclass
class TurnsDraft:
    """Two drafts in turn: in each row the first where its match is sure, else the second.

    The tokens that the second samples never decide which draft comes next, so the distribution
    stays the target's.

    Parameters
    ----------
    first : LookupDraft or StackedDraft
        Certain of what it proposes, and quick.
    second : FeatureHead
    sure : collection of int
        The kinds of a first token with which the first has the turn.
    """

    first: LookupDraft | StackedDraft
    second: FeatureHead | Draft
    sure: Collection[int] = SURE

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.first.begin(rows, sampling, generator)
        self.second.begin(rows, sampling, generator)

    def propose(self, rows: Rows, most: int) -> Proposal:
        found = self.first.propose(rows, most)
        sure = [bool(kinds) and kinds[0] in self.sure for kinds in found.kinds]
        if all(sure):
            return found
        made = self.second.propose(rows, most)
        made = replace(made, kinds=[[SECOND] * count for count in made.counts])
        return merged(sure, found, made) if any(sure) else made


def merged(sure: Sequence[bool], found: Proposal, made: Proposal) -> Proposal:
    """Rows of `found` where it is sure, of `made` elsewhere."""
    import torch
    from torch.nn.functional import one_hot, pad

    k = max(found.tokens.shape[1], made.tokens.shape[1])
    first, second = (pad(one.tokens, (0, k - one.tokens.shape[1])) for one in (found, made))
    chosen = torch.tensor(sure, device=first.device)[:, None]
    tokens = torch.where(chosen, first, second)
    counts, kinds = (
        [a if is_sure else b for is_sure, a, b in zip(sure, *both, strict=True)]
        for both in ((found.counts, made.counts), (found.kinds, made.kinds))
    )
    probabilities = made.probabilities
    if probabilities is not None:  # the first is certain: all of its distribution lies on its token
        certain = one_hot(tokens, probabilities.shape[-1]).to(probabilities)
        probabilities = torch.where(
            chosen[..., None], certain, pad(probabilities, (0, 0, 0, k - probabilities.shape[1]))
        )
    return Proposal(tokens, counts, probabilities, kinds)
