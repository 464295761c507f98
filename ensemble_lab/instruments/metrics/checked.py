"""Checks of what the metrics are given: numbers of the right kind, one an item."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.indexes import check_indexes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.shares import real

SCORE = "one score an item, such as the strong model's less the weak model's"
RIGHT = "how right each of its answers is, such as outcomes.correct[:, 0]"
LEAST_GAP = 1e-12  # a smaller difference of two accuracies is rounding


def per_item(weak, strong, **scores) -> list[np.ndarray]:
    """The scores, then `weak` and `strong`, each (n,) for the same n items.

    Raises
    ------
    ValueError
        Not one number an item, NaN, a correctness outside [0, 1], different lengths or indexes of
        pandas, or no item.
    """
    given = {**scores, "weak": weak, "strong": strong}
    check_indexes(given)
    columns = {
        name: column(v, name, SCORE if name in scores else RIGHT) for name, v in given.items()
    }
    sizes = {name: len(values) for name, values in columns.items()}
    for name, size in sizes.items():
        if size != sizes["weak"]:
            raise ValueError(
                f"{name} has {size} items and weak has {sizes['weak']}; give the same items"
            )
    if not sizes["weak"]:
        raise ValueError("weak and strong have no items; give at least one")
    for name in ("weak", "strong"):
        in_unit(columns[name], name)
    return list(columns.values())


def column(values, what: str, of: str) -> np.ndarray:
    """Numbers (n,), infinite ones among them; `of` says what to give instead of anything else."""
    if isinstance(values, Outcomes | Decision):
        raise ValueError(f"{what} is of type {type(values).__name__}; give {of}")
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"{what} has {values.ndim} dimensions; give {of}")
    array = real(values if type(values) is np.ndarray else several(values, what), what)
    if array.ndim != 1:
        raise ValueError(f"{what} has {array.ndim} dimensions; give {of}")
    if np.isnan(array).any():
        where = int(np.flatnonzero(np.isnan(array))[0])
        raise ValueError(f"{what} is NaN at position {where}; leave out the items without a number")
    return array


def in_unit(values: np.ndarray, what: str) -> np.ndarray:
    """`values` of any shape, checked to be in [0, 1]."""
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        raise ValueError(f"{what} has {shown(values[outside].flat[0])}; give numbers in [0, 1]")
    return values


def one_share(value, what: str) -> float:
    """One number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{what}={shown(value)}; give one number in [0, 1], such as 0.5")
    return float(value)


def check_gap(weak: float, strong: float) -> None:
    """Refuse accuracies between which there is no gap to recover."""
    if not strong - weak > LEAST_GAP:
        raise ValueError(
            f"strong has accuracy {strong:.4f} and weak {weak:.4f}: PGR needs a strong model that"
            " is better; swap the two (and the sign of the scores) or choose another pair"
        )
