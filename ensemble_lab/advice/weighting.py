"""Three means of grades that were seen with known chances, and the intervals of each."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ensemble_lab.core.by_model import by_model
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.shares import share_interval


def predictions(predicted, outcomes: Outcomes, needed: bool) -> np.ndarray:
    """The predicted grades (n, m), checked; zeros where they are not needed.

    Raises
    ------
    ValueError
        Needed and not given, given and not needed, another shape, or numbers that are not finite.
    """
    shape = (len(outcomes), len(outcomes.models))
    if not needed:
        if predicted is not None:
            raise ValueError("predicted is used by estimate='doubly robust' alone; give both")
        return np.zeros(shape)
    if predicted is None:
        raise ValueError(
            "the doubly robust estimate needs predicted: a grade of every model on every item, such"
            " as router.scores(log) of a router that was fitted on other items"
        )
    guess = by_model(predicted, outcomes.models, "predicted")
    try:
        guess = guess.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"predicted is {shown(predicted, 60)}; give an array of numbers") from None
    if guess.shape != shape:
        raise ValueError(f"predicted has the shape {guess.shape}; give {shape}: items by models")
    if not (good := np.isfinite(guess)).all():
        raise ValueError(f"predicted has {shown(guess[~good][0])}; give finite numbers")
    return guess


def weighted_mean(grade: np.ndarray, chance: np.ndarray, total: int) -> dict:
    """The mean of the grades (k,) with weights one over `chance`, of `total` items."""
    if not len(grade):
        known = {"accuracy": np.nan, "low": np.nan, "high": np.nan, "items": 0}
        return known | {"effective": 0.0, "smallest": np.nan, "share": 0.0}
    smallest = float(chance.min())
    weight = smallest / chance  # a mean needs no more than their ratios, which cannot overflow
    whole = weight.sum()
    mean = (weight * grade).sum() / whole
    variance = (weight**2 * (grade - mean) ** 2).sum() / whole**2
    effective = float(whole**2 / (weight**2).sum())
    # Near 1 a symmetric interval is too short. Korn and Graubard (1998): that of a plain share, of
    # as many items as would have this variance, and no more than the weights are worth.
    spread = mean * (1 - mean)  # 0 also where the weights of all others are lost to rounding
    worth = min(spread / variance, effective) if variance > 0 and spread > 0 else effective
    low, high = share_interval(float(mean), worth)
    return {
        "accuracy": float(mean),
        "low": float(low),
        "high": float(high),
        "items": len(grade),
        "effective": effective,
        "smallest": smallest,
        "share": float(whole / total / smallest),
    }


def corrected_mean(
    base: np.ndarray, same: np.ndarray, grade: np.ndarray, chance: np.ndarray
) -> dict:
    """The mean of base + same (grade - base) / chance over n items; each argument is (n,).

    With a `base` of 0 it is inverse propensity weighting, with predicted grades it is doubly
    robust. The terms of different items are independent, so their spread gives the interval.
    """
    terms = base + np.where(same, grade - base, 0.0) / chance
    half = np.nan  # with one term at most, nothing is known of the spread
    if same.sum() > 1:
        half = ndtri(0.975) * terms.std(ddof=1) / np.sqrt(len(terms))
    mean = float(terms.mean())
    return {"accuracy": mean, "low": mean - half, "high": mean + half}
