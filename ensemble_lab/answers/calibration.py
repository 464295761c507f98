"""Calibration: make a confidence of 0.8 mean right four times in five.

Services score on scales of their own; votes over confidences and thresholds shared by models
make sense only after this. The fits are scikit-learn's.

References
----------
Guo et al., On calibration of modern neural networks, ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from ensemble_lab.core.errors import require
from ensemble_lab.core.outcomes import Outcomes


@dataclass(frozen=True)
class Calibration:
    """Maps each model's confidence to its chance of being right.

    Parameters
    ----------
    method : {"isotonic", "sigmoid"}
        Any rising curve, or Platt's two-parameter one for few items.
    curves : dict of model to fitted regressor
        Learned by `fit`.
    """

    method: str = "isotonic"
    curves: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.method not in ("isotonic", "sigmoid"):
            raise ValueError(f"method={self.method!r}; it is 'isotonic' or 'sigmoid'")

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn a curve a model from its confidences and correctness on `outcomes`."""
        confidence = require(outcomes, "confidence", "Calibration")
        curves = {}
        for j, name in enumerate(outcomes.models):
            known = ~np.isnan(confidence[:, j]) & ~np.isnan(outcomes.correct[:, j])
            if not known.any():
                raise ValueError(
                    f"model {name!r} has no confidence with a known outcome to learn from"
                )
            right = outcomes.correct[known, j]
            curves[name] = _curve(self.method).fit(confidence[known, j], right)
        return replace(self, curves=curves)

    def apply(self, outcomes: Outcomes) -> Outcomes:
        """The same outcomes with calibrated confidences (n, m)."""
        confidence = require(outcomes, "confidence", "Calibration").copy()
        for j, name in enumerate(outcomes.models):
            if name not in self.curves:
                raise ValueError(f"no curve was fitted for model {name!r}; fit on a table with it")
            known = ~np.isnan(confidence[:, j])
            confidence[known, j] = self.curves[name].predict(confidence[known, j])
        return replace(outcomes, confidence=np.clip(confidence, 0, 1))


def _curve(method: str):
    from sklearn.isotonic import IsotonicRegression

    if method == "isotonic":
        return IsotonicRegression(out_of_bounds="clip")
    return _Platt()


class _Platt:
    """Logistic regression on one confidence, with the predict of a regressor."""

    def fit(self, confidence: np.ndarray, right: np.ndarray) -> Self:
        from sklearn.linear_model import LogisticRegression

        wrong_or_right = right >= 0.5
        if wrong_or_right.all() or not wrong_or_right.any():
            raise ValueError("a sigmoid needs right and wrong answers; use method='isotonic'")
        self.model = LogisticRegression(C=1e6).fit(confidence[:, None], wrong_or_right)
        return self

    def predict(self, confidence: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(confidence[:, None])[:, 1]
