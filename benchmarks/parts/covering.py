"""Whether advice keeps its promise: drawn from tables so large that the truth is known.

A draw of n rows stands for what a user has, and the other rows of the table for the requests to
come. `advise` reads the draw alone. The truth is what the policy that it returns does on the whole
table, and, stricter, on the other rows: a policy does better on rows that it was fitted on.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits

import ensemble_lab as lab
from ensemble_lab.advice import pool
from ensemble_lab.advice.scores import fitted, score
from ensemble_lab.advice.selection import choose

# Chosen before any of them was measured: three kinds of task, and one with features and groups.
TABLES = (
    "rafdb-services", "expw-services", "audiomnist-services", "fluent-services", "waimai-services",
    "routellm-mmlu",
)  # fmt: skip
SIZES = (300, 1000)
DRAWS = 400  # an interrupted run records how many were made


@lru_cache
def whole(name: str) -> lab.Outcomes:
    return lab.load_outcomes(name)


def drawn(name: str, n: int, draw: int) -> dict:
    """One draw: what was promised, and what is true of the policy on the whole table."""
    table = whole(name)
    rows = _rows(table, n, draw)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        advice = lab.advise(table.take(rows), seed=draw, progress=False)
        winner = advice.frontier.set_index("candidate").loc[advice.chosen, "accuracy"]
        found = _told(advice, advice.policy, advice.candidates, winner, rows, table)
    return {"table": name, "n": n, "draw": draw, "sure": advice.sure} | found


def in_trial(name: str, n: int, draw: int) -> dict:
    """The same with few candidates: neither stacking, which learns its rows by heart, nor budgets.

    On a table of four models, these are 16.
    """
    table = whole(name)
    rows = _rows(table, n, draw)
    part = table.take(rows)
    tried = [
        one
        for one in pool.candidates(part)
        if one.family not in ("stacking", "committee") and " within " not in one.name
    ]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        scores = score(part, tried, folds=10, seed=draw, progress=False)  # as advise does
        found = choose(scores, seed=draw)
        best = scores.names.index(found.chosen)
        policy = fitted(tried[best].policy, part)
        told = _told(found, policy, tried, found.means[best], rows, table)
    return {"table": name, "n": n, "draw": draw, "candidates": len(scores.names)} | told


def _rows(table: lab.Outcomes, n: int, draw: int) -> np.ndarray:
    return np.sort(np.random.default_rng([n, draw]).choice(len(table), n, replace=False))


def _told(found, policy, tried, winner: float, rows, table) -> dict:
    """Promises minus the truth, that of the policy which is returned."""
    part, others = table.take(rows), table.take(np.setdiff1d(np.arange(len(table)), rows))
    truth, elsewhere = policy.decide(table), policy.decide(others)
    shrink = (1 - len(rows) / len(table)) ** 0.5  # drawn without replacement
    return {
        "chosen": found.chosen,
        "accuracy": _kept(found.accuracy, truth.accuracy, shrink),
        "others": _kept(found.accuracy, elsewhere.accuracy, 1 / shrink),  # two means that vary
        "cost": _kept(found.mean_cost, truth.mean_cost, shrink),
        "winner": float(winner - truth.accuracy),
        "naive": _naive(tried, part, table),
        "luck": float((part.accuracy() - others.accuracy()).mean()),  # of the draw: easy rows
    }


def _kept(promise, truth: float, shrink: float) -> dict:
    """Promise minus truth, the truth, and whether the interval, made narrower, has it."""
    low, high = (promise.value + shrink * (end - promise.value) for end in promise[1:])
    # A price that is the same for every call has no width: its last digits do not count.
    slack = 1e-6 * abs(truth)
    return {"error": promise.value - truth, "truth": truth, "width": high - low,
            "covered": bool(low - slack <= truth <= high + slack)}  # fmt: skip


def _naive(tried, part: lab.Outcomes, table: lab.Outcomes) -> float:
    """Promise minus truth where every policy is fitted and judged on the same rows."""
    best = (-1.0, None)
    for candidate in tried:
        try:
            policy = fitted(candidate.policy, part)
            right = policy.decide(part).accuracy
        except ValueError:  # as `score` leaves it out
            continue
        if right > best[0]:
            best = right, policy
    return best[0] - best[1].decide(table).accuracy
