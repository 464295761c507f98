"""Bandits whose models' accuracies are linear in what is known of an item: LinUCB and LinThompson.

Each model has its own ridge regression of the grades. The inverse of its matrix is kept, and one
grade updates it by the formula of Sherman and Morrison in d^2 operations.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ensemble_lab.answers.online.bandit import Bandit
from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.policy import ranged

MOST = 1e6  # greater features would cost more digits of an inverse matrix than there are


@dataclass(frozen=True)
class _Linear(Bandit):
    features: tuple[str, ...] = ()
    groups: tuple = ()
    scale: float = ranged(0.3, 0, 10, "how much is explored")
    ridge: float = ranged(1.0, 1e-6, 1e6, "the penalty on the squared weights")

    def __post_init__(self):
        super().__post_init__()
        kind = type(self).__name__
        for name in ("features", "groups"):
            values = tuple(several(getattr(self, name), f"{kind}.{name}"))
            if not all(isinstance(value, str | int) for value in values):
                raise ValueError(f"{kind}.{name} is {shown(values)}; give a tuple of names")
            if len(set(values)) < len(values):
                raise ValueError(f"{kind}.{name} is {shown(values)}; name each once")
            object.__setattr__(self, name, values)

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _LinearLearner:
        return _LinearLearner(self, models, rng)

    @abstractmethod
    def _explore(self, deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What is added to the predictions (m,), given their standard deviations (m,)."""


@dataclass(frozen=True)
class LinUCB(_Linear):
    """Ask the model with the highest upper confidence bound of a linear prediction.

    The prediction for an item with the vector x is x'w, where w are the weights of the model's
    ridge regression, and the bound adds ``scale * sqrt(x' A^-1 x)``, with A = ridge I + the sum of
    xx' over the model's graded items. x is 1, the `features`, and a 1 for the item's group. The
    weight of the constant is shared by all groups, so a group does not start from nothing.

    Parameters
    ----------
    features : tuple of str
        Features of the items that are numbers or flags. Scale them to about -1 to 1 first.
    groups : tuple
        The known groups: values of the feature ``"group"``, which is `Outcomes.group`. An item of
        another group has no group.
    scale : float
        How much is explored.
    ridge : float
        The penalty on the squared weights.

    References
    ----------
    Li, Chu, Langford and Schapire, A contextual-bandit approach to personalized news article
    recommendation, WWW 2010, algorithm 1. With `cost_weight`: Nguyen et al., MetaLLM: A
    High-performant and Cost-efficient Dynamic Framework for Wrapping LLMs, arXiv 2407.10834.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(40), correct=[[1, 0], [0, 1]] * 20,
    ...                  features={"hard": [0, 1] * 20})
    >>> LinUCB(features=("hard",)).decide(table).chosen[-6:].tolist()
    [0, 1, 0, 1, 0, 1]
    """

    def _explore(self, deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return deviation


@dataclass(frozen=True)
class LinThompson(_Linear):
    """Draw each model's weights from their posterior; ask the model with the highest prediction.

    The posterior is normal, with the mean w and the covariance ``scale^2 A^-1`` of `LinUCB`. The
    prediction x'w is then normal too, and only this number is drawn.

    Parameters
    ----------
    features : tuple of str
        Features of the items that are numbers or flags. Scale them to about -1 to 1 first.
    groups : tuple
        The known groups: values of the feature ``"group"``, which is `Outcomes.group`. An item of
        another group has no group.
    scale : float
        How much is explored: the standard deviation of a grade.
    ridge : float
        The penalty on the squared weights.

    References
    ----------
    Agrawal and Goyal, Thompson sampling for contextual bandits with linear payoffs, ICML 2013.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(400), correct=[[1, 0], [0, 1]] * 200,
    ...                  group=["history", "math"] * 200)
    >>> LinThompson(groups=("history", "math")).decide(table).accuracy > 0.9
    True
    """

    def _explore(self, deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return deviation * rng.standard_normal(len(deviation))


class _LinearLearner(BanditLearner):
    ARRAYS = ("asked", "graded", "inverse", "moment")

    def __init__(self, policy: _Linear, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        m, d = len(models), 1 + len(policy.features) + len(policy.groups)
        self.inverse = np.tile(np.eye(d) / policy.ridge, (m, 1, 1))  # A^-1 of each model
        self.moment = np.zeros((m, d))  # the sum of grade times x

    @property
    def weights(self) -> np.ndarray:
        """The weights of the constant, the features and the groups of each model, (m, d)."""
        return np.einsum("mde,me->md", self.inverse, self.moment)

    def _context(self, features: Mapping[str, Any]) -> list[float]:
        x = [1.0]
        for name in self.policy.features:
            check_known(name, features, "feature", "item")
            value = features[name]
            if not isinstance(value, Real | np.bool_) or not abs(value) < math.inf:
                raise ValueError(f"{shown(name)} is {shown(value)}; give a finite number")
            if abs(value) > MOST:
                raise ValueError(f"{shown(name)} is {shown(value)}; scale it to about -1 to 1")
            x.append(float(value))
        if self.policy.groups:
            check_known("group", features, "feature", "item")
            x += [float(features["group"] == group) for group in self.policy.groups]
        return x

    def _scores(self, context: list[float]) -> np.ndarray:
        x = np.array(context)
        spread = self.inverse @ x  # (m, d)
        # As if wrong, until the first grade: each reply to such an item would add xx' to A.
        unseen = np.where(self.graded > 0, 0, self.asked)
        variance = np.maximum(spread @ x, 0)  # not -1e-17
        deviation = np.sqrt(variance / (1 + unseen * variance))
        mean = np.einsum("md,md->m", spread, self.moment)  # x' A^-1 moment
        return mean + self.policy.scale * self.policy._explore(deviation, self.rng)

    def _learn(self, arm: int, context: list[float], grade: float) -> None:
        x = np.array(context)
        spread = self.inverse[arm] @ x
        self.inverse[arm] -= np.outer(spread, spread) / (1 + x @ spread)
        self.moment[arm] += grade * x

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        eigenvalues = np.linalg.eigvalsh(self.inverse) * self.policy.ridge
        symmetric = np.allclose(self.inverse, self.inverse.transpose(0, 2, 1))
        if not symmetric or eigenvalues.min() <= 0 or eigenvalues.max() > 1 + 1e-6:
            raise ValueError("its inverse matrices are not positive definite")
        constant = self.moment[:, 0]  # the sum of the grades
        if (constant < 0).any() or (constant > self.graded * (1 + 1e-9)).any():
            raise ValueError("its moment is not that of grades between 0 and 1")

    def _check_context(self, context: Any) -> None:
        if (
            not isinstance(context, list)
            or len(context) != self.moment.shape[1]
            or not all(type(x) in (int, float) and abs(x) <= MOST for x in context)
        ):
            raise ValueError("its pending replies have other features")
