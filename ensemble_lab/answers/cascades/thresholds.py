"""The exact best threshold of one stage, and plans improved by one such step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ensemble_lab.answers.cascades.cascade import Threshold, replied
from ensemble_lab.answers.cascades.sweep import exits
from ensemble_lab.core.outcomes import Outcomes

SLACK = 1 + 1e-9  # costs are summed in different orders: a budget's last digits are not exact
DEFER_ALL = 2.0


class Plan(NamedTuple):
    """One cascade with its accuracy and cost on the items of the fit."""

    accuracy: float
    cost: float
    order: tuple[str, ...]
    thresholds: tuple[Threshold, ...]

    @property
    def merit(self) -> tuple[float, float, int]:
        """First accuracy, then cost, then stages; twelve digits, so that rounding does not rank."""
        return float(f"{self.accuracy:.12g}"), -float(f"{self.cost:.12g}"), -len(self.order)


@dataclass(frozen=True, eq=False)
class Ladder:
    """One order of S stages on n items.

    Parameters
    ----------
    order : tuple of str
    right, spent : ndarray (S, n)
        Correctness and total USD of stopping at each stage.
    sure : ndarray (S, n)
        Confidence; -1 where the stage cannot stop the cascade.
    answer : ndarray of int (S, n) or None
    labels : tuple
    """

    order: tuple[str, ...]
    right: np.ndarray
    spent: np.ndarray
    sure: np.ndarray
    answer: np.ndarray | None
    labels: tuple

    @classmethod
    def of(cls, order: tuple[str, ...], outcomes: Outcomes) -> Ladder:
        """Unknown correctness counts as wrong, an unknown price as the model's mean price.

        A model without any price makes every setting that asks it NaN, which is in no budget.
        """
        columns = outcomes.columns(order)
        price = outcomes.filled("cost", absent=True).cost
        sure = np.nan_to_num(outcomes.confidence[:, columns].T, nan=-1.0)
        can_stop = np.stack([replied(outcomes, column) for column in columns])
        return cls(
            order=order,
            right=np.nan_to_num(exits(order, outcomes, outcomes.correct, cumulative=False)),
            spent=exits(order, outcomes, price, cumulative=True),
            sure=np.where(can_stop, sure, -1.0),
            answer=None if outcomes.answer is None else outcomes.answer[:, columns].T,
            labels=outcomes.labels,
        )

    def stops(self, thresholds: tuple[Threshold, ...]) -> list[np.ndarray]:
        """(n,) bool for each deferring stage: it would answer the item, if it was asked."""
        return [self._stop(stage, t) for stage, t in enumerate(thresholds)]

    def _stop(self, stage: int, threshold: Threshold) -> np.ndarray:
        if not isinstance(threshold, Mapping):
            return self.sure[stage] >= threshold
        levels = np.array([*(threshold.get(label, np.inf) for label in self.labels), np.inf])
        return self.sure[stage] >= levels[np.maximum(self.answer[stage], -1)]

    def settle(self, stops: list[np.ndarray], start: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Correctness and total cost (n,) of every item, if it reaches stage `start`."""
        value, cost = self.right[-1], self.spent[-1]
        for stage in reversed(range(start, len(stops))):
            value = np.where(stops[stage], self.right[stage], value)
            cost = np.where(stops[stage], self.spent[stage], cost)
        return value, cost

    def plan(self, thresholds: tuple[Threshold, ...]) -> Plan:
        """Accuracy and cost of these thresholds."""
        value, cost = self.settle(self.stops(thresholds))
        return Plan(float(value.mean()), float(cost.mean()), self.order, thresholds)


def improved(plan: Plan, ladder: Ladder, budget: float) -> Plan:
    """Set one threshold at a time to its exact best, the others fixed, until nothing improves."""
    n, improving = ladder.right.shape[1], True
    while improving:
        before = plan
        for stage in range(len(plan.thresholds)):
            stops = ladder.stops(plan.thresholds)
            here = _arriving(stops, stage, n)
            value, cost = ladder.settle(stops, stage + 1)  # of those that this stage defers
            elsewhere = ladder.settle(stops)[1][~here].sum()
            level = best_level(
                ladder.sure[stage][here],
                (ladder.right[stage] - value)[here],
                (ladder.spent[stage] - cost)[here],
                budget * n * SLACK - elsewhere - cost[here].sum(),
            )
            moved = ladder.plan(_with(plan.thresholds, stage, level))
            if moved.cost <= budget * SLACK and moved.merit > plan.merit:
                plan = moved
        improving = plan.merit > before.merit
    return plan


def by_label(plan: Plan, ladder: Ladder, budget: float) -> Plan:
    """Thresholds for each label, at the lowest price of a dollar that keeps the budget.

    Where a right answer is worth 1 and a dollar costs lam, the labels are independent and each has
    its own exact best threshold. Bisection finds the lam that spends the budget.
    """
    # In units of the price of asking all models, so that the currency does not matter.
    unit = 1 / (float(ladder.spent[-1].mean()) or 1.0)
    low, high = 0.0, unit
    while (best := priced(plan, ladder, high)).cost > budget and high < 1e12 * unit:
        high *= 10
    for _ in range(25):
        lam = (low + high) / 2
        found = priced(plan, ladder, lam)
        low, high = (lam, high) if found.cost > budget else (low, lam)
        if found.cost <= budget and found.merit > best.merit:
            best = found
    return best


def priced(plan: Plan, ladder: Ladder, lam: float) -> Plan:
    """The best thresholds by label for the worth right - lam * USD, last stage first, twice."""
    thresholds, n = plan.thresholds, ladder.right.shape[1]
    for stage in [*reversed(range(len(thresholds)))] * 2:
        stops = ladder.stops(thresholds)
        here = _arriving(stops, stage, n)
        value, cost = ladder.settle(stops, stage + 1)
        worth = ladder.right[stage] - value - lam * (ladder.spent[stage] - cost)
        table = {}
        for code, label in enumerate(ladder.labels):
            mine = here & (ladder.answer[stage] == code)
            table[label] = best_level(ladder.sure[stage][mine], worth[mine])
        thresholds = _with(thresholds, stage, table)
    return ladder.plan(thresholds)


def best_level(confidence, gain, paid=None, room: float = np.inf) -> float:
    """The threshold that gains most among those within `room`.

    Parameters
    ----------
    confidence, gain : ndarray (n,)
        What an item gains by stopping here instead of continuing.
    paid : ndarray (n,), optional
        USD that stopping adds; negative where it saves.
    room : float
        The most that all items that stop may add.

    Returns
    -------
    float
        `DEFER_ALL` where no item gains by stopping. Items of equal confidence stop together.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    won = np.concatenate([[0.0], np.cumsum(gain[order])])  # when the first i of the ranking stop
    # No threshold lies between equal confidences, and a confidence of -1 never stops.
    possible = np.r_[True, np.r_[ranked[1:] < ranked[:-1], True][: len(ranked)] & (ranked >= 0)]
    if paid is not None:
        possible &= np.concatenate([[0.0], np.cumsum(paid[order])]) <= room
    if not possible.any():
        return DEFER_ALL
    stopping = int(np.where(possible, won, -np.inf).argmax())
    if stopping == 0:
        return DEFER_ALL
    if stopping == len(ranked) or ranked[stopping] < 0:  # all items that can stop do
        return 0.0
    middle = (ranked[stopping - 1] + ranked[stopping]) / 2
    return float(middle if middle > ranked[stopping] else ranked[stopping - 1])


def _arriving(stops: list[np.ndarray], stage: int, n: int) -> np.ndarray:
    return ~np.logical_or.reduce(stops[:stage]) if stage else np.ones(n, bool)


def _with(thresholds: tuple, stage: int, value: Threshold) -> tuple:
    return (*thresholds[:stage], value, *thresholds[stage + 1 :])
