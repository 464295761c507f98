"""Checks of what the rules are given."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.simulator.inputs import numbers


def row(values, what: str, length: int | None = None, zero: bool = True) -> np.ndarray:
    """One row of numbers from 0 up (above 0 without `zero`), of that length.

    Raises
    ------
    ValueError
        Another shape or length, or a number that is too small.
    """
    array = numbers(values, what)
    if array.ndim != 1:
        raise ValueError(f"{what} has shape {array.shape}; give one row of numbers")
    if length is not None and len(array) != length:
        raise ValueError(f"{what} has {len(array)} numbers; give {length}, one for each of them")
    small = array < 0 if zero else array <= 0
    if small.any():
        at = int(np.flatnonzero(small)[0])
        least = "from 0 up" if zero else "above 0"
        raise ValueError(f"{what}[{at}] is {array[at]:g}; give numbers {least}")
    return array


def table(values, what: str) -> np.ndarray:
    """Rows of numbers, all equally long; tensors too.

    Raises
    ------
    ValueError
        Another shape.
    """
    if getattr(values, "ndim", 0) == 2 and hasattr(values, "tolist"):
        values = values.tolist()
    array = numbers(values, what)
    if array.ndim != 2:
        raise ValueError(f"{what} has shape {array.shape}; give rows of numbers")
    return array
