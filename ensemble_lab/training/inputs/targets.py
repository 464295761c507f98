"""Targets and weights in any form: one a row, in the order of the rows, none missing."""

from __future__ import annotations

from collections import Counter
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array, column_or_1d

from ensemble_lab.core.errors import several, shown


def targets(y) -> np.ndarray:
    """The targets (n,), none missing.

    A column of a data frame with nullable or categorical values becomes an array of its values.

    Raises
    ------
    ValueError
        A mapping, text or set; a value that is missing; text among numbers; a complex number.
    """
    y = one_a_row(y, "y")
    check_real(y, "y")
    if y.dtype.kind == "O" or isinstance(y, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(y) | pd.isna(np.ma.getdata(y))
    else:
        missing = y != y
    if np.any(missing):
        row = int(np.argwhere(missing)[0][0])
        raise ValueError(
            f"y is missing in row {row} (NaN, None or NA): leave such rows out of X and y"
        )
    if y.ndim > 1 and y.shape[1] > 1:
        raise ValueError(
            f"y has {y.shape[1]:d} columns: give one target a row, such as the column frame['name']"
        )
    if y.ndim != 1:
        y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O" and len(y):
        y = _one_kind(y)
    if y.dtype.kind == "O":
        return y
    return check_array(y, ensure_2d=False, dtype=None, ensure_min_samples=0, input_name="y")


def weights_of(sample_weight, X: np.ndarray) -> np.ndarray:
    """Sample weights (n,) of rows X (n, d), 1 where none are given.

    Raises
    ------
    ValueError
        Text, NaN, negative weights, only zeros, or not one for each row.
    """
    if sample_weight is None or isinstance(sample_weight, Real):
        given = np.array(1.0 if sample_weight is None else sample_weight)
    else:
        given = one_a_row(sample_weight, "sample_weight")
        given = numbers(given, "sample_weight", "give one number a row").astype(float)
    if given.ndim and given.shape != (len(X),):
        raise ValueError(
            f"sample_weight has {given.size:d} numbers, and X has {len(X)} rows: give one number a"
            " row, in one list"
        )
    weights = np.broadcast_to(given, len(X)).copy()
    if (bad := ~(weights >= 0) | np.isinf(weights)).any():
        row = int(bad.argmax())
        raise ValueError(f"sample_weight of row {row} is {weights[row]:g}: use numbers from 0 up")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all are 0")
    return weights


def unit_of(y: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float] | None:
    """Mean and standard deviation of targets (n,), weighted by (m, n); the latter is never 0.

    None where they are not finite numbers; training then raises the error.
    """
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "biuf" or y.ndim != 1 or not len(y):
        return None
    y = y.astype(float)
    counts = np.ones(len(y)) if weights is None else np.sum(weights, axis=0)
    if counts.shape != y.shape or not (counts >= 0).all() or not counts.any():
        return None
    if not np.isfinite(y).all():
        return None
    most = float(np.abs(y).max()) or 1.0  # whose square may be infinite
    shares = y / most
    mean = np.average(shares, weights=counts)
    spread = np.sqrt(np.average((shares - mean) ** 2, weights=counts))
    # For numbers that are all equal, rounding leaves a deviation without meaning.
    return float(mean) * most, (float(spread) if spread > 1e-14 else 1.0) * most


def check_order(X, other, what: str, beside: str = "X") -> None:
    """Refuse a column with the row names of X, or what is named `beside`, in another order.

    Training goes by position, so targets would go to the wrong rows.

    Raises
    ------
    ValueError
        The column's name, with the fix.
    """
    both = getattr(X, "index", None), getattr(other, "index", None)
    if not all(isinstance(one, pd.Index) for one in both) or len(both[0]) != len(both[1]):
        return
    if not both[0].equals(both[1]) and Counter(both[0]) == Counter(both[1]):
        raise ValueError(
            f"{beside} and {what} have the same row names in another order: give"
            f" {what}.loc[{beside}.index], or {what}.to_numpy() if positions are meant"
        )


def numbers(values, what: str, fix: str) -> np.ndarray:
    """Numbers of any kind as a numpy array, gaps and masked values as NaN.

    Raises
    ------
    ValueError
        Text, complex numbers, or other things that are not numbers; it ends in `fix`.
    """
    array = as_array(values)
    check_real(array, what)
    if np.ma.is_masked(array):
        array = np.ma.filled(array.astype(float), np.nan)
    if array.dtype.kind in "biuf":
        return array.astype(np.uint8) if array.dtype.kind == "b" else array
    gaps = pd.isna(array)
    try:
        found = np.where(gaps, np.nan, array).astype(float)
    except (TypeError, ValueError):
        found = None
    if found is None or array.dtype.kind in "US" or not array.ndim:
        held = array.flat[0] if array.ndim and array.size else values
        raise ValueError(f"{what} holds {shown(held, 40)}, which is not a number: {fix}")
    return found


def probabilities(values, what: str, outputs: int | None = None, unknown=False) -> np.ndarray:
    """Distributions (n, …, k) over k classes, each divided by its sum.

    Parameters
    ----------
    values : (n, …, k) array
    what : str
        The name of the values, for the message.
    outputs : int, optional
        Of the network that learns them: k, or a multiple of it where it has several heads.
    unknown : bool
        Whether a label, the first of a row's distributions, may be zeros: there is none.

    Raises
    ------
    ValueError
        A row that is NaN, negative, or does not sum to 1 within a thousandth.
    """
    p = numbers(values, what, "give probabilities, one a class").astype(float)
    if p.ndim < 2:
        raise ValueError(
            f"{what} has one number a row: give the probabilities of all classes, (n, …, k)"
        )
    if outputs is not None and outputs % p.shape[-1]:
        raise ValueError(
            f"{what} has probabilities of {p.shape[-1]:d} classes, and the network {outputs:d}"
            " outputs: give one output a class"
        )
    total = p.sum(-1)
    known = ~(unknown & (p == 0).all(-1))
    if p.ndim > 2:
        known[:, 1:] = True  # a teacher always says something
    bad = known & ~((p >= 0).all(-1) & (np.abs(total - 1) <= 1e-3))
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"row {at[0]:d} of {what} is {shown(p[at])}, which are no probabilities: they are 0 or"
            " more and sum to 1, without NaN"
        )
    return p / np.where(known, total, 1.0)[..., None]


def check_real(array: np.ndarray, what: str) -> None:
    """Refuse complex numbers: numpy would keep only the real part.

    Raises
    ------
    ValueError
        The first of them, and the fix.
    """
    if array.dtype.kind not in "cO":
        return
    kinds = complex, np.complexfloating
    if (found := next((one for one in array.flat if isinstance(one, kinds)), None)) is not None:
        raise ValueError(
            f"{what} holds {shown(found, 40)}. Complex data not supported: give real numbers, such"
            " as the real and the imaginary part"
        )


def one_a_row(values, what: str) -> np.ndarray:
    """One value a row, as an array.

    Raises
    ------
    ValueError
        A string, a mapping, a set, or anything else that is not a list.
    """
    plain = hasattr(values, "__array__") or isinstance(values, list | tuple)
    return as_array(values if plain else several(values, what))


def as_array(values) -> np.ndarray:
    """Numbers or labels as a numpy array; a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16; float32 holds all its numbers.
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, list | tuple) and len({isinstance(one, str) for one in values}) > 1:
        return np.fromiter(values, object, len(values))  # numpy would write numbers as text
    if isinstance(getattr(values, "dtype", None), pd.api.extensions.ExtensionDtype):
        values = values.astype(object)
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _one_kind(y: np.ndarray) -> np.ndarray:
    """Texts as they are, anything else as numpy's own type."""
    texts = np.array([isinstance(one, str) for one in y])
    if texts.all():
        return y
    if texts.any():
        text, other = y[texts][0], y[~texts][0]
        raise ValueError(
            f"y mixes text and other labels, such as {shown(text, 40)} and {shown(other, 40)}: make"
            " them one kind"
        )
    return np.array(y.tolist())
