"""The numbers behind the routing explorer: a router on the half that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from ensemble_lab.answers.routing.features import (
    EMBEDDING,
    complete,
    embedding_names,
    group_codes,
    groups_of,
    numeric_names,
)
from ensemble_lab.answers.routing.groups import GroupRouter
from ensemble_lab.answers.routing.heuristics import LengthRouter, RandomRouter
from ensemble_lab.answers.routing.labels import LabelRouter
from ensemble_lab.answers.routing.neighbours import NeighbourRouter
from ensemble_lab.answers.routing.predicted import GapRouter
from ensemble_lab.answers.routing.router import ScoreRouter
from ensemble_lab.catalogue import load_outcomes
from ensemble_lab.core.intervals import mean_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.shares import share_interval
from ensemble_lab.instruments import metrics
from ensemble_lab.models.questions import length_feature

SHARES = np.arange(101)  # per cent of the questions
FEWEST = 8  # questions that all models answered: half for the fit, half for the picture
ON_MAP = 600  # questions
MOST_LABELS = 10  # of more the map names none
SEED = 0  # which half is which, and which questions are on the map
RANDOM, LENGTH, GROUP = "random order", "question length", "group"
NEAREST, GAP, FIRST = "nearest questions", "quality gap", "first answer"
# Task to its table and the ranks of its models there, where it does not show all.
TASKS = {
    "MMLU, two models": ("routellm-mmlu", None),
    "GSM8K, two models": ("routellm-gsm8k", None),
    "MMLU-Pro, ranks 7 to 13": ("mmlu-pro-29-llms", (7, 13)),
    "faces": ("rafdb-services", None),
    "film reviews": ("imdb-services", None),
}


@dataclass(frozen=True, eq=False)
class Pool:
    """The models to choose from, on the questions that all of them answered, in two halves.

    The `usual` model is asked unless the router sends a question on. Of two models it is the less
    accurate one, where that is the cheaper one; of more it is the best one on the half of the fit.
    """

    fit: Outcomes
    shown: Outcomes
    usual: int
    table: Outcomes

    @classmethod
    def of(cls, table: Outcomes, models: tuple[str, ...] | None = None) -> Pool:
        """The pool of these models, by default all of the table.

        Raises
        ------
        ValueError
            Fewer than two models, or too few questions that all of them answered.
        """
        pool = table if models is None else table.select(models=models)
        if len(pool.models) < 2:
            raise ValueError("a router chooses among models, and there is one; give two or more")
        known = ~np.isnan(pool.correct).any(axis=1)
        if known.sum() < FEWEST:
            raise ValueError(
                f"{known.sum()} of {len(pool)} questions have a graded answer of all"
                f" {len(pool.models)} models, and {FEWEST} are needed; leave out models that"
                " answered few: outcomes.select(models=…)"
            )
        fit, shown = pool.take(known).split(0.5, SEED)
        return cls(fit, shown, _usual(fit), table)

    @property
    def leads(self) -> bool:
        """Whether there are two models, and questions are sent to the more accurate one."""
        right = self.fit.accuracy()
        return len(right) == 2 and bool(right[1 - self.usual] > right[self.usual])

    @property
    def first(self) -> str:
        """The cheapest model: a router by the first answer asks it about every question."""
        return self.fit.models[0 if self.fit.cost is None else int(self.fit.cost.mean(0).argmin())]


def _usual(fit: Outcomes) -> int:
    right = fit.accuracy()
    best, weak = int(right.argmax()), int(right.argmin())
    cost = np.zeros(len(right)) if fit.cost is None else fit.cost.mean(axis=0)
    pricier = cost[weak] > cost[best]  # an unknown price is not higher
    return weak if len(right) == 2 and weak != best and not pricier else best


@cache
def recorded(task: str) -> Pool:
    """The pool of one of the recorded tasks."""
    name, ranks = TASKS[task]
    table = load_outcomes(name)
    if ranks is None:
        return Pool.of(table)
    order = np.argsort(-table.accuracy(), kind="stable")[ranks[0] - 1 : ranks[1]]
    # From weak to strong: without prices a router by length takes them in this order.
    return Pool.of(table, tuple(table.models[j] for j in order[::-1]))


# -- routers ------------------------------------------------------------------------------------


def router_of(name: str, pool: Pool) -> ScoreRouter:
    """The router of that name, not fitted."""
    routers = {
        RANDOM: RandomRouter(seed=1),  # of 0 to 39 only 0 and 32 lie outside the band on MMLU
        LENGTH: LengthRouter(),
        GROUP: GroupRouter(),
        NEAREST: NeighbourRouter(groups=pool.fit.group is not None),
        GAP: GapRouter(),
        FIRST: LabelRouter(first=pool.first),
    }
    return routers[name]


# What each router reads, and how to see whether it is there.
READS = {
    RANDOM: ("", len),
    LENGTH: ("length", lambda half: complete(half, length_feature(half))),
    GROUP: ("group", groups_of),
    NEAREST: ("feature", lambda half: _differ(half, embedding_names(half))),
    GAP: ("feature", lambda half: _differ(half, numeric_names(half))),
    FIRST: ("confidence", lambda half: _answered(half)),
}
ROUTERS = tuple(READS)


def _differ(half: Outcomes, names: tuple[str, ...]) -> None:
    if not any(np.ptp(complete(half, name)) > 0 for name in names):
        raise ValueError("all questions have the same features")


def _answered(half: Outcomes) -> None:
    require(half, "answer", FIRST)
    if np.isnan(require(half, "confidence", FIRST)).all():
        raise ValueError("no confidence is known")


def lacks(name: str, pool: Pool) -> str:
    """What the router of that name would have to read and these questions do not have, or empty."""
    what, read = READS.get(name, READS[RANDOM])
    try:
        for half in (pool.fit, pool.shown):
            read(half)
    except ValueError:
        return what
    return ""


# -- a router's curve ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Routed:
    """A router on the n questions shown, at every share that it sends to another model.

    The questions with the highest `gain` are sent first.

    Parameters
    ----------
    pool : Pool
    lacking : str
        What the router would have to read and is not known: then all this is a random order.
    gain : ndarray (n,)
        The best score of the other models minus the score of the usual one.
    order : ndarray of int (n,)
        The questions as they are sent; of equal gains any may come first.
    other : ndarray of int (n,)
        The model that each question is sent to: a column.
    accuracy, oracle, low, high : ndarray (101,)
        For 0, 1, … 100 % sent: of the router and of the best order of all. Of the random orders
        95 % lie between the last two.
    cost : ndarray (101,) or None
        USD for 10,000 questions, where all prices are known.
    apgr, floor, best_apgr : float
        Where questions are sent to the better of two models: APGR of the router, the standard
        deviation of that of a random order, and the oracle's. NaN elsewhere.
    own : float
        Share of the questions on which the router expects more of another model; NaN of a random
        order, which expects nothing.
    points : tuple of three float
        What is gained at its own share, in points, and the 95 % interval of that.
    """

    pool: Pool
    lacking: str
    gain: np.ndarray
    order: np.ndarray
    other: np.ndarray
    accuracy: np.ndarray
    oracle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cost: np.ndarray | None
    apgr: float
    floor: float
    best_apgr: float
    own: float
    points: tuple[float, float, float]

    def sent(self, share: int) -> np.ndarray:
        """The questions that are sent at this share."""
        return self.order[: round(share / 100 * len(self.order))]

    def asked(self, share: int) -> np.ndarray:
        """The model (n,) that answers each question at this share."""
        found = np.full(len(self.order), self.pool.usual)
        found[self.sent(share)] = self.other[self.sent(share)]
        return found

    def ends(self, share: int) -> tuple[float, float]:
        """The 95 % interval of the accuracy at this share."""
        low, high = share_interval(self.accuracy[share], len(self.order))
        return float(low), float(high)


def replay(pool: Pool, name: str, own: ScoreRouter | None = None) -> Routed:
    """Fit the router of that name, or the reader's own, and send the other half in its order."""
    lacking = "" if own is not None else lacks(name, pool)
    fitted = (own or router_of(RANDOM if lacking else name, pool)).fit(pool.fit)
    shown, usual, rows = pool.shown, pool.usual, np.arange(len(pool.shown))
    # To whom each question goes where it does not stay, and how much more is expected there.
    scores = fitted.scores(shown.blinded())
    others = np.delete(np.arange(len(shown.models)), usual)
    other = others[scores[:, others].argmax(axis=1)]
    gain = scores[rows, other] - scores[:, usual]
    # What comes of it.
    stays, sent = shown.correct[:, usual], shown.correct[rows, other]
    best = shown.correct[:, others].max(axis=1)
    low, high = metrics.noise_band(stays, sent, SHARES / 100)
    apgr = floor = best_apgr = np.nan
    if pool.leads and sent.mean() > stays.mean() + 1e-9:
        apgr, floor = metrics.apgr(gain, stays, sent), metrics.noise_floor(stays, sent)
        best_apgr = metrics.apgr(best - stays, stays, best)
    more = np.where(gain > 0, sent - stays, 0.0)
    mixed = np.random.default_rng(SEED).permutation(len(rows))
    return Routed(
        pool=pool,
        lacking=lacking,
        gain=gain,
        order=mixed[np.argsort(-gain[mixed], kind="stable")],
        other=other,
        accuracy=_along(gain, stays, sent),
        oracle=_along(best - stays, stays, best),
        low=low.clip(0, 1),
        high=high.clip(0, 1),
        cost=_cost(fitted, shown, gain, other, usual),
        apgr=apgr,
        floor=floor,
        best_apgr=best_apgr,
        own=np.nan if isinstance(fitted, RandomRouter) else float((gain > 0).mean()),
        points=tuple(100 * float(x) for x in (more.mean(), *mean_interval(more, bounds=(-1, 1)))),
    )


def _along(gain: np.ndarray, stays: np.ndarray, sent: np.ndarray) -> np.ndarray:
    """Mean (101,) of the values of the questions, `sent` for those with the highest gain."""
    most = max(stays.max(), sent.max()) or 1.0  # a curve takes numbers in [0, 1]
    share, mean = metrics.curve(gain, stays / most, sent / most)
    return most * np.interp(SHARES / 100, share, mean)


def _cost(router: ScoreRouter, shown: Outcomes, gain, other, usual: int) -> np.ndarray | None:
    """USD for 10,000 questions (101,); None where a price is not known."""
    if shown.cost is None or np.isnan(shown.cost).any():
        return None
    stays, sent = shown.cost[:, usual], shown.cost[np.arange(len(shown)), other]
    if isinstance(router, LabelRouter):  # the first model is always paid for
        first = int(shown.columns((router.first,))[0])
        pays = shown.cost[:, first]
        stays, sent = stays + pays * (usual != first), sent + pays * (other != first)
    return 1e4 * _along(gain, stays, sent)


# -- the map ------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where some of the questions stand.

    Parameters
    ----------
    rows : ndarray of int (k,)
        Which questions of the half that is shown.
    x, y : ndarray (k,)
    across, up : str
        What the two are; empty for directions of an embedding, which have no unit.
    labels : tuple of str
        The labels at the heights 0, 1, …, where these are answers.
    """

    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    across: str
    up: str
    labels: tuple[str, ...] = ()


@lru_cache(16)
def placed(pool: Pool) -> Place:
    """The questions by what is known of them: two features, or the first model's answer."""
    shown = pool.shown
    rng = np.random.default_rng(SEED)
    rows = np.sort(rng.permutation(len(shown))[:ON_MAP])
    beside = rng.uniform(-0.35, 0.35, len(rows))  # so that equal ones do not lie on each other
    names = [] if lacks(NEAREST, pool) else list(embedding_names(shown))
    values = [complete(shown, name)[rows] for name in names[:2]]
    titles = ["" if name.startswith(EMBEDDING) else name for name in names[:2]]
    labels: tuple[str, ...] = ()
    if not values and not lacks(FIRST, pool):
        first = shown.columns((pool.first,))[0]
        values = [np.nan_to_num(shown.confidence[rows, first]), shown.answer[rows, first] + beside]
        titles = [f"{pool.first}'s confidence", f"{pool.first}'s answer"]
        labels = tuple(map(str, shown.labels[:MOST_LABELS])) * (len(shown.labels) <= MOST_LABELS)
    elif not values and not lacks(GROUP, pool):
        groups = groups_of(pool.fit)
        values, titles = [group_codes(shown.take(rows), groups) + beside], ["group"]
    while len(values) < 2:
        values, titles = [*values, beside], [*titles, ""]
    return Place(rows, *values[:2], *titles[:2], labels)
