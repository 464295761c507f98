"""Routers that look at the most similar questions of the fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ensemble_lab.answers.routing.features import Space, embedding_names, group_codes, groups_of
from ensemble_lab.answers.routing.groups import Means, shrunk_means
from ensemble_lab.answers.routing.router import ScoreRouter, ranked
from ensemble_lab.answers.voting import voted
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.core.votes import near_best

CHUNK = 512  # questions compared at once: their distances stay in the cache
TABLES = 64  # questions whose models play at once, for the same reason


class Stored(NamedTuple):
    """Questions of the fit, as points, with their grades; unknown grades are filled."""

    space: Space
    points: np.ndarray  # (n, d) float32
    grades: np.ndarray  # (n, m)

    def nearest(self, outcomes: Outcomes, k: int) -> np.ndarray:
        """Rows (n, k) of the nearest stored questions, the nearest first; ties by their order."""
        k = min(k, len(self.points))
        found = [_smallest(distance, k) for distance in self.distances(outcomes)]
        return np.concatenate(found) if found else np.empty((0, k), int)

    def distances(self, outcomes: Outcomes) -> Iterator[np.ndarray]:
        """Squared distances (CHUNK, n) to all stored questions, chunk by chunk."""
        points = self.space.points(outcomes).astype(np.float32)
        size = (self.points**2).sum(axis=1)
        for start in range(0, len(points), CHUNK):
            some = points[start : start + CHUNK]
            squares = size - 2 * (some @ self.points.T) + (some**2).sum(axis=1)[:, None]
            yield np.maximum(squares, 0)


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    if k < values.shape[1]:
        near = np.sort(np.argpartition(values, k - 1, axis=1)[:, :k], axis=1)
    else:
        near = np.broadcast_to(np.arange(k), (len(values), k))
    order = np.argsort(np.take_along_axis(values, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)


def stored(outcomes: Outcomes, features: tuple[str, ...] | None) -> Stored:
    """The questions of `outcomes`; an absent answer counts as the model's mean grade."""
    space = Space.of(outcomes, features or embedding_names(outcomes))
    points = space.points(outcomes).astype(np.float32)
    if len(points) > 1 and not points.any():
        raise ValueError(
            f"all {len(points)} items have the same {shown(space.names)}, so no question is nearer"
            " than another: are the features those of each item?"
        )
    grades = np.where(
        np.isnan(outcomes.correct), np.nanmean(outcomes.correct, axis=0), outcomes.correct
    )
    return Stored(space, points, grades)


@dataclass(frozen=True)
class NeighbourRouter(ScoreRouter):
    """Asks the model that was right most often on the nearest questions.

    With `groups`, the neighbours only correct what the group says: the score is the accuracy in the
    group plus the neighbours' mean difference from the accuracies in their groups.

    Parameters
    ----------
    neighbours : int
    shrinkage : float
        Average items added to the neighbours.
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.
    groups : bool
        Start from the group, where the outcomes have one.

    References
    ----------
    Nearest neighbours match learned routers: arXiv 2505.12601.
    """

    neighbours: int = ranged(60, 1, 100_000, "nearest questions", 1)
    shrinkage: float = ranged(20.0, 0.0, 1e6, "average items added to the neighbours")
    features: tuple[str, ...] | None = None
    groups: bool = False

    def _learn(self, outcomes: Outcomes) -> tuple[Stored, Means, tuple]:
        kept, groups = stored(outcomes, self.features), ()
        if self.groups:
            groups = groups_of(outcomes)
            codes = group_codes(outcomes, groups)
        else:
            codes = np.full(len(outcomes), -1)
        means = shrunk_means(outcomes.correct, codes, len(groups), 5.0)
        return kept._replace(grades=kept.grades - means.at(codes)), means, groups

    def _score(self, state: tuple[Stored, Means, tuple], outcomes: Outcomes) -> np.ndarray:
        kept, means, groups = state
        codes = group_codes(outcomes, groups) if groups else np.full(len(outcomes), -1)
        near = kept.nearest(outcomes, self.neighbours)
        total = _sum_of_rows(kept.grades, near)
        return means.at(codes) + total / (near.shape[1] + self.shrinkage)

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        k = min(self.neighbours, len(self.fitted.state[0].points))
        return f"expected accuracy from the {k} nearest questions: {ranked(table.models, scores)}"


def _sum_of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, m): the sum of `values` (stored, m) over `rows` (n, k)."""
    total = np.zeros((len(rows), values.shape[1]))
    for column in rows.T:
        total += values[column]
    return total


@dataclass(frozen=True)
class SimilarityRouter(ScoreRouter):
    """Every stored question votes, the more similar ones with more weight.

    The weight of a stored question is ``base ** (1 + cosine)``. RouteLLM fits Bradley-Terry ratings
    to the weighted battles. Where every model answers every question, and a tie is half a win for
    each, these ratings order the models by their weighted mean grade (both are monotone in the
    wins of a complete tournament). So the score is that mean, and no rating has to be fitted.

    Parameters
    ----------
    base : float
        Weight of an equal question in units of an orthogonal one.
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.

    References
    ----------
    RouteLLM's similarity-weighted ranking, arXiv 2406.18665, section 4.
    """

    base: float = ranged(10.0, 1.0, 1e12, "weight of an equal question against an orthogonal one")
    features: tuple[str, ...] | None = None

    def _learn(self, outcomes: Outcomes) -> Stored:
        kept = stored(outcomes, self.features)
        return kept._replace(points=_unit(kept.points), grades=kept.grades.astype(np.float32))

    def _score(self, state: Stored, outcomes: Outcomes) -> np.ndarray:
        points = _unit(state.space.points(outcomes).astype(np.float32))
        found = np.empty((len(points), state.grades.shape[1]))
        for start in range(0, len(points), CHUNK):
            cosine = points[start : start + CHUNK] @ state.points.T
            weight = np.exp(np.float32(np.log(self.base)) * cosine)
            found[start : start + CHUNK] = weight @ state.grades / weight.sum(axis=1)[:, None]
        return found


def _unit(points: np.ndarray) -> np.ndarray:
    """Points of length 1; the origin stays where it is."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(length > 0, length, 1)


@dataclass(frozen=True)
class EloRouter(ScoreRouter):
    """Ratings that are updated question by question: global ones, and local ones of neighbours.

    Each question is a tournament of all models; the one with the better grade wins, an equal grade
    is half a win for each. The local ratings start from the global ones and play the nearest
    questions again, the farthest first. The score is the expected share of wins against a model of
    average rating. Nothing is trained: a new question is added by one more update.

    Parameters
    ----------
    neighbours : int
    local : float
        Weight of the local ratings; the global ones have the rest.
    step : float
        Largest change of a rating by one question (Elo's K).
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.

    References
    ----------
    Zhao et al., Eagle, arXiv 2409.15518.
    """

    neighbours: int = ranged(20, 1, 1000, "nearest questions played again", 1)
    local: float = ranged(0.5, 0.0, 1.0, "weight of the local ratings", 0.05)
    step: float = ranged(32.0, 0.0, 1000.0, "largest change by one question")
    features: tuple[str, ...] | None = None

    def _learn(self, outcomes: Outcomes) -> tuple[Stored, np.ndarray]:
        kept, rating = stored(outcomes, self.features), np.zeros((1, len(outcomes.models)))
        for grades in kept.grades:
            rating = _played(rating, grades[None], self.step)
        return kept, rating

    def _score(self, state: tuple[Stored, np.ndarray], outcomes: Outcomes) -> np.ndarray:
        kept, overall = state
        near = kept.nearest(outcomes, self.neighbours)
        local = np.repeat(overall, len(near), axis=0)
        for start in range(0, len(near), TABLES):
            some = slice(start, start + TABLES)
            for rows in near[some].T[::-1]:
                local[some] = _played(local[some], kept.grades[rows], self.step)
        rating = self.local * local + (1 - self.local) * overall
        return 1 / (1 + 10 ** ((rating.mean(axis=1, keepdims=True) - rating) / 400))


def _played(rating: np.ndarray, grades: np.ndarray, step: float) -> np.ndarray:
    """Ratings (n, m) after one question each, all pairs at once."""
    m = rating.shape[1]
    if m < 2:
        return rating
    won = 0.5 * (m - 1) + 0.5 * (m * grades - grades.sum(axis=1, keepdims=True))
    # The expected share of wins is s_i / (s_i + s_j), for strengths s = 10^(rating / 400) (Elo).
    strength = 10 ** (rating / 400)
    shares = 1 / (strength[:, :, None] + strength[:, None, :])
    against = strength * shares.sum(axis=2) - 0.5  # not itself
    return rating + step * (won - against) / (m - 1)


@dataclass(frozen=True)
class DynamicSelection(ScoreRouter):
    """KNORA-E: the models that are right on all nearest questions answer together.

    Where no model is right on all of them, the farthest is left out, and so on. So the score of a
    model is the number of nearest questions, counted from the nearest, on which it is right without
    a break, as a share of `neighbours`. All models with the best score are asked, and vote.

    Parameters
    ----------
    neighbours : int
    vote : bool
        False: one of the best models is asked, the cheapest. Outcomes without answers need it.
    features : tuple of str, optional
        By default the embedding, or all numeric features where there is none.

    References
    ----------
    Ko, Sabourin and Britto, From dynamic classifier selection to dynamic ensemble selection, 2008.
    """

    neighbours: int = ranged(7, 1, 1000, "nearest questions", 1)
    vote: bool = True
    features: tuple[str, ...] | None = None

    def _learn(self, outcomes: Outcomes) -> Stored:
        return stored(outcomes, self.features)

    def _score(self, state: Stored, outcomes: Outcomes) -> np.ndarray:
        near = state.nearest(outcomes, self.neighbours)
        running = np.ones((len(near), state.grades.shape[1]), bool)
        run = np.zeros(running.shape)
        for rows in near.T:
            running &= state.grades[rows] >= 0.5
            run += running
        return run / near.shape[1]

    def choose_by(self, outcomes: Outcomes, scores: np.ndarray) -> Choice:
        if not self.vote:
            return super().choose_by(outcomes, scores)
        columns, utility = self.utilities(outcomes, scores)
        best = near_best(utility.T).T
        return voted(outcomes, columns, best, np.ones(best.shape), type(self).__name__)
