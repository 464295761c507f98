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

from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.scales import finite_confidence


@dataclass(frozen=True)
class Calibration:
    """Maps each model's confidence to its chance of being right.

    Confidences may be on any scale, per cent or logarithms: a curve does not depend on their unit.

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
            raise ValueError(f"method={shown(self.method)}; it is 'isotonic' or 'sigmoid'")

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn a curve a model from its confidences and correctness on `outcomes`.

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
            if self.method == "sigmoid" and len(set((right >= 0.5).tolist())) < 2:
                raise ValueError(
                    f"a sigmoid needs right and wrong answers, and {shown(name)} has one kind only;"
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
    """A regressor of one confidence, which it first standardises: neither fit knows the unit.

    scikit-learn's isotonic fit joins values nearer than an absolute 1e-15, and its logistic one
    prefers small coefficients, so both would depend on it.
    """

    def __init__(self, method: str):
        self.method = method

    def fit(self, confidence: np.ndarray, right: np.ndarray) -> Self:
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        self.centre = confidence.mean()
        self.spread = confidence.std() if np.ptp(confidence) else 1.0
        if self.method == "isotonic":
            self.model = IsotonicRegression(out_of_bounds="clip")
            self.model.fit(self._standard(confidence), right)
        else:
            self.model = LogisticRegression(C=1e6)
            self.model.fit(self._standard(confidence)[:, None], right >= 0.5)
        return self

    def predict(self, confidence: np.ndarray) -> np.ndarray:
        if self.method == "isotonic":
            return self.model.predict(self._standard(confidence))
        return self.model.predict_proba(self._standard(confidence)[:, None])[:, 1]

    def _standard(self, confidence: np.ndarray) -> np.ndarray:
        return (confidence - self.centre) / self.spread
