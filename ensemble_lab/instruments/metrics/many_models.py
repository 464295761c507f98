"""A router among any number of models: its settings as points of cost and quality.

References
----------
Hu et al., RouterBench: a benchmark for multi-LLM routing system, arXiv 2403.12031, 2024.
Lu et al., RouterArena: an open platform for comparing LLM routers, arXiv 2510.00202, 2025.
"""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.shares import real
from ensemble_lab.instruments.metrics.checked import column, in_unit
from ensemble_lab.instruments.metrics.two_models import area

BETA, LEAST_USD, MOST_USD = 0.1, 0.0044, 200.0  # of RouterArena, USD for a thousand items


def hull(cost, quality) -> tuple[np.ndarray, np.ndarray]:
    """Non-decreasing convex hull of settings: the best quality for at most this mean cost.

    Between two settings a router can choose at random, so every point on the line that joins them
    is within reach, and a cheaper setting may be used where a more expensive one is worse.

    Parameters
    ----------
    cost, quality : array-like (n,)
        Of each setting, such as the columns of `frontier`. Finite.

    Returns
    -------
    cost, quality : ndarray (k,)
        The corners from the lowest cost to the highest one, joined by straight lines.

    Raises
    ------
    ValueError
        Not one finite number a setting, different lengths, or no setting.

    Examples
    --------
    >>> [values.tolist() for values in hull([1, 2, 3, 4], [0.5, 0.6, 0.9, 0.8])]
    [[1.0, 3.0, 4.0], [0.5, 0.9, 0.9]]
    """
    cost, quality = (
        _finite(column(values, what, f"one {what} a setting"), what)
        for values, what in ((cost, "cost"), (quality, "quality"))
    )
    if len(cost) != len(quality):
        raise ValueError(
            f"cost has {len(cost)} settings and quality {len(quality)}; give both of each setting"
        )
    if not len(cost):
        raise ValueError("cost and quality have no settings; give at least one")
    corners: list[tuple[float, float]] = []
    best = -np.inf
    for i in np.lexsort((-quality, cost)):
        x, y = float(cost[i]), float(quality[i])
        if y <= best:  # a cheaper setting is as good
            continue
        # A corner that is not above the line from the one before it to here is no corner.
        while len(corners) > 1 and _not_above(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
        best = y
    if cost.max() > corners[-1][0]:
        corners.append((float(cost.max()), best))
    x, y = np.array(corners).T
    return x, y


def aiq(cost, quality, between: tuple[float, float] | None = None) -> float:
    """Average improvement in quality: the mean height of the `hull` over a range of costs.

    The formula is the paper's. RouterBench's own code divides the same area by the highest cost,
    not by the width of the range.

    Parameters
    ----------
    cost, quality : array-like (n,)
        Of each setting.
    between : (low, high), optional
        The range of costs, by default from the lowest cost to the highest one. Routers are
        comparable only over one range: give the same to all of them. Beyond the highest cost the
        hull goes on at its height.

    Returns
    -------
    float
        In units of quality. With one cost only, the best quality.

    Raises
    ------
    ValueError
        As for `hull`; a range that starts below the lowest cost, where no setting is, or above its
        end.

    Examples
    --------
    >>> round(aiq([1, 2, 3, 4], [0.5, 0.6, 0.9, 0.8]), 4)
    0.7667
    """
    x, y = hull(cost, quality)
    low, high = (x[0], x[-1]) if between is None else _range(between, x[0])
    if low == high:
        return float(np.interp(low, x, y))
    inside = x[(x > low) & (x < high)]
    grid = np.concatenate([[low], inside, [high]])
    return float(area(grid, np.interp(grid, x, y)) / (high - low))


def arena_score(accuracy, usd_per_1000) -> np.ndarray:
    """RouterArena's score S = 1.1 A C / (0.1 A + C), a weighted harmonic mean.

    A is the accuracy and C = log(200 / c) / log(200 / 0.0044) the cheapness, for c USD per thousand
    items. Accuracy has ten times the weight: at ten times the price, 0.7538 below becomes 0.7226.

    Parameters
    ----------
    accuracy : float or array-like
        In [0, 1].
    usd_per_1000 : float or array-like
        Above 0, and at most 200, where the score ends at 0. Below 0.0044 C is above 1.

    Returns
    -------
    ndarray, the shape of both

    Raises
    ------
    ValueError
        A number out of its range, or shapes that do not go together.

    Examples
    --------
    >>> float(arena_score(0.7597, 0.11).round(4))
    0.7538
    """
    right = in_unit(real(accuracy, "accuracy"), "accuracy")
    usd = real(usd_per_1000, "usd_per_1000")
    outside = ~((usd > 0) & (usd <= MOST_USD))
    if outside.any():
        raise ValueError(
            f"usd_per_1000 has {shown(usd[outside].flat[0])}; give USD for a thousand items, above"
            f" 0 and at most {MOST_USD:g}"
        )
    try:
        right, usd = np.broadcast_arrays(right, usd)
    except ValueError:
        raise ValueError(
            f"accuracy has {right.size} numbers and usd_per_1000 {usd.size}; give as many"
        ) from None
    cheap = np.log(MOST_USD / usd) / np.log(MOST_USD / LEAST_USD)
    below = BETA * right + cheap
    return (1 + BETA) * right * cheap / np.where(below > 0, below, 1.0)


def _not_above(before: tuple, corner: tuple, after: tuple) -> bool:
    """Whether `corner` is on or below the line from `before` to `after`."""
    (x0, y0), (x1, y1), (x2, y2) = before, corner, after
    return (y1 - y0) * (x2 - x0) <= (y2 - y0) * (x1 - x0)


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    if np.isinf(values).any():
        raise ValueError(f"{what} has an infinite number; give finite ones")
    return values


def _range(between, lowest: float) -> tuple[float, float]:
    ends = real(several(between, "between"), "between")
    if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] <= ends[1]:
        raise ValueError(f"between={shown(between)}; give two costs, the lower one first")
    if ends[0] < lowest:
        raise ValueError(
            f"between={shown(between)} starts below the lowest cost, {lowest:g}, where no setting"
            f" is; use ({lowest:g}, {ends[1]:g})"
        )
    return float(ends[0]), float(ends[1])
