"""Targets and weights as people have them: one a row, in the order of the rows, nothing missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array, column_or_1d

from ensemble_lab.core.errors import several, shown


def targets(y) -> np.ndarray:
    """What is to be learned (n,), with nothing missing.

    A column of a data frame with nullable or categorical values becomes an array of what it holds.

    Raises
    ------
    ValueError
        A mapping, text or set; a value that is missing; text among numbers.
    """
    if not hasattr(y, "__array__") and not isinstance(y, list | tuple):
        y = several(y, "y")
    y = as_array(y)
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
        NaN, negative weights, nothing but 0, or not one for each row.
    """
    if isinstance(sample_weight, Mapping | str | set):
        sample_weight = several(sample_weight, "sample_weight")  # says what to give instead
    given = as_array(1 if sample_weight is None else sample_weight)
    given = np.ma.filled(np.ma.asarray(given, float), np.nan)  # what a mask hides is not known
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


def check_order(X, other, what: str) -> None:
    """Refuse a column whose row names are those of X in another order.

    Positions are what counts in learning, so that each target would go to another row.

    Raises
    ------
    ValueError
        Which it is, with the mend.
    """
    both = getattr(X, "index", None), getattr(other, "index", None)
    if not all(isinstance(one, pd.Index) for one in both) or len(both[0]) != len(both[1]):
        return
    if not both[0].equals(both[1]) and Counter(both[0]) == Counter(both[1]):
        raise ValueError(
            f"X and {what} name the same rows in another order: give {what}.loc[X.index], or"
            f" {what}.to_numpy() where positions are meant"
        )


def as_array(values) -> np.ndarray:
    """Numbers or labels as numpy holds them; a tensor wherever it lies."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy knows no bfloat16, whose numbers are all numbers of float32.
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
