"""Calibration: make a confidence of 0.8 mean that 80 % of such answers are right.

Each service has its own scale of confidence. Votes over confidences and thresholds shared by models
make sense only after calibration. The fits are scikit-learn's.

References
----------
Guo et al., On calibration of modern neural networks, ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import settled
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.scales import centre_and_spread, finite_confidence, standardised


@dataclass(frozen=True)
class Calibration:
    """Maps each model's confidence to its chance of being right.

    Confidences may be on any scale, per cent or logarithms: a curve does not depend on their unit.
    Grades between 0 and 1 are learned unchanged: 0.4 counts as right in four of ten cases.

    Parameters
    ----------
    method : {"isotonic", "sigmoid"}
        Any rising curve, or Platt's curve of two parameters for few items.
    curves : dict of model to fitted regressor
        Learned by `fit`.
    """

    method: str = "isotonic"
    curves: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.method not in ("isotonic", "sigmoid"):
            raise ValueError(f"method={shown(self.method)}; it is 'isotonic' or 'sigmoid'")
        object.__setattr__(self, "curves", settled(self.curves))

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn one curve for each model from its confidences and correctness on `outcomes`.

        Raises
        ------
        ValueError
            No confidence, none whose outcome is known, or an infinite one; all right or all wrong
            for a sigmoid.
        """
        confidence = finite_confidence(outcomes, "Calibration")
        curves = {}
        for j, name in enumerate(outcomes.models):
            known = ~np.isnan(confidence[:, j]) & ~np.isnan(outcomes.correct[:, j])
            if not known.any():
                raise ValueError(
                    f"model {shown(name)} has no confidence with a known outcome to learn from:"
                    " select the others"
                )
            right = outcomes.correct[known, j]
            if self.method == "sigmoid" and ((right == 0).all() or (right == 1).all()):
                raise ValueError(
                    f"a sigmoid needs right and wrong answers, and {shown(name)} has only one kind;"
                    " use method='isotonic'"
                )
            curves[name] = _Curve(self.method).fit(confidence[known, j], right)
        return replace(self, curves=curves)

    def apply(self, outcomes: Outcomes) -> Outcomes:
        """The same outcomes with calibrated confidences (n, m).

        Raises
        ------
        ValueError
            A model without a curve, no confidence, or an infinite one.
        """
        confidence = finite_confidence(outcomes, "Calibration").copy()
        for j, name in enumerate(outcomes.models):
            if name not in self.curves:
                raise ValueError(
                    f"no curve was fitted for model {shown(name)}; fit on a table with it"
                )
            known = ~np.isnan(confidence[:, j])
            if known.any():
                confidence[known, j] = self.curves[name].predict(confidence[known, j])
        return replace(outcomes, confidence=np.clip(confidence, 0, 1))


class _Curve:
    """A regressor of one confidence whose fit does not depend on its unit, even 1e-200 or 1e200.

    scikit-learn's isotonic fit merges values that differ by less than 1e-15: so it gets ranks
    instead of the values. Its logistic fit prefers small coefficients: so it gets standardised
    values.
    """

    def __init__(self, method: str):
        self.method = method

    def fit(self, confidence: np.ndarray, right: np.ndarray) -> Self:
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        if self.method == "isotonic":
            self.knots, place = np.unique(confidence, return_inverse=True)
            self.model = IsotonicRegression(out_of_bounds="clip").fit(place, right)
            return self
        self.unit = centre_and_spread(confidence)
        self.model = LogisticRegression(C=1e6)
        # Each item is right with the weight of its grade, and wrong with the rest.
        graded = np.repeat([1, 0], len(right))
        weight = np.concatenate([right, 1 - right])
        sure = np.tile(standardised(confidence, *self.unit), 2)[:, None]
        some = weight > 0
        self.model.fit(sure[some], graded[some], sample_weight=weight[some])
        return self

    def predict(self, confidence: np.ndarray) -> np.ndarray:
        if self.method == "isotonic":
            return self.model.predict(self._places(confidence))
        return self.model.predict_proba(standardised(confidence, *self.unit)[:, None])[:, 1]

    def _places(self, confidence: np.ndarray) -> np.ndarray:
        """Ranks among the learned values, interpolated between them."""
        low = np.searchsorted(self.knots[1:-1], confidence, side="right")
        here, there = self.knots[low], self.knots[np.minimum(low + 1, len(self.knots) - 1)]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            part = (confidence - here) / (there - here)
        return low + np.clip(np.nan_to_num(part), 0, 1)
