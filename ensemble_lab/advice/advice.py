"""`advise`: whether an ensemble would pay on these models, and which one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.advice import checks
from ensemble_lab.advice.baselines import (
    bargain_of,
    chance_oracle_of,
    frontier_of,
    mixture_at,
    needed_rows,
    rival_of,
)
from ensemble_lab.advice.columns import clock, clusters, of_rows
from ensemble_lab.advice.limits import check_limits, check_load
from ensemble_lab.advice.pool import Candidate, candidates
from ensemble_lab.advice.prices import Repriced, at_prices
from ensemble_lab.advice.scores import MOST_FITTED, Scores, fitted, score
from ensemble_lab.advice.selection import Estimate, Selection, choose
from ensemble_lab.advice.words import bargain_told, counted, described, percent, what_not
from ensemble_lab.core.errors import excerpt
from ensemble_lab.core.frozen import Frozen
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes, Single
from ensemble_lab.core.policy import Policy

if TYPE_CHECKING:
    import pandas as pd

FEW_ROWS = 2_000  # up to here ten folds: a fit on 80 % of few rows is worse than one on all


@dataclass(frozen=True, eq=False)
class Advice(Frozen):
    """What `advise` found.

    Parameters
    ----------
    outcomes : Outcomes
        The rows and models that were compared, in the order of time where there is a clock.
    candidates : tuple of Candidate
    scores : Scores
        What each candidate did on rows that it was not fitted on.
    chosen : str
        The name of the candidate that is advised.
    policy : Policy or OnlinePolicy
        It, fitted on all rows.
    accuracy, mean_cost, mean_latency : Estimate
        What to expect on other rows: value, low, high (95 %). USD and seconds an item.
    sure : float
        Share of the bootstraps that chose it.
    frontier : pandas.DataFrame
        One row a candidate: ``candidate``, ``family``, ``accuracy``, ``low``, ``high``, ``cost``,
        ``cost_low``, ``cost_high``, ``latency``, ``chosen_in`` (share of the bootstraps) and
        ``allowed`` (within the limits).
    best_single : Single
        Most accurate model and its accuracy, as if it had been known before.
    mixture : float
        Accuracy of the best random mixture of two models at the cost of what is advised; NaN where
        prices are not known.
    oracle, chance_oracle : float
        Of always choosing a right model, and of doing so among equally many random guessers (NaN
        where the number of options is not known).
    rival : str
        The candidate that the bootstraps chose most often except for the advised one.
    needed_rows : float
        Rows that would tell the two apart: 7.85 d / δ², for the variance d of their difference on a
        row and its mean δ (5 % level, 80 % power); infinite where they are equally accurate.
    what_not : str
        A tempting candidate that loses, and why; empty where none does.
    said : tuple of str
        Every doubt, and everything that was left out or understood.
    limits : mapping of str to float
        ``budget``, ``latency`` and ``risk``, those that were given.
    rate : float or None
        Requests a second, where they were given.
    servers : int, mapping of str to int, or None
        Of every model, or of each, where they were given.
    """

    outcomes: Outcomes
    candidates: tuple[Candidate, ...]
    scores: Scores
    chosen: str
    policy: Policy | OnlinePolicy
    accuracy: Estimate
    mean_cost: Estimate
    mean_latency: Estimate
    sure: float
    frontier: pd.DataFrame
    best_single: Single
    mixture: float
    oracle: float
    chance_oracle: float
    rival: str
    needed_rows: float
    what_not: str
    said: tuple[str, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    servers: int | Mapping[str, int] | None = None

    def sentence(self) -> str:
        """The advice in one sentence."""
        does, right = described(self.policy, self.chosen), self.accuracy
        ends = f"[{100 * right.low:.1f}, {100 * right.high:.1f}]"
        text = f"{does[0].upper()}{does[1:]}: {percent(right.value)} {ends}"
        if self.chosen == self.best_single.model:
            here = "better within the limits" if self.limits else "more accurate here"
            return f"{text}; no ensemble is {here}."
        single = self.frontier.set_index("candidate").loc[self.best_single.model]
        against = f"{excerpt(self.best_single.model, 40)}, which is right on"
        against += f" {percent(self.best_single.accuracy)}"
        if not np.isnan(self.mean_cost.value) and single["cost"] > 0:
            share = self.mean_cost.value / single["cost"]
            part = f"{100 * share:.3g} % of" if share < 9.995 else f"{share:,.0f} times"
            return f"{text} at {part} the price of {against}."
        return f"{text}, against {against}."

    def bargain(self) -> str:
        """The cheapest candidate that is as accurate as the advised one, as far as these rows tell.

        Within the limits, at least a fifth cheaper, and less accurate by at most one standard error
        of the difference; empty where there is none.

        References
        ----------
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section
        3.4.3: the rule of one standard error.
        """
        return bargain_of(self.scores, self.frontier, self.chosen)

    def at_prices(self, factors: Mapping[str, float]) -> Repriced:
        """Rank every candidate again, with other prices and the same decisions.

        What was fitted stays as it is: a threshold that was learned under a budget would be
        another one at other prices. So run `advise` again before money depends on it.

        Parameters
        ----------
        factors : mapping of str to float
            By which the price of each named model changes: ``{"big": 0.5}`` is half of its price.

        Returns
        -------
        Repriced
            ``chosen``, the candidate that would be advised within the same limits, and
            ``frontier``, all candidates with their ``cost`` and whether they are ``allowed``.

        Raises
        ------
        TypeError, KeyError, ValueError
            No mapping; no such model; a factor that is no number from 0 up; a table without
            prices; or a budget that no candidate keeps any more.

        Examples
        --------
        >>> table = Outcomes(models=["small", "big"], items=range(40), cost=[[1, 10]] * 40,
        ...                  correct=[[1, 1]] * 30 + [[0, 1]] * 10)
        >>> advice = advise(table, budget=5, progress=False)
        >>> advice.chosen, advice.at_prices({"big": 0.5}).chosen
        ('small', 'big')
        """
        return at_prices(self, factors)

    def __repr__(self) -> str:
        told = [f"Advice: {self.sentence()}"]
        more = f"{self.chosen}: chosen in {percent(self.sure, 0)} of the bootstraps"
        if self.rival:
            rows = "no number of rows" if math.isinf(self.needed_rows) else counted(
                self.needed_rows, "row")  # fmt: skip
            more += f"; {rows} would tell it from {excerpt(self.rival, 60)}"
        told.append(f"{more}, and there are {len(self.outcomes):,}.")
        if cheaper := bargain_told(self):
            told.append(cheaper)
        if self.what_not:
            told.append(f"Not: {self.what_not}.")
        return "\n".join([*told, *(f"Note: {line}" for line in self.said)])


def advise(
    outcomes: Outcomes,
    *,
    budget: float | None = None,
    latency: float | None = None,
    risk: float | None = None,
    cluster=None,
    time=None,
    rate: float | None = None,
    servers: int | Mapping[str, int] | None = None,
    thorough: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Advice:
    """Try every policy that the table allows, and say which one to use and what to expect of it.

    Each policy is judged on rows that it was not fitted on, and the luck of being the best of many
    is taken out of what is promised (`ensemble_lab.advice.selection`). Ctrl-C keeps the policies
    that were judged so far.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, graded.
    budget : float, optional
        Most USD an item, in the mean.
    latency : float, optional
        Most seconds an item, in the mean.
    risk : float, optional
        Choose by the accuracy that a policy misses with this chance, such as 0.05.
    cluster : str or array-like (n,), optional
        Rows that belong together, such as those of one user: the name of a feature, ``"group"``, or
        one value a row. They are judged and drawn together.
    time : str or array-like (n,), optional
        A clock, by name or values: then every policy is judged on rows later than those of its fit,
        and policies that learn while they answer are tried.
    rate : float, optional
        Requests a second: how long people wait is simulated at this rate, and at half and one and a
        half of it.
    servers : int, or mapping of str to int, optional
        How many requests each model answers at once in this simulation; 4 where none is given.
    thorough : bool
        Try more policies, fitted on all rows.
    seed : int
        Of folds and bootstraps.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    Advice

    Raises
    ------
    ValueError
        One model; too few graded rows; a limit, rate or number of servers that is none; a budget
        below the cheapest policy; a cluster that is the whole table; a clock that cannot be read.
    KeyError
        A column or model that is not there.

    References
    ----------
    Tsamardinos, Greasidou and Borboudakis, Bootstrapping the out-of-sample predictions for
    efficient and accurate cross-validation, Machine Learning 107, 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hard = rng.random(400) < 0.3
    >>> table = Outcomes(models=["small", "big"], items=range(400),
    ...                  correct=np.column_stack([~hard, np.ones(400)]),
    ...                  confidence=np.column_stack([0.9 - 0.5 * hard, np.ones(400)]),
    ...                  cost=[[1, 10]] * 400)
    >>> advise(table, progress=False).policy
    Cascade(order=('small', 'big'), thresholds=(0.9,), abstain=None)
    """
    check_limits(budget, latency, risk)
    seed = checked_seed(seed)
    whole = outcomes
    outcomes, said = checks.usable(outcomes)
    check_load(rate, servers, whole.models)
    if outcomes.latency is None and (rate, servers) != (None, None):
        said.append("How long people wait cannot be simulated: no latency is recorded.")
    if len(outcomes) < len(whole):  # columns that are given as values lose the same rows
        rows = ~np.isnan(whole.correct).all(axis=1)
        cluster, time = of_rows(cluster, rows), of_rows(time, rows)
    group, when = clusters(outcomes, cluster), clock(outcomes, time)
    folds = 10 if len(outcomes) <= FEW_ROWS else 5
    if group is not None:
        folds = checks.check_clusters(group, folds, said)
    elif (codes := checks.repeated(outcomes)) is not None:
        checks.say_repeated(outcomes, codes, said)
        group = codes
    if when is not None and (back := np.flatnonzero(np.diff(when) < 0)).size:
        said.append(
            f"time goes backwards {counted(back.size, 'time')}, first after item"
            f" {excerpt(str(outcomes.items[back[0]]), 40)}: the rows were put in order."
        )
        order = np.argsort(when, kind="stable")
        outcomes, when = outcomes.take(order), when[order]
        group = None if group is None else group[order]
    tried = candidates(outcomes, thorough, budget=budget, online=when is not None)
    most = len(outcomes) if thorough else MOST_FITTED
    scores = score(outcomes, tried, folds, group, when, seed, most_fitted=most, progress=progress)
    if scores.stopped:
        said.append(
            f"Stopped early: {len(scores.names)} of {counted(len(tried), 'candidate')} were judged."
        )
    said += [f"{excerpt(name, 60)} was not tried: {why}" for name, why in scores.refused.items()]
    if len(outcomes) > most:
        said.append(f"Each policy was fitted on {most:,} rows, drawn at random.")
    found = choose(scores, budget, latency, risk, seed=seed)
    return _assembled(outcomes, tried, scores, found, said, most, seed,
                      {"budget": budget, "latency": latency, "risk": risk},
                      {"rate": rate, "servers": servers})  # fmt: skip


def _assembled(outcomes, tried, scores, found: Selection, said, most, seed, limits,
               load) -> Advice:  # fmt: skip
    by_name = {candidate.name: candidate for candidate in tried}
    families = {name: by_name[name].family for name in scores.names}
    singles = [j for j, name in enumerate(scores.names) if families[name] == "single"]
    single = max(singles, key=lambda j: (found.means[j], -np.nan_to_num(found.costs[j])))
    chosen = scores.names.index(found.chosen)
    rival = rival_of(scores, found, chosen)
    learned = outcomes
    if len(outcomes) > most:
        rows = np.random.default_rng(seed).choice(len(outcomes), most, replace=False)
        learned = outcomes.take(np.sort(rows))
    if not np.isclose(found.shares[chosen], 1) and found.shares[chosen] < 0.5:
        said.append(
            f"The choice is not sure: {excerpt(found.chosen, 60)} was chosen in"
            f" {percent(found.shares[chosen], 0)} of the bootstraps."
        )
    return Advice(
        outcomes=outcomes,
        candidates=tried,
        scores=scores,
        chosen=found.chosen,
        policy=fitted(by_name[found.chosen].policy, learned),
        accuracy=found.accuracy,
        mean_cost=found.mean_cost,
        mean_latency=found.mean_latency,
        sure=float(found.shares[chosen]),
        frontier=frontier_of(scores, found, families),
        best_single=Single(scores.names[single], float(found.means[single])),
        mixture=mixture_at(found, singles, found.costs[chosen]),
        oracle=outcomes.oracle(),
        chance_oracle=chance_oracle_of(outcomes),
        rival="" if rival is None else scores.names[rival],
        needed_rows=math.inf if rival is None else needed_rows(scores, chosen, rival),
        what_not=what_not(outcomes, scores, families, found.means, found.costs, single),
        said=tuple(said),
        limits={name: limit for name, limit in limits.items() if limit is not None},
        **load,
    )
