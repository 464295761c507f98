"""Chains of texts for the collapse explorer: fifty words, some of them rare, and what to expect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.training.another_output.tokens import (
    ExpectedTokens,
    TokenChains,
    expected_tokens,
    token_chains,
)

WORDS = 50
GENERATIONS = 40
RARE = slice(WORDS // 2, None)  # the rarer half of the words
RULES = {"replaced": "replace", "10 % real": 0.1, "accumulated": "accumulate"}
SIZES = (50, 100, 200, 400, 800)
CHAINS = (1, 10, 100)


def zipf() -> np.ndarray:
    """Shares (50,) of words that fall as one over their rank, as those of real texts roughly do."""
    shares = 1 / np.arange(1.0, WORDS + 1)
    return shares / shares.sum()


@dataclass(frozen=True, eq=False)
class Collapse:
    """What is expected of 40 generations, and what happened in some chains."""

    expected: ExpectedTokens
    chains: TokenChains

    @property
    def left(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares (g + 1,) of the diversity and of the rare words that should be left."""
        diversity = self.expected.diversity
        return diversity / diversity[0], self.expected.alive[:, RARE].mean(1)

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The same in the chains, diversity for each of them: (r, g + 1) and (g + 1,)."""
        left = self.chains.diversity / self.chains.diversity[:, :1]
        return left, self.chains.alive[:, RARE].mean(1)

    @property
    def half(self) -> int | None:
        """The first generation in which half of the rare words are expected to be gone."""
        gone = np.flatnonzero(self.left[1] < 0.5)
        return int(gone[0]) if len(gone) else None


@cache
def collapse(size: int, rule: str, chains: int) -> Collapse:
    """What to expect, and so many chains of texts of `size` words."""
    keep = RULES[rule]
    expected = expected_tokens(zipf(), size, GENERATIONS, keep)
    return Collapse(expected, token_chains(zipf(), size, GENERATIONS, keep, chains, seed=0))
