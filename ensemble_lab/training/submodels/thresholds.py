"""Thresholds of early exits: how confident an answer must be to leave."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.targets import numbers


def exit_thresholds(confidences, shares) -> np.ndarray:
    """Thresholds with which asked shares of the rows leave at each exit.

    A row leaves at the first exit where its confidence is above the threshold, and at the last in
    any case. On the rows given here the shares are those asked, to the nearest row. On other rows
    they differ, so use rows that were not learned from.

    Parameters
    ----------
    confidences : (n, e) array
        Of n rows at e exits, such as largest probabilities.
    shares : (e,) array
        Of all rows; they add up to 1. MSDNet asks for shares that are powers of a number.

    Returns
    -------
    (e,) array
        Infinite at an exit that nobody is to take; minus infinity where all that are left go.

    Raises
    ------
    ValueError
        Shares that are not one an exit, are negative or do not add up to 1, or NaN.

    Warns
    -----
    UserWarning
        Equal confidences leave together: an exit's share cannot be met, and the nearest is taken.

    References
    ----------
    Huang et al., Multi-scale dense networks for resource efficient image classification, ICLR 2018.

    Examples
    --------
    >>> confidences = [[0.9, 0.9], [0.5, 0.8], [0.6, 0.7], [0.4, 0.5]]
    >>> exit_thresholds(confidences, [0.5, 0.5]).tolist()
    [0.55, -inf]
    """
    sure, shares = _checked(confidences, shares)
    n, exits = sure.shape
    wanted = np.floor(shares.cumsum() * n + 0.5 + 1e-9).astype(int)  # in all, up to each exit
    stay, found = np.arange(n), np.full(exits, np.inf)
    for e in range(exits - 1):
        count = max(wanted[e] - (n - len(stay)), 0)
        ranked = np.sort(sure[stay, e])[::-1]
        taken = _nearest_cut(ranked, count)
        if taken != count:
            warnings.warn(
                f"{len(ranked)} rows come to exit {e + 1} and {count} are to leave, but equal"
                f" confidences of {ranked[count]:.6g} leave together: {taken} leave",
                stacklevel=2,
            )
        found[e] = _between(ranked, taken)
        stay = stay[~(sure[stay, e] > found[e])]
    found[-1] = -np.inf
    return found


def limits_of(thresholds, exits: int) -> list[float]:
    """A threshold for each exit; one number holds for every exit before the last, where all leave.

    Raises
    ------
    ValueError
        What is no number, NaN, or not one an exit.
    """
    given = thresholds.tolist() if hasattr(thresholds, "tolist") else thresholds
    several = isinstance(given, list | tuple)
    given = list(given) if several else [given] * exits
    for one in given:
        if not isinstance(one, Real) or isinstance(one, bool) or np.isnan(one):
            raise ValueError(
                f"thresholds={shown(thresholds)}: give numbers, such as 0.9; 1 never leaves early"
            )
    if len(given) != exits:
        raise ValueError(
            f"{len(given)} thresholds for {exits} exits: give one number, or one an exit"
        )
    return [*map(float, given[:-1]), -np.inf]


def _nearest_cut(ranked: np.ndarray, count: int) -> int:
    """How many of the highest can leave without their equals: the number nearest to `count`."""
    if count in (0, len(ranked)) or ranked[count - 1] > ranked[count]:
        return count
    equal = np.flatnonzero(ranked == ranked[count])
    fewer, more = int(equal[0]), int(equal[-1]) + 1
    return fewer if count - fewer <= more - count else more


def _between(ranked: np.ndarray, count: int) -> float:
    """A threshold that exactly the highest `count` are above."""
    if count == 0:
        return np.inf
    if count == len(ranked):
        return -np.inf
    low, high = ranked[count], ranked[count - 1]
    middle = low + (high - low) / 2  # other rounding does not change who leaves
    return middle if middle < high else low


def _checked(confidences, shares) -> tuple[np.ndarray, np.ndarray]:
    each = "one for each exit"
    sure = numbers(confidences, "confidences", f"give numbers, in rows of {each}").astype(float)
    parts = numbers(shares, "shares", f"give numbers, {each}").astype(float)
    for name, value, size in (("confidences", sure, 2), ("shares", parts, 1)):
        if value.ndim != size or not value.size or not np.isfinite(value).all():
            raise ValueError(
                f"{name} of shape {value.shape}: give finite numbers,"
                f" {'in rows of ' if size == 2 else ''}{each}"
            )
    if len(parts) != sure.shape[1]:
        raise ValueError(
            f"{len(parts)} shares for {sure.shape[1]} exits: give one an exit, the last too"
        )
    if (parts < 0).any() or abs(parts.sum() - 1) > 1e-6:
        raise ValueError(
            f"shares={shown(shares)} add up to {parts.sum():.6g}: use shares from 0 up that add up"
            " to 1; they are of all rows"
        )
    return sure, parts
