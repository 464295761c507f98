"""The best candidate, and an honest promise for it: BBC-CV.

The accuracy of the best of many candidates is too high, also where each was judged on rows that it
was not fitted on: some of its lead is luck. So the choice itself is repeated. Each of many
bootstraps re-weights the rows, chooses again, and judges what it chose on the rows that it left
out. Nothing is fitted again, as the out-of-fold matrix has all that is needed.

References
----------
Tsamardinos, Greasidou and Borboudakis, Bootstrapping the out-of-sample predictions for efficient
and accurate cross-validation, Machine Learning 107, 2018.
Chamandy et al., Estimating uncertainty for massive data streams, 2012: weights that are Poisson.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ensemble_lab.advice.scores import Scores
from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.intervals import checked_seed

BLOCK = 4096  # rows whose weights are in memory at once
SLACK = 1 + 1e-6  # the matrix is float32: a budget's last digits are not exact


class Estimate(NamedTuple):
    """A mean with its 95 % interval; all NaN where it is not known."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


UNKNOWN = Estimate(*3 * [float("nan")])


@dataclass(frozen=True, eq=False)
class Selection(Frozen):
    """The chosen one of c candidates.

    Parameters
    ----------
    chosen : str
    accuracy, mean_cost, mean_latency : Estimate
        What the choice promises on other rows, with the luck of the choice taken out.
    shares : ndarray (c,)
        Share of the bootstraps that chose each candidate.
    allowed : ndarray of bool (c,)
        Within the budget and the latency on all rows.
    means, low, high : ndarray (c,)
        Out-of-fold accuracy of each candidate and its interval, as if it had been the only one.
    costs, cost_low, cost_high : ndarray (c,)
        The same for USD an item; NaN where not known.
    latencies : ndarray (c,)
        Mean seconds an item; NaN where not known.
    """

    chosen: str
    accuracy: Estimate
    mean_cost: Estimate
    mean_latency: Estimate
    shares: np.ndarray
    allowed: np.ndarray
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray
    costs: np.ndarray
    cost_low: np.ndarray
    cost_high: np.ndarray
    latencies: np.ndarray

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))


def choose(
    scores: Scores,
    budget: float | None = None,
    latency: float | None = None,
    risk: float | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Selection:
    """The most accurate candidate within the limits, and what to expect of it.

    Parameters
    ----------
    scores : Scores
    budget : float, optional
        Most USD an item, in the mean.
    latency : float, optional
        Most seconds an item, in the mean.
    risk : float, optional
        Choose by the accuracy that a candidate misses with this chance, in (0, 0.5], rather than by
        its mean.
    draws : int
        Bootstraps.
    seed : int

    Returns
    -------
    Selection
        Of equally accurate candidates the cheapest, then the first. The interval of the accuracy is
        its mean over the bootstraps ± 1.96 sqrt(se² + sd²): the standard error of the chosen
        candidate, and the spread of the out-of-fold means of what the bootstraps chose.

    Raises
    ------
    ValueError
        No candidate within the limits: the cheapest or quickest is named.
    """
    check_limits(budget, latency, risk)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws={shown(draws)}; give a whole number from 1 up")
    rng, sums = np.random.default_rng(checked_seed(seed)), _Sums.of(scores)
    limits = (np.inf if budget is None else budget, np.inf if latency is None else latency)
    rule = _Rule(limits, 0.0 if risk is None else float(norm.isf(risk)), sums)
    # With every row once, this is the choice itself.
    whole = sums.weighed(np.ones((1, len(sums.rows)), np.float32))
    allowed = rule.allowed(whole)[0]
    if not allowed.any():
        raise ValueError(_too_tight(scores, whole, budget, latency))
    best = int(rule.winners(whole)[0])
    inside, outside = sums.bootstrapped(draws, rng)
    winners = rule.winners(inside)
    of_winner = np.arange(draws), winners
    means, costs, times = (part[0] for part in whole.means())
    right, spent, waited = (part[of_winner] for part in outside.means())
    errors = sums.standard_errors(whole)
    half = 1.96 * errors
    return Selection(
        chosen=scores.names[best],
        accuracy=_promise(right, means, winners, errors[0, best], 1.0),
        mean_cost=_promise(spent, costs, winners, errors[1, best]),
        mean_latency=_promise(waited, times, winners, errors[2, best]),
        shares=np.bincount(winners, minlength=len(means)) / draws,
        allowed=allowed,
        means=means,
        low=np.clip(means - half[0], 0, 1),
        high=np.clip(means + half[0], 0, 1),
        costs=costs,
        cost_low=np.maximum(costs - half[1], 0),
        cost_high=costs + half[1],
        latencies=times,
    )


def _promise(left_out, means, winners, error: float, most: float = np.inf) -> Estimate:
    """The mean over bootstraps of what the winner did on the rows left out, with its interval."""
    known = ~np.isnan(left_out)
    if not known.any() or np.isnan(error):
        return UNKNOWN
    value = float(left_out[known].mean())
    half = 1.96 * float(np.hypot(error, means[winners].std()))
    return Estimate(value, max(value - half, 0.0), min(value + half, most))


class _Means(NamedTuple):
    """Sums (draws, c) or (draws, 1) over weighted rows."""

    right: np.ndarray
    square: np.ndarray
    seen: np.ndarray
    spent: np.ndarray
    waited: np.ndarray
    rows: np.ndarray

    def means(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):  # a candidate without any row
            found = self.right / self.seen, self.spent / self.rows, self.waited / self.rows
        return tuple(np.broadcast_to(part, self.right.shape) for part in found)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of each unit that is drawn, a row or a cluster of rows: (g, c), and (g, 1) of rows."""

    right: np.ndarray
    square: np.ndarray
    seen: np.ndarray
    spent: np.ndarray
    waited: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, scores: Scores) -> _Sums:
        judged = scores.fold >= 0
        cluster = None if scores.cluster is None else scores.cluster[judged]
        correct, one = scores.correct[judged], np.ones((int(judged.sum()), 1), np.float32)
        known = ~np.isnan(correct)
        correct = np.nan_to_num(correct)
        gone = np.full((len(one), 1), np.nan, np.float32)  # a measure that is not recorded
        parts = (
            correct,
            correct if np.isin(correct, (0, 1)).all() else correct**2,
            one if known.all() else known.astype(np.float32),
            gone if scores.cost is None else scores.cost[judged],
            gone if scores.latency is None else scores.latency[judged],
            one,
        )
        if cluster is None:
            return cls(*parts)
        codes = np.unique(cluster, return_inverse=True)[1]
        return cls(*(_by_cluster(part, codes) for part in parts))

    def weighed(self, weight: np.ndarray, start: int = 0) -> _Means:
        """Weighted sums; `weight` (draws, g) of the units from `start` on."""
        end = start + weight.shape[1]
        found: dict[int, np.ndarray] = {}
        for part in self._parts():  # equal parts are summed once
            if id(part) not in found:
                found[id(part)] = (weight @ part[start:end]).astype(float)
        return _Means(*(found[id(part)] for part in self._parts()))

    def bootstrapped(self, draws: int, rng: np.random.Generator) -> tuple[_Means, _Means]:
        """Sums over the rows that each bootstrap drew, and over those that it left out."""
        total: list = [None, None]
        for start in range(0, len(self.rows), BLOCK):
            shape = (draws, min(BLOCK, len(self.rows) - start))
            weight = rng.poisson(1.0, shape).astype(np.float32)
            for i, drawn in enumerate((weight, (weight == 0).astype(np.float32))):
                part = self.weighed(drawn, start)
                total[i] = part if total[i] is None else _Means(*map(np.add, total[i], part))
        return total[0], total[1]

    def standard_errors(self, whole: _Means) -> np.ndarray:
        """(3, c) of the means of correctness, cost and latency.

        One right and one wrong row are added, so that none is 0 where all rows are right.
        """
        accuracy, cost, latency = whole.means()
        g, n = len(self.rows), float(whole.rows[0, 0])
        more = g / max(g - 1, 1)
        left = self.right - self.seen * accuracy
        added = accuracy**2 + (1 - accuracy) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            found = [np.sqrt(more * ((left**2).sum(axis=0) + added)) / whole.seen]
        for part, mean in ((self.spent, cost), (self.waited, latency)):
            left = part - self.rows * mean
            found.append(np.sqrt(more * (left**2).sum(axis=0))[None] / n)
        c = accuracy.shape[1]
        return np.vstack([np.broadcast_to(np.reshape(part, (1, -1)), (1, c)) for part in found])

    def _parts(self) -> Iterator[np.ndarray]:
        yield from (self.right, self.square, self.seen, self.spent, self.waited, self.rows)


def _by_cluster(part: np.ndarray, codes: np.ndarray) -> np.ndarray:
    total = np.zeros((codes.max() + 1, part.shape[1]))
    np.add.at(total, codes, part)
    return total.astype(np.float32)


@dataclass(frozen=True)
class _Rule:
    """Which candidate a set of weighted sums chooses."""

    limits: tuple[float, float]
    deviations: float  # below the mean, for a choice by a lower quantile
    sums: _Sums

    def allowed(self, found: _Means) -> np.ndarray:
        """(draws, c) bool: within both limits; a measure that is not known is not within one."""
        accuracy, cost, latency = found.means()
        within = ~np.isnan(accuracy)
        for mean, limit in zip((cost, latency), self.limits, strict=True):
            if np.isfinite(limit):
                within &= mean <= limit * SLACK
        return within

    def winners(self, found: _Means) -> np.ndarray:
        """(draws,) the most accurate candidate that is allowed; the cheapest where none is."""
        accuracy, cost, latency = found.means()
        value = accuracy
        if self.deviations:
            with np.errstate(invalid="ignore", divide="ignore"):
                variance = np.maximum(found.square / found.seen - accuracy**2, 0)
            value = accuracy - self.deviations * np.sqrt(variance / found.seen)
        # Of equal candidates the cheapest: so small a difference decides nothing else.
        order = np.argsort(np.nan_to_num(cost[0], nan=np.inf), kind="stable")
        rank = np.empty(len(order))
        rank[order] = np.arange(len(order))
        value = value - 1e-9 * rank / len(rank)
        allowed = self.allowed(found)
        value = np.where(allowed, value, -np.inf)
        if not allowed.any(axis=1).all():
            limited = cost if np.isfinite(self.limits[0]) else latency
            least = np.where(np.isnan(accuracy), np.inf, np.nan_to_num(limited, nan=np.inf))
            value = np.where(allowed.any(axis=1, keepdims=True), value, -least)
        return value.argmax(axis=1)


def check_limits(budget, latency, risk) -> None:
    """Refuse limits that are no numbers above 0, and a risk outside (0, 0.5]."""
    for name, limit, unit in (("budget", budget, "USD"), ("latency", latency, "seconds")):
        known = isinstance(limit, Real) and not isinstance(limit, bool)
        if limit is not None and (not known or not 0 <= limit < np.inf):
            raise ValueError(f"{name}={shown(limit)}; give {unit} an item, a number from 0 up")
    known = isinstance(risk, Real) and not isinstance(risk, bool)
    if risk is not None and (not known or not 0 < risk <= 0.5):
        raise ValueError(f"risk={shown(risk)}; give a chance above 0 and up to 0.5, such as 0.05")


def _too_tight(scores: Scores, whole: _Means, budget, latency) -> str:
    """Why no candidate is within the limits."""
    _, cost, times = whole.means()
    for name, limit, mean, unit, rest in (
        ("budget", budget, cost[0], "USD", "the cheapest candidate"),
        ("latency", latency, times[0], "seconds", "the quickest candidate"),
    ):
        if limit is None:
            continue
        if np.isnan(mean).all():
            return f"{name}={limit:g} cannot be kept: no {name.replace('budget', 'cost')} is known"
        least = int(np.nanargmin(mean))
        if not mean[least] <= limit * SLACK:
            return (
                f"a {name} of {limit:g} {unit} an item is below {rest},"
                f" {shown(scores.names[least])} at {mean[least]:.4g}; raise it"
            )
    return (
        f"no candidate keeps a budget of {budget:g} USD and a latency of {latency:g} s; raise one"
    )
