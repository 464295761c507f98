"""How many calls a vote should take: more make it better on easy items and worse on hard ones.

With two possible answers, items of which a share is easy (right with a probability above 1/2) and
the rest hard (below 1/2), the accuracy of a vote first rises and then falls where the easy ones are
decided before the hard ones.

References
----------
Chen et al., Are More LLM Calls All You Need?, NeurIPS 2024.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from ensemble_lab.answers.committees.counting import checked_count
from ensemble_lab.answers.diversity import condorcet
from ensemble_lab.core.decision import ABSTAINED, or_unparsed
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.votes import plurality

MOST_CALLS, MOST_DRAWS = 10_000, 10_000


def vote_curve(calls, hard: float, p_easy: float, p_hard: float) -> np.ndarray:
    """Expected accuracy of a vote over so many calls, on a mix of easy and hard items.

    Parameters
    ----------
    calls : int or array-like of int
        A tie of an even number counts half.
    hard : float
        The share of hard items.
    p_easy, p_hard : float
        The chance that one call is right, on either kind.

    Returns
    -------
    ndarray, the shape of `calls`

    Raises
    ------
    ValueError
        A share or chance outside [0, 1]; calls that are no whole numbers from 1 up.
    """
    hard, p_easy, p_hard = _checked(hard, p_easy, p_hard)
    return (1 - hard) * condorcet(calls, p_easy) + hard * condorcet(calls, p_hard)


def best_calls(hard: float, p_easy: float, p_hard: float) -> float:
    """The number of calls at which `vote_curve` is highest; the fewest where several are.

    From K to K + 2 calls, K = 2 j - 1, the accuracy of one kind grows by
    C(K, j) (p (1 - p))**j (2 p - 1). The gain on easy items equals the loss on hard ones at j = m,
    so the best odd number is max(1, 2 ceil(m) - 1).

    Parameters
    ----------
    hard, p_easy, p_hard
        As in `vote_curve`; the two kinds may be given in either order.

    Returns
    -------
    float
        An odd number, or infinity where more calls are always better.

    Raises
    ------
    ValueError
        A share or chance outside [0, 1].

    Examples
    --------
    >>> best_calls(0.4, 0.85, 0.4)
    5.0
    """
    hard, p_easy, p_hard = _checked(hard, p_easy, p_hard)
    # What two more calls change on each kind: (1 - hard) (2 p - 1) and, each time, p (1 - p).
    kinds = [
        ((1 - hard) * (2 * p_easy - 1), p_easy * (1 - p_easy)),
        (hard * (2 * p_hard - 1), p_hard * (1 - p_hard)),
    ]
    moving = [(effect, lasts) for effect, lasts in kinds if effect and lasts]
    if all(effect < 0 for effect, _ in moving):
        return 1.0
    if all(effect > 0 for effect, _ in moving):
        return math.inf
    (loss, falls), (gain, rises) = sorted(moving)
    if falls > rises * (1 + 1e-12):  # the gain is over before the loss: a rise, then a fall
        turn = math.log(gain / -loss) / math.log(falls / rises)
        return float(max(1, 2 * math.ceil(turn - 1e-9) - 1))
    # The loss is over first, or both last as long: one call is best, or endless ones.
    first, last = vote_curve(1, hard, p_easy, p_hard), _limit(hard, p_easy, p_hard)
    return math.inf if last > first + 1e-12 else 1.0


def replay_calls(
    outcomes: Outcomes, calls, draws: int = 20, again: bool = False, seed: int = 0
) -> np.ndarray:
    """Votes of so many calls, each to a model of `outcomes` drawn at random.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, with answers.
    calls : sequence of int (k,)
        How many calls each vote has; a vote has the calls of all smaller ones.
    draws : int
        1 to 10,000. One draw holds for all items.
    again : bool
        Whether a model may be drawn again. Without that there are at most m calls.
    seed : int

    Returns
    -------
    ndarray (draws, k, n)
        Whether each vote is right, NaN where unknown. A tie goes to the answer given first; where
        no reply could be read the vote is wrong.

    Raises
    ------
    ValueError
        No answers; calls or draws out of range.
    """
    answer = require(outcomes, "answer", "replay_calls")
    members = answer.shape[1]
    most = MOST_CALLS if again else members
    calls = [checked_count(one, "calls", 1, most) for one in several(calls, "calls")]
    if not calls:
        raise ValueError("calls is empty; give the number of calls of each vote, such as [1, 3, 5]")
    rng, found = np.random.default_rng(checked_seed(seed)), []
    rows, labels = np.arange(len(outcomes)), len(outcomes.labels)
    for _ in range(checked_count(draws, "draws", 1, MOST_DRAWS)):
        drawn = rng.integers(members, size=max(calls)) if again else rng.permutation(members)
        for number in calls:
            asked = drawn[:number]
            winner = plurality(answer[:, asked].T, np.ones(number), labels)
            chosen = or_unparsed(np.append(asked, ABSTAINED)[winner], outcomes, asked)
            found.append(np.where(chosen < 0, np.nan, outcomes.correct[rows, chosen]))
    return np.reshape(found, (-1, len(calls), len(outcomes)))


def _limit(hard: float, *chances: float) -> float:
    """The accuracy of endless calls: items above 1/2 are right, those at 1/2 half the time."""
    ends = [0.5 if p == 0.5 else float(p > 0.5) for p in chances]
    return (1 - hard) * ends[0] + hard * ends[1]


def _checked(hard, p_easy, p_hard) -> tuple[float, ...]:
    given = {"hard": hard, "p_easy": p_easy, "p_hard": p_hard}
    for name, value in given.items():
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not 0 <= value <= 1:
            raise ValueError(f"{name}={shown(value)}; give a share in [0, 1], such as 0.4")
    return tuple(float(value) for value in given.values())
