"""`BudgetCascade`: the best order and thresholds within a budget.

FrugalML and FrugalGPT search order and thresholds by brute force, a full pass over the items for
every setting. Here one histogram gives all settings of an order at once (`sweep`), and the best of
them are then improved one threshold at a time, each step exact over all values (`thresholds`).

References
----------
Chen, Zaharia and Zou, FrugalML, NeurIPS 2020; FrugalGPT, arXiv 2305.05176.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Self

import numpy as np

from ensemble_lab.answers.cascades.cascade import Cascade, Threshold
from ensemble_lab.answers.cascades.sweep import grid_sums, reached
from ensemble_lab.answers.cascades.thresholds import SLACK, Ladder, Plan, by_label, improved
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.scales import check_scales

LEVELS = 100  # quantiles of confidence tried a stage before the exact steps
FINALISTS = 6  # orders that get the exact steps
MOST_MODELS = 8  # with more models there are too many orders: the Pareto set removes the others


@dataclass(frozen=True)
class BudgetCascade(Policy):
    """A cascade whose order and thresholds `fit` chooses: the most accurate within the budget.

    Parameters
    ----------
    budget : float
        Mean USD an item.
    max_stages : int
        1 to 3.
    per_label : bool
        Learn a threshold for each label, where confidences of different labels mean different
        things.
    order, thresholds
        Learned by `fit`; see `Cascade`.

    Notes
    -----
    The budget holds on the items of the fit; on others the cost may be slightly higher: look at
    both. Where the price of a call is not known, `fit` uses the model's mean price, as
    ``outcomes.filled("cost", absent=True)`` does. A model without any price is left out: whether it
    fits the budget is unknown.
    """

    budget: float = ranged(0.001, 0.0, 1e9, "mean USD an item")
    max_stages: int = ranged(3, 1, 3, "most models asked one after another", 1)
    per_label: bool = False
    order: tuple[str, ...] | None = None
    thresholds: tuple[Threshold, ...] | None = None

    def fit(self, outcomes: Outcomes) -> Self:
        """Choose order and thresholds on `outcomes`.

        Raises
        ------
        ValueError
            A budget below the cheapest model's price; no cost, or no confidence in [0, 1].
        """
        require(outcomes, "cost", "BudgetCascade")
        require(outcomes, "confidence", "BudgetCascade")
        if self.per_label:
            require(outcomes, "answer", "BudgetCascade(per_label=True)")
        if np.isnan(outcomes.correct).all():
            raise ValueError("no answer here is graded; give correct, or truth with the answers")
        outcomes = _priced(outcomes).take(~np.isnan(outcomes.correct).all(axis=1))
        self._check_budget(outcomes)
        check_scales(outcomes)
        ladders = [Ladder.of(order, outcomes) for order in _orders(outcomes, self.max_stages)]
        drafts = [(_draft(ladder, outcomes, self.budget), ladder) for ladder in ladders]
        drafts = [pair for pair in drafts if pair[0] is not None]
        drafts.sort(key=lambda pair: pair[0].merit, reverse=True)
        plans = [(improved(d, ladder, self.budget), ladder) for d, ladder in drafts[:FINALISTS]]
        found = [plan for plan, _ in plans]
        if self.per_label:
            found += [by_label(p, ladder, self.budget) for p, ladder in plans if p.thresholds]
        best = max((p for p in found if p.cost <= self.budget * SLACK), key=lambda p: p.merit)
        return replace(self, order=best.order, thresholds=best.thresholds)

    def _check_budget(self, outcomes: Outcomes) -> None:
        price = outcomes.cost.mean(axis=0)
        cheapest = int(price.argmin())
        if self.budget * SLACK < price[cheapest]:
            raise ValueError(
                f"a budget of {self.budget:g} USD an item is below the cheapest model's price,"
                f" {shown(outcomes.models[cheapest])} at {price[cheapest]:.4g}; raise the budget"
                " (a model without any price is left out)"
            )

    def sweep(self, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
        for name in ("budget", "max_stages", "per_label"):
            if name in grid:
                raise ValueError(
                    f"{name} is what fit reads, and changes nothing afterwards: fit a BudgetCascade"
                    " for each value, or run through the thresholds of its cascade"
                )
        return super().sweep(outcomes, grid)

    @property
    def cascade(self) -> Cascade:
        """The learned cascade."""
        if self.order is None:
            raise ValueError("this BudgetCascade is not fitted; call fit(outcomes) first")
        return Cascade(self.order, self.thresholds)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.cascade.waves(models)

    def choose(self, outcomes: Outcomes) -> Choice:
        return self.cascade.choose(outcomes)


def _priced(outcomes: Outcomes) -> Outcomes:
    """The models with a known price; unknown prices of calls are replaced by their mean."""
    outcomes = outcomes.filled("cost", absent=True)
    priced = ~np.isnan(outcomes.cost).any(axis=0)
    if not priced.any():
        raise ValueError("no model here has a price, so no budget can be kept; record their cost")
    if priced.all():
        return outcomes
    return outcomes.select(models=[outcomes.models[j] for j in np.flatnonzero(priced)])


def _orders(outcomes: Outcomes, max_stages: int) -> Iterator[tuple[str, ...]]:
    models = np.array(outcomes.models, object)
    if len(models) > MOST_MODELS:
        price, accuracy = outcomes.cost.mean(axis=0), outcomes.accuracy()
        front = np.flatnonzero(pareto(price, accuracy))
        models = models[front[np.argsort(price[front])][:MOST_MODELS]]
    for stages in range(1, min(max_stages, len(models)) + 1):
        yield from permutations(models.tolist(), stages)


def _draft(ladder: Ladder, outcomes: Outcomes, budget: float) -> Plan | None:
    """The best setting of one order on a grid of confidence quantiles, if any fits the budget."""
    if len(ladder.order) == 1:
        plan = ladder.plan(())
        return plan if plan.cost <= budget * SLACK else None
    levels = _quantiles(ladder.sure[:-1])
    counts = reached(ladder.order, outcomes, levels)
    accuracy = grid_sums(counts, ladder.right, len(levels)) / len(outcomes)
    cost = grid_sums(counts, ladder.spent, len(levels)) / len(outcomes)
    affordable = np.where(cost <= budget * SLACK, accuracy, -1.0)
    best = np.unravel_index(affordable.argmax(), affordable.shape)
    if affordable[best] < 0:
        return None
    thresholds = tuple(levels[list(best)].tolist())
    return Plan(float(affordable[best]), float(cost[best]), ladder.order, thresholds)


def _quantiles(sure: np.ndarray) -> np.ndarray:
    """Levels that split the confidences evenly, from deferring none to deferring all."""
    known = sure[sure >= 0]
    inner = np.quantile(known, np.linspace(0, 1, LEVELS), method="nearest") if len(known) else []
    return np.unique(np.concatenate([[0.0], inner, [2.0]]))
