"""Prompt lookup: copy what followed an earlier occurrence of the last few tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.drafts.base import Proposal, check_begun, padded


class LookupDraft:
    """Prompt lookup: copy what followed an earlier occurrence of the last few tokens.

    The longest match wins, and of equally long ones the most recent. transformers takes the
    left-most, which is the oldest in a text that repeats itself with changes.

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
        self.rows = rows
        self.after = [{} for _ in rows.texts]  # n-gram to the position after it, the latest
        self.known = [0] * len(rows.texts)

    def propose(self, rows: Rows, most: int) -> Proposal:
        check_begun(self.rows, rows)
        found = [self._row(i, text, most) for i, text in enumerate(rows.texts)]
        kinds = [[size] * len(tokens) for tokens, size in found]
        return padded([tokens for tokens, _ in found], kinds, rows)

    def _row(self, i: int, text: list[int], most: int) -> tuple[list[int], int]:
        """The tokens after the best match, and its length."""
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
