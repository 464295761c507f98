"""Chains of texts for the collapse explorer: fifty words, some of them rare, and their law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.training.another_output.tokens import (
    TokenChains,
    TokenLaw,
    token_chains,
    token_law,
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

    law: TokenLaw
    chains: TokenChains

    @property
    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares (g + 1,) of the diversity and of the rare words that are left, by the law."""
        return self.law.diversity / self.law.diversity[0], self.law.alive[:, RARE].mean(1)

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The same in the chains, diversity for each of them: (r, g + 1) and (g + 1,)."""
        left = self.chains.diversity / self.chains.diversity[:, :1]
        return left, self.chains.alive[:, RARE].mean(1)

    @property
    def half(self) -> int | None:
        """The first generation in which half of the rare words are expected to be gone."""
        gone = np.flatnonzero(self.expected[1] < 0.5)
        return int(gone[0]) if len(gone) else None


@cache
def collapse(size: int, rule: str, chains: int) -> Collapse:
    """The law and so many chains of texts of `size` words."""
    keep = RULES[rule]
    law = token_law(zipf(), size, GENERATIONS, keep)
    return Collapse(law, token_chains(zipf(), size, GENERATIONS, keep, chains, seed=0))
