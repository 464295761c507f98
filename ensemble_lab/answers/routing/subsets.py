"""Choose several models for a question and let them vote."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from ensemble_lab.answers.routing.predicted import QualityRouter
from ensemble_lab.answers.routing.router import Router, ScoreRouter, check_router
from ensemble_lab.answers.voting import voted
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class SubsetRouter(Router):
    """Asks the models with the highest utility and lets them vote.

    The votes are weighted by the log-odds of the predicted quality, the best weights for
    independent members (as in `WeightedVote`).

    Parameters
    ----------
    size : int
        Models asked about each question.
    of : ScoreRouter
        Predicts the quality of each model, a probability.

    References
    ----------
    SelectLLM, arXiv 2408.08545.
    """

    size: int = ranged(3, 1, 1000, "models asked about each question", 1)
    of: ScoreRouter = field(default_factory=QualityRouter)

    def __post_init__(self):
        super().__post_init__()
        check_router(self.of, ScoreRouter, "SubsetRouter")

    def fit(self, outcomes: Outcomes) -> Self:
        return replace(self, of=self.of.fit(outcomes))

    def scores(self, outcomes: Outcomes) -> np.ndarray:
        return self.of.scores(outcomes)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.of.waves(models)

    def _pool(self) -> tuple[str, ...]:
        return self.of._pool()

    def choose(self, outcomes: Outcomes) -> Choice:
        scores = self.scores(outcomes)
        columns, utility = self.of.utilities(outcomes, scores)
        # Equal utilities are told apart by their place, from cheap to expensive.
        order = np.argsort(-utility, axis=1, kind="stable")[:, : self.size]
        asked = np.zeros(utility.shape, bool)
        np.put_along_axis(asked, order, True, axis=1)
        chance = np.clip(scores[:, columns], 0.01, 0.99)
        # Not below 0: a model that was chosen does not vote against its own answer.
        weight = np.maximum(np.log(chance / (1 - chance)), 0.01)
        return voted(outcomes, columns, asked, weight, type(self).__name__)
