"""Rows, targets and weights as people have them: read once at the door, refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import (
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from ensemble_lab.core.errors import several, shown

ENCODE = "make it numbers first, as with a OneHotEncoder or TargetEncoder"
NO_GAPS = "fill gaps before, as in make_pipeline(SimpleImputer(), …)"


def learned_rows(estimator, X, y, *, gaps=False, frames=False, numeric=False, weights=None):
    """Rows X (n, d) and targets y (n,) to learn from; the estimator notes number and names of d.

    Parameters
    ----------
    estimator : estimator
    X : array, data frame, tensor or list of rows
    y : array, column or list
    gaps : bool
        Whether NaN is left in X, for members that know what to do with it. Infinity never is.
    frames : bool
        Whether a data frame stays one, for members that choose columns by name.
    numeric : bool
        Whether targets are numbers.
    weights : optional
        Sample weights, of which the order of rows is looked at here; see `weights_of`.

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
            raise ValueError(f"X has {len(X)} rows and y {len(y)}: give as many of both, 1 or more")
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


def weights_of(sample_weight, X: np.ndarray) -> np.ndarray:
    """Sample weights (n,) of rows X (n, d), 1 where none are given.

    Raises
    ------
    ValueError
        NaN, negative weights, nothing but 0, or not one for each row.
    """
    if isinstance(sample_weight, Mapping | str | set):
        sample_weight = several(sample_weight, "sample_weight")  # says what to give instead
    given = np.asarray(1 if sample_weight is None else as_array(sample_weight), float)
    if given.ndim and given.shape != (len(X),):
        raise ValueError(
            f"sample_weight has {given.size} numbers, and X has {len(X)} rows: give one number a"
            " row, in one list"
        )
    weights = np.broadcast_to(given, len(X)).copy()
    if (bad := ~(weights >= 0) | np.isinf(weights)).any():
        row = int(bad.argmax())
        raise ValueError(f"sample_weight of row {row} is {weights[row]:g}: use numbers from 0 up")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all are 0")
    return weights


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
        missing = np.ma.getmaskarray(y) | pd.isna(y)
    else:
        missing = y != y
    if np.any(missing):
        row = int(np.argwhere(missing)[0][0])
        raise ValueError(
            f"y is missing in row {row} (NaN, None or NA): leave such rows out of X and y"
        )
    if y.ndim > 1 and y.shape[1] > 1:
        raise ValueError(
            f"y has {y.shape[1]} columns: give one target a row, such as the column frame['name']"
        )
    if y.ndim != 1:
        y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O" and len(y):
        y = _one_kind(y)
    if y.dtype.kind == "O":
        return y
    return check_array(y, ensure_2d=False, dtype=None, ensure_min_samples=0, input_name="y")


def check_order(X, other, name: str) -> None:
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
            f"X and {name} name the same rows in another order: give {name}.loc[X.index], or"
            f" {name}.to_numpy() where positions are meant"
        )


def is_frame(X) -> bool:
    """Whether it is a pandas data frame; `_read` makes those of others one."""
    return isinstance(X, pd.DataFrame)


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
    """Where the first text of X (n, d) is, and what it says; empty without any."""
    cells = X.to_numpy(object) if is_frame(X) else np.asarray(X, object)
    if cells.ndim != 2:
        return ""
    texts = np.array([[isinstance(cell, str) for cell in row] for row in cells], bool)
    if not (where := _place(texts, X.columns if is_frame(X) else names, rows)):
        return ""
    return f"{where} of X is text, {shown(cells[tuple(np.argwhere(texts)[0])], 40)}"


def _place(where: np.ndarray, names, rows=None) -> str:
    if not where.any():
        return ""
    row, column = np.argwhere(where)[0].tolist()
    row = row if rows is None else int(rows[row])
    return f"row {row}, column {shown(column if names is None else names[column], 40)}"


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


def _read(X):
    """X with what sklearn does not read understood or refused."""
    if isinstance(X, Mapping | str | set) and not issparse(X):  # one kind of sparse is a dict
        raise ValueError(
            f"X is a {type(X).__name__}: give rows and columns, such as pd.DataFrame(X)"
        )
    if hasattr(X, "detach"):
        return as_array(X)
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
    """What scikit-learn reads, but for gaps, which are looked at afterwards."""
    try:
        return validate_data(estimator, X, *y, ensure_all_finite=False, **how)
    except (ValueError, TypeError) as error:
        said = str(error)
        if said.startswith("Expected 2D array, got 1D") or "2-dimensional container" in said:
            raise ValueError(
                "X has one dimension, and it needs rows and columns. Reshape your data: for one"
                " column X.reshape(-1, 1) or frame[['name']]"
            ) from None
        if "string" in said and (where := first_text(X)):
            raise ValueError(f"{where}: {ENCODE}") from None
        raise


def _finite(X, gaps: bool, names) -> None:
    if is_frame(X):
        for name in X.columns:
            values = X[name].to_numpy() if X[name].dtype.kind == "f" else np.zeros(1)
            _finite(np.asarray(values, float)[:, None], gaps, [name])
        return
    if X.dtype.kind not in "biuf":
        where = first_text(X, names) or f"X holds {shown(X.flat[0])}, which is no number"
        raise ValueError(f"{where}: {ENCODE}")
    if X.dtype.kind != "f" or np.isfinite(X).all():
        return
    if where := _place(np.isinf(X), names):
        raise ValueError(f"{where} of X is infinite (inf): put a number, or NaN for a gap")
    if not gaps and (where := _place(np.isnan(X), names)):
        raise ValueError(f"{where} of X is NaN: {NO_GAPS}")
