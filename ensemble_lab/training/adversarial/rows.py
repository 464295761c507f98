"""Rows of numbers and random generators in any form that people have, or refused by name."""

from __future__ import annotations

import math
from collections import Counter
from numbers import Integral

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.targets import numbers

LARGEST = 1e150  # its square is finite, also summed over many rows


def checked_rows(X, what: str, *, least: int = 1, columns: int | None = None) -> np.ndarray:
    """Rows (n, d) as finite floats.

    Raises
    ------
    ValueError
        Text, other dimensions, fewer than `least` rows, no column or another number of columns,
        numbers whose squares are infinite, or NaN or infinity, named with its row and column.
    """
    X = numbers(X, what, "give numbers, in rows of the same length").astype(float)
    if X.ndim == 1:
        raise ValueError(
            f"{what} has one dimension, and it needs rows and columns: give {what}.reshape(-1, 1)"
            " for one column"
        )
    if X.ndim != 2 or not X.shape[1]:
        raise ValueError(f"{what} has shape {shown(X.shape)}: give rows and columns (n, d)")
    if len(X) < least:
        raise ValueError(f"{what} has {len(X)} rows: give {least} or more")
    if columns is not None and X.shape[1] != columns:
        raise ValueError(f"{what} has {X.shape[1]} columns: give {columns}")
    if X.size and (most := np.abs(X).max()) != math.inf and most > LARGEST:
        raise ValueError(
            f"{what} goes up to {most:.3g}, and the square of such a number is infinite: divide"
            " all rows by one number"
        )
    if not (finite := np.isfinite(X)).all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise ValueError(
            f"row {row:d}, column {column:d} of {what} is {X[row, column]:g}: leave the row out, or"
            " fill the gap"
        )
    return X


def check_alike(one, other, what: str, beside: str) -> None:
    """Refuse frames with the same columns in another order: distances go by position.

    Raises
    ------
    ValueError
        The name of the other frame, with the fix.
    """
    mine, theirs = (list(getattr(frame, "columns", ())) for frame in (one, other))
    if mine != theirs and Counter(mine) == Counter(theirs):
        raise ValueError(
            f"{beside} and {what} have the same columns in another order: give"
            f" {what}[{beside}.columns]"
        )


def generator_of(rng) -> np.random.Generator:
    """A numpy Generator as it is, a new one of a seed, or one that differs each time for None.

    Raises
    ------
    ValueError
        Anything else.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    number = isinstance(rng, Integral) and not isinstance(rng, bool)
    if rng is not None and not (number and rng >= 0):
        raise ValueError(
            f"rng={shown(rng)}: use a whole number from 0 up, a random Generator or None"
        )
    return np.random.default_rng(rng)
