"""Checks of what the simulator is given: times, rates and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from ensemble_lab.core.errors import several, shown


def numbers(values, what: str) -> np.ndarray:
    """Finite numbers as an array of float, of one dimension or more.

    Raises
    ------
    ValueError
        None at all, dates, text, NaN or infinity, or values behind a mask.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} has values behind a mask; leave them out")
    if not isinstance(values, np.ndarray):
        values = several(values, what)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{what} has rows of different lengths; give equally many each") from None
    if array.dtype.kind in "mM":
        raise ValueError(f"{what} holds dates; give the seconds since the first one")
    if not array.size:
        raise ValueError(f"{what} is empty; give at least one number")
    if array.dtype.kind not in "iuf":
        for held in array.ravel().tolist():
            if isinstance(held, bool) or not isinstance(held, Real):
                raise ValueError(f"{what} holds {shown(held)}, not a number; give real numbers")
            if not is_finite(held) and held == held:  # NaN is named with its place below
                raise ValueError(f"{what} holds {shown(held)}; give finite numbers")
    array = array.astype(float)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        at = place[0] if array.ndim == 1 else place
        raise ValueError(f"{what}[{at}] is {array[tuple(place)]:g}; give finite numbers")
    return array


def arrival_times(values) -> np.ndarray:
    """Arrivals (n,) in seconds, none before the one before it.

    Raises
    ------
    ValueError
        Out of order, or not numbers.
    """
    times = numbers(values, "arrivals")
    if times.ndim != 1:
        raise ValueError(f"arrivals has shape {times.shape}; give one time a job")
    if (back := np.flatnonzero(np.diff(times) < 0)).size:
        i = int(back[0])
        raise ValueError(
            f"arrivals are out of order: {times[i + 1]:g} s at place {i + 1} comes after"
            f" {times[i]:g} s; sort the jobs by arrival"
        )
    return times


def service_times(values, what: str = "services") -> np.ndarray:
    """Service times in seconds, all above 0.

    Raises
    ------
    ValueError
        A service of zero or below, or not a number.
    """
    times = numbers(values, what)
    if (times <= 0).any():
        place = np.argwhere(times <= 0)[0].tolist()
        at = place[0] if times.ndim == 1 else place
        raise ValueError(
            f"{what}[{at}] is {times[tuple(place)]:g} s; a service takes time: leave such jobs out"
        )
    return times


def positive(value, what: str, unit: str = "", zero: bool = False) -> float:
    """A finite number above 0; with `zero`, 0 too.

    Raises
    ------
    ValueError
        Another value.
    """
    if not is_finite(value) or value < 0 or (value == 0 and not zero):
        least = "from 0 up" if zero else "above 0"
        raise ValueError(f"{what}={shown(value)}; give a finite number {least}{unit}")
    return float(value)


def is_finite(value) -> bool:
    """Whether it is a real number that a float holds."""
    # NumPy's spans of time count as whole numbers.
    if not isinstance(value, Real) or isinstance(value, bool | np.timedelta64):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond 1.8e308
        return False


def whole(value, what: str, least: int = 1) -> int:
    """A whole number from `least` up.

    Raises
    ------
    ValueError
        Another value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{what}={shown(value)}; give a whole number from {least} up")
    return int(value)


def share(value, what: str) -> float:
    """A number from 0 to 1.

    Raises
    ------
    ValueError
        Another value.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{what}={shown(value)}; give a share from 0 to 1")
    return float(value)


def truth(value, what: str) -> bool:
    """True or False.

    Raises
    ------
    ValueError
        Another value, such as the text "no", which Python takes for true.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{what}={shown(value)}; give True or False")
    return bool(value)


def instance(value, kind: type, what: str):
    """`value`, if it is of this kind.

    Raises
    ------
    ValueError
        It is not.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{what} is {called(value)}; give one {kind.__name__}")
    return value


def distinct(values: Sequence, what: str) -> tuple[str, ...]:
    """Names as a tuple of text, each once.

    Raises
    ------
    ValueError
        No name, one that is not text, or one twice.
    """
    names = tuple(several(values, what))
    if not names:
        raise ValueError(f"{what} is empty; give at least one name")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{what} holds {shown(name)}, which is not text; name it")
        if names.count(name) > 1:
            raise ValueError(f"{what} has {shown(name)} twice; give each a name of its own")
    return names


def called(thing) -> str:
    """How a message names a thing that is of the wrong type; a class by its name."""
    return thing.__name__ if isinstance(thing, type) else shown(thing)


def generator(rng) -> np.random.Generator:
    """A random generator from a seed, or the one given.

    Raises
    ------
    ValueError
        Neither a whole number from 0 up nor a `numpy.random.Generator`.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(whole(rng, "rng", 0))
