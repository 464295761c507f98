"""Follow the leader: the plainest rule that learns while it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_lab.core.online import Feedback, OnlinePolicy


@dataclass(frozen=True)
class FollowTheLeader(OnlinePolicy):
    """Ask every model once, then the one whose mean grade is the best so far.

    It never looks back: a good model with a bad first answer may be lost for good. That is what
    bandits fix, and what they are measured against.

    References
    ----------
    Lattimore and Szepesvári, Bandit Algorithms, Cambridge University Press 2020, chapter 4.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(4), correct=[[0, 1]] * 4)
    >>> FollowTheLeader().decide(table).chosen.tolist()
    [0, 1, 1, 1]
    """

    def begin(self, models: tuple[str, ...], rng: np.random.Generator) -> _Leader:
        return _Leader(len(models))


class _Leader:
    def __init__(self, m: int):
        self.total, self.graded = np.zeros(m), np.zeros(m)

    def choose(self, features: Mapping[str, Any], time: int) -> tuple[int]:
        if time < len(self.graded):
            return (time,)
        # A model without a grade comes last; of equal ones the first leads.
        mean = self.total / np.maximum(self.graded, 1)
        return (int(np.where(self.graded > 0, mean, -1.0).argmax()),)

    def learn(self, feedback: Feedback) -> None:
        if not np.isnan(feedback.grade):  # nobody knows how right it was
            self.total[feedback.model] += feedback.grade
            self.graded[feedback.model] += 1
