"""Ambiguity: how much members disagree, which is what a mean of them gains."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.training.inputs.targets import as_array, check_real, one_a_row


class Ambiguity(NamedTuple):
    """Squared errors: of the ensemble, of its members on average, and the difference.

    Parameters
    ----------
    ensemble, members : float
    ambiguity : float
        Mean squared distance of the members from the ensemble.
    """

    ensemble: float
    members: float
    ambiguity: float


def ambiguity_decomposition(predictions, y, weights=None) -> Ambiguity:
    """Error of a weighted mean = weighted mean error of its members - their ambiguity.

    So the mean is never worse than its members on average, and better by their disagreement.

    Parameters
    ----------
    predictions : (m, n) array
        The predictions of m members for n rows.
    y : (n,) array
    weights : (m,) array, optional
        At least 0, summing to 1; by default equal.

    Raises
    ------
    ValueError
        Shapes that do not fit, NaN, or weights that are negative or do not sum to 1.

    References
    ----------
    Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, NIPS 1995.

    Examples
    --------
    >>> ambiguity_decomposition([[1.0, 4.0], [3.0, 4.0]], [2.0, 5.0])
    Ambiguity(ensemble=0.5, members=1.0, ambiguity=0.5)
    """
    predictions, y = checked_members(predictions, y)
    if weights is None:
        weights = np.full(len(predictions), 1 / len(predictions))
    given = several(weights, "weights")
    weights = np.asarray([one if isinstance(one, Real) else np.nan for one in given], dtype=float)
    if (
        weights.shape != (len(predictions),)
        or (weights < 0).any()
        or not np.isclose(weights.sum(), 1)
    ):
        raise ValueError(
            f"weights={shown(given)}: use {len(predictions)} numbers from 0 up that sum to 1"
        )
    whole = weights @ predictions  # (n,)
    return Ambiguity(
        float(np.mean((whole - y) ** 2)),
        float(weights @ np.mean((predictions - y) ** 2, axis=1)),
        float(weights @ np.mean((predictions - whole) ** 2, axis=1)),
    )


def optimal_weights(predictions, y) -> np.ndarray:
    """Weights (m,) that sum to 1 and give the mean the least squared error on these rows.

    They may be negative, and they overfit the rows that they are fitted on: use held-out rows.
    Where several are equally good, as with members that predict the same, the most equal ones.

    Parameters
    ----------
    predictions : (m, n) array
    y : (n,) array

    Raises
    ------
    ValueError
        Shapes that do not fit, or NaN.

    References
    ----------
    Perrone and Cooper, When networks disagree: ensemble methods for hybrid neural networks, 1993.

    Examples
    --------
    >>> optimal_weights([[1.0, 0.0], [0.0, -2.0]], [0.0, 0.0]).round(3)  # errors of 1/2 and 2
    array([0.8, 0.2])
    """
    predictions, y = checked_members(predictions, y)
    errors = predictions - y
    equal, largest = np.full(len(errors), 1 / len(errors)), np.abs(errors).max()
    if not largest:
        return equal
    errors = errors / largest  # weights do not change with the unit, and no square becomes 0
    mean = errors.mean(axis=0)  # (n,)
    apart = errors - mean
    least, most = 1e-10 * np.linalg.norm(errors), np.linalg.norm(apart, 2)
    if most <= least:  # differences of rounding
        return equal
    # Columns of `apart` add up to 0, and so does, up to rounding, the shortest step.
    step = np.linalg.lstsq(apart.T, -mean, rcond=least / most)[0]
    return equal + step - step.mean()


def checked_members(predictions, y) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (m, n) and targets (n,) as finite floats."""
    lists = "give one list a member, of as many numbers as y has"
    if isinstance(predictions, Mapping) or hasattr(predictions, "columns"):
        kind = type(predictions).__name__
        fix = "list(… .values())" if isinstance(predictions, Mapping) else "frame.to_numpy().T"
        raise ValueError(f"predictions is a {kind}, and members go by order: {lists}, as in {fix}")
    try:
        if not hasattr(predictions, "__array__"):
            predictions = [as_array(one) for one in predictions]
        predictions, y = np.asarray(as_array(predictions)), one_a_row(y, "y")
        check_real(predictions, "predictions")
        check_real(y, "y")
        predictions, y = predictions.astype(float), y.astype(float)
    except TypeError:
        raise ValueError(f"predictions or y hold no numbers: {lists}") from None
    except ValueError as error:
        if "convert" not in str(error) and "shape" not in str(error):
            raise
        raise ValueError(f"predictions or y hold no numbers, or not as many: {lists}") from None
    if predictions.ndim != 2 or y.shape != predictions.shape[1:] or not predictions.size:
        of = f"{predictions.shape[1]:d} rows" if predictions.ndim == 2 else "one member or none"
        raise ValueError(f"predictions are of {of}, and y has {y.size:d} numbers: {lists}")
    if not (np.isfinite(predictions).all() and np.isfinite(y).all()):
        raise ValueError("predictions or y hold NaN or infinity: leave out such members or rows")
    return predictions, y
