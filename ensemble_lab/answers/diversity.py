"""Diversity: how differently models fail, and what that makes a vote worth.

References
----------
Kuncheva and Whitaker, Measures of diversity in classifier ensembles, Machine Learning 51, 2003.
Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, NIPS 1994.
Ladha, The Condorcet jury theorem, free speech, and correlated votes, AJPS 36, 1992.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import check_outcomes, require

MOST_COUNTED = 10**7  # members, one by one: two seconds


def error_correlation(outcomes: Outcomes) -> np.ndarray:
    """Pearson correlation (m, m) of the models' errors, over the items that both have.

    NaN for a model that is never or always wrong.
    """
    both, right = _pairs(outcomes)
    n = both.T @ both
    mean = _ratio(right.T @ both, n)  # accuracy of row model where column model is there too
    product = _ratio(right.T @ right, n)
    square = _ratio((right**2).T @ both, n)
    covariance = product - mean * mean.T
    variance = square - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.sqrt(variance * variance.T)
    correlation[(variance * variance.T) < 1e-18] = np.nan
    return np.clip(correlation, -1, 1)


def disagreement(outcomes: Outcomes) -> np.ndarray:
    """Share (m, m) of items on which exactly one of the two is right."""
    n11, n10, n01, n00 = _counts(outcomes)
    return _ratio(n10 + n01, n11 + n10 + n01 + n00)


def q_statistic(outcomes: Outcomes) -> np.ndarray:
    """Yule's Q (m, m): 0 for independent models, 1 where they fail together, -1 where apart."""
    n11, n10, n01, n00 = _counts(outcomes)
    return _ratio(n11 * n00 - n01 * n10, n11 * n00 + n01 * n10)


def mean_pairwise(matrix: np.ndarray) -> float:
    """Mean over pairs of different models of an (m, m) measure; NaN pairs are left out."""
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or len(matrix) != len(matrix.T):
        raise ValueError(
            "the measure is not one number for each pair of models; give what error_correlation,"
            " disagreement or q_statistic returns"
        )
    upper = matrix[np.triu_indices(len(matrix), 1)]
    return float(np.nanmean(upper)) if (~np.isnan(upper)).any() else float("nan")


def ambiguity(outcomes: Outcomes) -> tuple[float, float, float]:
    """Mean member error, ambiguity and error of the averaged probabilities (squared error).

    Ensemble error = mean member error - ambiguity, exactly: what members disagree on is gained.

    Returns
    -------
    member, ambiguity, ensemble : float
        Squared distances to the truth as a one-hot distribution, summed over labels. Mean over the
        items with a known truth and probabilities of every member.

    Raises
    ------
    ValueError
        Without `probability` and `truth`, or no such item.
    """
    proba = require(outcomes, "probability", "ambiguity")  # (n, m, k)
    truth = require(outcomes, "truth", "ambiguity")
    whole = ~np.isnan(proba).any(axis=(1, 2)) & (truth >= 0)
    if not whole.any():
        raise ValueError(
            "no item has a known truth and probabilities of every model; select(models=…) those"
            " that have them"
        )
    proba, target = proba[whole], np.eye(len(outcomes.labels))[truth[whole]][:, None]
    mean = proba.mean(axis=1, keepdims=True)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(((a - b) ** 2).sum(axis=2).mean())

    return distance(proba, target), distance(proba, mean), distance(mean, target)


def condorcet(members, accuracy: float, correlation: float = 0.0) -> np.ndarray:
    """Chance that a strict majority of equally good members is right; a tie counts half.

    Correlated members share luck: the number who are right is beta-binomial with the given
    pairwise correlation of their errors (0: independent, Condorcet 1785; 1: all alike).

    Parameters
    ----------
    members : int or array-like of int
        Whole numbers.
    accuracy : float
        Of each member, in [0, 1].
    correlation : float
        Pairwise, in [0, 1].

    Returns
    -------
    ndarray, the shape of `members`

    Raises
    ------
    ValueError
        Numbers out of range; more than ten million correlated members in all, as these are counted
        one by one.

    Examples
    --------
    >>> round(float(condorcet(3, 0.7)), 3)
    0.784
    """
    from scipy.stats import betabinom, binom

    members = _whole(members)
    for name, value in (("accuracy", accuracy), ("correlation", correlation)):
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise ValueError(f"{name}={shown(value)} is no number in [0, 1]")
    if accuracy in (0, 1) or correlation == 1:
        return np.full(members.shape, float(accuracy))
    if correlation == 0:
        distribution = binom(members, accuracy)
    else:
        if members.sum(dtype=float) > MOST_COUNTED:
            raise ValueError(
                f"members={shown(members)}: correlated members are counted one by one,"
                f" {MOST_COUNTED:,} at most together; give fewer, or correlation=0"
            )
        strength = (1 - correlation) / correlation
        distribution = betabinom(members, accuracy * strength, (1 - accuracy) * strength)
    half = members // 2
    return distribution.sf(half) + np.where(members % 2 == 0, 0.5 * distribution.pmf(half), 0.0)


def _whole(members) -> np.ndarray:
    """Numbers of members as integers, of any shape."""
    if not isinstance(members, Real | np.ndarray):
        members = several(members, "members")
    found = np.asarray(members)
    if found.dtype.kind == "O":  # whole numbers that came as objects
        found = np.array(found.tolist())
    if found.dtype.kind not in "iuf" or not (found == np.floor(found)).all():
        raise ValueError(f"members={shown(members)}; it takes whole numbers")
    if (found < 1).any():
        raise ValueError(f"members={shown(found.min())}; a vote needs at least one")
    return found.astype(int)


def _pairs(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    check_outcomes(outcomes)
    known = ~np.isnan(outcomes.correct)
    return known.astype(float), np.where(known, outcomes.correct, 0.0)


def _counts(outcomes: Outcomes):
    """Items (m, m) on which both, only the row, only the column, and neither model is right."""
    known, right = _pairs(outcomes)
    wrong = known - right
    return right.T @ right, right.T @ wrong, wrong.T @ right, wrong.T @ wrong


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b != 0, a / b, np.nan)
