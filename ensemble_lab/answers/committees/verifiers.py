"""Verifiers that err: what false positives and false negatives leave of best of n.

A verifier says of each sample whether it is right. Best of n takes a sample that it accepts, and
any sample if it accepts none. The more samples there are, the likelier one is accepted, and then
only one thing counts: which share of the accepted samples is right. False positives cap it.

References
----------
Cobbe et al., Training verifiers to solve math word problems, 2021.
Stroebl, Kapoor and Narayanan, Inference scaling flaws: the limits of LLM resampling with imperfect
verifiers, 2024.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ensemble_lab.answers.committees.agreement import checked_n, none_above
from ensemble_lab.answers.committees.bits import bits
from ensemble_lab.answers.committees.solutions import Solutions
from ensemble_lab.core.errors import shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.shares import real


def verified_best_of_n(rate, n: int | float, false_positive=0.0, false_negative=0.0) -> np.ndarray:
    """The chance that best of n by an erring verifier is right: exact for independent samples.

    With p the rate, a = p (1 - f⁻) + (1 - p) f⁺ of the samples are accepted, and p (1 - f⁻) / a of
    those are right. With chance (1 - a)^n none is accepted, and of the rejected ones
    p f⁻ / (1 - a) are right.

    Parameters
    ----------
    rate : array-like
        p, the share of samples that are right, of each problem.
    n : int
        How many samples there are; `math.inf` gives the limit that no number of samples exceeds.
    false_positive, false_negative : array-like
        f⁺, the share of wrong samples that it accepts, and f⁻, of right ones that it rejects.

    Returns
    -------
    ndarray
        Of the shape that the arguments broadcast to.

    Raises
    ------
    ValueError
        A rate outside [0, 1]; n that is not a whole number from 1 up.

    Examples
    --------
    >>> verified_best_of_n(0.5, 2).item(), verified_best_of_n(0.5, float("inf"), 0.25).item()
    (0.75, 0.8)
    """
    named = {"rate": rate, "false_positive": false_positive, "false_negative": false_negative}
    p, f, g = (_share(value, name) for name, value in named.items())
    whole = isinstance(n, Integral) and not isinstance(n, bool)
    if not (whole and n >= 1) and not (isinstance(n, float) and n == np.inf):
        raise ValueError(f"n={shown(n)}; use a whole number from 1 up, or math.inf for the limit")
    accepted = p * (1 - g) + (1 - p) * f
    with np.errstate(invalid="ignore", divide="ignore"):
        right = np.where(accepted > 0, p * (1 - g) / accepted, 0.0)
        missed = np.where(accepted < 1, p * g / (1 - accepted), 0.0)
        none = np.where(accepted > 0, (1 - accepted) ** float(n), 1.0)
    return (1 - none) * right + none * missed


def verified_subsets(
    correct, n: int, false_positive: float = 0.0, false_negative: float = 0.0
) -> np.ndarray:
    """The same for n of N recorded samples: exact over all subsets and all verdicts.

    Without errors it is pass@n. Of A right and B wrong samples that are accepted, the chosen one is
    each with the same chance, unless none of them is among the n; A and B are binomial.

    Parameters
    ----------
    correct : array-like of bits (P, N)
    n : int
        From 1 to N.
    false_positive, false_negative : float

    Returns
    -------
    ndarray (P,)
        How likely the chosen sample of each problem is right.

    Raises
    ------
    ValueError
        Values that are not bits, n outside 1 to N, a rate that is not in [0, 1].
    """
    correct = bits(correct, "correct", 2)
    f, g = _rate(false_positive, "false_positive"), _rate(false_negative, "false_negative")
    N = correct.shape[1]
    absent = none_above(np.arange(N + 1)[::-1], checked_n(n, N), N)  # if so many are accepted
    accepted = np.arange(1, N + 1)
    chance = np.zeros(N + 1)  # of being right, for each number of right samples
    totals = correct.sum(axis=1)
    for c in np.unique(totals):
        right, wrong = binomial(c, 1 - g), binomial(N - c, f)
        many = np.convolve(right, wrong)  # how likely A + B = 0, 1, … are accepted
        among = np.convolve(right * np.arange(c + 1), wrong)  # and with it A
        found = (1 - absent[1:]) * among[1:] / accepted
        missed = absent[:-1] * (c * many - among)[:-1] / accepted[::-1]
        chance[c] = found.sum() + missed.sum()
    return chance[totals]


def binomial(n: int, p: float) -> np.ndarray:
    """How likely 0 to n of n independent events of chance p are (n + 1,)."""
    from scipy.special import gammaln, xlog1py, xlogy

    k = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p))


def verdicts(
    correct, false_positive: float = 0.0, false_negative: float = 0.0, seed: int = 0
) -> np.ndarray:
    """What a verifier with these error rates says of each sample: bool, of the shape of `correct`.

    Each verdict errs by itself. `best_of_n(verdicts(…), n)` is its best of n.

    Raises
    ------
    ValueError
        Values of `correct` that are not bits, a rate that is not in [0, 1].
    """
    correct = bits(correct, "correct", None)
    f, g = _rate(false_positive, "false_positive"), _rate(false_negative, "false_negative")
    u = np.random.default_rng(checked_seed(seed)).random(correct.shape)
    return np.where(correct, u >= g, u < f)


def pass_rates(solutions: Solutions):
    """How often right and wrong solutions pass true and wrong tests: a data frame of shares.

    A test as a verifier: wrong solutions that pass are its false positives, right ones that do not
    are its false negatives.

    Returns
    -------
    pandas.DataFrame
        Rows ``"true tests"`` and ``"wrong tests"``; columns ``"right solutions"`` and
        ``"wrong solutions"``. NaN where there are none.

    Raises
    ------
    ValueError
        The official grades or the true tests are not known.
    """
    import pandas as pd

    if not isinstance(solutions, Solutions) or solutions.correct is None or solutions.true is None:
        raise ValueError("correct or true is not known; give Solutions(…, correct=…, true=…)")
    right = solutions.correct[solutions.problem]  # (t, n)
    found = pd.DataFrame(
        index=["true tests", "wrong tests"], columns=["right solutions", "wrong solutions"]
    )
    for row, tests in zip(found.index, (solutions.true, ~solutions.true), strict=True):
        for column, kind in zip(found.columns, (right, ~right), strict=True):
            cells = solutions.passes[tests][kind[tests]]
            found.loc[row, column] = cells.mean() if cells.size else np.nan
    return found.astype(float)


def _rate(value, what: str) -> float:
    array = _share(value, what)
    if array.ndim:
        raise ValueError(f"{what} is {shown(value)}; give one number")
    return float(array)


def _share(value, what: str) -> np.ndarray:
    array = real(value, what)
    outside = ~((array >= 0) & (array <= 1))
    if outside.any():
        raise ValueError(f"{what}={shown(array[outside].flat[0])}; give a share in [0, 1]")
    return array
