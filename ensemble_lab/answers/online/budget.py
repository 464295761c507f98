"""A budget over a stream of items: an online knapsack over what a bandit has learned."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Self

import numpy as np

from ensemble_lab.answers.online.bandit import Bandit, Learning
from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.answers.online.offers import LARGEST
from ensemble_lab.answers.online.thompson import Thompson
from ensemble_lab.core.errors import shown
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class BudgetBandit(Learning):
    """Spend a budget over a stream where a USD brings the most, and never more than the budget.

    The bandit `of` estimates the accuracies. Every item can be answered by the cheapest model that
    is available. A more expensive one is asked if its gain in accuracy for each USD more reaches a
    threshold, and of these the best one. The threshold begins low and rises with the part z of the
    free money that is spent: ``(U e / L)**z * L / e`` between the least gain L and the greatest
    gain U for a USD that can occur. The money for cheap answers to all later items is never free.

    Each choice needs the prices: ``choose(…, prices=[…])``, or ``decide(…, prices=…)``. The price
    of a reply is set aside when it is asked for, and its cost is paid when the feedback comes; an
    unknown cost counts as the price. So the budget holds if no reply costs more than its price,
    however late the feedback is. Where no model can be paid, none is asked.

    Parameters
    ----------
    budget : float
        USD for the whole stream.
    horizon : int
        Items of the stream: the times 0 to horizon - 1.
    of : Bandit
        Estimates the accuracies, with a `cost_weight` of 0.
    least : float
        The smallest gain in accuracy for which the most expensive model is worth its price.

    References
    ----------
    Zhou, Chakrabarty and Lukose, Budget constrained bidding in keyword auctions and online knapsack
    problems, WINE 2008. Panda et al., Adaptive LLM routing under budget constraints (PILOT), arXiv
    2508.21141.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(100), correct=[[0, 1]] * 100)
    >>> policy = BudgetBandit(budget=40.0, horizon=100)
    >>> asked = policy.decide(table, prices=[0.1, 1.0]).called.sum(axis=0)
    >>> bool(asked @ [0.1, 1.0] <= 40) and int(asked.sum())
    100
    """

    budget: float = ranged(1.0, 0, 1e9, "USD for the whole stream")
    horizon: int = ranged(1000, 1, 10**9, "items of the stream", 1)
    of: Bandit = field(default_factory=Thompson)
    least: float = ranged(0.01, 1e-6, 1, "gain that is worth the most expensive model")

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.horizon, Integral) or isinstance(self.horizon, bool):
            raise ValueError(f"BudgetBandit.horizon is {shown(self.horizon)}; give a whole number")
        check_estimates(self.of, "BudgetBandit")

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _Budgeted:
        return _Budgeted(self, models, rng)


def check_estimates(of: Any, kind: str) -> None:
    """Refuse what is no bandit, or one that weighs prices itself."""
    if not isinstance(of, Bandit):
        given = f"the class {of.__name__}" if isinstance(of, type) else shown(of)
        raise ValueError(f"{kind}.of is {given}; give a bandit such as Thompson()")
    if of.cost_weight:
        raise ValueError(f"{kind}.of has cost_weight {of.cost_weight:g}; give 0: prices count once")


class Estimating(BanditLearner):
    """A learner that asks by the scores of the bandit `of`, which learns with it."""

    def __init__(self, policy: Learning, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        self.of = policy.of._learner(models, rng)

    def _context(self, features: Mapping[str, Any]) -> Any:
        return self.of._context(features)

    def _check_context(self, context: Any) -> None:
        self.of._check_context(context)

    def _scores(self, context: Any) -> np.ndarray:
        """Estimates of the accuracies between 0 and 1, (m,)."""
        scores = np.clip(self.of._scores(context), 0, 1)
        return np.where(self.of.asked == 0, 1.0, scores) if self.of.TRIES_ALL else scores

    def _needed(self, prices: np.ndarray | None) -> np.ndarray:
        if prices is None:
            kind = type(self.policy).__name__
            raise ValueError(
                f"{kind} needs the prices: choose(…, prices=[…]) or decide(…, prices=…)"
            )
        return prices

    def _learn(self, arm: int, context: Any, grade: float) -> None:
        self.of.graded[arm] += 1
        self.of._learn(arm, context, grade)

    def _state(self) -> dict:
        return super()._state() | {"of": self.of._state()}

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        self.of._restore_state(found["of"] | {"last": found["last"]})
        if not all(np.array_equal(getattr(self, k), getattr(self.of, k)) for k in self.ARRAYS):
            raise ValueError("its replies are not those of its bandit")

    def _take(self, old: Self, moved: Mapping[int, int]) -> None:
        self.of = old.of.with_models(self.models)


class _Budgeted(Estimating):
    def __init__(self, policy: BudgetBandit, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        self.spent = 0.0  # USD
        self.extra = 0.0  # USD spent or set aside beyond the cheapest model's price
        self.reserved: dict[tuple[int, int], float] = {}  # USD set aside, by time and model

    @property
    def left(self) -> float:
        """USD that are neither spent nor set aside."""
        return self.policy.budget - self.spent - math.fsum(self.reserved.values())

    def _pick(
        self, time: int, context: Any, available: np.ndarray | None, prices: np.ndarray | None
    ) -> tuple[int, ...]:
        prices, left = self._needed(prices), self.left
        known = prices if available is None else np.where(available, prices, np.inf)
        cheapest = known.min()
        free = left - cheapest * max(self.policy.horizon - time, 1)  # this item's cheap answer too
        rounding = 1e-12 * self.policy.budget
        if self.last < 0 and free < -self.policy.horizon * rounding:
            warnings.warn(
                f"{self.policy.budget:g} USD pay for {left / cheapest:,.0f} of"
                f" {self.policy.horizon:,} items, even if all go to the cheapest model; the others"
                " are not answered",
                stacklevel=3,
            )
        payable = (known <= left + rounding) & (known - cheapest <= max(free, 0.0))
        if not payable.any():
            return ()
        value = self._scores(context)
        gain = value - value[known == cheapest].max()
        more = known - cheapest  # USD beyond the cheapest model's price
        worth = payable & (gain >= self._threshold(free, more) * np.where(payable, more, 0))
        arm = int(np.where(worth, value, -1.0).argmax())
        self.reserved[time, arm] = float(prices[arm])
        self.extra += float(more[arm])
        self.of.asked[arm] += 1
        return (arm,)

    def _threshold(self, free: float, more: np.ndarray) -> float:
        """The gain in accuracy that one USD more must bring."""
        steps = more[np.isfinite(more) & (more > 1e-100)]
        if not len(steps):
            return 0.0
        least, greatest = self.policy.least / steps.max(), 1 / steps.min()
        z = self.extra / (self.extra + free) if free > 0 else 1.0
        return float((greatest * math.e / least) ** z * least / math.e)

    def _pay(self, time: int, arm: int, cost: float) -> None:
        price = self.reserved.pop((time, arm))
        paid = price if math.isnan(cost) else cost
        self.spent += paid
        self.extra = max(self.extra + paid - price, 0.0)

    def _state(self) -> dict:
        reserved = [[*asked, price] for asked, price in self.reserved.items()]
        return super()._state() | {
            "spent": self.spent, "extra": self.extra, "reserved": reserved
        }  # fmt: skip

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        self.spent, self.extra = found["spent"], found["extra"]
        self.reserved = {(time, arm): price for time, arm, price in found["reserved"]}
        usd = [self.spent, self.extra, *self.reserved.values()]
        if not all(type(x) in (int, float) and 0 <= x <= LARGEST for x in usd):
            raise ValueError("its USD are negative or unknown")
        if self.extra > (self.spent + math.fsum(self.reserved.values())) * (1 + 1e-9):
            raise ValueError("its extra is more than it spent")
        if list(self.reserved) != [tuple(asked[:2]) for asked in found["pending"]]:
            raise ValueError("its USD set aside are not those of its pending replies")

    def _take(self, old: Self, moved: Mapping[int, int]) -> None:
        super()._take(old, moved)
        self.extra = old.extra
        self.reserved = {
            (time, moved[arm]): price
            for (time, arm), price in old.reserved.items() if arm in moved
        }  # fmt: skip
        # A reply of a model that has left may still be charged.
        gone = (price for (_, arm), price in old.reserved.items() if arm not in moved)
        self.spent = old.spent + math.fsum(gone)
