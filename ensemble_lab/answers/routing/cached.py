"""Answers that were given before, for questions that are almost the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np

from ensemble_lab.answers.routing.neighbours import Stored, stored
from ensemble_lab.answers.routing.predicted import QualityRouter
from ensemble_lab.answers.routing.router import Router, check_router
from ensemble_lab.core.decision import COMBINED, Choice
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import model_names, ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.states import ABSENT


class _Cache(NamedTuple):
    questions: Stored
    labels: tuple
    answer: np.ndarray  # (n,) codes of `labels`


@dataclass(frozen=True)
class CachedRouter(Router):
    """A semantic cache in front of a router.

    `fit` stores the answers that the router gives to the items of the fit. A question within
    `radius` of a stored one gets the stored answer, and no model is asked. The answer may be wrong
    for the new question although the model would have been right: `hits` gives these questions, so
    that the cache's own error can be measured. On MMLU-Pro 4 % of one half's questions have the
    embedding of one in the other half. Their options differ: the stored letter is right on 32 % of
    them, and the model that a table of subjects would ask on 73 %.

    Parameters
    ----------
    radius : float
        Largest distance to a stored question, in standard deviations of the features; 0 finds only
        equal questions.
    of : Router
        Asked where the cache has no answer.
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.

    References
    ----------
    LLMProxy, arXiv 2410.11857; Bang, GPTCache, NLP-OSS 2023.
    """

    radius: float = ranged(0.1, 0.0, 1e6, "largest distance to a stored question", 0.05)
    of: Router = field(default_factory=QualityRouter)
    features: tuple[str, ...] | None = None
    cache: _Cache | None = None

    def __post_init__(self):
        super().__post_init__()
        check_router(self.of, Router, "CachedRouter")
        if self.features is not None:
            object.__setattr__(self, "features", model_names(self.features, "features"))

    def fit(self, outcomes: Outcomes) -> Self:
        """Fit the router, and store its answers to these items.

        Raises
        ------
        ValueError
            The outcomes have no answers.
        """
        require(outcomes, "answer", "CachedRouter")
        of = self.of.fit(outcomes)
        decision = of.decide(outcomes)
        kept = outcomes.take(decision.answer >= 0)
        cache = _Cache(
            stored(kept, self.features),
            tuple(decision.labels),
            decision.answer[decision.answer >= 0],
        )
        return replace(self, of=of, cache=cache)

    def hits(self, outcomes: Outcomes) -> np.ndarray:
        """(n,) bool: the questions that get a stored answer."""
        return self._nearest(outcomes)[1]

    def _nearest(self, outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
        if self.cache is None:
            raise ValueError("this CachedRouter is not fitted; call fit(outcomes) first")
        questions = self.cache.questions
        row = questions.nearest(outcomes, 1)[:, 0]
        away = np.linalg.norm(questions.space.points(outcomes) - questions.points[row], axis=1)
        return row, away <= self.radius + 1e-6

    def scores(self, outcomes: Outcomes) -> np.ndarray:
        return self.of.scores(outcomes)

    def choose(self, outcomes: Outcomes) -> Choice:
        row, hit = self._nearest(outcomes)
        asked = self.of.choose(outcomes)
        known = tuple(outcomes.labels)
        labels = (*known, *(label for label in self.cache.labels if label not in set(known)))
        place = {label: code for code, label in enumerate(labels)}
        code = np.array([place[label] for label in self.cache.labels])[self.cache.answer[row]]
        other = np.full(len(row), ABSENT) if asked.answer is None else asked.answer
        return Choice(
            np.where(hit, COMBINED, asked.chosen),
            asked.called & ~hit[:, None],
            np.where(hit, code, other),
            labels,
        )

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.of.waves(models)

    def _pool(self) -> tuple[str, ...]:
        return self.of._pool()

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        return self.of._why(table, scores, first)
