"""What would change an advice: other budgets, harder traffic, time, prices, and a load.

Nothing is fitted again. The out-of-fold matrix says what each candidate did on each row, so other
traffic is the same matrix with other weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from ensemble_lab.advice.selection import SLACK
from ensemble_lab.advice.sums import Sums, Weighed
from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.core.policy import Policy
from ensemble_lab.systems.simulator.under_load import under_load

if TYPE_CHECKING:
    import pandas as pd

    from ensemble_lab.advice.advice import Advice

HARD = 0.5  # an item is hard where at most this share of the models is right
STEPS = np.linspace(0, 1, 21)  # shares of hard items that are tried
SERVERS, LOADS = 4, (0.3, 0.6, 0.9)  # of each model, and of what they can do
AROUND = (0.5, 1.0, 1.5)  # times the rate that was given


def by_budget(advice: Advice) -> pd.DataFrame:
    """The most accurate candidate for each budget: a row from the budget on at which it is.

    Returns
    -------
    pandas.DataFrame
        ``budget`` (USD an item), ``candidate``, ``accuracy``; empty without prices.
    """
    table = advice.frontier[["candidate", "cost", "accuracy", "latency"]].dropna(
        subset=["cost", "accuracy"]
    )
    if "latency" in advice.limits:
        table = table[table["latency"] <= advice.limits["latency"]]
    table = table.sort_values(["cost", "accuracy"], ascending=[True, False])
    better = table["accuracy"] > table["accuracy"].cummax().shift(fill_value=-1.0)
    return (
        table[better]
        .rename(columns={"cost": "budget"})[["budget", "candidate", "accuracy"]]
        .reset_index(drop=True)
    )


def hard_rows(advice: Advice) -> np.ndarray:
    """(n,) bool: at most half of the models are right."""
    return np.nanmean(advice.outcomes.correct, axis=1) <= HARD


def by_hardness(advice: Advice) -> pd.DataFrame:
    """Who would be chosen if another share of the traffic were hard items.

    Returns
    -------
    pandas.DataFrame
        For 21 shares from 0 to 1, and that of the table: ``share``, the ``candidate`` that is
        chosen, its ``accuracy``, and ``advised``, that of the advised one; empty where all judged
        items are of one kind.
    """
    import pandas as pd

    hard = hard_rows(advice)[advice.scores.fold >= 0]
    if hard.all() or not hard.any():
        return pd.DataFrame(columns=["share", "candidate", "accuracy", "advised"])
    count = len(hard)
    steps = np.unique([*STEPS, hard.mean()])
    mix = np.column_stack([(1 - steps) * count / (~hard).sum(), steps * count / hard.sum()])
    return _chosen(advice, np.stack([~hard, hard]), mix).assign(share=steps)


def by_block(advice: Advice) -> pd.DataFrame:
    """Who would be chosen in each block of time, where the advice was judged forward in time.

    Returns
    -------
    pandas.DataFrame
        ``block`` from 1, ``rows``, ``candidate``, its ``accuracy``, and ``advised``, that of the
        advised one; empty where no clock was given.
    """
    import pandas as pd

    fold = advice.scores.fold
    if (fold >= 0).all():  # a split in time leaves the first block unjudged
        return pd.DataFrame(columns=["block", "rows", "candidate", "accuracy", "advised"])
    blocks = np.unique(fold[fold >= 0])
    groups = fold[fold >= 0] == blocks[:, None]
    found = _chosen(advice, groups, np.eye(len(blocks)))
    return found.assign(block=np.arange(1, len(blocks) + 1), rows=groups.sum(axis=1))


def _chosen(advice: Advice, groups: np.ndarray, mix: np.ndarray) -> pd.DataFrame:
    """The choice under weights: `mix` (s, g) weighs the groups of rows (g, n)."""
    import pandas as pd

    scores, limits = replace(advice.scores, cluster=None), advice.limits
    sums = Sums.of(scores)
    parts = sums.weighed(groups.astype(np.float32))
    found = Weighed(*(mix @ part for part in parts[:-1]), parts.centre)
    accuracy, cost, latency = found.means()
    value, allowed = accuracy.copy(), ~np.isnan(accuracy)
    if "risk" in limits:
        variance = np.maximum(found.square / found.seen - accuracy**2, 0)
        value -= norm.isf(limits["risk"]) * np.sqrt(variance / found.seen)
    for name, mean in (("budget", cost), ("latency", latency)):
        if name in limits:
            allowed &= mean <= limits[name] * SLACK
    advised = scores.names.index(advice.chosen)
    # Of equally accurate ones the advised one stays: only a better one changes the advice.
    value[:, advised] += 1e-9
    value = np.where(allowed, value, -np.inf)
    value = np.where(allowed.any(axis=1, keepdims=True), value, -cost)  # none keeps the budget
    best = np.nanargmax(value, axis=1)
    return pd.DataFrame(
        {
            "candidate": [scores.names[j] for j in best],
            "accuracy": accuracy[np.arange(len(mix)), best],
            "advised": accuracy[:, advised],
        }
    )


def by_price(advice: Advice) -> pd.DataFrame:
    """By which factor each model's price must change until the advice saves nothing any more.

    Returns
    -------
    pandas.DataFrame
        A row a model that the advised policy asks: ``model``; ``calls``, the share of the items on
        which it is asked; ``cost``, USD an item; ``factor``, at which the policy costs as much as
        the best single model, NaN where no factor does. Empty without prices, and where the advice
        is a single model.
    """
    import pandas as pd

    outcomes, single = advice.outcomes, advice.best_single.model
    nothing = pd.DataFrame(columns=["model", "calls", "cost", "factor"])
    if outcomes.cost is None or not isinstance(advice.policy, Policy):
        return nothing
    called = advice.policy.decide(outcomes).called
    known = outcomes.columns([single])[0]
    if called.sum() == len(called) and called.any(axis=0).sum() == 1:
        return nothing
    paid = np.where(called, outcomes.cost, 0.0).mean(axis=0)
    alone = float(outcomes.cost[:, known].mean())
    rows = []
    for j in np.flatnonzero(called.any(axis=0)):
        own = alone if j == known else 0.0
        # (rest of the policy) + factor x paid = (rest of the single model) + factor x own
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.divide((alone - own) - (paid.sum() - paid[j]), paid[j] - own)
        rows.append(
            {
                "model": outcomes.models[j],
                "calls": float(called[:, j].mean()),
                "cost": float(paid[j]),
                "factor": float(factor) if np.isfinite(factor) and factor > 0 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def by_rate(advice: Advice, rng: int = 0) -> pd.DataFrame:
    """Latency of the advised policy and of the best single model when requests queue.

    Requests come at random (Poisson) at half, one and one and a half times the rate of the advice;
    where it has none, at rates up to nine tenths of what the servers of the best single model can
    do. Each model has the servers of the advice, else four.

    Returns
    -------
    pandas.DataFrame
        ``rate`` (requests a second), and of both, ``advised`` and ``single``, the ``p50`` and
        ``p99`` in seconds, NaN where a queue grows without end; empty without latencies.
    """
    import pandas as pd

    outcomes = advice.outcomes
    names = [f"{who}_{q}" for who in ("advised", "single") for q in ("p50", "p99")]
    nothing = pd.DataFrame(columns=["rate", *names])
    latency = outcomes.latency
    if latency is None or not isinstance(advice.policy, Policy) or not (latency > 0).all():
        return nothing
    single = advice.best_single.model
    servers = servers_of(advice)
    if advice.rate is not None:
        rates = [times * advice.rate for times in AROUND]
    else:
        most = servers[single] / latency[:, outcomes.columns([single])[0]].mean()
        rates = [load * most for load in LOADS]
    table: dict[str, object] = {"rate": rates}
    for who, policy in (("advised", advice.policy), ("single", Cascade((single,)))):
        with warnings.catch_warnings(action="ignore"):  # of overload: the table shows it
            found = under_load(policy, outcomes, servers, rates, rng=rng)
        for q in ("p50", "p99"):
            table[f"{who}_{q}"] = np.where(found["overloaded"], np.nan, found[q])
    return pd.DataFrame(table)


def servers_of(advice: Advice) -> dict[str, int]:
    """How many requests each model answers at once in the simulation."""
    given = advice.servers
    own = given if isinstance(given, Mapping) else {}
    usual = SERVERS if given is None or isinstance(given, Mapping) else given
    return {name: own.get(name, usual) for name in advice.outcomes.models}
