"""Several models an item under a budget: a combinatorial bandit (C2MAB-V)."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from ensemble_lab.answers.online.bandit import Bandit, Learning
from ensemble_lab.answers.online.budget import Estimating, check_estimates
from ensemble_lab.answers.online.knapsack import subset_mixture
from ensemble_lab.answers.online.thompson import Thompson
from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.required import require

REWARDS = ("any", "sum", "all")
LEAST = 1e-12  # an estimate this near to 0 or 1 has a finite logarithm


@dataclass(frozen=True)
class CombinatorialBandit(Learning):
    """Ask several models an item: the subset with the greatest reward for a mean price.

    The bandit `of` estimates the accuracies p. The reward of a subset S is one of three: ``"any"``
    (AWC), 1 - prod(1 - p), one right answer is enough; ``"sum"`` (SUC), sum(p), each right answer
    counts; ``"all"`` (AIC), prod(p), every one must be right, of exactly `size` models. Logarithms
    make them sums: -log(1 - p), p and log p. The sum is relaxed to probabilities of asking, which
    are a linear program, and its solution is a mixture of at most two subsets: one of them is
    drawn. So the price is within the budget on average, not for each item. Of the models that are
    asked, the one with the highest estimate gives the answer.

    Each choice needs the prices: ``choose(…, prices=[…])``, or ``decide(…, prices=…)``. The paper
    learns the costs too; here they are the prices, known beforehand.

    Parameters
    ----------
    reward : {"any", "sum", "all"}
    size : int
        The most models that are asked; for ``"all"`` their number.
    budget : float
        Mean USD an item.
    of : Bandit
        Estimates the accuracies, with a `cost_weight` of 0.

    References
    ----------
    Dai et al., Cost-effective online multi-LLM selection with versatile reward models, arXiv
    2405.16587. Wang and Chen, Thompson sampling for combinatorial semi-bandits, ICML 2018.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b", "c"], items=range(200), correct=[[0, 1, 1]] * 200)
    >>> policy = CombinatorialBandit("sum", size=2, budget=3.0)
    >>> policy.decide(table, prices=[1.0, 1.0, 2.0]).called[-1].tolist()
    [False, True, True]
    """

    reward: str = "any"
    size: int = ranged(2, 1, 10**6, "the most models that are asked", 1)
    budget: float = ranged(1.0, 0, 1e9, "mean USD an item")
    of: Bandit = field(default_factory=Thompson)

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.reward, str) or self.reward not in REWARDS:
            raise ValueError(
                f"CombinatorialBandit.reward is {shown(self.reward)}; give one of"
                f" {', '.join(map(repr, REWARDS))}"
            )
        if not isinstance(self.size, Integral) or isinstance(self.size, bool):
            raise ValueError(f"CombinatorialBandit.size is {shown(self.size)}; give a whole number")
        check_estimates(self.of, "CombinatorialBandit")

    def rewards(self, outcomes: Outcomes, decision: Decision) -> np.ndarray:
        """The reward on each item, (n,); 0 where no model was asked. An absent reply is not right.

        Parameters
        ----------
        outcomes : Outcomes
            The table of the replay.
        decision : Decision
            What `decide` returned for it.
        """
        right = np.where(outcomes.absent, 0.0, require(outcomes, "correct", "rewards"))
        called = decision.called
        if called.shape != right.shape:
            raise ValueError(
                f"the decision has shape {called.shape}, the outcomes {right.shape}; give the"
                " decision on these outcomes"
            )
        if self.reward == "any":
            return 1 - np.where(called, 1 - right, 1.0).prod(axis=1)
        if self.reward == "sum":
            return np.where(called, right, 0.0).sum(axis=1)
        enough = called.sum(axis=1) == self.size
        return np.where(enough, np.where(called, right, 1.0).prod(axis=1), 0.0)

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _Subsets:
        if self.reward == "all" and self.size > len(models):  # then none would ever be asked
            raise ValueError(
                f"CombinatorialBandit asks exactly {self.size} models, and there are"
                f" {len(models)}; give a size of at most {len(models)}"
            )
        return _Subsets(self, models, rng)


class _Subsets(Estimating):
    def _pick(
        self, time: int, context: Any, available: np.ndarray | None, prices: np.ndarray | None
    ) -> tuple[int, ...]:
        policy, prices = self.policy, self._needed(prices)
        usable = np.arange(len(prices)) if available is None else np.flatnonzero(available)
        exact = policy.reward == "all"
        if exact and len(usable) < policy.size:
            return ()
        value = np.maximum(self._scores(context), LEAST)  # to ask is never worth nothing
        subsets = subset_mixture(
            weights(policy.reward, value[usable]), prices[usable], policy.size, policy.budget, exact
        )
        first, subset = subsets[0]
        if len(subsets) > 1 and self.rng.random() >= first:
            subset = subsets[1][1]
        asked = usable[subset]
        self.of.asked[asked] += 1
        return tuple(asked[np.argsort(-value[asked], kind="stable")].tolist())


def weights(reward: str, p: np.ndarray) -> np.ndarray:
    """What each model adds to the reward of a subset, where the reward is made a sum."""
    if reward == "sum":
        return p
    if reward == "any":
        return -np.log1p(-np.minimum(p, 1 - LEAST))
    return np.log(np.maximum(p, LEAST))
