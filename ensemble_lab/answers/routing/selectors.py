"""Big-little in the strict sense: choose first, then run only one model.

A cascade pays for the small model's attempt. A selector does not, but it must choose before any
model has seen the item, from the item's features alone.

References
----------
Park et al., Big/little deep neural network for ultra low power inference, CODES+ISSS 2015.
Ong et al., RouteLLM, arXiv 2406.18665.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ensemble_lab.answers.routing.features import gap, numbers, numeric_names
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names, ranged
from ensemble_lab.core.required import check_outcomes


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

    An item with an unknown feature is refused by name, as in `LearnedSelector`.

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
    ValueError
        A feature that is not a number, or not known for an item.
    """

    feature: str
    threshold: float = ranged(0.0, -1e12, 1e12, "big model above this value of the feature")

    def _hard(self, outcomes: Outcomes) -> np.ndarray:
        values = numbers(outcomes, self.feature)
        if np.isnan(values).any():
            raise ValueError(gap(outcomes, self.feature, values))
        return values > self.threshold


@dataclass(frozen=True)
class LearnedSelector(_Selector):
    """Ask the big model where the small one is predicted to fail.

    `fit` learns the probability that the small model is right, from the numeric features, and
    stores their names: other tables may have them in another order, and may have more features.

    Parameters
    ----------
    small, big : str
    threshold : float
        Ask the big model below this predicted probability.
    estimator : scikit-learn classifier, optional
        Cloned by `fit`; by default a standardised logistic regression. One that takes NaN, such as
        a pipeline with an imputer, takes features with gaps; otherwise such features are refused by
        name.
    features : sequence of str, optional
        Which features to read; by default all numeric ones of the outcomes that it is fitted on.
    fitted : optional
        Learned by `fit`.
    """

    threshold: float = ranged(0.5, 0.0, 1.0, "big model below this chance of a right answer", 0.01)
    estimator: Any = None
    features: tuple[str, ...] | None = None
    fitted: Any = None

    def __post_init__(self):
        super().__post_init__()
        if self.features is not None:
            object.__setattr__(self, "features", model_names(self.features, "features"))

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn when the small model is right.

        Raises
        ------
        ValueError
            No numeric feature, one with a gap that the estimator does not take, or a small model
            that is always right or always wrong.
        """
        from sklearn.base import clone

        check_outcomes(outcomes)
        right = outcomes.correct[:, outcomes.columns((self.small,))[0]]
        known = ~np.isnan(right)
        target = right[known] >= 0.5
        if target.all() or not target.any():
            raise ValueError(
                f"{shown(self.small)} is never wrong or never right here; nothing to learn"
            )
        named = replace(
            self, features=numeric_names(outcomes) if self.features is None else self.features
        )
        estimator = clone(self.estimator) if self.estimator is not None else _logistic()
        fitted = named._read(outcomes, lambda matrix: estimator.fit(matrix[known], target))
        return replace(named, fitted=fitted)

    def chance(self, outcomes: Outcomes) -> np.ndarray:
        """Predicted probability (n,) that the small model would be right.

        Raises
        ------
        KeyError
            A feature that it was fitted on is not there.
        ValueError
            Not fitted, or a feature that is text or has a gap.
        """
        if self.fitted is None:
            raise ValueError("this LearnedSelector is not fitted; call fit(outcomes) first")
        return self._read(outcomes, self.fitted.predict_proba)[:, 1]

    def _read(self, outcomes: Outcomes, read: Callable):
        """The output of `read` for the features (n, f); a feature that it cannot read is named."""
        columns = {name: numbers(outcomes, name) for name in self.features}
        try:
            return read(np.column_stack(list(columns.values())))
        except ValueError as error:
            for name, values in columns.items():
                if not np.isfinite(values).all():
                    raise ValueError(gap(outcomes, name, values)) from error
            raise

    def _hard(self, outcomes: Outcomes) -> np.ndarray:
        return self.chance(outcomes) < self.threshold


def _logistic():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
