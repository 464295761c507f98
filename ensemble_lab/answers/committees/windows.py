"""Early-stopping self-consistency: ask in windows, and stop at the first that is unanimous.

References
----------
Li et al., Escape Sky-high Cost: Early-stopping Self-Consistency for Multi-step Reasoning, ICLR
2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.answers.committees.counting import Sampling, checked_count
from ensemble_lab.answers.voting import voted
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.shares import real

MOST = 10_000  # samples


@dataclass(frozen=True)
class EarlyStopping(Sampling):
    """Asks `window` members at a time and stops when all of a window give the same answer.

    The members of a window are asked together. The answer is the plurality of all that were asked;
    of answers with as many votes the one given first wins. A reply without a readable answer casts
    no vote, and its window is not unanimous. What is left for the last window may be fewer.

    Parameters
    ----------
    order : tuple of str, optional
        The members in the order of asking; by default every model of the outcomes. `fit` puts the
        most accurate first.
    window : int
    """

    window: int = ranged(5, 1, MOST, "members asked together", 1)

    def __post_init__(self):
        super().__post_init__()
        checked_count(self.window, "EarlyStopping.window", 1, MOST)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        order = self._order(models)
        return tuple(
            order[start : start + self.window] for start in range(0, len(order), self.window)
        )

    def choose(self, outcomes: Outcomes) -> Choice:
        answer = require(outcomes, "answer", "EarlyStopping")
        columns = outcomes.columns(self._order(outcomes.models))
        codes = answer[:, columns]  # (n, members)
        asked = np.zeros(codes.shape, bool)
        running = np.ones(len(codes), bool)
        for start in range(0, len(columns), self.window):
            part = slice(start, start + self.window)
            asked[running, part] = True
            first = codes[:, start]
            running = running & ~((codes[:, part] == first[:, None]).all(axis=1) & (first >= 0))
        return voted(outcomes, columns, asked, np.ones(codes.shape), "EarlyStopping")


def expected_samples(p, window: int, most: int) -> float:
    """How many samples early stopping takes on average from one distribution of answers.

    Parameters
    ----------
    p : array-like (k,)
        The probability of each answer.
    window : int
    most : int
        Samples after which it ends in any case.

    Returns
    -------
    float
        A window is unanimous with probability q, the sum of p**window. The i-th window is opened
        with probability (1 - q)**i.

    Raises
    ------
    ValueError
        Probabilities that are negative or do not sum to 1; a window or `most` below 1.

    Examples
    --------
    >>> expected_samples([0.5, 0.5], window=2, most=4)
    3.0
    """
    p = real(p, "p")
    if p.ndim != 1 or not len(p) or not (p >= 0).all() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"p={shown(p)}; give the probabilities of the answers, which sum to 1")
    window = checked_count(window, "window", 1, MOST)
    most = checked_count(most, "most", 1, MOST)
    whole, rest = divmod(most, window)
    goes_on = 1 - float((p**window).sum())
    opened = (1 - goes_on**whole) / (1 - goes_on) if goes_on < 1 else whole
    return window * opened + rest * goes_on**whole
