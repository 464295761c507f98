"""What a reader's function returns, read with certainty or refused with a hint that fits.

Nothing is guessed: text is no number although it may look like one, True is no 1, NaN is named.
What has names is taken by name where the exercise has names too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from numbers import Real
from typing import Any

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.exercises import Verdict

MOST = 60  # characters of what was returned in a hint
MOST_SAID = 160  # of an error of the reader's


def said(value, most: int = MOST) -> str:
    """What was returned, for a hint: plain numbers however deep they stand, and no addresses."""
    plain = _plain(value, deep=3)
    if not isinstance(plain, _Words):
        return shown(plain, most)
    text = " ".join(plain[: 4 * most].split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(value, deep: int):
    value = value.tolist() if hasattr(value, "tolist") else value
    if hasattr(value, "columns"):
        return _Words("a data frame")
    if type(value) in (list, tuple) and deep:
        return type(value)(_plain(one, deep - 1) for one in value[:11])
    if type(value) is dict and deep:
        return {key: _plain(one, deep - 1) for key, one in list(value.items())[:11]}
    try:
        bare = " object at 0x" in repr(value)
    except Exception:  # theirs may be broken, or a number too long to be written
        bare = True
    return _Words(f"an object of type {type(value).__name__}") if bare else value


class _Words(str):
    """Text that is shown without quotes."""

    __repr__ = str.__str__


class Unfit(Exception):
    """What was returned cannot be judged; the message is the hint."""


def judged(check: Callable) -> Callable:
    """A check that may raise `Unfit`: then the hint is its verdict."""

    @wraps(check)
    def careful(answer_function: Callable) -> Verdict:
        try:
            return check(answer_function)
        except Unfit as unfit:
            return Verdict(False, str(unfit))

    return careful


def returned(function: Callable, *arguments, wanted: str):
    """What the reader's function returns.

    Parameters
    ----------
    function : callable
    *arguments
        Copies: the function may change them.
    wanted : str
        What it should return, in words.

    Raises
    ------
    Unfit
        It is no function, raises, is asynchronous, or returns nothing or another function.
    """
    if not callable(function):
        told = said(function)
        raise Unfit(f"give your function itself, without brackets behind its name, not {told}")
    with _readers_own():
        got = function(*arguments)
    if inspect.isawaitable(got):
        getattr(got, "close", lambda: None)()
        raise Unfit("your function is asynchronous: write `def`, not `async def`")
    if got is None:
        raise Unfit(f"your function returned nothing; return {wanted}")
    if got is ... or callable(got):
        raise Unfit(f"return {wanted}, not {'…' if got is ... else 'a function'}")
    return got


class _readers_own:
    """A block that runs the reader's code, which may raise anything."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception | SystemExit) and not isinstance(error, Unfit):
            try:
                told = said(_Words(error), MOST_SAID)
            except Exception:  # their error may be broken, too
                told = ""
            name = said(_Words(kind.__name__))
            raise Unfit(f"your function raised {name}{': ' if told else ''}{told}") from None


def parts(got, names: Sequence[str], wanted: str) -> list:
    """The parts of an answer: by name where it has exactly these names, else by position.

    Raises
    ------
    Unfit
        Text, a set, other names, or another number of parts.
    """
    keys = _keys(got)
    if keys is not None and set(keys) == set(names):
        return [got[name] if not isinstance(got, tuple) else getattr(got, name) for name in names]
    found = None if isinstance(got, Mapping) or hasattr(got, "columns") else listed(got)
    if found is None or len(found) != len(names):
        raise Unfit(f"return {wanted}, not {said(got)}")
    return found


def aligned(got, names: Sequence, what: str):
    """Values for each of `names`, in their order: a mapping or a named column by its names.

    A column whose index is only a count, and all that has no names, goes by position.

    Raises
    ------
    Unfit
        Names that are missing or twice.
    """
    keys = _keys(got)
    if keys is None or isinstance(got, tuple):
        return got
    names = list(names)
    counted = keys == list(range(len(keys)))
    if not isinstance(got, Mapping) and counted and not set(keys) <= set(names):
        return got
    missing = [name for name in names if name not in keys]
    if missing or len(keys) != len(names):
        lacks = f"{shown(missing[0], 30)} is missing" if missing else f"there are {len(keys)} names"
        raise Unfit(f"{what}: {lacks}; give one for each of {shown(names, MOST)}")
    by_name = dict(got.items())
    return [by_name[name] for name in names]


def _keys(got) -> list | None:
    """The names in a mapping, a named tuple or a column with an index."""
    if isinstance(got, Mapping):
        return list(got)
    if isinstance(got, tuple) and hasattr(got, "_fields"):
        return list(got._fields)
    if hasattr(got, "index") and hasattr(got, "items") and getattr(got, "ndim", 0) == 1:
        return got.index.tolist()
    return None


def listed(got) -> list | None:
    """A list of what `got` holds; None for what is one thing, or has no order."""
    if isinstance(got, str | bytes | Mapping | set | frozenset) or not isinstance(got, Iterable):
        return None
    if getattr(got, "ndim", 1) == 0:
        return None
    with _readers_own():
        return list(got)


def number(value, what: str, nan: bool = False) -> float:
    """One number; exact ones, such as a `Fraction`, are understood.

    Raises
    ------
    Unfit
        Text, True, a complex number, several numbers, or NaN unless `nan` is allowed.
    """
    value = _single(value)
    if isinstance(value, str | bytes):
        raise Unfit(f"{what} is text, {said(value)}; return a number")
    if isinstance(value, bool):
        raise Unfit(f"{what} is {said(value)}; return a number")
    if value is np.ma.masked:
        value = float("nan")
    if not isinstance(value, Real) and not hasattr(value, "as_integer_ratio"):  # Decimal
        raise Unfit(f"{what} is {said(value)}; return one number")
    try:
        value = float(value)
    except (OverflowError, ValueError, TypeError):
        raise Unfit(f"{what} is {said(value)}, which is too large") from None
    if value != value and not nan:
        raise Unfit(f"{what} is NaN in one case: look for a gap, or for 0 / 0")
    return value


def whole(value, what: str) -> int:
    """One whole number; 2.0 is none, and True is none.

    Raises
    ------
    Unfit
        Anything else.
    """
    value = _single(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"{what} is a whole number, not {said(value)}")
    return value


def _single(value):
    """Numpy's scalars, and arrays and tensors without dimensions, as plain Python."""
    if isinstance(value, np.generic) or (
        hasattr(value, "tolist") and getattr(value, "ndim", 1) == 0
    ):
        return value.tolist()
    return value


def array(got, shape: tuple[int, ...], what: str, wanted: str, kind=number, **how) -> np.ndarray:
    """An array of that shape from lists, generators, columns, frames or tensors of numbers.

    Parameters
    ----------
    got
    shape : tuple of int
    what, wanted : str
        What each number is, and what should be returned, in words.
    kind : callable
        `number` or `whole`, which reads each.

    Raises
    ------
    Unfit
        Another shape, or something that is no number.
    """
    cells = _cells(got, len(shape))
    if cells is None or np.shape(cells) != shape:
        few = "" if cells is None else f"{len(cells)} of them, "
        what_it_is = "what your generator gives" if isinstance(got, Iterator) else said(got)
        raise Unfit(f"return {wanted}, not {few}{what_it_is}")
    flat = [kind(cell, what, **how) for cell in cells.ravel()]
    return np.array(flat, dtype=int if kind is whole else float).reshape(shape)


def _cells(got, depth: int) -> np.ndarray | None:
    """Nested things as an array of objects; None where rows differ in length."""
    if hasattr(got, "columns") and hasattr(got, "to_numpy"):
        got = got.to_numpy(dtype=object)
    nested = _nested(got, depth)
    shape = None if nested is None else _shape(nested, depth)
    if shape is None:
        return None
    cells = np.empty(shape, dtype=object)
    for place in np.ndindex(cells.shape):
        cell = nested
        for i in place:
            cell = cell[i]
        cells[place] = cell
    return cells


def _nested(got, depth: int):
    """Lists in lists, `depth` deep."""
    if depth == 0:
        return got
    found = listed(got)
    if found is None:
        return None
    inside = [_nested(one, depth - 1) for one in found]
    return None if depth > 1 and any(one is None for one in inside) else inside


def _shape(nested: list, depth: int) -> tuple[int, ...] | None:
    if depth == 1:
        return (len(nested),)
    shapes = {_shape(one, depth - 1) for one in nested}
    return None if len(shapes) != 1 or None in shapes else (len(nested), *shapes.pop())


def yes_or_no(value: Any, wanted: str) -> bool:
    """True or False, also as numpy writes them.

    Raises
    ------
    Unfit
        Anything else, 1 and "True" among them.
    """
    value = _single(value)
    if not isinstance(value, bool):
        raise Unfit(f"return {wanted}, not {said(value)}")
    return value
