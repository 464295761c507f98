"""Advice: a table's names and order change no advice; what is wrong is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet


def table(n=60, seed=0, **more):
    """A small model that is unsure where it is wrong, and a big one that is right on most."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.4
    right = np.column_stack([~hard, rng.random(n) < 0.95])
    sure = np.column_stack([np.where(hard, 0.4, 0.9) + 0.05 * rng.random(n), np.full(n, 0.9)])
    return lab.Outcomes(**{
        "models": ["small", "big"], "items": range(n), "correct": right, "confidence": sure,
        "cost": [[1, 10]] * n,
    } | more)  # fmt: skip


@contract("advise", "Advice", "Candidate", "advice")
def test_settings_that_are_wrong_are_refused():
    known = table()
    advise = lambda **more: lab.advise(known, progress=False, **more)  # noqa: E731
    no_limit = ["1", -1, math.nan, math.inf, True, [1]]
    no_share = ["0.1", 0, -0.1, 0.6, 1, math.nan, True]
    no_column = [7, "user", [1, 2], {}, [1] * 60, [None] * 60, [math.nan] * 60]
    no_clock = ["when", ["soon"] * 59 + ["later"], [3] * 60, [None] * 60]
    collected(
        {f"outcomes {x!r}": lambda x=x: lab.advise(x) for x in (None, "t.csv", [[1, 0]], {})}
        | {f"budget {x!r}": lambda x=x: advise(budget=x) for x in no_limit}
        | {f"latency {x!r}": lambda x=x: advise(latency=x) for x in [*no_limit, 1.0]}
        | {f"risk {x!r}": lambda x=x: advise(risk=x) for x in no_share}
        | {f"cluster {x!r}": lambda x=x: advise(cluster=x) for x in no_column}
        | {f"time {x!r}": lambda x=x: advise(time=x) for x in no_clock}
        | {f"rate {x!r}": lambda x=x: advise(rate=x) for x in [*no_limit, 0]}
        | {
            f"servers {x!r}": lambda x=x: advise(servers=x)
            for x in (0, -1, 1.5, "4", True, [4], {"none": 1}, {"big": 0}, {"big": None}, math.nan)
        }
        | {f"seed {x!r}": lambda x=x: advise(seed=x) for x in ("1", -1, 0.5, True)}
        | {"below the cheapest": lambda: advise(budget=0.5)}
    )


@contract("advise", "Advice", "Candidate")
def test_names_and_the_order_of_models_change_no_advice():
    known = table(200)
    one = lab.advise(known, progress=False)
    other = lab.Outcomes(
        models=["Ω:\n", "a → b"], items=[f"q{i}" for i in range(200)], correct=known.correct,
        confidence=known.confidence, cost=known.cost,
    )  # fmt: skip
    two = lab.advise(other, progress=False)
    assert one.accuracy == two.accuracy and one.mean_cost == two.mean_cost
    assert one.chosen.replace("small", "Ω:\n").replace("big", "a → b") == two.chosen
    assert "\n" not in two.sentence()
    assert isinstance(one.candidates[0], lab.Candidate) and isinstance(one, lab.Advice)


def in_forms(values):
    """The same values as people have them."""
    import pandas as pd
    import polars as pl

    yield from (list(values), tuple(values), np.array(values), pl.Series(values))
    yield pd.Series(values, index=range(len(values), 0, -1))  # by position: the table has no index
    yield pd.Series(values).astype("category")


@contract("advise")
def test_clusters_and_clocks_come_in_any_form():
    """Groups that are not in one piece, in any container; dates, epochs and numbers as text."""
    known, users = table(80), [f"u{i % 16}" for i in range(80)]
    want = lab.advise(known, cluster=users, progress=False)
    for form in in_forms(users):
        found = lab.advise(known, cluster=form, progress=False)
        assert np.array_equal(found.scores.fold, want.scores.fold) and found.chosen == want.chosen
    day = np.datetime64("2026-01-01") + np.arange(80)
    want = lab.advise(known, time=np.arange(80), progress=False).scores.fold
    for form in (
        day, day.astype("datetime64[ns]"), day.tolist(), day.astype(str), [*map(str, range(80))],
        np.arange(80) * 86_400 + 1.7e9, table(80, features={"when": np.arange(80)}),
    ):  # fmt: skip
        found = (
            lab.advise(form, time="when", progress=False)
            if isinstance(form, lab.Outcomes)
            else lab.advise(known, time=form, progress=False)
        )
        assert np.array_equal(found.scores.fold, want)
    gone = day.astype("datetime64[ns]").copy()
    gone[3] = np.datetime64("NaT")
    collected(
        {
            "no time": lambda: lab.advise(known, time=gone, progress=False),
            "endless": lambda: lab.advise(known, time=[*range(79), math.inf], progress=False),
            "lists": lambda: lab.advise(known, cluster=[[1]] * 80, progress=False),
            "nothing": lambda: lab.advise(known, cluster=[""] * 80, progress=False),
        }
    )


@contract("advise")
def test_the_best_of_the_list_is_the_one_that_is_chosen():
    """Users of automatic selection ask why the first of the list was not taken: here it is."""
    for seed in range(3):
        found = lab.advise(table(90, seed), progress=False, seed=seed)
        allowed = found.frontier[found.frontier["allowed"]]
        best = allowed[allowed["accuracy"] == allowed["accuracy"].max()]
        assert found.chosen == best.sort_values("cost", kind="stable")["candidate"].iloc[0]


@contract("advise", "Advice")
def test_other_prices_are_numbers_by_model():
    """A factor for each model that changes; what is no factor, or no model, is refused."""
    known = lab.advise(table(), progress=False, budget=6)
    same = known.at_prices({}).frontier
    for one in (1, 1.0, np.float32(1), np.int64(1)):
        assert known.at_prices({"big": one}).frontier.equals(same)
    unpriced = lab.advise(table(cost=None), progress=False)
    no_factor = ("1", -1, math.nan, math.inf, True, None, [1])
    collected(
        {f"factor {x!r}": lambda x=x: known.at_prices({"big": x}) for x in no_factor}
        | {f"factors {x!r}": lambda x=x: known.at_prices(x) for x in (None, 2, [2.0], "big")}
        | {f"model {x!r}": lambda x=x: known.at_prices({x: 2.0}) for x in ("Big", "", 1, None)}
        | {"no prices": lambda: unpriced.at_prices({"big": 2.0})}
        | {"no candidate": lambda: known.at_prices({"big": 20, "small": 20})}
    )


@contract("advise", "Advice")
def test_tables_that_break_automatic_selection_elsewhere():
    """Twenty rows, none or all right, one confidence for all, nothing costs anything."""
    sure = table().confidence.copy()
    sure[::3, 0] = math.nan
    for known, more in {
        "twenty rows": (table(20), {}),
        "all wrong": (table(correct=np.zeros((60, 2))), {}),
        "all right": (table(correct=np.ones((60, 2))), {"risk": 0.05}),
        "one confidence": (table(confidence=np.full((60, 2), 0.5)), {}),
        "gaps in the confidence": (table(confidence=sure), {}),
        "free": (table(cost=np.zeros((60, 2))), {}),
        "one is free": (table(cost=[[0, 1]] * 60), {"budget": 0}),
        "more to spend than can be": (table(), {"budget": 1e12}),
        "two clusters": (table(), {"cluster": np.arange(60) % 2}),
    }.values():
        with quiet():
            found = lab.advise(known, progress=False, **more)
            text = repr(found)
        assert 0 <= found.accuracy.low <= found.accuracy.value <= found.accuracy.high <= 1
        assert "nan" not in text.lower(), text
    with pytest.raises(ValueError, match="give cluster or time, not both"):
        users = [f"u{i % 8}" for i in range(80)]  # each asks from the first day to the last
        lab.advise(table(80), cluster=users, time=np.arange(80), progress=False)
    with pytest.raises(ValueError, match="19 graded rows cannot tell policies apart"):
        lab.advise(table(19), progress=False)


@contract("advise", "Advice")
def test_the_policy_that_is_returned_keeps_the_budget_not_only_those_of_the_folds():
    """Elsewhere the limit was checked on the models of the folds, not on the final one."""
    for budget in (2, 4, 7):
        found = lab.advise(table(300), progress=False, budget=budget)
        assert found.policy.decide(found.outcomes).mean_cost <= budget * 1.02
        assert found.mean_cost.value <= budget * (1 + 1e-6)
