"""Collapse on a line: a Gaussian that is fitted to samples of the Gaussian before it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.training.another_output.rules import ACCUMULATE, check_room, count, parts_of


class ExpectedGaussian(NamedTuple):
    """What is expected of the Gaussian of each generation; the real one has mean 0, variance 1.

    Parameters
    ----------
    error : (g + 1,) array
        Expected squared distance of its mean from the real mean.
    variance : (g + 1,) array
        Its expected variance.
    """

    error: np.ndarray
    variance: np.ndarray


class GaussianChains(NamedTuple):
    """Means and variances (runs, g + 1) of the Gaussians of r chains."""

    means: np.ndarray
    variances: np.ndarray


def log_variance_drift(samples: int) -> float:
    """By how much the expected logarithm of the variance changes in one generation: below 0.

    The unbiased variance of M samples is sigma^2 times a chi-squared of M - 1 degrees of freedom
    over M - 1, whose logarithm has the mean psi((M - 1) / 2) - log((M - 1) / 2): about
    -1 / (M - 1). So the variance tends to 0 in every chain, although its mean over all chains stays
    the same.

    References
    ----------
    Shumailov et al., AI models collapse when trained on recursively generated data, Nature 2024.

    Examples
    --------
    >>> round(log_variance_drift(10), 5)
    -0.11521
    """
    half = (count(samples, "samples", 2) - 1) / 2
    return float(digamma(half) - np.log(half))


def expected_gaussian(samples: int, generations: int, keep="replace") -> ExpectedGaussian:
    """Expected error of the mean and expected variance, exactly.

    Replaced, the error grows by 1 / M a generation without end. Accumulated, it stays below
    pi^2 / 6 times 1 / M, since the n-th generation moves the mean of all data by only 1 / n of it.

    Parameters
    ----------
    samples : int
        M, from 2 up: what each generation writes.
    generations : int
        g. Generation 0 is the real Gaussian.
    keep : {"replace", "accumulate"} or float
        What a generation learns from: the last one's samples, all samples so far, or a share of
        real ones in each generation.

    Raises
    ------
    ValueError
        Fewer than 2 samples, which have no variance, no generation, or another rule.

    References
    ----------
    Gerstgrasser et al., Is model collapse inevitable?, COLM 2024.

    Examples
    --------
    >>> expected_gaussian(10, 3).error.round(3).tolist()
    [0.0, 0.1, 0.2, 0.3]
    >>> expected_gaussian(10, 3, "accumulate").error.round(3).tolist()
    [0.0, 0.1, 0.125, 0.136]
    """
    m, last = count(samples, "samples", 2), count(generations, "generations")
    a, b = parts_of(keep, m)
    error, variance = [0.0], [1.0]
    for n in range(1, last + 1):
        e, v = error[-1], variance[-1]
        if keep == ACCUMULATE:
            error.append(e + v / (m * n * n))
            variance.append(v * (1 - 1 / (n * (n * m - 1))) if n > 1 else v)
            continue
        # a samples around the last mean, b around the real one; their means differ by `apart`.
        apart = e + (v / a if a else 0) + (1 / b if b else 0)
        within = (a - 1) * v * (a > 0) + (b - 1) * (b > 0)
        error.append((a / m) ** 2 * e + (a * v + b) / m**2)
        variance.append((within + a * b / m * apart) / (m - 1))
    return ExpectedGaussian(np.array(error), np.array(variance))


def gaussian_chains(
    samples: int, generations: int, keep="replace", runs: int = 1000, seed: int = 0
) -> GaussianChains:
    """Chains of fits, each of the unbiased mean and variance of samples of the last.

    Samples are not drawn one by one: the mean of M of them is Gaussian, and the sum of their
    squared distances from it is chi-squared, independent of it.

    Parameters
    ----------
    samples, generations, keep
        As for `expected_gaussian`.
    runs : int
    seed : int

    Raises
    ------
    ValueError
        As for `expected_gaussian`; no run, or a seed that is not a whole number from 0 up.
    """
    m, last = count(samples, "samples", 2), count(generations, "generations")
    a, b = parts_of(keep, m)
    rng, shape = np.random.default_rng(checked_seed(seed)), (count(runs, "runs"), last + 1)
    check_room(shape[0] * shape[1], "give fewer runs or generations")
    means, variances = np.zeros(shape), np.ones(shape)
    data = _nothing(shape[0])
    for n in range(1, last + 1):
        new = _drawn(rng, a, means[:, n - 1], variances[:, n - 1])
        real = _drawn(rng, b, np.zeros(shape[0]), np.ones(shape[0]))
        data = _joined(data if keep == ACCUMULATE else _nothing(shape[0]), _joined(new, real))
        size, means[:, n], squares = data
        variances[:, n] = squares / (size - 1)
    return GaussianChains(means, variances)


Data = tuple[int, np.ndarray, np.ndarray]  # size, mean (r,), sum of squared distances from it (r,)


def _nothing(runs: int) -> Data:
    return 0, np.zeros(runs), np.zeros(runs)


def _drawn(rng, size: int, mean: np.ndarray, variance: np.ndarray) -> Data:
    """`size` samples of each run's Gaussian."""
    if not size:
        return _nothing(len(mean))
    spread = 2 * rng.standard_gamma((size - 1) / 2, len(mean))  # chi-squared
    return size, rng.normal(mean, np.sqrt(variance / size)), variance * spread


def _joined(first: Data, second: Data) -> Data:
    """Two lots of data as one (Chan, Golub and LeVeque, 1983)."""
    (a, mean, squares), (b, other, more) = first, second
    if not a or not b:
        return first if a else second
    apart = other - mean
    return a + b, mean + apart * b / (a + b), squares + more + apart**2 * a * b / (a + b)
