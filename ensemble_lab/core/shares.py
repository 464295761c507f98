"""Intervals of a share: how many of n items, and how far that tells."""

from __future__ import annotations

from numbers import Real
from statistics import NormalDist

import numpy as np

from ensemble_lab.core.errors import shown

SAFE_FROM = 30  # items: from here on the interval of a share is guarded
RARE = 8  # items: an end that rests on so few is that of the Poisson distribution


def wilson(mean, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share `mean` of `n` items (Wilson, 1927); arrays broadcast.

    It stays inside [0, 1] and holds near 0 and 1, where mean ± z s/√n does not; at single rates it
    holds less often than it says (`share_interval`).

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.

    Raises
    ------
    ValueError
        A mean outside [0, 1], such as one in per cent; fewer than no items.
    """
    return _wilson(_share(mean), _count(n), NormalDist().inv_cdf(_upper(level)))


def share_interval(mean, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share, made safe from 30 items on; arrays broadcast.

    Wilson's alone holds in 92 % of the tables of 100 items where the rate is .99, and in as few as
    89 % where one or two of 30 are wrong. Here Student's t stands for the normal quantile, and an
    end that rests on eight items or fewer is that of the Poisson distribution (Brown, Cai and
    DasGupta, 2001): that holds in 93 % or more at every rate from .5 to .99. Of fewer than 30 items
    it is Wilson's.

    Parameters, results and errors are those of `wilson`.
    """
    mean, n = np.broadcast_arrays(_share(mean), _count(n))
    low, high = (np.array(end) for end in wilson(mean, n, level))
    many = n >= SAFE_FROM
    if not many.any():
        return low, high
    share, items = mean[many], n[many]
    ends = _wilson(share, items, student(level, items))
    low[many] = rare_end(share, items, level, ends[0])
    high[many] = 1 - rare_end(1 - share, items, level, 1 - ends[1])
    return low, high


def _wilson(mean: np.ndarray, n: np.ndarray, z) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
    # Rounding must not carry an end past its bound or the mean.
    return np.clip(centre - half, 0.0, mean), np.clip(centre + half, mean, 1.0)


def rare_end(share, n, level: float, low) -> np.ndarray:
    """The lower end `low` of a share, by the Poisson distribution where it rests on few items."""
    share, n, low = np.broadcast_arrays(share, n, low)
    few = (share > 0) & (share * n < RARE + 0.5)  # whole items, but for the last digit
    if not few.any():
        return low
    from scipy.special import gammaincinv

    found = np.array(low)
    found[few] = np.minimum(low[few], gammaincinv(share[few] * n[few], 1 - level) / n[few])
    return found


def _share(mean) -> np.ndarray:
    mean = real(mean, "mean")
    outside = (mean < -1e-9) | (mean > 1 + 1e-9)  # sums of shares end a digit beside 0 and 1
    if outside.any():
        raise ValueError(f"mean={mean[outside].flat[0]:g} is outside [0, 1]; give a share")
    return np.clip(mean, 0, 1)


def _count(n) -> np.ndarray:
    n = real(n, "n")
    if (n < 0).any():
        raise ValueError(f"n={shown(n[n < 0].flat[0])} items; give how many there are")
    return n


def real(values, what: str) -> np.ndarray:
    """Numbers of any shape as floats, None as NaN.

    Raises
    ------
    ValueError
        Text, complex numbers, or what is no number.
    """
    try:
        array = np.asarray(values)
        odd = str | bytes | complex | np.complexfloating
        if array.dtype.kind in "biuf" or (
            array.dtype.kind == "O" and not any(isinstance(one, odd) for one in array.flat)
        ):
            return array.astype(float, copy=False)
    except (TypeError, ValueError, OverflowError):  # lists of several lengths, a number too large
        pass
    raise ValueError(f"{what} holds {shown(values)}; give numbers")


def student(level: float, n) -> np.ndarray:
    """Student's quantile for the mean of n values."""
    from scipy.special import stdtrit

    sizes, place = np.unique(n, return_inverse=True)  # thousands of settings have few sizes
    return stdtrit(np.maximum(sizes - 1, 1), _upper(level))[place].reshape(np.shape(n))


def _upper(level: float) -> float:
    return 0.5 + checked_level(level) / 2


def checked_level(level: float) -> float:
    """`level`, where it is a share."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level={shown(level)}; give a float in (0, 1), such as 0.95")
    return float(level)
