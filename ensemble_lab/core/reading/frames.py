"""Outcomes to and from data frames, long and wide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble_lab.core.checks import objects
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.columns import Column, Typed
from ensemble_lab.core.reading.headers import CELL, FEATURE
from ensemble_lab.core.reading.tables import from_columns


def from_frame(frame, *, columns: Mapping | None = None, cost_is_estimated=False) -> Outcomes:
    """See `Outcomes.from_frame`."""
    return from_columns(columns_of(frame), columns, cost_is_estimated)


def columns_of(frame) -> list[tuple[object, Column]]:
    """Name and cells of each column of a pandas, polars or pyarrow table.

    Raises
    ------
    ValueError
        Another type, with a way to convert it.
    """
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        index = [name for name in frame.index.names if name in ("item", "model")]
        frame = frame.reset_index(index) if set(index).isdisjoint(frame.columns) else frame
        return [(name, _of_pandas(name, frame.iloc[:, j])) for j, name in enumerate(frame.columns)]
    if hasattr(frame, "__arrow_c_stream__"):  # the PyCapsule interface: polars, pyarrow, DuckDB, …
        import pyarrow as pa

        names = getattr(frame, "column_names", getattr(frame, "columns", ()))
        if any("\0" in str(name) for name in names):  # C ends a text there
            raise ValueError("the name of a column holds a NUL character; rename it")
        try:
            table = pa.table(frame)
        except pa.ArrowInvalid:  # one column is not a table
            raise _no_frame(frame) from None
        named = zip(table.column_names, table.columns, strict=True)
        return [(name, _of_arrow(name, column)) for name, column in named]
    if isinstance(frame, str) or hasattr(frame, "__fspath__"):
        raise ValueError(f"{shown(str(frame))} is a path; Outcomes.read(path) reads a file")
    if isinstance(frame, Outcomes):
        raise ValueError("these are Outcomes already; from_frame takes a data frame")
    raise _no_frame(frame)


def _no_frame(thing) -> ValueError:
    kind = type(thing).__name__
    fix = ".collect() makes" if hasattr(thing, "collect") else "pandas.DataFrame(…) makes"
    return ValueError(f"a data frame is needed, not a {kind}; {fix} one of it")


def _of_pandas(name, series) -> Typed:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufbmM":
        return Typed(series.to_numpy(), name)
    numeric = getattr(series.dtype, "kind", "O") in "iuf"
    dtype = getattr(series.dtype, "numpy_dtype", None)  # of pandas' own types and of arrow's
    return Typed(series.astype(object).where(series.notna(), None).to_numpy(), name, numeric, dtype)


def _of_arrow(name: str, column) -> Typed:
    import pyarrow.types as kind

    numeric = kind.is_integer(column.type) or kind.is_floating(column.type)
    if numeric and not column.null_count:
        return Typed(column.to_numpy(), name)
    cells = [None if value != value else value for value in column.to_pylist()]  # NaN is a gap
    dtype = np.dtype(column.type.to_pandas_dtype()) if kind.is_floating(column.type) else None
    return Typed(objects(cells), name, numeric, dtype)


def to_frame(outcomes: Outcomes, form: str = "long"):
    """See `Outcomes.to_frame`."""
    if form not in ("long", "wide"):
        raise ValueError(f"form={shown(form)}; it is 'long' or 'wide'")
    cells = {c: _decoded(outcomes, c) for c in CELL if getattr(outcomes, c) is not None}
    rows = {f"{FEATURE}{name}": values for name, values in outcomes.features.items()}
    if outcomes.group is not None:
        rows["group"] = outcomes.group
    if outcomes.truth is not None:
        rows["truth"] = _labels_at(outcomes.truth, outcomes.labels)
    if form == "wide":
        for model in outcomes.models:
            if model.startswith(FEATURE):
                raise ValueError(
                    f"model {shown(model)} would be read as a feature; use to_frame('long')"
                )
        columns = {
            f"{model}:{name}": values[:, j]
            for j, model in enumerate(outcomes.models)
            for name, values in cells.items()
        }
        return _frame({"item": outcomes.items, **columns, **rows})
    n, m = outcomes.correct.shape
    frame = _frame(
        {"item": np.repeat(outcomes.items, m), "model": np.tile(objects(outcomes.models), n)}
        | {name: values.reshape(-1) for name, values in cells.items()}
        | {name: np.repeat(values, m) for name, values in rows.items()}
    )
    return frame[~outcomes.absent.reshape(-1)].reset_index(drop=True)


def _frame(columns: dict):
    """A data frame in which every object keeps its type."""
    import pandas as pd

    # pandas converts dates to its own units, such as days to seconds.
    kinds = {name: None if v.dtype.kind in "mM" else v.dtype for name, v in columns.items()}
    return pd.DataFrame({name: pd.Series(v, dtype=kinds[name]) for name, v in columns.items()})


def _decoded(outcomes: Outcomes, name: str) -> np.ndarray:
    values = getattr(outcomes, name)
    return _labels_at(values, outcomes.labels) if name == "answer" else values


def _labels_at(codes: np.ndarray, labels) -> np.ndarray:
    return objects([*labels, None, None])[codes]  # the two negative codes index from the end
