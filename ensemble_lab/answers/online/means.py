"""Bandits that compare the models' mean grades: epsilon-greedy and UCB1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble_lab.answers.online.bandit import Bandit
from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class EpsilonGreedy(Bandit):
    """Ask the model with the best mean grade, and now and then one at random.

    Every model is asked once first.

    Parameters
    ----------
    epsilon : float
        Share of the items that go to a model at random.

    References
    ----------
    Auer, Cesa-Bianchi and Fischer, Finite-time analysis of the multiarmed bandit problem, Machine
    Learning 2002.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(5), correct=[[0, 1]] * 5)
    >>> EpsilonGreedy(epsilon=0.0).decide(table).chosen.tolist()
    [0, 1, 1, 1, 1]
    """

    epsilon: float = ranged(0.05, 0, 1, "share of the items that go to a model at random")

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _Greedy:
        return _Greedy(self, models, rng)


@dataclass(frozen=True)
class UCB1(Bandit):
    """Ask the model with the highest upper confidence bound of its mean grade.

    The bound is the mean plus ``scale * sqrt(2 ln t / n)``: t replies were asked for so far, and n
    grades of this model are known. Every model is asked once first. Nothing is random.

    Parameters
    ----------
    scale : float
        Multiplies the width of the bound. The regret bound of the paper holds for 1; smaller
        values explore less.

    References
    ----------
    Auer, Cesa-Bianchi and Fischer, Finite-time analysis of the multiarmed bandit problem, Machine
    Learning 2002. Joulani et al., Online learning under delayed feedback, ICML 2013.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(8), correct=[[0, 1]] * 8)
    >>> UCB1().decide(table).chosen.tolist()  # after six, sqrt(2 ln 6) > 1 + sqrt(2 ln 6 / 5)
    [0, 1, 1, 1, 1, 1, 0, 1]
    """

    scale: float = ranged(1.0, 0, 10, "multiplies the width of the bound")

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _Bounds:
        return _Bounds(self, models, rng)


class _Means(BanditLearner):
    ARRAYS = ("asked", "graded", "total")
    TRIES_ALL = True

    def __init__(self, policy: Bandit, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        self.total = np.zeros(len(models))

    def _learn(self, arm: int, context: None, grade: float) -> None:
        self.total[arm] += grade

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        if (self.total < 0).any() or (self.total > self.graded * (1 + 1e-9)).any():
            raise ValueError("its total is not that of grades between 0 and 1")

    def _mean(self) -> np.ndarray:
        return self.total / np.maximum(self.graded, 1)  # (m,), 0 where nothing is graded


class _Greedy(_Means):
    def _scores(self, context: None) -> np.ndarray:
        self.at_random = self.rng.random() < self.policy.epsilon
        if self.at_random:
            return self.rng.random(len(self.models))  # each model equally often
        return np.where(self.graded > 0, self._mean(), -1.0)


class _Bounds(_Means):
    def _scores(self, context: None) -> np.ndarray:
        n = np.where(self.graded > 0, self.graded, np.maximum(self.asked, 1))
        width = np.sqrt(2 * np.log(np.maximum(self.asked.sum(), 1)) / n)
        return self._mean() + self.policy.scale * width
