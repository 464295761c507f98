"""Which of many solutions to hand in, when only generated tests are there to judge them.

Every rule gives each solution a score, and `best_of_n` chooses the highest. With s the number of
solutions that behave like this one and t the number of tests that it passes, the score is s^a t:
best of n by tests for a = 0, CodeT's published script for a = 1/2, CodeT's paper for a = 1. Without
t it is the largest group, a vote among behaviours.

What is returned is how likely each solution is to be chosen (P, n). Equal scores are equally
likely, so where nothing is passed all solutions are: chance.

References
----------
Chen et al., CodeT: code generation with generated tests, ICLR 2023.
Li et al., Competition-level code generation with AlphaCode, Science 378, 2022.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from ensemble_lab.answers.committees.bits import whole
from ensemble_lab.answers.committees.solutions import NOTHING, Solutions
from ensemble_lab.core.errors import shown
from ensemble_lab.core.shares import real


def best_of_n(score, n: int | None = None) -> np.ndarray:
    """How likely each of N samples is the best of n: exact over all subsets of n samples.

    With L samples below a sample's score and E at it (itself included), the best of n is among
    those E with probability [C(L + E, n) - C(L, n)] / C(N, n), and each of them is as likely.
    `BestOfN` is the policy that chooses among the answers of a table.

    Parameters
    ----------
    score : array-like (P, N)
        Of each sample; higher is better. Scores that differ by rounding only are equal.
    n : int, optional
        How many samples are drawn, from 1 to N; all, if not given.

    Returns
    -------
    ndarray (P, N)
        Each row sums to 1.

    Raises
    ------
    ValueError
        A score that is not a number, or n outside 1 to N.

    Examples
    --------
    >>> best_of_n([[1, 2, 3]], 2).round(3).tolist()
    [[0.0, 0.333, 0.667]]
    """
    score = real(score, "score")
    if score.ndim != 2 or not score.size:
        raise ValueError(f"score has shape {score.shape}; give (problems, samples)")
    if np.isnan(score).any():
        raise ValueError("score holds NaN; give each sample a number, the lowest where unknown")
    N = score.shape[1]
    n = N if n is None else checked_n(n, N)
    mantissa, exponent = np.frexp(score)
    score = np.ldexp(np.round(mantissa, 12), exponent)  # rounding is no difference
    below, upto = np.empty(score.shape, int), np.empty(score.shape, int)
    for p, row in enumerate(score):
        ranked = np.sort(row)
        below[p] = np.searchsorted(ranked, row, "left")
        upto[p] = np.searchsorted(ranked, row, "right")
    return (none_above(upto, n, N) - none_above(below, n, N)) / (upto - below)


def checked_n(n, N: int) -> int:
    """`n`, checked to be a number of samples out of N."""
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= N:
        raise ValueError(f"n={shown(n)}; there are {N} samples, use a whole number from 1 to {N}")
    return int(n)


def none_above(k: np.ndarray, n: int, N: int) -> np.ndarray:
    """C(k, n) / C(N, n): the chance that n of N samples are all among k certain ones."""
    table = np.ones(N + 1)
    for i in range(n):
        table *= np.maximum(np.arange(N + 1) - i, 0) / (N - i)
    return table[k]


def totals(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weight of all samples of its row (P, N) that have the same code."""
    _, places = np.unique(codes, return_inverse=True)
    rows = np.arange(len(codes))[:, None] * (places.max() + 1) + places.reshape(codes.shape)
    _, group = np.unique(rows, return_inverse=True)
    return np.bincount(group.ravel(), weight.ravel())[group].reshape(codes.shape)


def sizes(codes: np.ndarray) -> np.ndarray:
    """How many samples of its row (P, N) have the same code; `NOTHING` is a code as well."""
    return totals(codes, np.ones(codes.shape))


def best_group(codes, weight=None) -> np.ndarray:
    """One of the group with the largest weight, how likely each sample is (P, N): a weighted vote.

    Parameters
    ----------
    codes : array-like of int (P, N)
        Equal for samples that agree, such as `Solutions.behaviour()` or `Solutions.text`. A sample
        with a negative code, which passes no test or has no answer, is a group of its own.
    weight : array-like (P, N), optional
        Of each sample's vote, such as a verifier's score or verdict; 1, if not given.

    Raises
    ------
    ValueError
        Codes that are not whole numbers, weights of another shape or not finite.

    Examples
    --------
    >>> best_group([[7, 7, 8]], [[0.4, 0.4, 0.9]]).tolist()
    [[0.0, 0.0, 1.0]]
    """
    codes = whole(codes, "codes", 2)
    if not codes.size:
        raise ValueError(f"codes has shape {codes.shape}; give (problems, samples)")
    weight = np.ones(codes.shape) if weight is None else real(weight, "weight")
    if weight.shape != codes.shape or not np.isfinite(weight).all():
        raise ValueError(
            f"weight is {shown(weight)}; give a finite number for each of {codes.shape} samples"
        )
    own = codes.max() + 1 + np.arange(codes.shape[1])
    return best_of_n(totals(np.where(codes < 0, own, codes), weight))


def dual_agreement(solutions: Solutions, power: float = 0.5, repeats: bool = True) -> np.ndarray:
    """CodeT's choice: solutions that agree with many others and with many tests.

    Solutions form a group where they pass the same tests, at least one. A group's score is its size
    to the `power`, times the tests that it passes.

    Parameters
    ----------
    solutions : Solutions
    power : float
        0.5 in CodeT's script, 1 in its paper; 0 is best of n by tests passed. Not negative.
    repeats : bool
        Whether a test counts as often as it was generated, as in the script.

    Returns
    -------
    ndarray (P, n)
        How likely each solution is to be chosen.

    Examples
    --------
    >>> bits = Solutions(passes=[[1, 1, 0], [0, 0, 1]], problem=[0, 0], correct=[[1, 1, 0]])
    >>> dual_agreement(bits).tolist()
    [[0.5, 0.5, 0.0]]
    """
    _check(solutions)
    if isinstance(power, bool) or not isinstance(power, Real) or not 0 <= power < np.inf:
        raise ValueError(f"power={shown(power)}; use a number from 0 up, such as 0.5")
    return best_of_n(sizes(solutions.behaviour()) ** float(power) * solutions.passed(repeats))


def largest_group(solutions: Solutions, passing: bool = False) -> np.ndarray:
    """One of the largest group of solutions that pass the same tests, how likely each is (P, n).

    With `passing`, solutions that pass no test are not a group.
    """
    _check(solutions)
    codes = solutions.behaviour()
    return best_of_n(np.where(passing & (codes == NOTHING), 0, sizes(codes)))


def most_frequent_text(solutions: Solutions) -> np.ndarray:
    """The text that was written most often, how likely each solution is (P, n).

    Raises
    ------
    ValueError
        The texts are not known.
    """
    _check(solutions)
    if solutions.text is None:
        raise ValueError("text is not known here; give Solutions(…, text=…) equal codes for equals")
    return best_of_n(sizes(solutions.text))


def _check(solutions) -> None:
    if not isinstance(solutions, Solutions):
        raise ValueError(
            f"solutions is {shown(solutions)}; give Solutions, such as load_solutions()"
        )
