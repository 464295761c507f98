"""Intervals for means that hold as often as they say, also where what matters is rare.

A sample shows nothing of what it did not happen to hold: thirty right answers say [1, 1] to a
bootstrap, and thirty cheap calls say that nobody is ever sent to the dear model. So every interval
here knows how far values can reach, from what is possible (a share lies in [0, 1], an item costs at
least the first call and at most all of them) or, where nobody knows, from a little beyond what was
seen. `tests/nightly/test_coverage.py` simulates how often they hold.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from ensemble_lab.core.errors import several, shown

FEWEST = 10
"""Values that differ: of fewer, no interval holds as often as it says, and both ends are NaN."""
RARE = 8  # items: an end that rests on so few is that of Poisson's law


def wilson(mean, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share `mean` of `n` items (Wilson, 1927); arrays broadcast.

    It stays inside [0, 1] and holds near 0 and 1, where mean ± z s/√n does not. At single rates,
    where one or two of 30 to 100 items are wrong, it holds in as few as 90 % of the tables;
    `mean_interval` of the items, with bounds (0, 1), is wider there and holds in 93 %.

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.

    Raises
    ------
    ValueError
        A mean outside [0, 1], such as one in per cent; fewer than no items.
    """
    z = NormalDist().inv_cdf(_upper(level))
    mean, n = _share(mean), np.asarray(n, float)
    if (n < 0).any():
        raise ValueError(f"n={shown(n[n < 0].flat[0])} items; give how many there are")
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
    # Rounding must not carry an end past its bound or the mean.
    return np.clip(centre - half, 0.0, mean), np.clip(centre + half, mean, 1.0)


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
        A value outside of the bounds.
    """
    values, level = _known(values), _checked(level)
    reach = _bounds(values, bounds)
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
    items are paired. Parameters, NaN and errors are as in `mean_interval`.
    """
    values, level = _known(values), _checked(level)
    reach = _bounds(values, bounds)
    if reach is None:
        return np.nan, np.nan
    return resampled(values, score_interval(values, *reach, level), level, resamples, seed)


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
    # Power, offset and limit were chosen by the coverage of thirteen laws at 10 to 10,000 values.
    heavy = far / near / n**0.5 * (1 + 20 / n) if near > far / 1e6 else 1e6
    return far * (1 + min(max(heavy**1.5 - 0.5, 0.0), 10.0))


def score_interval(
    values: np.ndarray, low: float, high: float, exact: bool, level: float
) -> tuple[float, float]:
    """Interval of the mean of values (n,) that reach from `low` to `high`.

    Were a share e of the items at a bound D away from the mean m, and the rest as seen, the mean
    were m + e D, the variance (1 - e) s² + e (1 - e) D². The end is where e D is t standard
    errors: (n + t²) D² e² - t² (D² - s²) e - t² s² = 0. For zeros and ones this is Wilson's, with
    Student's t for z. Where the bounds are `exact`, not guessed, an end that rests on eight items
    or fewer is that of Poisson's law (Brown, Cai and DasGupta, 2001): with both it holds in 93 % or
    more at every rate from .5 to .99, from 30 items on.
    """
    n, mean, variance = len(values), float(values.mean()), float(values.var())
    if exact and high - low <= 1e-12 * abs(high):  # nothing can differ, but for the last digit
        return min(low, mean), max(high, mean)
    t = _t(level, n)
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
            [_rare(mean, n, level, ends[0]), 1 - _rare(1 - mean, n, level, 1 - ends[1])]
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
                f"values reach from {lowest:g} to {highest:g}, outside {shown(bounds)}"
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


def _rare(share: float, n: int, level: float, low: float) -> float:
    """The lower end `low` of a share, by Poisson's law where it rests on few items."""
    if not 0 < share * n < RARE + 0.5:  # whole items, but for the last digit
        return low
    from scipy.special import gammaincinv

    return min(low, float(gammaincinv(share * n, 1 - level)) / n)


def _share(mean) -> np.ndarray:
    mean = np.asarray(mean, float)
    outside = (mean < -1e-9) | (mean > 1 + 1e-9)  # sums of shares end a digit beside 0 and 1
    if outside.any():
        raise ValueError(f"mean={mean[outside].flat[0]:g} is outside [0, 1]; give a share")
    return np.clip(mean, 0, 1)


def _known(values) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        values = several(values, "values")
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"values holds {shown(values)}; give numbers") from None
    return values[~np.isnan(values)]


def _t(level: float, n: int) -> float:
    """Student's quantile for the mean of n values."""
    from scipy.special import stdtrit

    return float(stdtrit(max(n - 1, 1), _upper(level)))


def _upper(level: float) -> float:
    return 0.5 + _checked(level) / 2


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level={shown(level)} is outside (0, 1); 0.95 is usual")
    return level
