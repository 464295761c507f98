"""`Router`: choose one model for a question before any model is asked.

Every router gives each model a score for each question, and one rule turns scores into a choice:

    utility = (1 - cost_weight) * score - cost_weight * price / (highest price)

The model with the highest utility is asked. At 0 only the score counts, at 1 only the price.
Between them lies every trade-off that these scores offer. Equal utilities go to the cheaper model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names, ranged, replay_grid
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.votes import first_best
from ensemble_lab.models.asking.given import first_of, one_row
from ensemble_lab.models.asking.live import unasked


class Route(NamedTuple):
    """A router's choice for one question, and the reason.

    Parameters
    ----------
    model : str or None
        The model to ask; None where several are asked, or none since an answer is stored.
    asked : tuple of str
        All models to ask.
    scores : dict of model to float
    why : str
        The rule that decided, in a sentence.
    """

    model: str | None
    asked: tuple[str, ...]
    scores: dict[str, float]
    why: str


class Router(Policy):
    """Chooses by `scores` which model answers, before it is asked."""

    @abstractmethod
    def scores(self, outcomes: Outcomes) -> np.ndarray:
        """(n, m): higher where that model should be asked; -inf for one that is never asked."""

    def route(
        self, question: str, *, features: Mapping | Callable | None = None, group: str | None = None
    ) -> Route:
        """Which model to ask about one question, and why.

        Parameters
        ----------
        question : str
        features : mapping of name to number, or callable, optional
            The features that the router was fitted on, or what computes them from a list of
            texts, such as `QuestionFeatures`.
        group : str, optional
            The kind of question, for routers that read it.

        Raises
        ------
        ValueError
            Not fitted, or a feature or group that the router reads is not given.
        """
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"question is {shown(question)}; give a text that is not empty")
        if callable(features):
            features = first_of(features([question]))
        models = self._pool()
        table = unasked(models, one_row(features), group)
        scores, columns = self.scores(table)[0], np.flatnonzero(self.choose(table).called[0])
        asked = tuple(models[j] for j in columns)
        why = "an answer is stored for this question, so no model is asked"
        if asked:
            why = self._why(table, scores, int(columns[0]))
        return Route(
            asked[0] if len(asked) == 1 else None,
            asked,
            dict(zip(models, scores.tolist(), strict=True)),
            why,
        )

    @abstractmethod
    def _pool(self) -> tuple[str, ...]:
        """The models to choose from; a `ValueError` before they are known."""

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        """The reason for asking the model at `first`, and perhaps others."""
        return "scores: " + ranked(table.models, scores, "{:.3f}")


def ranked(models: Sequence[str], scores: np.ndarray, form: str = "{:.1%}") -> str:
    """The three models of the highest scores, in words."""
    order = np.argsort(-scores, kind="stable")[:3]
    return ", ".join(f"{models[j]} {form.format(scores[j])}" for j in order)


class Fitted(NamedTuple):
    """What a router learned: of which models, their mean USD a call, and the rest."""

    models: tuple[str, ...]
    price: np.ndarray | None
    state: Any


@dataclass(frozen=True, kw_only=True)
class ScoreRouter(Router):
    """A router with a pool of models and one knob from quality to price.

    Parameters
    ----------
    models : tuple of str, optional
        The pool; by default every model of the outcomes that it is fitted on. After the fit a part
        of them can be chosen, ``replace(router, models=("small", "big"))``: a model that left. A
        model that joined is not known to the router, and needs a new fit.
    cost_weight : float
        0: the best score. 1: the lowest price.
    prices : mapping of model to float, optional
        USD a call; by default the mean of each model's known costs in the fit.
    fitted : optional
        Learned by `fit`.
    """

    models: tuple[str, ...] | None = None
    cost_weight: float = ranged(0.0, 0.0, 1.0, "0: the best score; 1: the lowest price", 0.01)
    prices: Mapping[str, float] | None = ranged(None, 0.0, 1e9, "USD a call of each model")
    fitted: Fitted | None = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("models", "features"):
            if getattr(self, name, None) is not None:
                object.__setattr__(self, name, model_names(getattr(self, name), name))

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn from the items whose answers are graded.

        Raises
        ------
        ValueError
            No graded answer of a model, or a feature that is missing or has a gap: named.
        """
        check_outcomes(outcomes)
        table = outcomes if self.models is None else outcomes.select(models=self.models)
        for name in self.prices or ():
            check_known(name, table.models, "model", "pool, but in prices")
        table = table.take(~np.isnan(table.correct).all(axis=1))
        graded = (~np.isnan(table.correct)).sum(axis=0)
        if not len(table) or not graded.all():
            name = table.models[int(graded.argmin())] if len(table) else table.models[0]
            raise ValueError(
                f"no answer of {shown(name)} is graded, so nothing is known about it: give correct,"
                " or truth with the answers, or leave it out of models"
            )
        price = None if table.cost is None else _known_means(table.cost)
        fitted = Fitted(tuple(table.models), price, self._learn(table))
        return replace(self, models=tuple(table.models), fitted=fitted)

    @abstractmethod
    def _learn(self, outcomes: Outcomes) -> Any:
        """What `_score` needs, from the pool's graded outcomes."""

    @abstractmethod
    def _score(self, state: Any, outcomes: Outcomes) -> np.ndarray:
        """Scores (n, m) of the fitted models, in about [0, 1] where they are a quality."""

    def scores(self, outcomes: Outcomes) -> np.ndarray:
        check_outcomes(outcomes)
        columns, known = self._columns(outcomes), self._fitted()
        scores = np.full(outcomes.correct.shape, -np.inf)
        among = [known.models.index(name) for name in self.models]
        scores[:, columns] = self._score(known.state, outcomes)[:, among]
        return scores

    def choose(self, outcomes: Outcomes) -> Choice:
        return self.choose_by(outcomes, self.scores(outcomes))

    def route(self, question, *, features=None, group=None) -> Route:
        route = super().route(question, features=features, group=group)
        best = max(route.scores, key=route.scores.get)
        if route.model is None or route.scores[route.model] >= route.scores[best]:
            return route
        return route._replace(why=f"{route.why}; {route.model} costs less (cost_weight"
                                  f" {self.cost_weight:g})")  # fmt: skip

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return (self._pool(),)

    def sweep(self, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
        if set(grid) != {"cost_weight"}:
            return super().sweep(outcomes, grid)
        check_outcomes(outcomes)
        ready = self.scores(outcomes.blinded())
        return replay_grid(_Scored(self, ready, self.cost_weight), outcomes, grid)

    def choose_by(self, outcomes: Outcomes, scores: np.ndarray) -> Choice:
        """The choice by `scores` (n, m): one call an item, of the highest utility."""
        columns, utility = self.utilities(outcomes, scores)
        chosen = columns[first_best(utility.T)]
        called = np.zeros(scores.shape, bool)
        called[np.arange(len(chosen)), chosen] = True
        return Choice(chosen, called)

    def utilities(self, outcomes: Outcomes, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(columns (p,), utility (n, p)) of the pool, from cheap to expensive."""
        columns, price = self._columns(outcomes), self.price()
        if price is not None and np.isfinite(price).all():
            order = np.argsort(price, kind="stable")
            columns, price = columns[order], price[order]
        utility = scores[:, columns]
        if self.cost_weight > 0:
            utility = (1 - self.cost_weight) * utility - self.cost_weight * self._scaled(price)
        return columns, utility

    def price(self) -> np.ndarray | None:
        """USD a call (p,) of the pool; NaN or None where unknown."""
        if self.prices is not None:
            return np.array([self.prices.get(name, np.nan) for name in self.models])
        known = self._fitted()
        if known.price is None:
            return None
        return known.price[[known.models.index(name) for name in self.models]]

    def _scaled(self, price: np.ndarray | None) -> np.ndarray:
        if price is None or np.isnan(price).any():
            name = self.models[0 if price is None else int(np.isnan(price).argmax())]
            raise ValueError(
                f"cost_weight={self.cost_weight:g} weighs prices, and the price of"
                f" {shown(name)} is not known: give prices={{model: USD a call}}, or cost_weight=0"
            )
        return price / price.max() if price.max() > 0 else price

    def _fitted(self) -> Fitted:
        if self.fitted is None:
            raise ValueError(f"this {type(self).__name__} is not fitted; call fit(outcomes) first")
        unknown = [name for name in self.models if name not in self.fitted.models]
        if unknown:
            raise ValueError(
                f"{shown(unknown[0])} joined after the fit, so nothing is known about it: fit"
                " again on outcomes that have it"
            )
        return self.fitted

    def _pool(self) -> tuple[str, ...]:
        self._fitted()
        return self.models

    def _columns(self, outcomes: Outcomes) -> np.ndarray:
        gone = [name for name in self._pool() if name not in outcomes.models]
        if gone:
            left = tuple(name for name in self.models if name not in gone)
            raise ValueError(
                f"this router was fitted on {shown(gone[0])}, which these outcomes do not have: fit"
                f" it again, or choose among the others: replace(router, models={shown(left)})"
            )
        return outcomes.columns(self.models)


@dataclass(frozen=True)
class _Scored(Policy):
    """A router on items whose scores are known: a sweep computes them once."""

    router: ScoreRouter
    scores: np.ndarray
    cost_weight: float

    def choose(self, outcomes: Outcomes) -> Choice:
        router = replace(self.router, cost_weight=self.cost_weight)
        return router.choose_by(outcomes, self.scores)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return self.router.waves(models)


def _known_means(cost: np.ndarray) -> np.ndarray:
    """Mean (m,) of the known costs (n, m) of each model; NaN where none is known."""
    known = ~np.isnan(cost)
    with np.errstate(invalid="ignore"):
        return np.where(known, cost, 0.0).sum(axis=0) / known.sum(axis=0)


def check_router(of, kind: type, what: str) -> None:
    """Refuse what is not a router, such as the class or its name."""
    if not isinstance(of, kind):
        given = f"the class {of.__name__}" if isinstance(of, type) else shown(of)
        raise TypeError(f"{what}: of is {given}; give a router, such as QualityRouter()")
