"""The advice at other prices: every candidate ranked again, and where the choice turns.

Nothing is fitted or decided again. A candidate's mean cost is a sum over the models that it asks,
so a factor on the price of a model changes one term of this sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ensemble_lab.advice.limits import SLACK, too_tight
from ensemble_lab.advice.recipes import prices
from ensemble_lab.advice.selection import Rule
from ensemble_lab.advice.sums import Sums, Weighed
from ensemble_lab.core.errors import check_known, shown

if TYPE_CHECKING:
    import pandas as pd

    from ensemble_lab.advice.advice import Advice

LEAST, MOST = 0.01, 100.0  # factors between which a turn is looked for
PAST = 1e-5  # a turn is looked at this far behind it: means of 32 bits are not exact


class Repriced(NamedTuple):
    """What `at_prices` found.

    `chosen` is the candidate that would be advised. `frontier` has the columns of
    `Advice.frontier` that prices leave or change: ``candidate``, ``family``, ``accuracy``, ``low``,
    ``high``, ``cost``, ``latency`` and ``allowed``.
    """

    chosen: str
    frontier: pd.DataFrame


def at_prices(advice: Advice, factors: Mapping[str, float]) -> Repriced:
    """The method `Advice.at_prices`."""
    found = _Priced(advice)
    scale = np.ones(len(advice.outcomes.models))
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors is {shown(factors, 60)}; give a factor by model: {{'big': 0.5}}")
    for name, factor in factors.items():
        check_known(name, advice.outcomes.models, "model", "table")
        known = isinstance(factor, Real) and not isinstance(factor, bool)
        if not known or not 0 <= factor < np.inf:
            raise ValueError(
                f"the factor of {shown(name, 40)} is {shown(factor)}; give a number from 0 up, such"
                " as 0.5 for half the price"
            )
        j = advice.outcomes.columns([name])[0]
        if np.isnan(found.price[j]):
            raise ValueError(
                f"no price of {shown(name, 40)} is known, so it has none to change; record its cost"
            )
        scale[j] = factor
    whole = found.at(scale)
    if (best := found.winner(whole)) is None:
        limits = (advice.limits.get(name) for name in ("budget", "latency"))
        raise ValueError(f"at these prices {too_tight(advice.scores, whole, *limits)}")
    left = advice.frontier.drop(columns=["cost_low", "cost_high", "chosen_in"])
    allowed = found.rule(whole).allowed(whole)[0]
    return Repriced(
        advice.scores.names[best], left.assign(cost=whole.means()[1][0], allowed=allowed)
    )


def turning_prices(advice: Advice) -> pd.DataFrame:
    """For each model, the factors on its price at which another candidate would be advised.

    Returns
    -------
    pandas.DataFrame
        A row a model with a known price above 0, first those that the advised candidate asks, then
        the most expensive: ``model``; ``price``, mean USD a call; ``down``, the largest factor
        below 1 at which another candidate is advised, and ``then_down``, which; ``up`` and
        ``then_up`` the same above 1. NaN and ``""`` where there is none from 0.01 to 100; ``up``
        with ``""`` where no candidate keeps the budget any more. Empty without costs.
    """
    import pandas as pd

    columns = ["model", "price", "down", "then_down", "up", "then_up"]
    if advice.scores.paid is None:
        return pd.DataFrame(columns=columns)
    found = _Priced(advice)
    own = advice.scores.paid[found.chosen]
    order = np.lexsort((-np.nan_to_num(found.price), ~(own > 0)))
    rows = []
    for j in order[found.price[order] > 0]:  # NaN is not
        down, up = (found.turn(j, points) for points in found.points(j))
        rows.append((advice.outcomes.models[j], found.price[j], *down, *up))
    return pd.DataFrame(rows, columns=columns)


class _Priced:
    """The sums of an advice, under any prices."""

    def __init__(self, advice: Advice):
        if advice.scores.paid is None:
            raise ValueError("the table has no prices to change; give advise outcomes with cost")
        self.limits, self.names = dict(advice.limits), advice.scores.names
        self.chosen = self.names.index(advice.chosen)
        self.paid = advice.scores.paid.astype(float)
        self.price = prices(advice.outcomes)
        self.whole = Sums.of(replace(advice.scores, cluster=None)).whole()
        _, self.cost, _ = (part[0] for part in self.whole.means())
        self.value = self.rule(self.whole).values(self.whole)[0]

    def rule(self, whole: Weighed) -> Rule:
        return Rule.of(whole, **self.limits)

    def at(self, scale: np.ndarray) -> Weighed:
        """The sums of today with the price of each model times `scale` (m,)."""
        cost = self.cost + self.paid @ (scale - 1)  # a scale of 1 leaves every last digit
        return self.whole._replace(
            spent=np.zeros_like(self.whole.spent), centre=np.stack([cost, self.whole.centre[1]])
        )

    def winner(self, whole: Weighed) -> int | None:
        """The candidate that is advised; None where none is within the limits."""
        cost = whole.centre[0].copy()
        cost[self.chosen] /= SLACK  # of equal ones at an equal price the advised one stays
        whole = whole._replace(centre=np.stack([cost, whole.centre[1]]))
        rule = self.rule(whole)
        return int(rule.winners(whole)[0]) if rule.allowed(whole).any() else None

    def points(self, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Factors on the price of model `j` at which the choice may turn: down from 1, and up."""
        budget, paid, chosen = self.limits.get("budget", np.inf), self.paid[:, j], self.chosen
        with np.errstate(divide="ignore", invalid="ignore"):
            comes = 1 + (budget * (1 - PAST) - self.cost) / paid  # below it the budget is kept
            leaves = 1 + (budget * (1 + PAST) - self.cost[chosen]) / paid[chosen]
            # The factor at which an equally accurate one costs as much as the advised one.
            equal = 1 + (self.cost - self.cost[chosen]) / (paid[chosen] - paid)
        same = np.isclose(self.value, self.value[chosen], rtol=0, atol=1e-9)
        comes, equal = comes[self.value > self.value[chosen]], equal[same]
        down = np.concatenate([comes, equal * (1 - PAST)])
        up = np.concatenate([[leaves], equal * (1 + PAST)])
        down, up = down[(down >= LEAST) & (down < 1)], up[(up > 1) & (up <= MOST)]
        return np.sort(down)[::-1], np.sort(up)

    def turn(self, j: int, points: np.ndarray) -> tuple[float, str]:
        """The first of `points` at which another candidate is advised, and which one."""
        scale = np.ones(self.paid.shape[1])
        for scale[j] in points:
            best = self.winner(self.at(scale))
            if best != self.chosen:
                return scale[j], "" if best is None else self.names[best]
        return np.nan, ""
