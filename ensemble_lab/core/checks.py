"""What makes a table of outcomes valid: shapes, ranges and names, checked once at the door."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ensemble_lab.core.outcomes import ABSENT, MEASURES, UNPARSED


def checked(o) -> dict:
    """Every field of `o` as a read-only array or tuple.

    Raises
    ------
    ValueError
        The first thing that does not fit, with its place and the mend.
    """
    models = _names(o.models, "model")
    items = _frozen(np.asarray(o.items))
    if items.ndim != 1:
        raise ValueError(f"items have shape {items.shape}; give one name an item")
    _unique(items.tolist(), "item")
    n, m, labels = len(items), len(models), _labels(o.labels)
    if not n or not m:
        raise ValueError(f"outcomes need at least one item and one model, not {n} and {m}")
    values = {"models": models, "items": items, "labels": labels}
    values["correct"] = _unit(_shaped(o.correct, "correct", (n, m)), o)
    for name in MEASURES:
        array = _shaped(getattr(o, name), name, (n, m))
        values[name] = array if name == "confidence" else _nonnegative(array, name, o)
    values["answer"] = _codes(o.answer, "answer", (n, m), len(labels))
    values["truth"] = _codes(o.truth, "truth", (n,), len(labels))
    values["probability"] = _law(_shaped(o.probability, "probability", (n, m, len(labels))), o)
    features = {k: _shaped(v, f"feature {k!r}", (n,), None) for k, v in o.features.items()}
    values["features"] = features
    values["group"] = _shaped(o.group, "group", (n,), None)
    if o.model_group is not None:
        values["model_group"] = tuple(_sized(o.model_group, "model_group", m))
    return values


def check_states(o) -> None:
    """Keep the three states of a person's table apart: absent is not graded, unparsed is wrong.

    Not part of `checked`: a table whose `correct` was scrambled to test a policy is still one.
    """
    if o.answer is not None:
        graded = (o.answer == ABSENT) & ~np.isnan(o.correct)
        _refuse(graded, o.correct, "correct", o, "its answer is absent, so leave this empty too")
        right = (o.answer == UNPARSED) & (o.correct > 0)
        rule = "no answer is known there; give every answer or none"
        _refuse(right, o.correct, "correct", o, rule)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, and nobody else's: an array that its owner can still write to is copied."""
    if array.dtype.kind == "U":  # strings are Python's: as long as they are, and None is a gap
        array = array.astype(object)
    elif array.dtype.kind == "O":
        array = np.where(array != array, None, array)  # NaN, as pandas writes a gap
    elif array.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


def _names(names, what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{what}s={names!r} is one string; pass a list such as [{names!r}]")
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{what} {name!r} is {type(name).__name__}; names are strings")
    _unique(names, what)
    return names


def plain(value, what: str):
    """A label or name as Python and JSON hold it; NaN becomes None.

    Raises
    ------
    TypeError
        Neither a string nor a number.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | None):
        raise TypeError(f"the {what} {value!r} is {type(value).__name__}; make it str or number")
    return None if value != value else value


def _labels(labels) -> tuple:
    labels = tuple(plain(label, "label") for label in labels)
    if None in labels:
        raise ValueError("a label is missing; None stands for no answer")
    _unique(labels, "label")
    return labels


def _unique(names, what: str) -> None:
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(f"{what} {twice[0]!r} is there more than once; keep one of each")


def _sized(values, name: str, m: int):
    if len(values) != m:
        raise ValueError(f"{name} has {len(values)} entries for {m} models")
    return values


def _shaped(value, name: str, shape: tuple[int, ...], dtype=float) -> np.ndarray | None:
    if value is None:
        return None
    try:
        array = np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} does not hold numbers: {error}") from None
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; items and models make it {shape}")
    return _frozen(array)


def _refuse(bad: np.ndarray, array: np.ndarray, name: str, o, rule: str) -> None:
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        where = f"item {np.asarray(o.items).tolist()[place[0]]!r}"
        if len(place) > 1:
            where += f", model {o.models[place[1]]!r}"
        raise ValueError(f"{name} is {array[place].item():g} for {where}; {rule}")


def _unit(array: np.ndarray, o) -> np.ndarray:
    outside = (array < 0) | (array > 1)  # NaN compares false: absent is allowed
    _refuse(outside, array, "correct", o, "it lies in [0, 1], or is empty where absent")
    return array


def _nonnegative(array: np.ndarray | None, name: str, o) -> np.ndarray | None:
    if array is not None:
        _refuse((array < 0) | np.isinf(array), array, name, o, "it is finite and never negative")
    return array


def _codes(value, name: str, shape, k: int) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(value)
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


def _law(array: np.ndarray | None, o) -> np.ndarray | None:
    if array is None:
        return None
    negative = (array < 0).any(axis=2)
    total = array.sum(axis=2)
    partly = np.isnan(array).any(axis=2) & ~np.isnan(array).all(axis=2)
    bad = negative | partly | (np.abs(total - 1) > 1e-3)
    _refuse(bad, total, "the sum of a probability row", o, "each row is a law that sums to 1")
    return array
