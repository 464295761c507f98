"""The best candidate, and an honest promise for it: BBC-CV.

The accuracy of the best of many candidates is too high, also where each was judged on rows that it
was not fitted on: some of its lead is luck. So the choice itself is repeated. Each of many
bootstraps re-weights the rows, chooses again, and judges what it chose on the rows that it left
out. Nothing is fitted again, as the out-of-fold matrix has all that is needed.

The promise can be too low: a bootstrap chooses by 63 % of the rows, and the fit of one of ten folds
has 90 % of them. On rows that were not drawn it is 0.2 points too low over all tables measured, and
0.5 where stacking wins on 1,000 rows; half of that is the smaller fit (`docs/measured.md`, table by
table). Other corrections of the same matrices were worse, measured with other draws: the winner's
mean less the optimism of a bootstrap (Efron, 1983) was up to 0.8 points too high and held in 93 %
instead of 95 %, and so was a mean of .632 of this promise and .368 of the winner's mean. A choice
by nine tenths of the rows, judged on the last tenth, held in 91 %.

References
----------
Efron, Estimating the error rate of a prediction rule: improvement on cross-validation, JASA 78,
1983.
Tsamardinos, Greasidou and Borboudakis, Bootstrapping the out-of-sample predictions for efficient
and accurate cross-validation, Machine Learning 107, 2018.
Chamandy et al., Estimating uncertainty for massive data streams, 2012: weights that are Poisson.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ensemble_lab.advice.limits import SLACK, check_limits, too_tight
from ensemble_lab.advice.scores import Scores
from ensemble_lab.advice.sums import Sums, Weighed
from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.intervals import checked_seed

Z = 1.96


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
        candidate, and the spread of the out-of-fold means of what the bootstraps chose. Cost and
        latency were not what was chosen by: they are those of the chosen candidate ± 1.96 standard
        errors, by rows or by folds, whichever is larger.

    Raises
    ------
    ValueError
        No candidate within the limits: the cheapest or quickest is named.
    """
    check_limits(budget, latency, risk)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws={shown(draws)}; give a whole number from 1 up")
    rng, sums = np.random.default_rng(checked_seed(seed)), Sums.of(scores)
    whole = sums.whole()  # every row once: the choice itself
    rule = Rule.of(whole, budget, latency, risk)
    allowed = rule.allowed(whole)[0]
    if not allowed.any():
        raise ValueError(too_tight(scores, whole, budget, latency))
    best = int(rule.winners(whole)[0])
    inside, outside = sums.bootstrapped(draws, rng)
    winners = rule.winners(inside)
    means, costs, times = (part[0] for part in whole.means())
    left_out = outside.means()[0][np.arange(draws), winners]
    errors = sums.standard_errors()
    half = Z * errors
    spent, waited = (
        _estimate(mean[best], max(error[best], _by_fold(values, scores.fold, best)))
        for values, mean, error in zip(
            (scores.cost, scores.latency), (costs, times), errors[1:], strict=True
        )
    )
    return Selection(
        chosen=scores.names[best],
        accuracy=_promise(left_out, means, winners, errors[0, best]),
        mean_cost=spent,
        mean_latency=waited,
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


def _promise(left_out: np.ndarray, means: np.ndarray, winners: np.ndarray, error: float):
    """The mean over bootstraps of what the winner did on the rows left out, with its interval."""
    known = left_out[~np.isnan(left_out)]
    if not len(known):  # no bootstrap left a row out
        return UNKNOWN
    return _estimate(known.mean(), np.hypot(error, means[winners].std()), 1.0)


def _estimate(value: float, error: float, most: float = np.inf) -> Estimate:
    """The interval ± 1.96 errors, between 0 and `most`."""
    low, high = max(value - Z * error, 0.0), min(value + Z * error, most)
    return UNKNOWN if np.isnan(value) else Estimate(float(value), float(low), float(high))


def _by_fold(values: np.ndarray | None, fold: np.ndarray, best: int) -> float:
    """The standard error of a candidate's mean by its means in the folds.

    Each fold has a fit of its own, so what differs between fits is in it: a threshold that is a
    little lower makes every item cheaper.
    """
    if values is None:
        return 0.0
    k = int(fold.max()) + 1
    here = fold >= 0
    means = np.bincount(fold[here], values[here, best], k) / np.bincount(fold[here], minlength=k)
    return float(means.std(ddof=1) / k**0.5)


@dataclass(frozen=True)
class Rule:
    """Which candidate a set of weighted sums chooses."""

    limits: tuple[float, float]
    deviations: float  # below the mean, for a choice by a lower quantile
    rank: np.ndarray  # (c,) from cheap to expensive

    @classmethod
    def of(cls, whole: Weighed, budget=None, latency=None, risk=None) -> Rule:
        """The rule for these limits, with the candidates ranked by their cost on all rows."""
        limits = (np.inf if budget is None else budget, np.inf if latency is None else latency)
        rank = np.argsort(np.argsort(whole.means()[1][0], kind="stable"))  # NaN sorts last
        return cls(limits, 0.0 if risk is None else float(norm.isf(risk)), rank)

    def allowed(self, found: Weighed) -> np.ndarray:
        """(draws, c) bool: within both limits; a measure that is not known is not within one."""
        accuracy, cost, latency = found.means()
        within = ~np.isnan(accuracy)
        for mean, limit in zip((cost, latency), self.limits, strict=True):
            if np.isfinite(limit):
                within &= mean <= limit * SLACK
        return within

    def values(self, found: Weighed) -> np.ndarray:
        """(draws, c) what candidates are chosen by: the accuracy, or its lower quantile."""
        accuracy = found.means()[0]
        if not self.deviations:
            return accuracy
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(found.square / found.seen - accuracy**2, 0)
            return accuracy - self.deviations * np.sqrt(variance / found.seen)

    def winners(self, found: Weighed) -> np.ndarray:
        """(draws,) the most accurate candidate that is allowed; the cheapest where none is."""
        accuracy, cost, latency = found.means()
        # Of equal candidates the cheapest: so small a difference decides nothing else.
        value = self.values(found) - 1e-9 * self.rank / len(self.rank)
        allowed = self.allowed(found)
        value = np.where(allowed, value, -np.inf)
        if not allowed.any(axis=1).all():
            limited = cost if np.isfinite(self.limits[0]) else latency
            least = np.where(np.isnan(accuracy), np.inf, np.nan_to_num(limited, nan=np.inf))
            value = np.where(allowed.any(axis=1, keepdims=True), value, -least)
        return value.argmax(axis=1)
