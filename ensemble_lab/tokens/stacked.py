"""Prompt lookup and an n-gram table as one draft."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.tokens.drafts import LookupDraft, Proposal, padded
from ensemble_lab.tokens.ngram import LEVELS, NgramDraft

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

# The table's confidence from which it overrules a match of so many tokens. On held-out text a
# match of one token is right once in four times, longer ones more often than not.
OVERRULES = {1: 4, 2: 13}


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
