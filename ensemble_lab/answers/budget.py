"""`BudgetCascade`: the best order and thresholds that a budget can buy.

FrugalML and FrugalGPT search order and thresholds by brute force, a full pass over the items for
every setting. Here one histogram gives all settings of an order at once (`sweep`), and the
best of them is then improved one threshold at a time, each step exact over all values.

References
----------
Chen, Zaharia and Zou, FrugalML, NeurIPS 2020; FrugalGPT, arXiv 2305.05176.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import NamedTuple, Self

import numpy as np

from ensemble_lab.answers.cascade import Cascade, Threshold, replied
from ensemble_lab.answers.sweep import exits, grid_sums, reached
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import require
from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged

LEVELS = 100  # quantiles of confidence tried a stage before the exact steps
FINALISTS = 6  # orders that get the exact steps
MOST_MODELS = 8  # orders of more than these are too many: the others leave by the Pareto set


class Plan(NamedTuple):
    """One cascade and what it was worth on the items it was fitted to."""

    accuracy: float
    cost: float
    order: tuple[str, ...]
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True)
class BudgetCascade(Policy):
    """A cascade whose order and thresholds `fit` chooses: most accurate within the budget.

    Parameters
    ----------
    budget : float
        Mean USD an item.
    max_stages : int
        1 to 3.
    per_label : bool
        Learn a threshold for each label, where the confidences of some labels mean more.
    order, thresholds
        Learned by `fit`; see `Cascade`.

    Notes
    -----
    The budget holds on the items fitted; on others it may be overrun a little: look at both.
    """

    budget: float = ranged(0.001, 0.0, 1e9, "mean USD an item")
    max_stages: int = ranged(3, 1, 3, "models asked one after another at most", 1)
    per_label: bool = False
    order: tuple[str, ...] | None = None
    thresholds: tuple[Threshold, ...] | None = None

    def fit(self, outcomes: Outcomes) -> Self:
        """Choose order and thresholds on `outcomes`.

        Raises
        ------
        ValueError
            A budget below the cheapest model's price; no cost or no confidence.
        """
        cost = require(outcomes, "cost", "BudgetCascade")
        require(outcomes, "confidence", "BudgetCascade")
        usable = ~np.isnan(outcomes.correct).all(axis=1)
        outcomes = outcomes if usable.all() else outcomes.take(usable)
        cheapest = np.nanmin(np.nanmean(cost, axis=0))
        if self.budget < cheapest * (1 - 1e-9):
            name = outcomes.models[int(np.nanargmin(np.nanmean(cost, axis=0)))]
            raise ValueError(
                f"a budget of {self.budget:g} USD an item is below the cheapest model's price,"
                f" {name!r} at {cheapest:.4g}; raise the budget"
            )
        drafts = (self._draft(order, outcomes) for order in _orders(outcomes, self.max_stages))
        drafts = sorted((d for d in drafts if d), key=_merit, reverse=True)
        plans = [_improved(d, outcomes, self.budget) for d in drafts[:FINALISTS]]
        if self.per_label:
            plans += [_by_label(p, outcomes, self.budget) for p in plans if len(p.order) > 1]
        best = max((p for p in plans if p.cost <= self.budget * (1 + 1e-9)), key=_merit)
        return replace(self, order=best.order, thresholds=best.thresholds)

    def _draft(self, order: tuple[str, ...], outcomes: Outcomes) -> Plan | None:
        """The best setting of one order on a grid of confidence quantiles, if any is affordable."""
        right, spent = _exit_values(order, outcomes)
        if len(order) == 1:
            accuracy, cost = right[0].mean(), spent[0].mean()
            return Plan(accuracy, cost, order, ()) if cost <= self.budget * (1 + 1e-9) else None
        levels = _quantiles(order, outcomes)
        counts = reached(order, outcomes, levels)
        accuracy = grid_sums(counts, right, len(levels)) / len(outcomes)
        cost = grid_sums(counts, spent, len(levels)) / len(outcomes)
        # Costs are summed in another order than in a replay: the budget's last digits are free.
        affordable = np.where(cost <= self.budget * (1 + 1e-9), accuracy, -1.0)
        best = np.unravel_index(affordable.argmax(), affordable.shape)
        if affordable[best] < 0:
            return None
        return Plan(affordable[best], cost[best], order, tuple(levels[list(best)].tolist()))

    @property
    def cascade(self) -> Cascade:
        """The cascade that was learned."""
        if self.order is None:
            raise ValueError("this BudgetCascade is not fitted; call fit(outcomes) first")
        return Cascade(self.order, self.thresholds)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.cascade.waves(models)

    def choose(self, outcomes: Outcomes) -> Choice:
        return self.cascade.choose(outcomes)


def _merit(plan: Plan) -> tuple[float, float, int]:
    """Right first, then cheap, then short: twelve digits, so that rounding ranks nothing."""
    return float(f"{plan.accuracy:.12g}"), -float(f"{plan.cost:.12g}"), -len(plan.order)


def _orders(outcomes: Outcomes, max_stages: int) -> Iterator[tuple[str, ...]]:
    models = np.array(outcomes.models)
    if len(models) > MOST_MODELS:
        price, accuracy = np.nanmean(outcomes.cost, axis=0), outcomes.accuracy()
        front = np.flatnonzero(pareto(price, accuracy))
        models = models[front[np.argsort(price[front])][:MOST_MODELS]]
    for stages in range(1, min(max_stages, len(models)) + 1):
        yield from permutations(models.tolist(), stages)


def _exit_values(order, outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Correctness and total cost (S, n) of stopping at each stage; unknown counts as a loss."""
    right = np.nan_to_num(exits(order, outcomes, outcomes.correct, False))
    price = np.nanmean(outcomes.cost, axis=0)
    filled = np.where(np.isnan(outcomes.cost), price, outcomes.cost)
    return right, exits(order, outcomes, filled, True)


def _quantiles(order, outcomes: Outcomes) -> np.ndarray:
    """Levels that split the confidences of the deferring stages evenly, with both extremes."""
    confidence = outcomes.confidence[:, outcomes.columns(order[:-1])]
    known = confidence[~np.isnan(confidence)]
    inner = np.quantile(known, np.linspace(0, 1, LEVELS), method="nearest") if len(known) else []
    return np.unique(np.concatenate([[0.0], inner, [2.0]]))


def _improved(plan: Plan, outcomes: Outcomes, budget: float) -> Plan:
    """Move one threshold at a time to its exact best, the others held, until nothing improves."""
    right, spent = _exit_values(plan.order, outcomes)
    columns = outcomes.columns(plan.order)
    confidence = [_sure(outcomes, column) for column in columns]
    improving = len(plan.order) > 1
    while improving:
        before = _merit(plan)
        for stage in range(len(plan.order) - 1):
            stops = [c >= t for c, t in zip(confidence, plan.thresholds, strict=False)]
            here = ~np.logical_or.reduce(stops[:stage]) if stage else np.ones(len(outcomes), bool)
            later = _settle(right, spent, stops, stage + 1)
            earlier = _settle(right, spent, stops, 0)
            fixed = [np.where(here, 0, e).sum() for e in earlier]
            level, gained, paid = _best_level(
                confidence[stage][here],
                [(right[stage][here], later[0][here]), (spent[stage][here], later[1][here])],
                budget * len(outcomes) * (1 + 1e-9) - fixed[1],
            )
            accuracy, cost = (gained + fixed[0]) / len(outcomes), (paid + fixed[1]) / len(outcomes)
            if (accuracy, -cost) > (plan.accuracy + 1e-12, -plan.cost):
                moved = (*plan.thresholds[:stage], level, *plan.thresholds[stage + 1 :])
                plan = Plan(accuracy, cost, plan.order, moved)
        improving = _merit(plan) > before
    return plan


def _settle(right, spent, stops, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Correctness and cost (n,) of each item that has come as far as stage `start`."""
    value, cost = right[-1], spent[-1]
    for stage in range(len(right) - 2, start - 1, -1):
        value = np.where(stops[stage], right[stage], value)
        cost = np.where(stops[stage], spent[stage], cost)
    return value, cost


def _best_level(confidence: np.ndarray, values, limit: float) -> tuple[float, float, float]:
    """The threshold of most right answers whose cost stays within `limit`, over all thresholds.

    `values` are (if it stops, if it defers) for correctness and for cost. Items of equal
    confidence stop or defer together.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    totals = []
    for stop, defer in values:  # total when the first i of the ranking stop
        totals.append(defer.sum() + np.concatenate([[0.0], np.cumsum((stop - defer)[order])]))
    right, cost = totals
    boundary = np.concatenate([[True], np.r_[ranked[1:] < ranked[:-1], [True]]])[: len(right)]
    boundary &= np.r_[np.inf, ranked] >= 0  # a missing confidence (-1) never stops
    allowed = np.where(boundary & (cost <= limit), right, -np.inf)
    best = int(allowed.argmax())
    return _between(ranked, best), float(allowed[best]), float(cost[best])


def _between(ranked: np.ndarray, stopping: int) -> float:
    """A threshold that the first `stopping` of the descending `ranked` reach and no others."""
    if stopping == 0:
        return 2.0
    if stopping == len(ranked) or ranked[stopping] < 0:  # all that can stop do
        return 0.0
    middle = (ranked[stopping - 1] + ranked[stopping]) / 2
    return float(middle if middle > ranked[stopping] else ranked[stopping - 1])


def _sure(outcomes: Outcomes, column: int) -> np.ndarray:
    """Confidence (n,), -1 where the model cannot stop the cascade."""
    confidence = np.nan_to_num(outcomes.confidence[:, column], nan=-1.0)
    return np.where(replied(outcomes, column), confidence, -1.0)


def _by_label(plan: Plan, outcomes: Outcomes, budget: float) -> Plan:
    """Thresholds for each label, at the lowest price of money that keeps the budget.

    With a price lam a right answer is worth 1 and a dollar -lam; then labels do not compete and
    each has its own exact best threshold. Bisection finds the lam that spends the budget.
    """
    require(outcomes, "answer", "a threshold for each label")
    low, high = 0.0, 1.0
    while (found := _priced(plan, outcomes, high)).cost > budget and high < 1e12:
        high *= 10
    best = found
    for _ in range(25):
        lam = (low + high) / 2
        found = _priced(plan, outcomes, lam)
        low, high = (lam, high) if found.cost > budget else (low, lam)
        if found.cost <= budget and _merit(found) > _merit(best):
            best = found
    return best


def _priced(plan: Plan, outcomes: Outcomes, lam: float) -> Plan:
    """The best thresholds by label for worth = right - lam * USD, stage by stage, twice over."""
    right, spent = _exit_values(plan.order, outcomes)
    columns = outcomes.columns(plan.order)
    n, deferring = len(outcomes), len(plan.order) - 1
    stops = [_sure(outcomes, columns[s]) >= plan.thresholds[s] for s in range(deferring)]
    tables: list[dict] = [{} for _ in range(deferring)]
    for stage in [*reversed(range(deferring))] * 2:
        here = ~np.logical_or.reduce(stops[:stage]) if stage else np.ones(n, bool)
        later = _settle(right, spent, stops, stage + 1)
        gain = right[stage] - later[0] - lam * (spent[stage] - later[1])
        sure, answer = _sure(outcomes, columns[stage]), outcomes.answer[:, columns[stage]]
        stops[stage] = np.zeros(n, bool)
        for code, label in enumerate(outcomes.labels):
            mine = here & (answer == code)
            zero = np.zeros(mine.sum())
            level, _, _ = _best_level(sure[mine], [(gain[mine], zero), (zero, zero)], np.inf)
            tables[stage][label] = level
            stops[stage] |= (answer == code) & (sure >= level)
    value, cost = _settle(right, spent, stops, 0)
    return Plan(float(value.mean()), float(cost.mean()), plan.order, tuple(tables))
