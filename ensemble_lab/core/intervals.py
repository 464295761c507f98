"""Intervals for means: analytic while a slider moves, bootstrapped at rest."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def wilson(mean, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share `mean` of `n` items (Wilson, 1927); arrays broadcast.

    It stays inside [0, 1] and holds near 0 and 1, where mean ± z s/√n does not.

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.
    """
    z = NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    mean, n = np.asarray(mean, float), np.asarray(n, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
    return centre - half, centre + half


def mean_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Normal interval of the mean of `values` (n,); NaN entries are left out."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return np.nan, np.nan
    half = NormalDist().inv_cdf(0.5 + _checked(level) / 2) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap(values, level: float = 0.95, resamples: int = 2000, seed: int = 0):
    """Percentile bootstrap interval of the mean of `values` (n,) (Efron, 1979).

    For the difference of two policies pass their item-wise difference: the items are paired.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    # In slabs of 50 resamples, so that memory stays small.
    means = [
        rng.choice(values, size=(min(50, resamples - start), len(values))).mean(axis=1)
        for start in range(0, resamples, 50)
    ]
    tail = (1 - _checked(level)) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level={level} is outside (0, 1); 0.95 is usual")
    return level
