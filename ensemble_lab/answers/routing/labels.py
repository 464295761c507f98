"""A first model answers; its label and confidence say whether another one is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from ensemble_lab.answers.routing.groups import Means, shrunk_means
from ensemble_lab.answers.routing.router import Route, ScoreRouter
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.required import check_outcomes, require


class _Cells(NamedTuple):
    labels: tuple
    edges: np.ndarray  # inner edges of the confidence bins
    means: Means


@dataclass(frozen=True)
class LabelRouter(ScoreRouter):
    """Asks `first`; the label and confidence of its answer choose the model that answers.

    Each pair of a label and a fifth of the confidences is a group, and the score of a model is its
    accuracy in the group, shrunk towards its accuracy over all. The first model is always asked and
    paid for, so this is a cascade with a choice of its second stage: with a free first model the
    choice costs nothing.

    Parameters
    ----------
    first : str
        Asked about every item.
    bins : int
        Parts of the confidences, with equally many items each.
    shrinkage : float
        Average items added to each group.

    References
    ----------
    Chen, Zaharia and Zou, FrugalML, NeurIPS 2020: thresholds and services for each label.
    """

    first: str = field(kw_only=True)
    bins: int = ranged(5, 1, 100, "parts of the first model's confidences", 1)
    shrinkage: float = ranged(20.0, 0.0, 1e6, "average items added to each group")

    def _learn(self, outcomes: Outcomes) -> _Cells:
        sure = require(outcomes, "confidence", "LabelRouter")
        require(outcomes, "answer", "LabelRouter")
        sure = sure[:, outcomes.columns((self.first,))[0]]
        known = sure[~np.isnan(sure)]
        inner = np.linspace(0, 1, self.bins + 1)[1:-1]
        edges = np.unique(np.quantile(known, inner)) if len(known) else np.empty(0)
        labels = tuple(outcomes.labels)
        cells = _Cells(labels, edges, Means(np.empty(0), np.empty(0), np.empty(0)))
        codes = self._codes(cells, outcomes)
        k = len(labels) * (len(edges) + 1)
        return cells._replace(means=shrunk_means(outcomes.correct, codes, k, self.shrinkage))

    def _codes(self, cells: _Cells, outcomes: Outcomes) -> np.ndarray:
        """The group (n,) of each item; -1 where the first model gave no known label."""
        column = outcomes.columns((self.first,))[0]
        place = {label: code for code, label in enumerate(cells.labels)}
        own = np.array([*(place.get(label, -1) for label in outcomes.labels), -1, -1])
        label = own[require(outcomes, "answer", "LabelRouter")[:, column]]
        sure = require(outcomes, "confidence", "LabelRouter")[:, column]
        fifth = np.searchsorted(cells.edges, np.nan_to_num(sure, nan=-np.inf), "right")
        return np.where(label >= 0, label * (len(cells.edges) + 1) + fifth, -1)

    def _score(self, state: _Cells, outcomes: Outcomes) -> np.ndarray:
        return state.means.at(self._codes(state, outcomes))

    def fit(self, outcomes: Outcomes) -> Self:
        check_outcomes(outcomes)
        if self.models is not None and self.first not in self.models:
            raise ValueError(
                f"first={shown(self.first)} is not among models={shown(self.models)}; add it, as it"
                " is asked about every item"
            )
        outcomes.columns((self.first,))
        return super().fit(outcomes)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return ((self.first,), tuple(name for name in self._pool() if name != self.first))

    def route(self, question, *, features=None, group=None) -> Route:
        """Always `first`: its answer chooses, and only a live run (`ensemble_lab.run`) has it."""
        route = super(ScoreRouter, self).route(question, features=features, group=group)
        return route._replace(why=f"{self.first} is asked first; its answer chooses the next model")

    def choose_by(self, outcomes: Outcomes, scores: np.ndarray) -> Choice:
        first = outcomes.columns((self.first,))[0]
        choice = super().choose_by(outcomes, scores)
        waits = outcomes.absent[:, first]  # not asked yet, or nothing is recorded
        called = np.array(choice.called)
        called[waits] = False
        called[:, first] = True
        return Choice(np.where(waits, first, choice.chosen), called)
