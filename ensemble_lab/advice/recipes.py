"""Recipes: policies whose members `fit` chooses, so that no choice sees a row that judges it.

A recipe is fitted into a policy of the package, such as a `Cascade` of two named models. That
policy can be read, saved and served; the recipe itself decides nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from ensemble_lab.answers.cascades.agreement import AgreementCascade
from ensemble_lab.answers.cascades.budget import BudgetCascade
from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.cascades.thresholds import Ladder, improved
from ensemble_lab.answers.routing.selectors import LearnedSelector
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged


@dataclass(frozen=True)
class Recipe(Policy):
    """What `fit` turns into a policy."""

    @abstractmethod
    def fit(self, outcomes: Outcomes) -> Policy:
        """The policy, with members and settings chosen on `outcomes`."""

    def choose(self, outcomes: Outcomes) -> Choice:
        raise ValueError(f"{type(self).__name__} decides nothing: use what its fit(outcomes) gives")


@dataclass(frozen=True)
class AmongBest(Recipe):
    """The policy `of`, with the most accurate models of the fit as its only models.

    Parameters
    ----------
    of : Policy
        One that takes all models by default.
    size : int
    cheapest : bool
        Whether the cheapest model is also one of them, so that a low budget can be kept.
    """

    of: Policy
    size: int = ranged(3, 1, 1000, "models", 1)
    cheapest: bool = False

    def fit(self, outcomes: Outcomes) -> Policy:
        kept = by_accuracy(outcomes)[: self.size]
        if self.cheapest and (cheap := by_price(outcomes)[0]) not in kept:
            kept[-1] = cheap
        return self.of.fit(outcomes.select(models=kept))


@dataclass(frozen=True)
class PairCascade(Recipe):
    """The cascade small → big with the threshold that is most accurate on the items of the fit.

    Parameters
    ----------
    small, big : str
    share : float
        The most items that may go to the big model, by their price: the mean cost of the fit is at
        most that of the small model plus this share of the big one's.
    """

    small: str
    big: str
    share: float = ranged(1.0, 0.0, 1.0, "share of the big model's price that may be spent", 0.05)

    def fit(self, outcomes: Outcomes) -> Cascade:
        order = (self.small, self.big)
        table = with_prices(outcomes)
        price = table.filled("cost", absent=True).cost[:, table.columns(order)].mean(axis=0)
        ladder = Ladder.of(order, table)
        never = ladder.plan((0.0,))
        best = improved(never, ladder, float(price[0] + self.share * price[1]))
        return Cascade(order, best.thresholds)


@dataclass(frozen=True)
class LearnedCascade(Recipe):
    """The cascade that a `BudgetCascade` learns, in calls where no prices are recorded."""

    of: BudgetCascade

    def fit(self, outcomes: Outcomes) -> Cascade:
        return self.of.fit(with_prices(outcomes)).cascade


@dataclass(frozen=True)
class AgreeThenAsk(Recipe):
    """Cheap models that must agree, then the most accurate one.

    Parameters
    ----------
    size : int
        Models in the first tier, the cheapest except the most accurate one.
    """

    size: int = ranged(2, 2, 10, "models in the first tier", 1)

    def fit(self, outcomes: Outcomes) -> AgreementCascade:
        best = by_accuracy(outcomes)[0]
        cheap = [name for name in by_price(outcomes) if name != best]
        return AgreementCascade((tuple(cheap[: self.size]), (best,)))


@dataclass(frozen=True)
class SmallOrBest(Recipe):
    """A `LearnedSelector` between the cheapest model and the most accurate one.

    Parameters
    ----------
    threshold : float
        See `LearnedSelector`.
    """

    threshold: float = ranged(0.5, 0.0, 1.0, "big model below this chance of a right answer", 0.01)

    def fit(self, outcomes: Outcomes) -> Policy:
        small, big = by_price(outcomes)[0], by_accuracy(outcomes)[0]
        if small == big:
            return Cascade((small,))
        return LearnedSelector(small, big, self.threshold).fit(outcomes)


def by_accuracy(outcomes: Outcomes) -> list[str]:
    """The models, the most accurate first; of equal ones the cheaper, then the first listed."""
    price = prices(outcomes)
    order = np.lexsort((np.nan_to_num(price, nan=np.inf), -np.nan_to_num(outcomes.accuracy())))
    return [outcomes.models[j] for j in order]


def by_price(outcomes: Outcomes) -> list[str]:
    """The models, the cheapest first; without prices in the order of the table."""
    order = np.argsort(prices(outcomes), kind="stable")  # NaN sorts last
    return [outcomes.models[j] for j in order]


def prices(outcomes: Outcomes) -> np.ndarray:
    """Mean USD a call (m,) of each model: NaN where none is known, 1 where no cost is recorded."""
    if outcomes.cost is None:
        return np.ones(len(outcomes.models))
    known = ~np.isnan(outcomes.cost)
    with np.errstate(invalid="ignore"):
        return np.where(known, outcomes.cost, 0.0).sum(axis=0) / known.sum(axis=0)


def with_prices(outcomes: Outcomes) -> Outcomes:
    """The table itself, or with a price of 1 a call where no cost is recorded."""
    if outcomes.cost is not None:
        return outcomes
    return replace(outcomes, cost=np.ones(outcomes.correct.shape))
