"""Which rows and columns each member learns from, and what a mean of members can win."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils.random import sample_without_replacement

from ensemble_lab.core.errors import shown


def drawn(rng: np.random.RandomState, population: int, size: int, replace: bool) -> np.ndarray:
    """Indices (size,) out of `population`, as scikit-learn's bagging draws them."""
    if replace:
        return rng.randint(0, population, size)
    return sample_without_replacement(population, size, random_state=rng)


def size_of(share: float | int, population: int, what: str) -> int:
    """How many a share or a number is of `population`, which is 1 or more.

    Raises
    ------
    ValueError
        None, or more than there are, and what would do.
    """
    whole = isinstance(share, Integral)
    if (
        isinstance(share, bool)
        or not isinstance(share, Real)
        or not 0 < share <= (population if whole else 1.0)
    ):
        raise ValueError(
            f"{what}={shown(share)}: use a share above 0 and up to 1.0, or a number from 1 to"
            f" {population:d}"
        )
    return int(share) if whole else max(int(share * population), 1)


def outside(samples: list[np.ndarray], n: int) -> np.ndarray:
    """Which of n rows each member did not learn from: (m, n) of bool, its out-of-bag rows."""
    return np.stack([np.bincount(rows, minlength=n) == 0 for rows in samples])


def variance_of_mean(sigma2: float, rho: float, m: int) -> float:
    """Variance of the mean of m members of variance `sigma2`, correlated by `rho` in pairs.

    It falls with m, though never below rho sigma2: what members have in common stays.

    Raises
    ------
    ValueError
        A correlation that m members cannot have, a negative variance, or no members.

    References
    ----------
    Breiman, Random forests, Machine Learning 2001.

    Examples
    --------
    >>> variance_of_mean(1.0, rho=0.5, m=4)
    0.625
    """
    whole = isinstance(m, Integral) and not isinstance(m, bool) and m >= 1
    if not whole or not isinstance(sigma2, Real) or not 0 <= sigma2 < np.inf:
        raise ValueError(
            f"m={shown(m)}, sigma2={shown(sigma2)}: use 1 or more members of a variance from 0 up"
        )
    least = -1 / (m - 1) if m > 1 else -1.0
    if not isinstance(rho, Real) or not least <= rho <= 1:
        raise ValueError(f"rho={shown(rho)}: {m:d} members are correlated by {least:.3g} to 1")
    return rho * sigma2 + (1 - rho) * sigma2 / m
