"""One item for a classifier: numbers in order, features by name, or a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.models.errors import ModelError


def row_of(model: Any, item: Any) -> Any:
    """One item as a table of one row, for a scikit-learn classifier.

    Raises
    ------
    ModelError
        Several items; an item of another length or without a needed feature; a text for a
        classifier of numbers.
    """
    name, given, item = type(model).__name__, item, one_row(item)
    size, names = _asked(model)
    if isinstance(item, Mapping) and names is not None:
        import pandas as pd  # a classifier that was fitted on named columns needs the names

        if lost := [feature for feature in names if feature not in item]:
            raise ModelError(
                f"the item has no feature {shown(lost[0])}, which {name} was fitted on"
                f"{nearest(lost[0], item)}"
            )
        return pd.DataFrame([{feature: item[feature] for feature in names}])
    if size is None:  # a pipeline that starts with texts, or with mappings
        if isinstance(item, str | Mapping):
            return [item]
        if isinstance(item, np.ndarray | list | tuple) and np.size(item) and all(
            isinstance(part, str) for part in np.ravel(np.asarray(item, object)).tolist()
        ):  # fmt: skip
            raise ModelError(
                f"the item is a list of {np.size(item)} texts, and {name} labels one text at a"
                " time: give the text itself"
            )
    if isinstance(item, str):
        raise ModelError(f"the item is the text {shown(item)}; {name} reads {size} features")
    row = in_order(given, item).reshape(1, -1)
    if size is not None and row.shape[1] != size:
        raise ModelError(
            f"the item has {row.shape[1]} features; {name} was fitted on {size}: give one item"
            " at a time, with all its features"
        )
    if names is None:
        return row
    import pandas as pd

    return pd.DataFrame(row, columns=names).infer_objects()


def _asked(model: Any) -> tuple[int | None, list | None]:
    """How many features a classifier reads, and their names; None if it does not declare them."""
    names = getattr(model, "feature_names_in_", None)
    return getattr(model, "n_features_in_", None), None if names is None else list(names)


def one_row(item: Any) -> Any:
    """An item of a data frame as a mapping by name, a generator as a list; else unchanged.

    Raises
    ------
    ModelError
        A frame of several rows, a set, bytes, None.
    """
    if item is None or isinstance(item, set | frozenset | bytes):
        raise ModelError(
            f"the item is {shown(item)}: give a list or array of numbers, a mapping, or a text"
        )
    if hasattr(item, "columns") or hasattr(item, "column_names"):
        rows = _records(item)
        if len(rows) != 1:
            raise ModelError(
                f"the item is a {type(item).__name__} of {len(rows)} rows: give one row at a time"
            )
        return rows[0]
    if hasattr(item, "index") and hasattr(item, "to_dict"):  # a row of a pandas frame
        return item.to_dict() if all(isinstance(key, str) for key in item.index) else item.to_list()
    return list(item) if isinstance(item, Iterable) and not hasattr(item, "__len__") else item


def _records(frame: Any) -> list[Mapping]:
    """The rows of a data frame of pandas, polars or pyarrow."""
    for way in ("to_dicts", "to_pylist"):  # polars, pyarrow
        if hasattr(frame, way):
            return getattr(frame, way)()
    return frame.to_dict("records")


def in_order(given: Any, item: Any) -> np.ndarray:
    """The features of an item in their order; `given` is the caller's original value.

    A frame's row has its columns in a meaningful order; a mapping has none.

    Raises
    ------
    ModelError
        A mapping.
    """
    if isinstance(given, Mapping):
        raise ModelError(
            "the item names its features, and the classifier has no names for them: give them"
            " as a list, in the order of the fit"
        )
    item = list(item.values()) if isinstance(item, Mapping) else item
    array = item.detach().cpu().numpy() if hasattr(item, "detach") else np.asarray(item)
    # numpy would convert numbers next to a text to text
    return np.asarray(item, object) if array.dtype.kind in "US" else array


def numbers_of(name: str, item: Any) -> Any:
    """An item as a tensor or an array of numbers, for a network `name`.

    Raises
    ------
    ModelError
        It cannot be converted.
    """
    given, item = item, one_row(item)
    if isinstance(item, str):
        raise ModelError(f"the item is the text {shown(item)}; {name} reads numbers")
    if hasattr(item, "detach"):
        return item
    array = in_order(given, item)
    if array.dtype == object:
        try:
            array = array.astype(float)
        except (TypeError, ValueError):
            raise ModelError(f"the item {shown(item)} does not hold numbers only") from None
    if array.dtype.kind not in "biuf":
        raise ModelError(f"the item {shown(item)} does not hold numbers only; {name} reads numbers")
    return array
