"""Checks of a table of outcomes: shapes, ranges and names, once when it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from ensemble_lab.core.errors import excerpt, several, shown
from ensemble_lab.core.frozen import Facts, is_shared
from ensemble_lab.core.states import ABSENT, MEASURES, UNPARSED


def checked(o) -> dict:
    """Every field of `o` as a read-only array or tuple.

    Raises
    ------
    ValueError
        The first thing that does not fit, with its place and the fix.
    """
    models = _names(o.models, "model")
    items = _dated(_frozen(_values(o.items, "items")), "items")
    if items.ndim != 1:
        raise ValueError(f"items have shape {items.shape}; give one name an item")
    names = items.tolist()
    _unique(names, "item")
    n, m, labels = len(items), len(models), _labels(o.labels)
    if not n or not m:
        raise ValueError(f"outcomes need at least one item and one model, not {n} and {m}")
    if items.dtype.kind not in "biuS" and (None in names or any(n != n for n in names)):
        raise ValueError("an item has no name (None or NaN); give each one")
    values = {"models": models, "items": items, "labels": labels}

    def matrix(name: str):
        return by_name(getattr(o, name), name, names, models)

    if o.correct is None:
        raise ValueError(
            "correct is None; give how right each answer is, NaN where that is unknown"
        )
    values["correct"] = _unit(_shaped(matrix("correct"), "correct", (n, m)), o)
    for name in MEASURES:
        array = _shaped(matrix(name), name, (n, m))
        values[name] = array if name == "confidence" else _nonnegative(array, name, o)
    values["answer"] = _codes(matrix("answer"), "answer", (n, m), len(labels))
    truth = by_name(o.truth, "truth", names)
    values["truth"] = _codes(truth, "truth", (n,), len(labels))
    if truth is not None and (values["truth"] == UNPARSED).any():
        raise ValueError(
            f"truth has code {UNPARSED}; give a label's code, or {ABSENT} where unknown"
        )
    values["probability"] = _distribution(
        _shaped(o.probability, "probability", (n, m, len(labels))), o
    )
    values["features"] = Facts(
        (name, _facts(by_name(known, what, names), what, n))
        for name, known in _columns(o.features).items()
        for what in [f"feature {shown(name, 40)}"]
    )
    values["group"] = _dated(_facts(by_name(o.group, "group", names), "group", n), "group")
    if o.model_group is not None:
        values["model_group"] = tuple(_sized(several(o.model_group, "model_group"), m))
    return values


def by_name(values, what: str, items: Sequence, models: Sequence[str] | None = None):
    """The values of a pandas frame or column in the order of `items` and `models`, by their names.

    A default index does not hold names: values go by position, as in anything without an index.

    Raises
    ------
    ValueError
        Names that are not those of the items or models, or an index that may be names or positions.
    """
    if models is not None and hasattr(values, "__arrow_c_stream__") and not _is_pandas(values):
        import pyarrow as pa

        values = pa.table(values).to_pandas()
    if not _is_pandas(values):
        return values
    if models is not None and hasattr(values, "columns"):
        columns = [str(name) for name in values.columns]
        if sorted(columns) != sorted(models):
            raise ValueError(
                f"{what} has columns {shown(columns)}, and the models are {shown(list(models))};"
                " give a column a model, or an array in their order"
            )
        values = values.iloc[:, [columns.index(name) for name in models]]
    names = values.index.tolist()
    if names == list(items):
        return values
    unnamed = names == list(range(len(names)))
    same = len(names) == len(items) and set(names) == set(items)
    if same and not unnamed:
        place = {name: i for i, name in enumerate(names)}
        return values.iloc[[place[name] for name in items]]
    if unnamed and not same:
        return values
    why = "may be names or positions" if same else "holds other names than the items'"
    raise ValueError(f"the index of {what} {why}; give {what} in their order with .to_numpy()")


def check_states(o) -> None:
    """Check the three states of a user's table: absent is not graded, unparsed is wrong.

    Not part of `checked`: a table whose `correct` was scrambled to test a policy is valid too.
    """
    if o.answer is not None:
        graded = (o.answer == ABSENT) & ~np.isnan(o.correct)
        _refuse(graded, o.correct, "correct", o, "its answer is absent, so leave this empty too")
        right = (o.answer == UNPARSED) & (o.correct > 0)
        rule = "no answer is known there; give every answer or none"
        _refuse(right, o.correct, "correct", o, rule)


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only array; one that its owner can still write to is copied."""
    array = _in_microseconds(array)
    if array.dtype.kind == "U":  # strings as Python objects: of any length, and None is a gap
        array = array.astype(object)
    elif array.dtype.kind == "O":
        gaps = np.array([_is_gap(value) for value in array.ravel()], bool)
        array = np.where(gaps.reshape(array.shape), None, array)
    elif is_shared(array):
        array = array.copy()
    array.flags.writeable = False
    return array


def _in_microseconds(array: np.ndarray) -> np.ndarray:
    """Dates and times in the units of Python's own, where these are exact."""
    if array.dtype.kind not in "mM" or np.datetime_data(array.dtype)[0] not in ("ns", "ps", "fs"):
        return array
    coarse = array.astype(f"{array.dtype.kind}8[us]")
    return coarse if (np.isnat(array) | (coarse == array)).all() else array


def _dated(names: np.ndarray | None, what: str) -> np.ndarray | None:
    """`names`, unless they are dates that numpy would turn into whole numbers."""
    if names is not None and names.dtype.kind in "mM":
        for name, date in zip(names, names.tolist(), strict=True):
            if isinstance(date, int):
                raise ValueError(
                    f"{what} holds {name!s:.40} ({names.dtype}), which is not a date of Python;"
                    " make it text: .astype(str)"
                )
    return names


def _unmasked(values):
    """The values with NaN (None among objects) where they are masked."""
    if not np.ma.is_masked(values):
        return values
    if values.dtype.kind in "biuf":
        return np.ma.filled(values.astype(float), np.nan)
    return np.ma.filled(values.astype(object), None)


def _is_pandas(values) -> bool:
    return hasattr(values, "index") and hasattr(values, "reindex")


def _columns(features) -> Mapping:
    """Features by name, from a mapping or a data frame.

    Raises
    ------
    ValueError
        Another type.
    """
    if isinstance(features, Mapping) or _is_pandas(features):
        return features
    if hasattr(features, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(features)
        return {name: table[name] for name in table.column_names}
    raise ValueError(f"features is {shown(features)}; give a mapping of name to values")


def _values(values, what: str) -> np.ndarray:
    """Names or facts as an array that keeps the type of each."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, list | tuple) and any(
        isinstance(v, list | tuple | np.ndarray) for v in values
    ):
        return np.asarray(values)
    return names_array([_python(value) for value in several(values, what)])


def _python(value):
    return value.item() if isinstance(value, np.generic) else value


def _facts(values, what: str, n: int) -> np.ndarray | None:
    """Facts about each item (n,): numbers are kept as numbers, mixed ones keep their types."""
    if values is None:
        return None
    array = _values(_unmasked(values), what)
    if array.dtype.kind == "O" and {type(value) for value in array.tolist()} == {int, float}:
        array = array.astype(float)
    if array.shape != (n,):
        raise ValueError(f"{what} has shape {array.shape}; {n} items make it ({n},)")
    return _frozen(array)


def _names(names, what: str) -> tuple[str, ...]:
    names = tuple(several(names, f"{what}s"))
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{what} {shown(name)} is {type(name).__name__}; names are strings")
    _unique(names, what)
    return names


def plain(value, what: str):
    """A label or name as plain Python for JSON; NaN becomes None.

    Raises
    ------
    TypeError
        Neither a string nor a number.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | None):
        kind = type(value).__name__
        raise TypeError(f"the {what} {shown(value)} is {kind}; make it str or number")
    return None if value != value else value


def _labels(labels) -> tuple:
    # A text means its letters here, as in labels="ABCD".
    labels = labels if isinstance(labels, str) else several(labels, "labels")
    labels = tuple(plain(label, "label") for label in labels)
    if None in labels:
        raise ValueError("a label is missing; None stands for no answer")
    _unique(labels, "label")
    return labels


def _unique(names, what: str) -> None:
    for kind in dict.fromkeys(map(type, names)):  # of a million names, few types
        if not issubclass(kind, Hashable):
            name = next(name for name in names if type(name) is kind)
            raise ValueError(f"{what} {shown(name)} is {kind.__name__}; make it text or a number")
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(f"{what} {shown(twice[0])} is there more than once; keep one of each")


def _sized(values: list, m: int) -> list:
    if len(values) != m:
        raise ValueError(f"model_group has {len(values)} entries for {m} models; give one a model")
    for name in values:
        if not isinstance(name, str | None):
            raise ValueError(f"model_group holds {shown(name)}; names are strings")
    return values


def _shaped(value, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if value is None:
        return None
    try:
        array = _numbers(_unmasked(value))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{name} does not hold numbers: {excerpt(str(error), 150)}") from None
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; items and models make it {shape}")
    return _frozen(array)


def _numbers(value) -> np.ndarray:
    """Floats; texts and dates, which numpy would convert, are refused."""
    if isinstance(value, Mapping):
        raise ValueError("a mapping has no order; give rows")
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        for one in np.asarray(value, object).ravel().tolist():
            if isinstance(one, str | bytes):
                raise ValueError(f"{shown(one)} is text; convert it")
        missing = np.array([_is_gap(one) for one in array.ravel()], bool)
        array = np.where(missing.reshape(array.shape), np.nan, array)
    elif array.dtype.kind not in "biuf":
        raise ValueError(f"{shown(array.ravel()[0])} is of type {array.dtype}; convert it")
    return array.astype(float)


def _is_gap(value) -> bool:
    """None, NaN or pandas' NA, which gives NA when compared with itself."""
    try:
        return value is None or type(value).__name__ == "NAType" or bool(value != value)
    except ArithmeticError:  # a signalling NaN of decimal
        return True


def _refuse(bad: np.ndarray, array: np.ndarray, name: str, o, rule: str) -> None:
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        where = f"item {shown(_values(o.items, 'items').tolist()[place[0]], 60)}"
        if len(place) > 1:
            where += f", model {shown(list(o.models)[place[1]], 60)}"
        raise ValueError(f"{name} is {array[place].item():g} for {where}; {rule}")


def _unit(array: np.ndarray, o) -> np.ndarray:
    outside = (array < 0) | (array > 1)  # NaN compares false: absent is allowed
    _refuse(outside, array, "correct", o, "it must be in [0, 1], or empty where absent")
    return array


def _nonnegative(array: np.ndarray | None, name: str, o) -> np.ndarray | None:
    if array is not None:
        _refuse((array < 0) | np.isinf(array), array, name, o, "it must be finite and not negative")
    return array


def _codes(value, name: str, shape, k: int) -> np.ndarray | None:
    if value is None:
        return None
    array = np.ma.filled(value, ABSENT) if np.ma.is_masked(value) else np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {array.dtype}; it takes integer codes into labels")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; items and models make it {shape}")
    wrong = array[(array < UNPARSED) | (array >= k)]
    if wrong.size:
        raise ValueError(
            f"{name} has code {wrong[0]} and there are {k} labels; codes are 0 to {k - 1},"
            f" ABSENT ({ABSENT}) or UNPARSED ({UNPARSED})"
        )
    return _frozen(array.astype(np.int32, copy=False))


def _distribution(array: np.ndarray | None, o) -> np.ndarray | None:
    if array is None:
        return None
    negative = (array < 0).any(axis=2)
    total = array.sum(axis=2)
    partly = np.isnan(array).any(axis=2) & ~np.isnan(array).all(axis=2)
    bad = negative | partly | (np.abs(total - 1) > 1e-3)
    _refuse(
        bad, total, "the sum of a probability row", o, "each row is a distribution that sums to 1"
    )
    return array


def names_array(values) -> np.ndarray:
    """Names or facts (n,), each with its own type: mixed ones are kept as Python objects."""
    values = list(values)
    kinds = {type(value) for value in values}
    if kinds == {bool} or kinds == {float}:
        return np.array(values)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    return objects(values)


def objects(values) -> np.ndarray:
    """(n,) of Python objects; numpy would expand tuples and lists."""
    found = np.empty(len(values), object)
    found[:] = values
    return found
