"""Confidences and their scales: one check for whoever compares them or reads them as chances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require

FIX = "map it there with Calibration().fit(…).apply(…)"


def scale_fault(outcomes: Outcomes, columns=None) -> str:
    """What is wrong with the confidences of the models at `columns`; empty where nothing is.

    A threshold, or a vote that reads a confidence as a probability, takes [0, 1]. A missing
    confidence (NaN) is on no scale. Without `columns` every model is looked at.
    """
    confidence = outcomes.confidence
    # The usual case in two passes over whole memory; fmin and fmax step over NaN.
    if confidence is None or not _outside(confidence):
        return ""
    columns = range(len(outcomes.models)) if columns is None else columns
    faults = (_fault(outcomes.models[column], confidence[:, column]) for column in columns)
    return next(filter(None, faults), "")


def _fault(model: str, confidence: np.ndarray) -> str:
    """What is wrong with one model's confidences (n,)."""
    if not _outside(confidence):
        return ""
    value = confidence[(confidence < 0) | (confidence > 1)][0]
    return f"model {shown(model)} has a confidence of {value:g}, outside [0, 1]; {FIX}"


def check_chances(confidence: np.ndarray, models: Sequence[str]) -> None:
    """Raise a `ValueError` where a model's row of confidences (m, n) is no chances."""
    for model, mine in zip(models, confidence, strict=True):
        if fault := _fault(model, mine):
            raise ValueError(fault)


def check_scales(outcomes: Outcomes, columns=None) -> None:
    """Raise a `ValueError` that says `scale_fault`, where there is one."""
    if fault := scale_fault(outcomes, columns):
        raise ValueError(fault)


def finite_confidence(outcomes: Outcomes, who: str, columns=None) -> np.ndarray:
    """The confidences (n, m) of the models at `columns`, on any scale: what can be learned from.

    Raises
    ------
    ValueError
        No confidences, or an infinite one.
    """
    confidence = require(outcomes, "confidence", who)
    columns = np.arange(len(outcomes.models)) if columns is None else columns
    confidence = confidence[:, columns]
    if np.isinf(confidence).any():
        row, place = np.argwhere(np.isinf(confidence))[0]
        raise ValueError(
            f"model {shown(outcomes.models[columns[place]])} has a confidence of"
            f" {confidence[row, place]:g}, and {who} learns from finite ones; leave it empty (NaN)"
        )
    return confidence


def centre_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of values (n,), NaN left out; spread 1 where none differ.

    Both are right for values near 1e-300 and 1e300 too, whose squares no float holds.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    power = np.frexp(np.abs(known).max())[1]
    scaled = np.ldexp(known, -power)  # up to 1
    spread = np.ldexp(scaled.std(), power) if np.ptp(scaled) else 1.0
    return float(np.ldexp(scaled.mean(), power)), float(spread)


def standardised(values: np.ndarray, centre, spread) -> np.ndarray:
    """How many spreads above the centre; what is farther than 1e100 is as far as that."""
    with np.errstate(over="ignore"):
        return np.clip((values - centre) / spread, -1e100, 1e100)


def _outside(confidence: np.ndarray) -> bool:
    low, high = np.fmin.reduce(confidence, axis=None), np.fmax.reduce(confidence, axis=None)
    return bool(low < 0 or high > 1)
