"""How good generated rows are: modes, the Fréchet distance, precision and recall."""

from __future__ import annotations

import math
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import xlogy

from ensemble_lab.core.errors import shown
from ensemble_lab.training.adversarial.rows import check_alike, checked_rows
from ensemble_lab.training.another_output.rules import count

GOOD = 3  # standard deviations from a centre, within which a sample is good
SLAB = 1_000  # rows whose distances to all others are in memory at once


class Modes(NamedTuple):
    """Which modes samples reach.

    Parameters
    ----------
    covered : int
        Modes with one good sample or more.
    good : float
        The share of samples that are good.
    divergence : float
        Kullback-Leibler divergence of the good samples' modes from equally likely ones, in nats: 0
        where all modes have as many, log(modes) where one has all; NaN without a good sample.
    counts : (modes,) array of int
        Good samples of each mode.
    """

    covered: int
    good: float
    divergence: float
    counts: np.ndarray


def modes_covered(samples, centres, sd: float) -> Modes:
    """Count the modes that samples reach, and how evenly.

    A sample is good within 3 standard deviations of the nearest centre, and counts for that mode.
    One good sample covers a mode, so the count grows with the number of samples: compare at equal
    numbers, such as VEEGAN's 2,500.

    Parameters
    ----------
    samples : (n, d) array
    centres : (modes, d) array
    sd : float
        Standard deviation of a mode in each direction.

    Raises
    ------
    ValueError
        Columns that do not fit, NaN, no sample, equal centres, or an `sd` that is not finite and
        above 0.

    References
    ----------
    Srivastava et al., VEEGAN: reducing mode collapse in GANs using implicit variational learning,
    NeurIPS 2017.

    Examples
    --------
    >>> samples = [[0.0, 0.1], [0.2, 0.0], [5.0, 0.0], [2.0, 2.0]]
    >>> found = modes_covered(samples, [[0, 0], [5, 0]], sd=0.1)
    >>> found.covered, found.good, found.counts.tolist()
    (2, 0.75, [2, 1])
    """
    check_alike(centres, samples, "samples", "centres")
    centres = checked_rows(centres, "centres")
    samples = checked_rows(samples, "samples", columns=centres.shape[1])
    if isinstance(sd, bool) or not isinstance(sd, Real) or not 0 < sd < math.inf:
        raise ValueError(f"sd={shown(sd)}: use a finite number above 0")
    if len(np.unique(centres, axis=0)) < len(centres):
        raise ValueError("two centres are equal, so one would never be covered: give each once")
    apart = cdist(samples, centres)  # (n, modes)
    good = apart.min(1) <= GOOD * sd
    counts = np.bincount(apart.argmin(1)[good], minlength=len(centres))
    shares = counts / max(counts.sum(), 1)
    divergence = float(xlogy(shares, shares * len(centres)).sum()) if good.any() else math.nan
    return Modes(int((counts > 0).sum()), float(good.mean()), divergence, counts)


def frechet_distance(X, Y) -> float:
    """The squared Fréchet distance of two Gaussians with the means and covariances of rows.

    |m_X - m_Y|^2 + tr(S_X + S_Y - 2 (S_X S_Y)^{1/2}), with unbiased covariances. On features of an
    Inception network this is the FID. It sees means and covariances only: other distributions with
    the same ones are at distance 0.

    It is biased upwards, the more the fewer the rows and the more the columns: rows of one
    distribution are not at distance 0 from others of it. So compare at equal numbers of rows, and
    beside the distance of real rows from as many other real rows.

    Parameters
    ----------
    X : (n, d) array
    Y : (k, d) array
        2 rows or more each; with fewer rows than columns too, without complex numbers.

    Raises
    ------
    ValueError
        Columns that do not fit, NaN, or one row, which has no covariance.

    References
    ----------
    Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium, NeurIPS 2017. Chong and Forsyth, Effectively unbiased FID and Inception score and
    where to find them, CVPR 2020 (the bias).

    Examples
    --------
    >>> round(frechet_distance([[0.0], [2.0]], [[3.0], [7.0]]), 9)  # (1 - 5)^2 + (√2 - √8)^2
    18.0
    """
    check_alike(X, Y, "Y", "X")
    X = checked_rows(X, "X", least=2)
    Y = checked_rows(Y, "Y", least=2, columns=X.shape[1])
    # S = Rᵀ R for each, so the trace of (S_X S_Y)^{1/2} is the sum of the singular values of
    # R_X R_Yᵀ: no square root of a matrix, whose rounding makes complex numbers of small negatives.
    R_X, R_Y = (np.linalg.qr((Z - Z.mean(0)) / math.sqrt(len(Z) - 1), mode="r") for Z in (X, Y))
    both = np.linalg.svd(R_X @ R_Y.T, compute_uv=False).sum()
    means = ((X.mean(0) - Y.mean(0)) ** 2).sum()
    return max(0.0, float(means + (R_X**2).sum() + (R_Y**2).sum() - 2 * both))


class PrecisionRecall(NamedTuple):
    """How real fake rows look, and how much of the real rows they reach.

    Parameters
    ----------
    precision : float
        The share of fake rows in the ball of a real row.
    recall : float
        The share of real rows in the ball of a fake row.
    density : float
        Balls of real rows that a fake row is in, over k, on average; it may exceed 1.
    coverage : float
        The share of real rows whose ball has a fake row in it.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real, fake, k: int = 5) -> PrecisionRecall:
    """Precision, recall, density and coverage by balls around rows.

    The ball of a row reaches to its k-th nearest neighbour of its own kind, which is outside: rows
    that are repeated more than k times have empty balls.

    Parameters
    ----------
    real : (n, d) array
    fake : (m, d) array
    k : int
        Fewer than there are rows of either kind.

    Raises
    ------
    ValueError
        Columns that do not fit, NaN, or not more than k rows of a kind.

    References
    ----------
    Kynkäänniemi et al., Improved precision and recall metric for assessing generative models,
    NeurIPS 2019. Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML
    2020 (density and coverage), whose package `prdc` gives the same numbers.

    Examples
    --------
    >>> real = [[0.0], [1.0], [2.0], [9.0]]
    >>> found = precision_recall(real, fake=[[0.5], [1.5], [20.0]], k=1)
    >>> [round(number, 3) for number in found]
    [0.667, 1.0, 1.333, 0.75]
    """
    least = count(k, "k") + 1
    check_alike(real, fake, "fake", "real")
    real = checked_rows(real, "real")
    fake = checked_rows(fake, "fake", columns=real.shape[1])
    for name, rows in (("real", real), ("fake", fake)):
        if len(rows) < least:
            raise ValueError(
                f"{name} has {len(rows)} rows, and k={k} neighbours of one need {least}: give more"
                " rows, or a smaller k"
            )
    of_real, of_fake = _radii(real, k), _radii(fake, k)
    balls = np.zeros(len(fake), int)  # of real rows, that each fake row is in
    recalled, covered = [], []
    for start in range(0, len(real), SLAB):
        apart = cdist(real[start : start + SLAB], fake)
        inside = apart < of_real[start : start + SLAB, None]
        balls += inside.sum(0)
        recalled.append((apart < of_fake).any(1))
        covered.append(inside.any(1))
    return PrecisionRecall(
        float((balls > 0).mean()),
        float(np.concatenate(recalled).mean()),
        float(balls.mean() / k),
        float(np.concatenate(covered).mean()),
    )


def _radii(X: np.ndarray, k: int) -> np.ndarray:
    """The distance (n,) of each row from its k-th nearest other row."""
    slabs = (cdist(X[start : start + SLAB], X) for start in range(0, len(X), SLAB))
    # Each row is among the rows too, at distance 0, so its k-th other one is in place k from 0.
    return np.concatenate([np.partition(slab, k, axis=1)[:, k] for slab in slabs])
