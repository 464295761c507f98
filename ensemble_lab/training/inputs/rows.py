"""Rows in any form that people have: read once with their targets, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,
)

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.training.inputs.targets import as_array, check_order, targets

ENCODE = "turn it into numbers first, as with a OneHotEncoder or TargetEncoder"
NO_GAPS = "fill gaps before, as in make_pipeline(SimpleImputer(), …)"


def learned_rows(estimator, X, y, *, gaps=False, frames=False, numeric=False, weights=None):
    """Rows X (n, d) and targets y (n,) to learn from; the estimator stores the columns' names.

    Parameters
    ----------
    estimator : estimator
    X : array, data frame, tensor or list of rows
    y : array, column or list
    gaps : bool
        Whether NaN is left in X, for members that can read it. Infinity is always refused.
    frames : bool
        Whether a data frame is kept, for members that choose columns by name.
    numeric : bool
        Whether targets are numbers.
    weights : optional
        Sample weights; here only the order of their rows is checked, see `weights_of`.

    Raises
    ------
    ValueError
        What cannot be read, with its row and column.
    """
    check_order(X, y, "y")
    check_order(X, weights, "sample_weight")
    if y is not None:
        y = targets(y)
    X = _read(X)
    if frames and is_frame(X) and y is not None:
        X, y = validate_data(estimator, X, y, skip_check_array=True)
        if len(X) != len(y) or not X.size:
            raise ValueError(
                f"X has {len(X)} rows and y {len(y)}: give the same number of each, 1 or more"
            )
        y = y.astype(float) if numeric else y
    else:
        X, y = _validated(estimator, X, y, y_numeric=numeric)
    _finite(X, gaps, names_of(estimator))
    return X, y


def new_rows(estimator, X, *, gaps=False, frames=False):
    """Rows X (n, d) to answer, with the columns that the fitted estimator has learned from.

    Raises
    ------
    ValueError
        Other columns or another order of them, and what `learned_rows` refuses.
    """
    check_is_fitted(estimator)
    X = _read(X)
    if frames and is_frame(X) and hasattr(estimator, "feature_names_in_"):
        X = validate_data(estimator, X, reset=False, skip_check_array=True)
    else:
        X = _validated(estimator, X, reset=False)
    _finite(X, gaps, names_of(estimator))
    return X


def names_of(estimator) -> np.ndarray:
    """Names (d,) of the columns that it has learned from, or their numbers."""
    return getattr(estimator, "feature_names_in_", np.arange(estimator.n_features_in_))


def is_frame(X) -> bool:
    """Whether it is a pandas data frame; `_read` turns other data frames into one."""
    return isinstance(X, pd.DataFrame)


def first_gap(X, names=None, rows=None) -> str:
    """Where the first NaN of X (n, d) is, such as ``row 3, column 'age'``; empty without any.

    Columns go by `names` (d,) and rows by their numbers `rows` (n,), where these are given.
    """
    if is_frame(X):
        missing = X.isna().to_numpy()
    else:
        X = np.asarray(X)
        missing = np.isnan(X) if X.dtype.kind == "f" else np.zeros(X.shape, bool)
    return _place(missing, X.columns if is_frame(X) else names, rows)


def first_text(X, names=None, rows=None) -> str:
    """Where the first text of X (n, d) is, and the text; empty without any."""
    where, text = _first(str, X, names, rows)
    return f"{where} of X is text, {shown(text, 40)}" if where else ""


def _first(kind: type | tuple, X, names=None, rows=None) -> tuple[str, object]:
    """Where the first cell of X (n, d) of some kind is, and what it holds; empty without any."""
    cells = X.to_numpy(object) if is_frame(X) else np.asarray(X, object)
    if cells.ndim != 2:
        return "", None
    found = np.array([[isinstance(cell, kind) for cell in row] for row in cells], bool)
    if not (where := _place(found, X.columns if is_frame(X) else names, rows)):
        return "", None
    return where, cells[tuple(np.argwhere(found)[0])]


def _place(where: np.ndarray, names, rows=None) -> str:
    if not where.any():
        return ""
    row, column = np.argwhere(where)[0].tolist()
    row = row if rows is None else int(rows[row])
    return f"row {row:d}, column {shown(column if names is None else names[column], 40)}"


def _read(X):
    """X, with inputs that scikit-learn does not read converted or refused."""
    if isinstance(X, Mapping | str | bytes | set | frozenset) and not issparse(
        X
    ):  # one kind of sparse is a dict
        raise ValueError(
            f"X is a {type(X).__name__}: give rows and columns, such as pd.DataFrame(X)"
        )
    if hasattr(X, "detach"):
        return as_array(X)
    if np.ma.is_masked(X):  # masked values are gaps
        return np.ma.filled(X.astype(float), np.nan)
    names = getattr(X, "column_names", getattr(X, "columns", None))
    if names is not None and not is_frame(X) and hasattr(X, "__getitem__"):
        X = pd.DataFrame({name: np.asarray(X[name]) for name in names})  # polars, pyarrow
    if is_frame(X) and X.columns.has_duplicates:
        twice = X.columns[X.columns.duplicated()][0]
        raise ValueError(f"X has column {shown(twice)} more than once: give each its own name")
    if is_frame(X):  # nullable numbers: members know NaN, not NA
        kinds = {
            name: float
            for name, kind in X.dtypes.items()
            if isinstance(kind, pd.api.extensions.ExtensionDtype) and kind.kind in "biuf"
        }
        X = X.astype(kinds) if kinds else X
    return list(X) if not hasattr(X, "__len__") and hasattr(X, "__next__") else X


def _validated(estimator, X, *y, **how):
    """X as scikit-learn reads it; gaps are checked afterwards."""
    _refuse_times(X)
    try:
        return validate_data(estimator, X, *y, ensure_all_finite=False, **how)
    except (ValueError, TypeError) as error:
        message = str(error)
        if message.startswith("Expected 2D array, got 1D") or "2-dimensional container" in message:
            raise ValueError(
                "X has one dimension, and it needs rows and columns. Reshape your data: for one"
                " column X.reshape(-1, 1) or frame[['name']]"
            ) from None
        if "omplex" in message:
            _refuse_complex(X)
        if "string" in message and (where := first_text(X)):
            raise ValueError(f"{excerpt(where, 120)}: {ENCODE}") from None
        raise


def _refuse_times(X) -> None:
    """Refuse columns of dates, times and spans, for which numpy's error is hard to understand."""
    columns = {name: X[name] for name in X.columns} if is_frame(X) else {None: X}
    for name, values in columns.items():
        dtype = getattr(values, "dtype", None)
        if isinstance(dtype, pd.PeriodDtype) or getattr(dtype, "kind", "") in ("m", "M"):
            where = "X" if name is None else f"column {shown(name, 40)} of X"
            raise ValueError(
                f"{where} holds times ({dtype}), which are not numbers: turn it into numbers first,"
                " such as the days since the first one, or the day of the week"
            )


def _refuse_complex(X, names=None) -> NoReturn:
    where, value = _first((complex, np.complexfloating), X, names)
    raise ValueError(
        f"{where or 'a cell'} of X is {shown(value, 40)}. Complex data not supported: give the real"
        " and the imaginary part as columns"
    ) from None


def _finite(X, gaps: bool, names) -> None:
    if is_frame(X):
        if any(dtype.kind == "c" for dtype in X.dtypes):
            _refuse_complex(X)
        for name in X.columns:
            values = X[name].to_numpy() if X[name].dtype.kind == "f" else np.zeros(1)
            _finite(np.asarray(values, float)[:, None], gaps, [name])
        return
    if X.dtype.kind not in "biuf":
        where = first_text(X, names) or f"X holds {shown(X.flat[0])}, which is not a number"
        raise ValueError(f"{excerpt(where, 120)}: {ENCODE}")
    if X.dtype.kind != "f" or np.isfinite(X).all():
        return
    if where := _place(np.isinf(X), names):
        raise ValueError(f"{excerpt(where)} of X is infinite (inf): put a number, or NaN for a gap")
    if not gaps and (where := _place(np.isnan(X), names)):
        raise ValueError(f"{excerpt(where)} of X is NaN: {NO_GAPS}")
