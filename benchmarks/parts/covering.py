"""Whether advice keeps its promise: drawn from tables so large that the truth is known.

A draw of n rows stands for what a user has, and the other rows of the table for the requests to
come. `advise` reads the draw alone. The truth is what the policy that it returns does on the whole
table, and, stricter, on the other rows: a policy does better on rows that it was fitted on.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

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
    """Promises minus the truth, that of the policy which is returned, on the whole table."""
    truth = policy.decide(table)
    others = policy.decide(table.take(np.setdiff1d(np.arange(len(table)), rows)))
    shrink = (1 - len(rows) / len(table)) ** 0.5  # drawn without replacement
    return {
        "chosen": found.chosen,
        "accuracy": _kept(found.accuracy, truth.accuracy, shrink),
        "others": _kept(found.accuracy, others.accuracy, 1 / shrink),  # two means that vary
        "cost": _kept(found.mean_cost, truth.mean_cost, shrink),
        "winner": float(winner - truth.accuracy),
        "naive": _naive(tried, table.take(rows), table),
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


def all_draws(tables, sizes, draws: int, make=drawn, workers: int = 2) -> list[dict]:
    """Every draw; those of an earlier run of the same code are read from its file.

    Ctrl-C returns the draws that were made of every table, and the file keeps all.
    """
    path = Path(tempfile.gettempdir()) / f"ensemble_lab_{make.__name__}_{_code()}.jsonl"
    found = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            one = json.loads(line)
            found[one["table"], one["n"], one["draw"]] = one
    wanted = [(name, n, draw) for draw in range(draws) for name in tables for n in sizes]
    left = [key for key in wanted if key not in found]
    working = ProcessPoolExecutor(workers)
    try:
        with path.open("a", encoding="utf-8") as file:
            for one in tqdm(_done(working, make, left), total=len(left), desc="draws", unit=""):
                found[one["table"], one["n"], one["draw"]] = one
                file.write(json.dumps(one) + "\n")
                file.flush()
    except KeyboardInterrupt:
        made = [draw for draw in range(draws)
                if all((name, n, draw) in found for name in tables for n in sizes)]  # fmt: skip
        wanted = [key for key in wanted if key[2] in made]
    finally:
        working.shutdown(wait=False, cancel_futures=True)
    return [found[key] for key in wanted]


def _done(working: ProcessPoolExecutor, make, left: list[tuple]) -> Iterator[dict]:
    for start in range(0, len(left), 48):  # in order, so that an early end has whole draws
        tasks = [working.submit(make, *key) for key in left[start : start + 48]]
        yield from (task.result() for task in as_completed(tasks))


def _code() -> str:
    """Names the version of the code that a draw depends on."""
    folder = Path(lab.__file__).parent / "advice"
    parts = [path.read_bytes() for path in [*sorted(folder.glob("*.py")), Path(__file__)]]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12] + f"_{os.getuid()}"


def summed(found: list[dict]) -> dict:
    """Coverage and mean error of one table and size, or of several together."""
    accuracy, others, cost = (
        [one[kind] for one in found] for kind in ("accuracy", "others", "cost")
    )

    def points(values) -> list[float]:
        values = 100 * np.asarray(values)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        return [round(float(values.mean()), 3), round(float(error), 3)]

    paid = np.array([one["truth"] for one in cost])
    return {
        "draws": len(found),
        "coverage_accuracy": round(float(np.mean([one["covered"] for one in accuracy])), 4),
        "coverage_cost": round(float(np.mean([one["covered"] for one in cost])), 4),
        "points_too_high": points([one["error"] for one in accuracy]),
        "coverage_other_rows": round(float(np.mean([one["covered"] for one in others])), 4),
        "points_too_high_other_rows": points([one["error"] for one in others]),
        "points_too_high_out_of_fold": points([one["winner"] for one in found]),
        "points_too_high_naive": points([one["naive"] for one in found]),
        "width_points": round(100 * float(np.mean([one["width"] for one in accuracy])), 2),
        "cost_error_percent": points([one["error"] for one in cost] / np.maximum(paid, 1e-12)),
    }
