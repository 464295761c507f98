"""Probabilities of outputs, which must be numbers."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax


def answers(outputs: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of outputs (n, k); refuses NaN, which would be some class."""
    proba = softmax(outputs, axis=-1)
    check_answers(proba)
    return proba


def check_answers(proba: np.ndarray) -> None:
    """Raises ValueError where a row of probabilities (n, k) is NaN."""
    if bad := np.flatnonzero(np.isnan(proba).any(axis=-1)).tolist():
        raise ValueError(
            f"the network's outputs for row {bad[0]} of X are NaN or infinite: look for numbers too"
            " large for single precision, and scale X, as by StandardScaler"
        )
