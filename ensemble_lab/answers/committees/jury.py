"""Judges: whether they agree beyond chance, follow the position, and accept an answer.

A jury of models whose verdicts are answers is a `MajorityVote` over them; one judge is that judge.

References
----------
Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement,
1960.
Verga et al., Replacing Judges with Juries, arXiv 2404.18796.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.shares import real


def kappa(one, other) -> float:
    """Cohen's kappa: agreement of two judges beyond what their habits would give by chance.

    Parameters
    ----------
    one, other : sequence (n,)
        Their verdicts on the same items, of any hashable type. Items to which one of them gave none
        (None or NaN) are left out.

    Returns
    -------
    float
        At most 1; 0 for the agreement of chance. NaN where chance alone makes them agree: both
        always say the same.

    Raises
    ------
    ValueError
        Different lengths; no item on which both have a verdict; verdicts that cannot be compared.

    Examples
    --------
    >>> kappa(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"])
    0.5
    """
    pairs = _pairs(one, other, "one", "other")
    n, both = len(pairs), sum(a == b for a, b in pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(count * second[verdict] for verdict, count in first.items())  # times n * n
    return (n * both - chance) / (n * n - chance) if chance < n * n else float("nan")


def flipped_verdicts(plain, swapped) -> float:
    """The share of items on which a judge names another winner when the order is exchanged.

    Parameters
    ----------
    plain, swapped : sequence (n,)
        The name of the winner, not its position, when the judge saw the candidates in one order and
        in the other. Items with only one verdict (else None or NaN) are left out.

    Returns
    -------
    float
        0 for a judge that does not look at the position.

    Raises
    ------
    ValueError
        As in `kappa`.

    Examples
    --------
    >>> flipped_verdicts(["ada", "bob", "ada", None], ["ada", "ada", "ada", "bob"])
    0.3333333333333333
    """
    pairs = _pairs(plain, swapped, "plain", "swapped")
    return sum(a != b for a, b in pairs) / len(pairs)


def verifier_votes(verdicts) -> np.ndarray:
    """The share of verifiers that accept each answer: scores for `WeightedBestOfN` or `BestOfN`.

    Parameters
    ----------
    verdicts : array-like (v, n, m)
        1 where a verifier accepts the answer, 0 where not, NaN without a verdict; or a probability.
        One verifier may be given as (1, n, m).

    Returns
    -------
    ndarray (n, m)
        NaN where no verifier has a verdict.

    Raises
    ------
    ValueError
        Another shape, or verdicts outside [0, 1].

    Examples
    --------
    >>> verifier_votes([[[1, 0]], [[1, float("nan")]]]).tolist()
    [[1.0, 0.0]]
    """
    verdicts = real(verdicts, "verdicts")
    if verdicts.ndim != 3 or not len(verdicts):
        raise ValueError(
            f"verdicts have shape {verdicts.shape}; give (verifiers, items, answers), with one"
            " verifier (1, items, answers)"
        )
    outside = (verdicts < 0) | (verdicts > 1)
    if outside.any():
        raise ValueError(
            f"verdicts hold {verdicts[outside][0]:g}; give 1 for accepted, 0 for rejected, or a"
            " probability"
        )
    given = (~np.isnan(verdicts)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.nansum(verdicts, axis=0) / np.where(given, given, np.nan)


def _pairs(one, other, *names: str) -> list[tuple[Hashable, Hashable]]:
    """What both say about the same items, where both say something."""
    one, other = several(one, names[0]), several(other, names[1])
    if len(one) != len(other):
        raise ValueError(
            f"{len(one)} verdicts in {names[0]} and {len(other)} in {names[1]}; give one an item"
        )
    for verdict in (*one, *other):
        if not isinstance(verdict, Hashable):
            raise ValueError(
                f"the verdict {shown(verdict, 60)} is a {type(verdict).__name__}; give text or"
                " numbers"
            )
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if _said(a) and _said(b)]
    if not pairs:
        raise ValueError(f"{names[0]} and {names[1]} have no item in common; give verdicts of both")
    return pairs


def _said(verdict) -> bool:
    return verdict is not None and verdict == verdict
