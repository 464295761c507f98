"""Big-little in the strict sense: choose first, then run one model only.

A cascade pays for the small model's try; a selector does not, but must judge an item before
anybody has seen it, from the item's features alone.

References
----------
Park et al., Big/little deep neural network for ultra low power inference, CODES+ISSS 2015.
Ong et al., RouteLLM, arXiv 2406.18665.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import check_known
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged


@dataclass(frozen=True)
class _Selector(Policy):
    """Runs `big` where the item looks hard and `small` elsewhere."""

    small: str
    big: str

    def choose(self, outcomes: Outcomes) -> Choice:
        small, big = outcomes.columns((self.small, self.big))
        chosen = np.where(self._hard(outcomes), big, small)
        called = np.zeros(outcomes.correct.shape, bool)
        called[np.arange(len(chosen)), chosen] = True
        return Choice(chosen, called)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return ((self.small, self.big),)

    @abstractmethod
    def _hard(self, outcomes: Outcomes) -> np.ndarray:
        """(n,) bool: the big model is asked."""


@dataclass(frozen=True)
class HeuristicSelector(_Selector):
    """Ask the big model where one feature exceeds a threshold, such as a long prompt.

    Parameters
    ----------
    small, big : str
    feature : str
        Name of an item feature.
    threshold : float
        In the feature's unit.

    Raises
    ------
    KeyError
        A feature that the outcomes do not have.
    """

    feature: str
    threshold: float = ranged(0.0, -1e12, 1e12, "big model above this value of the feature")

    def _hard(self, outcomes: Outcomes) -> np.ndarray:
        check_known(self.feature, outcomes.features, "feature", "outcomes")
        return np.asarray(outcomes.features[self.feature], float) > self.threshold


@dataclass(frozen=True)
class LearnedSelector(_Selector):
    """Ask the big model where the small one is predicted to fail.

    `fit` learns the probability that the small model is right, from the numeric features.

    Parameters
    ----------
    small, big : str
    threshold : float
        Ask the big model below this predicted probability.
    estimator : scikit-learn classifier, optional
        Cloned by `fit`; by default a standardised logistic regression.
    fitted : optional
        Learned by `fit`.
    """

    threshold: float = ranged(0.5, 0.0, 1.0, "big model below this chance of a right answer", 0.01)
    estimator: Any = None
    fitted: Any = None

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn when the small model is right.

        Raises
        ------
        ValueError
            No numeric feature, or a small model that is always right or always wrong.
        """
        from sklearn.base import clone

        right = outcomes.correct[:, outcomes.columns((self.small,))[0]]
        known = ~np.isnan(right)
        target = right[known] >= 0.5
        if target.all() or not target.any():
            raise ValueError(f"{self.small!r} is never wrong or never right here; nothing to learn")
        fitted = clone(self.estimator) if self.estimator is not None else _logistic()
        return replace(self, fitted=fitted.fit(_matrix(outcomes)[known], target))

    def chance(self, outcomes: Outcomes) -> np.ndarray:
        """Predicted probability (n,) that the small model would be right.

        Raises
        ------
        ValueError
            Not fitted, or no numeric feature.
        """
        if self.fitted is None:
            raise ValueError("this LearnedSelector is not fitted; call fit(outcomes) first")
        return self.fitted.predict_proba(_matrix(outcomes))[:, 1]

    def _hard(self, outcomes: Outcomes) -> np.ndarray:
        return self.chance(outcomes) < self.threshold


def _logistic():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _matrix(outcomes: Outcomes) -> np.ndarray:
    """The numeric features (n, f), in the order of their names."""
    numeric = [k for k, v in sorted(outcomes.features.items()) if v.dtype.kind in "iufb"]
    if not numeric:
        raise ValueError(
            "these outcomes have no numeric features to choose by; add feature:NAME columns"
            " or use a cascade, which needs none"
        )
    return np.column_stack([outcomes.features[name] for name in numeric]).astype(float)
