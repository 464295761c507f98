"""What is known from a question's group: a subject, a language, a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ensemble_lab.answers.routing.features import (
    Space,
    embedding_names,
    group_codes,
    groups_of,
    one_hot,
)
from ensemble_lab.answers.routing.router import ScoreRouter, ranked
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged


class Means(NamedTuple):
    """Accuracy by group, shrunk towards the accuracy over all items.

    Parameters
    ----------
    overall : ndarray (m,)
    by_group : ndarray (groups, m)
    count : ndarray (groups, m)
        Graded answers.
    """

    overall: np.ndarray
    by_group: np.ndarray
    count: np.ndarray

    def at(self, codes: np.ndarray) -> np.ndarray:
        """(n, m); an item of an unknown group has the accuracy over all items."""
        return np.vstack([self.by_group, self.overall])[codes]  # -1 is the last row


def shrunk_means(correct: np.ndarray, codes: np.ndarray, k: int, shrinkage: float) -> Means:
    """Mean of `correct` (n, m) in each of `k` groups, as if `shrinkage` average items were added.

    The estimate is (sum + shrinkage * overall mean) / (count + shrinkage): a small group is close
    to the overall mean (James and Stein, 1961).
    """
    graded = ~np.isnan(correct)
    right, member = np.nan_to_num(correct), one_hot(codes, k).T
    overall = right.sum(axis=0) / graded.sum(axis=0)
    count = member @ graded
    with np.errstate(invalid="ignore"):  # an empty group without shrinkage
        by_group = (member @ right + shrinkage * overall) / (count + shrinkage)
    return Means(overall, np.where(np.isnan(by_group), overall, by_group), count)


@dataclass(frozen=True)
class GroupRouter(ScoreRouter):
    """Asks the model that is best in the question's group.

    The score is a model's accuracy in the group on the items of the fit, shrunk towards its
    accuracy over all. An item of a group that is not in the fit has the accuracy over all.

    Parameters
    ----------
    shrinkage : float
        Average items added to each group; more of them trust small groups less.

    References
    ----------
    Bench-CoE (arXiv 2412.04167) routes by subject in this way; MOSEL (arXiv 2310.18481) by
    modality; TensorOpera Router (arXiv 2408.12320) by a label that a classifier predicts.
    """

    shrinkage: float = ranged(5.0, 0.0, 1e6, "average items added to each group")

    def _learn(self, outcomes: Outcomes) -> tuple[tuple, Means]:
        groups = groups_of(outcomes)
        codes = group_codes(outcomes, groups)
        return groups, shrunk_means(outcomes.correct, codes, len(groups), self.shrinkage)

    def _score(self, state: tuple[tuple, Means], outcomes: Outcomes) -> np.ndarray:
        groups, means = state
        return means.at(group_codes(outcomes, groups))

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        groups, means = self.fitted.state
        code = int(group_codes(table, groups)[0])
        best = ranked(table.models, scores)
        if code < 0:
            return f"group {table.group[0]} is not in the fit; accuracy over all: {best}"
        column = self.fitted.models.index(table.models[first])
        return f"group {table.group[0]}, {means.count[code, column]:.0f} questions: {best}"


@dataclass(frozen=True)
class ClusterRouter(ScoreRouter):
    """Groups questions by k-means on their features; each cluster has its best model.

    Parameters
    ----------
    clusters : int
    shrinkage : float
        As in `GroupRouter`.
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.
    seed : int
        Of k-means.

    References
    ----------
    Expert Router, arXiv 2404.15153.
    """

    clusters: int = ranged(20, 1, 1000, "clusters of questions", 1)
    shrinkage: float = ranged(20.0, 0.0, 1e6, "average items added to each cluster")
    features: tuple[str, ...] | None = None
    seed: int = 0

    def _learn(self, outcomes: Outcomes) -> tuple[Space, Any, Means]:
        from sklearn.cluster import KMeans

        space = Space.of(outcomes, self.features or embedding_names(outcomes))
        points = space.points(outcomes)
        k = min(self.clusters, len(np.unique(points, axis=0)))
        found = KMeans(k, n_init=3, random_state=self.seed).fit(points)
        return space, found, shrunk_means(outcomes.correct, found.labels_, k, self.shrinkage)

    def _score(self, state: tuple[Space, Any, Means], outcomes: Outcomes) -> np.ndarray:
        space, found, means = state
        return means.at(found.predict(space.points(outcomes)))
