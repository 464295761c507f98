"""Recorded routing of networks of experts on digits of four kinds, and dense networks beside them.

`recipes/record_experts.py` trained the networks. Kept are, for each held-out image, the experts it
chose, their weights, and what the network answers with all of them, with some, and with none. So
any capacity can be tried without a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from ensemble_lab.catalogue import data_folder
from ensemble_lab.training.experts.digits import KINDS, digits_of_four_kinds
from ensemble_lab.training.experts.losses import max_violation, usage_entropy
from ensemble_lab.training.experts.routing import places

EXPERTS, KS = (4, 8, 16), (1, 2, 4)
HIDDEN = 16  # units of an expert
SEEDS = range(5)
CAPACITIES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, "none")
# How the choice of experts is balanced, as settings of `ExpertsClassifier`.
BALANCES = {
    "not at all": {"balance": 0.0},
    "loss 0.01": {"balance": 0.01},
    "loss 0.1": {"balance": 0.1},
    "bias rule": {"balance": 0.0, "router": "sigmoid", "bias_rate": 0.01},
}
FILE = "digits.parquet"


@cache
def digits(seed: int):
    """Digits of four kinds, as `train_test_split` returns them: X, y and kinds."""
    return train_test_split(*digits_of_four_kinds(seed), random_state=seed)


@dataclass(frozen=True, eq=False)
class Recorded:
    """Networks of five seeds with n held-out images each, and dense networks beside them."""

    choices: np.ndarray  # (5, n, k), the best first
    weights: np.ndarray  # (5, n, k)
    answers: np.ndarray  # (5, n, 2 ** k); bit j of the last index: choice j was dropped
    experts: int
    active: np.ndarray  # (5,) share right of dense networks of equal active size
    total: np.ndarray  # (5,) and of equal total size

    def dropped(self, capacity: float | str) -> np.ndarray:
        """Which choices (5, n, k) find no place, where all held-out images are one batch."""
        if capacity == CAPACITIES[-1]:
            return np.zeros(self.choices.shape, bool)
        seeds, n, k = self.choices.shape
        first = self.choices.swapaxes(1, 2).reshape(seeds, -1)  # all first choices come first
        place = np.cumsum(first[..., None] == np.arange(self.experts), axis=1)
        taken = np.take_along_axis(place, first[..., None].astype(int), axis=2)
        late = taken[..., 0] > places(capacity, n, k, self.experts)
        return late.reshape(seeds, k, n).swapaxes(1, 2)

    def right(self, dropped: np.ndarray) -> np.ndarray:
        """Share right (5,), after these drops."""
        code = (dropped << np.arange(dropped.shape[2])).sum(2)
        answers = np.take_along_axis(self.answers, code[..., None], axis=2)[..., 0]
        return (answers == held("y")).mean(1)

    @property
    def counts(self) -> np.ndarray:
        """How often each expert was chosen (5, E), dropped or not."""
        return (self.choices[..., None] == np.arange(self.experts)).sum((1, 2))

    @property
    def work(self) -> np.ndarray:
        """Share (5, E) of all choices that the busiest 1, 2, …, E experts have."""
        busiest = np.sort(self.counts, axis=1)[:, ::-1]
        return busiest.cumsum(1) / busiest.sum(1, keepdims=True)

    @property
    def nine_tenths(self) -> np.ndarray:
        """How many experts (5,) do nine tenths of the work."""
        return (self.work < 0.9).sum(1) + 1

    @property
    def max_violation(self) -> np.ndarray:
        """MaxVio (5,)."""
        return np.array([max_violation(counts) for counts in self.counts])

    @property
    def used(self) -> np.ndarray:
        """Exponential of the entropy (5,): experts, if those used were used evenly."""
        return np.exp([usage_entropy(counts) for counts in self.counts])

    def by_kind(self, network: int) -> np.ndarray:
        """Shares (kinds, E): which experts the images of each kind chose in one network."""
        kinds = held("kinds")[network]
        chose = (self.choices[network][..., None] == np.arange(self.experts)).any(1)  # (n, E)
        return np.stack([chose[kinds == kind].mean(0) for kind in KINDS])


@cache
def held(what: str) -> np.ndarray:
    """Held-out images "X" (5, n, 64), their digits "y" or "kinds" (5, n)."""
    at = {"X": 1, "y": 3, "kinds": 5}[what]
    return np.stack([digits(seed)[at] for seed in SEEDS])


@cache
def table() -> pd.DataFrame:
    """All recorded networks, by experts, k, balance and hidden units of an expert."""
    frame = pd.read_parquet(data_folder() / "experts" / FILE)
    return frame.set_index(["experts", "k", "balance", "hidden"]).sort_index()


def networks(experts: int, k: int, balance: str, hidden: int = HIDDEN) -> tuple[np.ndarray, ...]:
    """Choices, weights and answers (5, n, …) of the networks of a setting."""
    rows = table().loc[(experts, k, balance, hidden)].sort_values("seed")
    shape = len(SEEDS), held("y").shape[1], -1
    return tuple(np.stack(rows[name]).reshape(shape) for name in ("choices", "weights", "answers"))


@cache
def recorded(experts: int, k: int, balance: str) -> Recorded:
    """The networks of a setting, and the dense ones beside them."""
    choices, weights, answers = networks(experts, k, balance)
    active, total = (
        (networks(1, 1, "not at all", HIDDEN * times)[2][..., 0] == held("y")).mean(1)
        for times in (k, experts)
    )
    return Recorded(choices, weights / 255, answers, experts, active, total)
