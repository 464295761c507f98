"""What a reader's function returns, read with certainty or refused with a hint that fits.

Nothing is guessed: text is no number although it may look like one, True is no 1, NaN is named.
What has names is taken by name where the exercise has names too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.exercises.calling import MOST, Unfit, readers_own, said


def in_order(got, names: Sequence, what: str):
    """`got` in the order of `names`: a mapping, a named tuple or a named column by its names.

    A column whose index is only a count, and all that has no names, stays as it is.

    Raises
    ------
    Unfit
        Names that are missing or twice.
    """
    names = list(names)
    if isinstance(got, tuple):
        by_name = set(getattr(got, "_fields", ())) == set(names)
        return [getattr(got, name) for name in names] if by_name else got
    if isinstance(got, Mapping):
        keys = list(got)
    elif hasattr(got, "index") and hasattr(got, "items") and getattr(got, "ndim", 0) == 1:
        keys = got.index.tolist()
        if keys == list(range(len(keys))) and not set(keys) <= set(names):
            return got
    else:
        return got
    missing = [name for name in names if name not in keys]
    if missing or len(keys) != len(names):
        lacks = f"{shown(missing[0], 30)} is missing" if missing else f"there are {len(keys)} names"
        raise Unfit(f"{lacks}; return {what} for each of {shown(names, MOST)}")
    by_name = dict(got.items())
    return [by_name[name] for name in names]


def parts(got, names: Sequence[str], wanted: str) -> list:
    """The parts of an answer: by name where it has names, else by position.

    Raises
    ------
    Unfit
        Text, a set, other names, or another number of parts.
    """
    found = listed(in_order(got, names, "a part"), len(names) + 1)
    if found is None or len(found) != len(names):
        raise Unfit(f"return {wanted}, not {said(got)}")
    return found


def listed(got, most: int) -> list | None:
    """The first `most` of what `got` holds; None for what is one thing, or has no order."""
    if isinstance(got, str | bytes | Mapping | set | frozenset) or not isinstance(got, Iterable):
        return None
    if getattr(got, "ndim", 1) == 0 or hasattr(got, "columns"):
        return None
    with readers_own():
        return list(islice(got, most))


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
        Anything else, and what does not fit into 64 bits.
    """
    value = _single(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"{what} is a whole number, not {said(value)}")
    if abs(value) >= 2**63:
        raise Unfit(f"{what} is {said(value)}, which is too large")
    return value


def yes_or_no(value, what: str) -> bool:
    """True or False, also as numpy writes them.

    Raises
    ------
    Unfit
        Anything else, 1 and "True" among them.
    """
    value = _single(value)
    if not isinstance(value, bool):
        raise Unfit(f"return True or False, not {said(value)}")
    return value


def _single(value):
    """Numpy's scalars, and arrays and tensors without dimensions, as plain Python."""
    if isinstance(value, np.generic) or (
        hasattr(value, "tolist") and getattr(value, "ndim", 1) == 0
    ):
        return value.tolist()
    return value


def array(got, shape: tuple, what: str, wanted: str, kind: Callable = number, names: Sequence = ()):
    """An array of that shape from lists, generators, columns, frames or tensors of numbers.

    Parameters
    ----------
    got
    shape : tuple of int
    what, wanted : str
        What each number is, and what should be returned, in words.
    kind : callable
        `number` or another such function, which reads each.
    names : sequence, optional
        What each number belongs to.

    Raises
    ------
    Unfit
        Another shape, or something that is no number.
    """
    frame = hasattr(got, "columns") and hasattr(got, "to_numpy")
    cells = _flat(got.to_numpy(dtype=object) if frame else got, shape)
    if cells is None:
        several = isinstance(got, Sized) and listed(got, 0) is not None
        few = f"{len(got)} of them, " if several else ""
        told = "what your generator gives" if isinstance(got, Iterator) else said(got)
        raise Unfit(f"return {wanted}, not {few}{told}")
    whats = [f"{what} for {shown(name, 30)}" for name in names] or [what] * len(cells)
    return np.array([kind(*one) for one in zip(cells, whats, strict=True)]).reshape(shape)


def _flat(got, shape: tuple[int, ...]) -> list | None:
    """What nested things of that shape hold, row by row; None where the shape is another."""
    if not shape:
        return [got]
    found = listed(got, shape[0] + 1)
    if found is None or len(found) != shape[0]:
        return None
    inside = [_flat(one, shape[1:]) for one in found]
    if any(row is None for row in inside):
        return None
    return [cell for row in inside for cell in row]
