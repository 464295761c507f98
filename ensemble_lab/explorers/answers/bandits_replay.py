"""Bandits on recorded grades, for their explorer: all runs of a setting side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from ensemble_lab.catalogue import load_outcomes

JUNE, STILL, FAILS, PRICED, POOL = STREAMS = (
    "March, then June",
    "March only",
    "GPT-4 fails at 1,000",
    "GPT-4 costs more from 1,000",
    "28 exam models",
)
THOMPSON, UCB, GREEDY = POLICIES = ("Thompson", "UCB1", "greedy")
DISCOUNTS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
QUESTIONS, CHANGE, WINDOW = 2000, 1000, 100
TIMES = tuple(range(WINDOW, QUESTIONS + 1, WINDOW))
PRICE = 0.4  # right answers that a call of GPT-4 costs, once it costs more
RUNS, SEED = 20, 0
ENOUGH = 0.8  # of the newest WINDOW calls: then a change is noticed


@dataclass(frozen=True, eq=False)
class Bandits:
    """r runs of n questions to m models, the one that is best at first before all others."""

    names: tuple[str, str]  # of the first two models
    chosen: np.ndarray  # (r, n), positions
    beliefs: np.ndarray  # (t, 2, m), right and wrong answers that count, in the first run
    value: np.ndarray  # (2, m), accuracy less price, before and after the change
    accuracy: np.ndarray  # (2, m)

    @cached_property
    def regret(self) -> np.ndarray:
        """(r, n) right answers lost so far, against the best model before and after the change."""
        after = np.arange(QUESTIONS) >= CHANGE
        lost = self.value.max(axis=1, keepdims=True) - self.value  # (2, m)
        return lost[after.astype(int), self.chosen].cumsum(axis=1)

    @cached_property
    def at_random(self) -> np.ndarray:
        """(n,) the same for a model chosen at random."""
        lost = (self.value.max(axis=1) - self.value.mean(axis=1))[:, None]
        return np.repeat(lost, CHANGE).cumsum()

    def share(self, model: int) -> np.ndarray:
        """(r, t) of the last WINDOW calls, at each of TIMES."""
        return (self.chosen == model).reshape(len(self.chosen), -1, WINDOW).mean(axis=2)

    @cached_property
    def noticed(self) -> np.ndarray:
        """(r,) questions after the change until most calls go to the better model; NaN if never."""
        to_best = self.chosen[:, CHANGE:] == self.value[1].argmax()
        recent = np.lib.stride_tricks.sliding_window_view(to_best, WINDOW, axis=1).mean(axis=2)
        enough = recent >= ENOUGH
        return np.where(enough.any(axis=1), enough.argmax(axis=1) + WINDOW, np.nan)


@cache
def stream(name: str) -> tuple[tuple[str, str], np.ndarray, np.ndarray]:
    """Names of the first two models, grades (r, n, m), and prices (2, m) in right answers."""
    if name == POOL:
        table = load_outcomes("mmlu-pro-29-llms")
        whole = [m for m, share in zip(table.models, table.coverage(), strict=True) if share > 0.99]
        table = table.select(models=whole)
        table = table.select(models=[whole[j] for j in np.argsort(-table.accuracy())])
        tables, names = (table, table), ("best", "second")
    else:
        table = load_outcomes("gpt-drift-primes")
        march = table.select(models=["gpt-4-0314", "gpt-3.5-turbo-0301"])
        june = table.select(models=["gpt-4-0613", "gpt-3.5-turbo-0613"])
        tables, names = (march, june if name == JUNE else march), ("GPT-4", "GPT-3.5")
    runs = []
    for run in range(RUNS):
        rng = np.random.default_rng([SEED, run])
        halves = [np.nan_to_num(t.correct[rng.permutation(len(t))[:CHANGE]]) for t in tables]
        runs.append(np.concatenate(halves))
    grades, prices = np.array(runs), np.zeros((2, runs[0].shape[1]))
    if name == FAILS:
        grades[:, CHANGE:, 0] = 0
    if name == PRICED:
        prices[1, 0] = PRICE
    return names, grades, prices


@cache
def bandits(stream_name: str, policy: str, discount: float) -> Bandits:
    """All runs of a policy; only Thompson sampling forgets."""
    if policy != THOMPSON and discount != 1:
        return bandits(stream_name, policy, 1.0)
    names, grades, prices = stream(stream_name)
    chosen, beliefs = replay(grades, prices, policy, discount)
    accuracy = np.array([grades[:, :CHANGE].mean((0, 1)), grades[:, CHANGE:].mean((0, 1))])
    return Bandits(names, chosen, beliefs, accuracy - prices, accuracy)


def replay(grades: np.ndarray, prices: np.ndarray, policy: str, discount: float):
    """Whom r runs ask, (r, n), and the first run's counts at each of TIMES, (t, 2, m)."""
    r, n, m = grades.shape
    rng, every = np.random.default_rng(SEED), np.arange(r)
    counts, chosen, beliefs = np.zeros((r, 2, m)), np.zeros((r, n), int), []
    for t in range(n):
        arm = _scores(counts, policy, t, rng) - prices[int(t >= CHANGE)]
        arm = arm.argmax(axis=1)
        right = grades[every, t, arm]
        if discount != 1:
            counts *= discount
        counts[every, 0, arm] += right
        counts[every, 1, arm] += 1 - right
        chosen[:, t] = arm
        if t + 1 in TIMES:
            beliefs.append(counts[0].copy())
    return chosen, np.array(beliefs)


def _scores(counts: np.ndarray, policy: str, t: int, rng: np.random.Generator) -> np.ndarray:
    """(r, m): a draw, an upper bound, or the mean; without a grade, above all that have one."""
    if policy == THOMPSON:
        return rng.beta(1 + counts[:, 0], 1 + counts[:, 1])
    asked = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = counts[:, 0] / asked
        if policy == UCB:
            score = score + np.sqrt(2 * np.log(max(t, 1)) / asked)
    return np.where(asked == 0, np.inf, score)
