"""Intervals for means: analytic while a slider moves, bootstrapped at rest."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from ensemble_lab.core.errors import several, shown


def wilson(mean, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share `mean` of `n` items (Wilson, 1927); arrays broadcast.

    It stays inside [0, 1] and holds near 0 and 1, where mean ± z s/√n does not.

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.

    Raises
    ------
    ValueError
        A mean outside [0, 1], such as one in per cent.
    """
    z = NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    mean, n = np.asarray(mean, float), np.asarray(n, float)
    outside = (mean < -1e-9) | (mean > 1 + 1e-9)  # sums of shares end a digit beside 0 and 1
    if outside.any():
        raise ValueError(f"mean={mean[outside].flat[0]:g} is outside [0, 1]; give a share")
    mean = np.clip(mean, 0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
    return centre - half, centre + half


def mean_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Normal interval of the mean of `values` (n,).

    NaN entries are left out, as for answers that nobody graded: for costs ask `Decision.interval`,
    which knows no mean where a price is missing. Both ends are NaN for fewer than two values.
    """
    values, z = _known(values), NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    if len(values) < 2:
        return np.nan, np.nan
    half = z * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap(values, level: float = 0.95, resamples: int = 2000, seed: int = 0):
    """Percentile bootstrap interval of the mean of `values` (n,) (Efron, 1979).

    For the difference of two policies pass their item-wise difference: the items are paired. NaN
    entries are left out, and both ends are NaN for fewer than two values, as in `mean_interval`.
    """
    values, tail = _known(values), (1 - _checked(level)) / 2
    if len(values) < 2:  # one value, drawn again and again, shows no spread
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    # In slabs of 50 resamples, so that memory stays small.
    means = [
        rng.choice(values, size=(min(50, resamples - start), len(values))).mean(axis=1)
        for start in range(0, resamples, 50)
    ]
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _known(values) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        values = several(values, "values")
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level={shown(level)} is outside (0, 1); 0.95 is usual")
    return level
