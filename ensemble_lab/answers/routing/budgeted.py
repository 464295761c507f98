"""The knob of a router, set so that a budget holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from ensemble_lab.answers.routing.predicted import QualityRouter
from ensemble_lab.answers.routing.router import Router, ScoreRouter, check_router
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.votes import first_best

STEPS = 60  # halvings: the weight is then exact to the last bit


@dataclass(frozen=True)
class BudgetRouter(Router):
    """The most predicted quality that a budget buys.

    Maximise the sum of scores subject to a mean price: the Lagrangian of this problem separates
    into one choice an item, score - multiplier * price, and this is the utility of the router `of`.
    So one weight for all items is optimal, up to one item (the linear relaxation splits at most
    one). `fit` finds the smallest weight whose price is within the budget.

    Parameters
    ----------
    budget : float
        Mean USD an item.
    of : ScoreRouter
        Predicts the quality of each model.

    Notes
    -----
    The budget holds on the items of the fit, at each model's mean price. On other items, or where
    long questions are both more expensive and sent to the expensive model, the real cost is
    different: look at ``decide(outcomes).mean_cost``.

    References
    ----------
    Everett, Generalized Lagrange multiplier method, Operations Research 1963. OmniRouter (arXiv
    2502.20576) and PROTEUS (arXiv 2601.19402) route in this way.
    """

    budget: float = ranged(0.001, 0.0, 1e9, "mean USD an item")
    of: ScoreRouter = field(default_factory=QualityRouter)

    def __post_init__(self):
        super().__post_init__()
        check_router(self.of, ScoreRouter, "BudgetRouter")

    def fit(self, outcomes: Outcomes) -> Self:
        """Fit the router `of`, then its `cost_weight`.

        Raises
        ------
        ValueError
            No cost is known, or a budget below the cheapest model's price.
        """
        if self.of.prices is None:
            require(outcomes, "cost", "BudgetRouter without prices")
        fitted = replace(self.of.fit(outcomes), cost_weight=1.0)
        pool = outcomes.select(models=fitted.models)
        scores = fitted.scores(pool.blinded())
        price = dict(zip(pool.models, fitted.price(), strict=True))

        def spent(weight: float) -> float:
            columns, utility = replace(fitted, cost_weight=weight).utilities(pool, scores)
            each = np.array([price[pool.models[j]] for j in columns])
            return float(each[first_best(utility.T)].mean())

        limit = self.budget * (1 + 1e-9)
        if spent(1.0) > limit:
            cheapest = min(price, key=price.get)
            raise ValueError(
                f"a budget of {self.budget:g} USD an item is below the cheapest model's price,"
                f" {shown(cheapest)} at {price[cheapest]:.4g}; raise the budget"
            )
        low, high = 0.0, 1.0
        if spent(0.0) <= limit:
            high = 0.0
        for _ in range(STEPS if high else 0):
            middle = (low + high) / 2
            low, high = (low, middle) if spent(middle) <= limit else (middle, high)
        return replace(self, of=replace(fitted, cost_weight=high))

    def sweep(self, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
        if "budget" in grid:
            raise ValueError(
                "budget is what fit reads, and changes nothing afterwards: fit a BudgetRouter for"
                " each value, or run through the cost_weight of its router `of`"
            )
        return super().sweep(outcomes, grid)

    def scores(self, outcomes: Outcomes) -> np.ndarray:
        return self.of.scores(outcomes)

    def choose(self, outcomes: Outcomes) -> Choice:
        return self.of.choose(outcomes)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.of.waves(models)

    def _pool(self) -> tuple[str, ...]:
        return self.of._pool()

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        why = self.of._why(table, scores, first)
        return f"{why}; weight {self.of.cost_weight:.3g} on the price, for {self.budget:g} USD"
