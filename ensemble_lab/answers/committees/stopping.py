"""Adaptive consistency: ask one more only while the leading answer may still lose.

After a votes for the leading answer and b for the next one, the chance that the leading answer is
the more frequent one is taken from two Beta distributions, P(theta > 1/2) for Beta(a + 1, b + 1).
That is a sum of binomial coefficients, P(Binomial(a + b + 1, 1/2) <= a), so the rule is a table of
whole numbers: for each b the least a that is enough.

References
----------
Aggarwal, Madaan, Yang and Mausam, Let's Sample Step by Step: Adaptive-Consistency for Efficient
Reasoning and Coding with LLMs, EMNLP 2023.
Wang et al., Self-Consistency Improves Chain of Thought Reasoning in Language Models, ICLR 2023: a
`MajorityVote` over samples of one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb
from numbers import Real

import numpy as np

from ensemble_lab.answers.committees.counting import Sampling, checked_count, count_until
from ensemble_lab.core.decision import ABSTAINED, Choice, or_unparsed
from ensemble_lab.core.errors import shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.votes import compact, local_codes, support

MOST_VOTES = 1_000  # for the next answer, in a table
MOST_ORDERS = 10_000
MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class AdaptiveConsistency(Sampling):
    """Asks members one after another and stops when the leading answer is likely to stay.

    A reply without a readable answer is paid for and casts no vote. Of answers with as many votes
    the one that was given first wins, as in `MajorityVote`. Where no reply could be read the first
    one counts as the answer, and is wrong.

    Parameters
    ----------
    order : tuple of str, optional
        The members in the order of asking; by default every model of the outcomes. `fit` puts the
        most accurate first.
    threshold : float
        The chance at which it stops, from 0.5 (the first answer) to 1 (everybody is asked).

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=[*"abcdef"], items=[0], correct=[[1, 1, 1, 1, 0, 1]],
    ...                  answer=[[0, 0, 0, 0, 1, 0]], labels=["8", "9"])
    >>> int(AdaptiveConsistency().decide(table).called.sum())
    4
    """

    threshold: float = ranged(0.95, 0.5, 1.0, "chance at which it stops asking", 0.01)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in self._order(models))

    def choose(self, outcomes: Outcomes) -> Choice:
        answer = require(outcomes, "answer", "AdaptiveConsistency")
        columns = outcomes.columns(self._order(outcomes.models))
        slots, width = answer[:, columns].T, len(outcomes.labels)
        if len(outcomes) * width > MOST_CELLS:  # of a count for each item and label
            slots, width = compact(slots, width)
        asked, winner = count_until(slots, width, needed_votes(self.threshold, len(columns)))
        called = np.zeros(answer.shape, bool)
        called[:, columns] = np.arange(len(columns)) < asked[:, None]
        chosen = np.append(columns, ABSTAINED)[winner]  # NO_WINNER is -1: the last entry
        return Choice(or_unparsed(chosen, outcomes, columns), called)


def stopping_table(threshold: float = 0.95, most: int = 11) -> np.ndarray:
    """The least votes for the leading answer that are enough, by the votes for the next one.

    Parameters
    ----------
    threshold : float
        The chance at which adaptive consistency stops, in [0.5, 1).
    most : int
        The most votes for the next answer, 0 to 1,000.

    Returns
    -------
    ndarray of int (most + 1,)
        Entry b is the least a >= max(b, 1) with P(Binomial(a + b + 1, 1/2) <= a) >= threshold,
        computed in whole numbers.

    Raises
    ------
    ValueError
        A threshold of 1, which no lead reaches, or outside [0.5, 1); votes out of range.

    Examples
    --------
    >>> stopping_table(0.95).tolist()
    [4, 6, 8, 9, 11, 12, 14, 15, 17, 18, 19, 21]
    """
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0.5 <= threshold < 1:
        raise ValueError(
            f"threshold={shown(threshold)}; give a chance from 0.5 up to below 1, such as 0.95"
            " (no lead makes it certain)"
        )
    return np.array(_least(Fraction(float(threshold)), checked_count(most, "most", 0, MOST_VOTES)))


@lru_cache(maxsize=256)
def _least(threshold: Fraction, most: int) -> tuple[int, ...]:
    """The table in whole numbers; from one entry to the next the sum is carried on."""
    found, a = [], 1
    n, below = 2, 3  # n = a + b + 1, and the sum of comb(n, i) over i <= a
    for b in range(most + 1):
        if b:  # the same a, one more vote for the next answer
            below = 2 * below - comb(n, a)
            n += 1
        while a < b or below * threshold.denominator < threshold.numerator << n:
            below = 2 * below - comb(n, a) + comb(n + 1, a + 1)
            n, a = n + 1, a + 1
        found.append(a)
    return tuple(found)


def needed_votes(threshold: float, members: int) -> np.ndarray:
    """(members + 1,) the table for so many votes; one more than there are is never reached."""
    if threshold == 1:
        return np.full(members + 1, members + 1)
    reached = _least(Fraction(float(threshold)), members // 2)  # the next answer has at most half
    return np.pad(reached, (0, members - members // 2), constant_values=members + 1)


@dataclass(frozen=True, eq=False)
class StoppingReplay:
    """Adaptive consistency on the same items, with the members in many random orders.

    Parameters
    ----------
    asked : ndarray of int (orders, n)
        How many members were asked.
    correct : ndarray (orders, n)
        NaN where unknown.
    same : ndarray of bool (orders, n)
        The answer is that of asking all members in the same order.
    """

    asked: np.ndarray
    correct: np.ndarray
    same: np.ndarray

    def __repr__(self) -> str:
        orders, n = self.asked.shape
        accuracy = np.nanmean(self.correct) if not np.isnan(self.correct).all() else np.nan
        return (
            f"StoppingReplay({orders} orders of {n} items: {self.asked.mean():.2f} asked, accuracy"
            f" {accuracy:.4f}, {(~self.same).sum()} of {self.same.size} answers are not those of"
            " asking all)"
        )


def replay_stopping(
    outcomes: Outcomes, threshold: float = 0.95, orders: int = 200, seed: int = 0
) -> StoppingReplay:
    """Adaptive consistency over all models of `outcomes`, in random orders.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, with answers.
    threshold : float
        As in `AdaptiveConsistency`.
    orders : int
        1 to 10,000. One order holds for all items, so that each is a policy.
    seed : int

    Returns
    -------
    StoppingReplay

    Raises
    ------
    ValueError
        No answers; a threshold or a number of orders out of range.
    """
    answer = require(outcomes, "answer", "replay_stopping")
    need = needed_votes(AdaptiveConsistency(threshold=threshold).threshold, answer.shape[1])
    orders = checked_count(orders, "orders", 1, MOST_ORDERS)
    rng = np.random.default_rng(checked_seed(seed))
    codes = answer.T
    slots, votes = local_codes(codes), support(codes, np.ones(len(codes)), len(outcomes.labels))
    rows, leads = np.arange(len(outcomes)), votes == votes.max(axis=0)
    found = []
    for _ in range(orders):
        order = rng.permutation(len(codes))
        asked, winner = count_until(slots[order], len(codes), need)
        # Without any vote an unreadable reply is the answer, and wrong.
        chosen = or_unparsed(np.append(order, ABSTAINED)[winner], outcomes, order)
        correct = np.where(chosen < 0, np.nan, outcomes.correct[rows, chosen])
        of_all = order[leads[order].argmax(axis=0)]  # of answers with most votes the first given
        found.append((asked, correct, slots[chosen, rows] == slots[of_all, rows]))
    return StoppingReplay(*(np.array(part) for part in zip(*found, strict=True)))
