"""Routers that predict from a question's features how well each model will answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_lab.answers.routing.features import Space
from ensemble_lab.answers.routing.router import ScoreRouter
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class QualityRouter(ScoreRouter):
    """Predicts each model's probability of a right answer, one classifier a model.

    Parameters
    ----------
    estimator : scikit-learn classifier, optional
        Cloned for each model; by default a logistic regression. It must take ``sample_weight``
        where grades lie between 0 and 1.
    features : tuple of str, optional
        By default all numeric ones.
    groups : bool
        Whether it also reads the group, where the outcomes have one.

    References
    ----------
    Hybrid LLM (arXiv 2404.14618) and RouteLLM (arXiv 2406.18665) predict one probability for two
    models. Zooter (arXiv 2311.08692) learns from the grades of a reward model: give these grades
    as `correct`.
    """

    estimator: Any = None
    features: tuple[str, ...] | None = None
    groups: bool = True

    def _learn(self, outcomes: Outcomes) -> tuple[Space, list]:
        space = Space.of(outcomes, self.features, self.groups)
        points = space.points(outcomes)
        return space, [self._chance(points, grades) for grades in outcomes.correct.T]

    def _chance(self, points: np.ndarray, grades: np.ndarray):
        """A fitted classifier of one model, or its accuracy where it is always right or wrong."""
        from sklearn.base import clone

        known = ~np.isnan(grades)
        points, grades = points[known], grades[known]
        if (grades == grades[0]).all():
            return float(grades[0])
        estimator = clone(self.estimator) if self.estimator is not None else _logistic()
        if np.isin(grades, (0.0, 1.0)).all():
            return estimator.fit(points, grades == 1)
        # A grade of 0.4 is 0.4 of a right answer and 0.6 of a wrong one.
        twice = np.repeat([True, False], len(grades))
        weight = np.concatenate([grades, 1 - grades])
        return estimator.fit(np.vstack([points, points]), twice, sample_weight=weight)

    def _score(self, state: tuple[Space, list], outcomes: Outcomes) -> np.ndarray:
        space, models = state
        points = space.points(outcomes)
        return np.column_stack(
            [
                np.full(len(points), model)
                if isinstance(model, float)
                else model.predict_proba(points)[:, 1]
                for model in models
            ]
        )


def _logistic():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, solver="newton-cholesky")


@dataclass(frozen=True)
class GapRouter(ScoreRouter):
    """Predicts by how much each model is better than the pool's mean on the question.

    For two models this is half the quality gap. What makes a question hard for all models does not
    matter here: only the difference decides, and it is predicted directly.

    Parameters
    ----------
    estimator : scikit-learn regressor, optional
        Cloned for each model; by default a ridge regression.
    features, groups
        As in `QualityRouter`.

    References
    ----------
    Ding et al., Hybrid LLM, arXiv 2404.14618.
    """

    estimator: Any = None
    features: tuple[str, ...] | None = None
    groups: bool = True

    def _learn(self, outcomes: Outcomes) -> tuple[Space, list]:
        from sklearn.base import clone
        from sklearn.linear_model import Ridge

        space = Space.of(outcomes, self.features, self.groups)
        points, gaps = space.points(outcomes), gaps_of(outcomes.correct)
        estimator = self.estimator if self.estimator is not None else Ridge(alpha=30.0)
        known = ~np.isnan(gaps)
        return space, [
            clone(estimator).fit(points[rows], gap[rows])
            for gap, rows in zip(gaps.T, known.T, strict=True)
        ]

    def _score(self, state: tuple[Space, list], outcomes: Outcomes) -> np.ndarray:
        space, models = state
        points = space.points(outcomes)
        return np.column_stack([model.predict(points) for model in models])


def gaps_of(correct: np.ndarray) -> np.ndarray:
    """`correct` (n, m) minus the item's mean over the models that are graded."""
    return correct - np.nanmean(correct, axis=1, keepdims=True)


@dataclass(frozen=True)
class FactorRouter(ScoreRouter):
    """A few factors of questions times a few factors of models: a score of low rank.

    It predicts what `GapRouter` predicts: by how much each model is better than the pool's mean.
    The matrix of ridge coefficients (features, models) is replaced by its best approximation of
    rank `rank` on the items of the fit: reduced-rank regression. Models that are better on the same
    questions share factors. Two models have one difference, and rank 1 is all that it needs.

    Parameters
    ----------
    rank : int
    penalty : float
        Of the ridge regression.
    features, groups
        As in `QualityRouter`.

    References
    ----------
    RouteLLM (arXiv 2406.18665) fits such factors to pairwise preferences by gradient steps. The
    closed form is that of Izenman, Reduced-rank regression for the multivariate linear model, 1975.
    """

    rank: int = ranged(4, 1, 64, "factors", 1)
    penalty: float = ranged(30.0, 0.0, 1e9, "ridge penalty")
    features: tuple[str, ...] | None = None
    groups: bool = True

    def _learn(self, outcomes: Outcomes) -> tuple[Space, np.ndarray, np.ndarray, np.ndarray]:
        space = Space.of(outcomes, self.features, self.groups)
        points = space.points(outcomes)
        gaps = gaps_of(outcomes.correct)
        mean, centre = np.nanmean(gaps, axis=0), points.mean(axis=0)
        points = points - centre
        gaps = np.nan_to_num(gaps - mean)  # an absent answer says nothing: the model's mean
        inner = points.T @ points + self.penalty * np.eye(points.shape[1])
        slopes = np.linalg.lstsq(inner, points.T @ gaps, rcond=None)[0]
        # The directions of models in which the predictions vary most are kept.
        _, _, directions = np.linalg.svd(points @ slopes, full_matrices=False)
        kept = directions[: self.rank]
        return space, centre, slopes @ kept.T @ kept, mean

    def _score(self, state, outcomes: Outcomes) -> np.ndarray:
        space, centre, slopes, mean = state
        return mean + (space.points(outcomes) - centre) @ slopes
