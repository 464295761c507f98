"""Best of n: a score chooses among the answers, alone or as the weight of a vote.

The score of an answer is its confidence: a reward model's or verifier's score, a mean
log-probability, a share of tests passed. ``replace(outcomes, confidence=scores)`` puts scores of
your own there.

References
----------
Cobbe et al., Training Verifiers to Solve Math Word Problems, arXiv 2110.14168.
Li et al., Making Language Models Better Reasoners with Step-Aware Verifier, ACL 2023 (the weighted
form).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.answers.committees.counting import Sampling
from ensemble_lab.core.decision import ABSTAINED, Choice, or_unparsed
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.scales import finite_confidence
from ensemble_lab.core.votes import NO_WINNER, first_best


@dataclass(frozen=True)
class BestOfN(Sampling):
    """The answer with the highest score, on any scale.

    A tie goes to the member listed first. An answer without a score (NaN) wins only where no answer
    has one: then the first answer does. Where no reply could be read the first one counts as the
    answer, and is wrong.

    Parameters
    ----------
    order : tuple of str, optional
        By default every model of the outcomes.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=[*"abc"], items=[0], correct=[[0, 0, 1]], answer=[[0, 0, 1]],
    ...                  labels=["8", "9"], confidence=[[-2.5, -3.0, -1.0]])
    >>> BestOfN().decide(table).answers
    ['9']
    """

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return (self._order(models),)

    def choose(self, outcomes: Outcomes) -> Choice:
        columns, codes, score = self._scored(outcomes)
        known = (codes >= 0) & ~np.isnan(score)
        # The first answer stands in where nothing is scored: all its rivals have -inf as well.
        rated = np.where(known, score, -np.inf)
        best = np.where(known.any(axis=1), rated.argmax(axis=1), (codes >= 0).argmax(axis=1))
        winner = np.where((codes >= 0).any(axis=1), best, NO_WINNER)
        return self._chosen(outcomes, columns, codes, winner)

    def _scored(self, outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The members' columns (p,), answers (n, p) and scores (n, p)."""
        who = type(self).__name__
        answer = require(outcomes, "answer", who)
        columns = outcomes.columns(self._order(outcomes.models))
        return columns, answer[:, columns], finite_confidence(outcomes, who, columns)

    def _chosen(
        self, outcomes: Outcomes, columns: np.ndarray, codes: np.ndarray, winner: np.ndarray
    ) -> Choice:
        called = np.zeros(outcomes.correct.shape, bool)
        called[:, columns] = True
        chosen = np.append(columns, ABSTAINED)[winner]  # NO_WINNER is -1: the last entry
        silent = ~(codes >= 0).any(axis=1)
        return Choice(np.where(silent, or_unparsed(chosen, outcomes, columns), chosen), called)


@dataclass(frozen=True)
class WeightedBestOfN(BestOfN):
    """The answer whose scores have the largest sum: a vote that scores weigh.

    Scores are not negative. An answer without a score weighs nothing, and where all answers weigh
    nothing there is no answer: with scores of 0 and 1 it is the plurality of what a verifier
    accepts. With equal scores it is the plurality. A tie goes to the answer given first.

    Parameters
    ----------
    order : tuple of str, optional
        By default every model of the outcomes.

    Raises
    ------
    ValueError
        A negative score, such as a log-probability.
    """

    def choose(self, outcomes: Outcomes) -> Choice:
        columns, codes, score = self._scored(outcomes)
        if (score < 0).any():
            row, place = np.argwhere(score < 0)[0]
            raise ValueError(
                f"model {shown(outcomes.models[columns[place]], 60)} has a score of"
                f" {score[row, place]:g}, and a sum of negative scores punishes every vote; give"
                " weights from 0 up, such as the exponential of a log-probability"
            )
        weight = np.where(codes >= 0, np.nan_to_num(score), 0.0)
        total = np.array([((codes == own[:, None]) * weight).sum(axis=1) for own in codes.T])
        winner = first_best(np.where(total > 0, total, -np.inf))
        return self._chosen(outcomes, columns, codes, winner)
