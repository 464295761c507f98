"""What chance gives: the noise floor of a router's curve, and the difference of two routers.

A random order of n items takes them without replacement. With d = strong - weak, its mean D and its
variance V (divided by n), the gain of the first k items has the mean k D and the variance
k (n - k) V / (n - 1) (Cochran, Sampling techniques, 1977, chapter 2).

References
----------
Fieller, Some problems in interval estimation, Journal of the Royal Statistical Society B 16, 1954.
Serfling, Approximation theorems of mathematical statistics, 1980, chapter 5 (V-statistics).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.intervals import FEWEST, checked_seed
from ensemble_lab.core.shares import checked_level, real, student
from ensemble_lab.instruments.metrics.checked import check_gap, in_unit, per_item

RESAMPLES = 2000


class Difference(NamedTuple):
    """A difference of two routers and its interval."""

    difference: float
    low: float
    high: float


def noise_floor(weak, strong) -> float:
    """Standard deviation of the APGR of a random order; its mean is exactly 0.5.

    An item at rank r adds d (n - r + 1/2) / n² to the area, so the variance over all orders is
    (n + 1) V / (12 n² D²). This is near V / (12 n D²).

    Parameters
    ----------
    weak, strong : array-like (n,)
        How right each model's answer is, in [0, 1].

    Raises
    ------
    ValueError
        As for `apgr`.

    Examples
    --------
    >>> round(noise_floor(weak=[0, 1, 0, 0], strong=[1, 1, 0, 1]), 3)
    0.161
    """
    weak, strong = per_item(weak, strong)
    check_gap(weak.mean(), strong.mean())
    n, gain = len(weak), strong - weak
    return float(np.sqrt((n + 1) * gain.var() / 12) / (n * gain.mean()))


def noise_band(weak, strong, share, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies between which a random order lies, behind the `curve` of a router.

    At the share x of calls a random order has the mean accuracy weak + x D and the variance
    x (1 - x) V / (n - 1), exact where x n is a whole number. The ends are those of the normal
    distribution. They hold for each share alone: a random order leaves the band somewhere more
    often than at a given share.

    Parameters
    ----------
    weak, strong : array-like (n,)
        How right each model's answer is, in [0, 1].
    share : float or array-like, any shape
        Shares of the items that the strong model answers.
    level : float

    Returns
    -------
    low, high : ndarray, the shape of `share`

    Raises
    ------
    ValueError
        As for `curve`; a share outside [0, 1] or a level outside (0, 1).
    """
    weak, strong = per_item(weak, strong)
    share, level = in_unit(real(share, "share"), "share"), checked_level(level)
    gain = strong - weak
    # One item has no spread: its variance is 0.
    spread = np.sqrt(share * (1 - share) * gain.var() / max(len(gain) - 1, 1))
    half = NormalDist().inv_cdf(0.5 + level / 2) * spread
    middle = weak.mean() + share * gain.mean()
    return middle - half, middle + half


def apgr_difference(
    first, second, weak, strong, level: float = 0.95, seed: int | None = None
) -> Difference:
    """APGR of the scores `first` minus that of `second`, with an interval, paired over items.

    With the mid-rank F of an item (the share of items below it, equal ones half), APGR is
    mean(d F) / mean(d), so the difference is a ratio of two means over the same items. The interval
    is Fieller's with the linear parts of both; in simulation it holds the true difference in 95 %
    of the samples of 100 to 1,000 items. Constant scores have an APGR of 0.5: as `second`
    they give the interval of one router against chance.

    Parameters
    ----------
    first, second : array-like (n,)
        Scores of two routers, as for `curve`.
    weak, strong : array-like (n,)
        How right each model's answer is, in [0, 1].
    level : float
    seed : int, optional
        Also resample the items 2,000 times: the interval is then at least as wide as that of the
        bootstrap's percentiles. Resamples in which the strong model is not better are left out.

    Returns
    -------
    difference, low, high : float
        Both ends are NaN where no valid interval exists: the models differ on fewer than ten items,
        or the lead of the strong model is itself not certain at this level.

    Raises
    ------
    ValueError
        As for `apgr`; a level outside (0, 1), a seed that is not a whole number from 0 up.
    """
    first, second, weak, strong = per_item(weak, strong, first=first, second=second)
    check_gap(weak.mean(), strong.mean())
    level, seed = checked_level(level), None if seed is None else checked_seed(seed)
    gain, n = strong - weak, len(weak)
    ranks = _mid_ranks(first) - _mid_ranks(second)
    found = float(gain @ ranks / gain.sum())
    if np.count_nonzero(gain) < FEWEST:
        return Difference(found, np.nan, np.nan)
    # The mean of d F changes with an item by its own rank, and by the gain of the items above it.
    linear = gain * ranks + _gain_above(first, gain) - _gain_above(second, gain)
    low, high = _fieller(linear, gain, found, float(student(level, n)))
    if seed is not None and low == low:
        resampled = _bootstrap(first, second, gain, seed)
        ends = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Difference(found, low, high)


def _mid_ranks(scores: np.ndarray) -> np.ndarray:
    """Share (n,) of the items with a lower score than each, those with an equal one half."""
    _, place = np.unique(scores, return_inverse=True)
    many = np.bincount(place)
    return ((np.cumsum(many) - many / 2) / len(scores))[place]


def _gain_above(scores: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Sum of gain / n (n,) over the items with a higher score, those with an equal one half."""
    _, place = np.unique(-scores, return_inverse=True)
    many = np.bincount(place, gain)
    return ((np.cumsum(many) - many / 2) / len(gain))[place]


def _fieller(above: np.ndarray, below: np.ndarray, ratio: float, t: float) -> tuple[float, float]:
    """The ratios r for which the mean of above - r below is at most t standard errors from 0.

    `above` (n,) are linear parts, known up to a constant; the estimate is `ratio`.
    """
    n, mean = len(below), below.mean()
    (aa, ab), (_, bb) = np.cov(above, below) * t * t / n
    a, b, c = mean**2 - bb, ratio * mean**2 - ab, (ratio * mean) ** 2 - aa
    if a <= 0:
        return np.nan, np.nan
    root = np.sqrt(max(b * b - a * c, 0.0))
    return float(min((b - root) / a, ratio)), float(max((b + root) / a, ratio))


def _bootstrap(first, second, gain: np.ndarray, seed: int) -> np.ndarray:
    """The difference in resamples of the items; NaN where the strong model is not better."""
    rng, n = np.random.default_rng(seed), len(gain)
    places = [np.unique(scores, return_inverse=True)[1] for scores in (first, second)]
    found = np.full(RESAMPLES, np.nan)
    for i in range(RESAMPLES):
        times = np.bincount(rng.integers(n, size=n), minlength=n)
        weighted = times * gain
        if (total := weighted.sum()) > 0:
            one, other = (_area(place, times, weighted) for place in places)
            found[i] = (one - other) / (total * n)
    return found


def _area(place: np.ndarray, times: np.ndarray, weighted: np.ndarray) -> float:
    """Sum of the gain of each score, `weighted`, times the number of items below it."""
    many = np.bincount(place, times)
    return float(np.bincount(place, weighted) @ (np.cumsum(many) - many / 2))
