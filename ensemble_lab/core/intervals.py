"""Intervals for means that hold as often as they say, also where what matters is rare.

A sample shows nothing of what it did not happen to hold: thirty right answers say [1, 1] to a
bootstrap, and thirty cheap calls say that nobody is ever sent to the dear model. So every interval
here knows how far values can reach, from what is possible (a share lies in [0, 1], an item costs at
least the first call and at most all of them) or, where nobody knows, from a little beyond what was
seen. `tests/nightly/test_coverage.py` simulates how often they hold.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.shares import checked_level, rare_end, real, share_interval, student, wilson

__all__ = ["bootstrap", "mean_interval", "share_interval", "wilson"]

FEWEST = 10
"""Values that differ: of fewer, no interval holds as often as it says, and both ends are NaN."""


def mean_interval(
    values, level: float = 0.95, bounds: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Score interval of the mean of `values` (n,), for values that may be skewed.

    Each end is the farthest mean that the data do not speak against when some of the items had
    been at the bound on that side: of a share it is Wilson's, made safe for few and rare items.

    Parameters
    ----------
    values : array-like (n,)
        NaN entries are left out, as for answers that nobody graded: for costs ask
        `Decision.interval`, which knows no mean where a price is missing.
    level : float
    bounds : (low, high), optional
        What no value can leave, such as (-1, 1) for the difference of two accuracies. Without
        them zeros and ones are a share, -1, 0 and 1 a difference of two, and others may reach
        beyond those seen, the farther the heavier their tail (`farthest`).

    Returns
    -------
    low, high : float
        Both NaN where no honest interval exists: fewer than two values; without bounds, fewer
        than ten or none that differ.

    Raises
    ------
    ValueError
        What is no number; a value outside of the bounds.
    """
    values, level = _known(values), checked_level(level)
    reach = _bounds(values, None if bounds is None else _pair(bounds))
    if reach is None:
        return np.nan, np.nan
    return score_interval(values, *reach, level)


def bootstrap(
    values,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (n,) (Efron, 1979), never narrower
    than `mean_interval`: no resample holds what the sample did not.

    For the difference of two policies pass their item-wise difference, with bounds (-1, 1): the
    items are paired. Parameters, NaN and errors are as in `mean_interval`; `resamples` counts from
    1, `seed` from 0.
    """
    if isinstance(resamples, bool) or not isinstance(resamples, Integral) or resamples < 1:
        raise ValueError(f"resamples={shown(resamples)}; use a whole number from 1 up")
    seed = checked_seed(seed)
    values, level = _known(values), checked_level(level)
    reach = _bounds(values, None if bounds is None else _pair(bounds))
    if reach is None:
        return np.nan, np.nan
    return resampled(values, score_interval(values, *reach, level), level, resamples, seed)


def checked_seed(seed: int) -> int:
    """`seed`, where it is a whole number from 0 up."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed={shown(seed)}; use a whole number from 0 up")
    return int(seed)


def resampled(
    values: np.ndarray,
    ends: tuple[float, float],
    level: float,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval `ends` of the mean of values (n,), as wide as that of the resamples at least."""
    rng, tail = np.random.default_rng(seed), (1 - level) / 2
    # In slabs of 50 resamples, so that memory stays small.
    means = [
        rng.choice(values, size=(min(50, resamples - start), len(values))).mean(axis=1)
        for start in range(0, resamples, 50)
    ]
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return min(ends[0], float(low)), max(ends[1], float(high))


def farthest(values: np.ndarray) -> tuple[float, float]:
    """How far values like these (n,) may lie: as far as those seen, and beyond in a heavy tail.

    A tail is heavy where the farthest value is many times as far from the median as the quartile
    is, for so few values. Not below zero where none is.
    """
    lowest, lower, middle, upper, highest = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    low = middle - _stretched(middle - lowest, middle - lower, len(values))
    high = middle + _stretched(highest - middle, upper - middle, len(values))
    return float(max(low, 0.0) if lowest >= 0 else low), float(high)


def _stretched(far: float, near: float, n: int) -> float:
    # Power, offset and limit were chosen by the coverage on thirteen distributions, at 10 to
    # 10,000 values.
    heavy = far / near / n**0.5 * (1 + 20 / n) if near > far / 1e6 else 1e6
    return far * (1 + min(max(heavy**1.5 - 0.5, 0.0), 10.0))


def score_interval(
    values: np.ndarray, low: float, high: float, exact: bool, level: float
) -> tuple[float, float]:
    """Interval of the mean of values (n,) that reach from `low` to `high`.

    Were a share e of the items at a bound D away from the mean m, and the rest as seen, the mean
    were m + e D, the variance (1 - e) s² + e (1 - e) D². The end is where e D is t standard
    errors: (n + t²) D² e² - t² (D² - s²) e - t² s² = 0. For zeros and ones this is Wilson's, with
    Student's t for z; where the bounds are `exact`, not guessed, an end that rests on few items is
    that of the Poisson distribution, as in `share_interval`.
    """
    n, mean, variance = len(values), float(values.mean()), float(values.var())
    if exact and high - low <= 1e-12 * abs(high):  # nothing can differ, but for the last digit
        return min(low, mean), max(high, mean)
    t = float(student(level, n))
    moved = []
    for far in (mean - low, high - mean):
        a, b = (n + t * t) * far * far, t * t * (far * far - variance)
        share = (b + (b * b + 4 * a * t * t * variance) ** 0.5) / (2 * a) if a > 0 else 0.0
        moved.append(min(share, 1.0) * max(far, 0.0))
    ends = np.array([mean - moved[0], mean + moved[1]])
    middle = mean
    if exact:  # in shares of the way from one bound to the other
        mean, ends = (mean - low) / (high - low), (ends - low) / (high - low)
        ends = np.array(
            [rare_end(mean, n, level, ends[0]), 1 - rare_end(1 - mean, n, level, 1 - ends[1])]
        )
        ends = low + (high - low) * np.clip(ends, 0, 1)
    return min(float(ends[0]), middle), max(float(ends[1]), middle)


def _bounds(values: np.ndarray, bounds) -> tuple[float, float, bool] | None:
    """Low, high and whether these are facts; None where nothing says how far values reach."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    lowest, highest = values.min(), values.max()
    if bounds is not None:
        low, high = bounds
        if not low <= lowest + 1e-9 or not highest - 1e-9 <= high:
            raise ValueError(
                f"values reach from {lowest:g} to {highest:g}, outside bounds={shown(bounds)};"
                " give the least and the most that a value can be"
            )
        return float(min(low, lowest)), float(max(high, highest)), True
    far = np.abs(values).max()
    if far and np.isin(values, (-far, 0.0, far)).all():  # shares, and differences of shares
        if lowest < 0:
            return -float(far), float(far), True
        if far == 1 or lowest < highest:
            return 0.0, float(far), True
    if len(values) < FEWEST or lowest == highest:
        return None
    return *farthest(values), False


def _known(values) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        values = several(values, "values")
    values = real(values, "values")
    if values.ndim != 1:
        raise ValueError(f"values has {values.ndim} dimensions; give a list of one dimension")
    return values[~np.isnan(values)]


def _pair(bounds) -> tuple[float, float]:
    ends = several(bounds, "bounds")
    known = all(isinstance(end, Real) and np.isfinite(end) for end in ends)
    if known and len(ends) == 2 and ends[0] <= ends[1]:
        return float(ends[0]), float(ends[1])
    raise ValueError(
        f"bounds={shown(bounds)}; give two finite numbers, the least and the most that a value can"
        " be, such as (0, 1), or leave them out"
    )
