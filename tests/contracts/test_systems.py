"""Queues: times and classes in any form, and every setting that is none is refused with the fix."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet

systems = lab.systems
ARRIVALS, SERVICES, KIND = [0, 1, 1, 5], [3, 1, 4, 2], ["b", "a", "b", "a"]
KEEP = {
    "tuple": tuple,
    "array": np.array,
    "float32": lambda values: np.array(values, np.float32),
    "uint8": lambda values: np.array(values, np.uint8),
    "tensor": torch.tensor,
    "Series": lambda values: pd.Series(values, index=[9, 8, 7, 6]),
    "nullable": lambda values: pd.Series(values).convert_dtypes(),
    "polars": pl.Series,
    "iterator": iter,
    "fractions": lambda values: [Fraction(value) for value in values],
}
NO_TIMES = {
    "nothing": [],
    "None": None,
    "one": 3,
    "text": "0 1 1 5",
    "texts": ["0", "1", "1", "5"],
    "a gap": [0, None, 1, 5],
    "NaN": [0, math.nan, 1, 5],
    "infinite": [0, 1, 1, math.inf],
    "complex": [0, 1j, 1, 5],
    "bool": [True, True, True, True],
    "dates": np.array(["2026-11-27"] * 4, "datetime64[s]"),
    "Python dates": [datetime.datetime(2026, 11, 27)] * 4,
    "decimals": [Decimal(1)] * 4,
    "a frame": pd.DataFrame({"at": ARRIVALS}),
    "a mapping": {"at": ARRIVALS},
    "a set": {0, 1, 5},
    "ragged": [[0], [1, 2], [1], [5]],
    "too few": [0, 1, 1],
    "three dimensions": np.ones((4, 1, 1)),
}
NO_COUNT = [0, -1, 1.5, True, "2", None, [2], math.nan]
NO_NUMBER = ["1", None, True, math.nan, math.inf, -0.5, [0.5], 1j]
NO_HORIZON = [0, -1, "5", True, math.nan, math.inf, [5], 10**400, np.datetime64("2026")]
NO_NAMES = [(), None, "ab", ("a", "a"), ("a", 1), 3, {"a": 1}, (None,)]
RULES = {
    "FCFS": lambda servers: systems.FCFS(servers),
    "ShortestFirst": lambda servers: systems.ShortestFirst(servers),
    "Priority": lambda servers: systems.Priority(servers, ("a", "b")),
    "Pools": lambda servers: systems.Pools({"a": servers, "b": 1}),
    "Tandem": lambda servers: systems.Tandem((servers, 1)),
    "Hedged": lambda servers: systems.Hedged(servers, 1.0),
}


def run(rule, arrivals=ARRIVALS, services=SERVICES, kind=KIND, **more):
    return systems.simulate(arrivals, services, rule, kind, **more)


@contract("simulate", "Simulation", "systems", *RULES)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("keep", KEEP)
def test_times_come_in_any_form(name, keep):
    rule = RULES[name](2)
    services = SERVICES if rule.stages is None else [[s, 1] for s in SERVICES]
    true = run(rule, services=services)
    with quiet():
        kept = KEEP[keep](SERVICES) if rule.stages is None else np.array(services, np.float32)
        found = run(RULES[name](np.int64(2)), KEEP[keep](ARRIVALS), kept, pd.Series(KIND))
        assert found.finished.tolist() == true.finished.tolist()
        assert found.table().equals(true.table()) and repr(found) == repr(true)
        assert found.little().gap < 1e-9


@contract("simulate")
def test_what_are_no_times_or_classes_is_refused():
    rule = systems.FCFS(1)
    backwards = [0, 2, 1, 5]
    kinds = [[*"ab"], "abab", [*"abab", "a"], ["a", "b", 1, "a"], [None] * 4, {"a": 1}]
    collected(
        {f"arrivals {what}": lambda x=x: run(rule, x) for what, x in NO_TIMES.items()}
        | {f"services {what}": lambda x=x: run(rule, services=x) for what, x in NO_TIMES.items()}
        | {f"services {x}": lambda x=x: run(rule, services=[1, x, 1, 1]) for x in (0, -1, -0.0)}
        | {f"kind {x!r}": lambda x=x: run(rule, kind=x) for x in kinds}
        | {f"rule {x!r}": lambda x=x: run(x) for x in (None, 2, "FCFS", systems.FCFS)}
        | {"out of order": lambda: run(rule, backwards)}
        | {"another class": lambda: run(RULES["Priority"](1), kind=[*"abac"])}
        | {"another model": lambda: run(RULES["Pools"](1), kind=[*"abac"])}
        | {"no classes": lambda: run(RULES["Priority"](1), kind=None)}
        | {"no models": lambda: run(RULES["Pools"](1), kind=None)}
        | {"one column": lambda: run(RULES["Tandem"](1))}
        | {"three tries": lambda: run(RULES["Hedged"](1), services=np.ones((4, 3)))}
        | {"two columns": lambda: run(rule, services=np.ones((4, 2)))}
        | {f"horizon {x!r}": lambda x=x: run(rule, horizon=x) for x in NO_HORIZON}
    )  # fmt: skip
    assert run(rule, horizon=np.float32(2)).inside.tolist() == [True] * 3


@contract("simulate")
def test_columns_of_frames_that_name_other_rows_are_refused():
    """pandas #22300: by position an index is ignored, and the services are another job's."""
    arrivals, column = pd.Series(ARRIVALS, index=[9, 8, 7, 6]), partial(pd.Series, SERVICES)
    rule = systems.FCFS(1)
    collected(
        {
            "sorted alone": lambda: run(rule, arrivals, column(index=[6, 7, 8, 9])),
            "other rows": lambda: run(rule, arrivals, column(index=[*"abcd"])),
            "kind": lambda: run(rule, arrivals, kind=pd.Series(KIND, index=[6, 7, 8, 9])),
        }
    )
    same = run(rule, arrivals, column(index=[9, 8, 7, 6])).finished.tolist()
    assert same == run(rule).finished.tolist() == run(rule, arrivals, column()).finished.tolist()


@contract(*RULES)
def test_no_rule_takes_what_is_no_setting():
    collected(
        {f"{name} {x!r}": lambda x=x, f=f: f(x) for name, f in RULES.items() for x in NO_COUNT}
        | {f"classes {x!r}": lambda x=x: systems.Priority(1, x) for x in NO_NAMES}
        | {f"preemptive {x!r}": lambda x=x: systems.Priority(1, ("a",), x) for x in ("no", 1, None)}
        | {f"room {x!r}": lambda x=x: systems.FCFS(1, x) for x in [*NO_COUNT[1:5], [2]]}
        | {f"pools {x!r}": lambda x=x: systems.Pools(x) for x in ({}, None, 2, [("a", 1)], {1: 1})}
        | {f"stages {x!r}": lambda x=x: systems.Tandem(x) for x in ((), None, 2, "ab", {1: 1})}
        | {f"after {x!r}": lambda x=x: systems.Hedged(1, x) for x in NO_NUMBER}
    )


@contract("Simulation")
def test_a_simulation_is_read_only_and_refuses_what_it_has_not():
    found = run(systems.FCFS(1))
    for array in (found.arrivals, found.finished, found.busy, found.kind):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[-1]
    everyone = systems.FCFS(1, room=0)
    collected(
        {f"quantile {x!r}": lambda x=x: found.quantile(x) for x in [*NO_NUMBER[:6], 1.1, 50]}
        | {f"of {x!r}": lambda x=x: found.quantile(0.5, x) for x in ("wait", None, 1, ["waits"])}
        | {"few jobs": lambda: found.interval()}
        | {"no level": lambda: run(everyone).interval(level=2)}
    )
    assert found.quantile(0.5) == np.median(found.waits)


@contract("poisson_arrivals", "gamma_arrivals")
def test_arrivals_take_seeds_and_generators_and_refuse_the_rest():
    for make in (systems.poisson_arrivals, lambda *a, **k: systems.gamma_arrivals(a[0], 2.0, **k)):
        for seed in (np.int64(3), np.random.default_rng(3)):
            with quiet():
                found = make(np.float32(0.5), jobs=np.int64(7), rng=seed)
            assert found.shape == (7,) and (np.diff(found) >= 0).all()
            assert found.tolist() == make(0.5, jobs=7, rng=3).tolist()
        collected(
            {f"rate {x!r}": lambda x=x, f=make: f(x, jobs=3) for x in [*NO_NUMBER, 0]}
            | {f"jobs {x!r}": lambda x=x, f=make: f(1.0, jobs=x) for x in NO_COUNT}
            | {f"horizon {x!r}": lambda x=x, f=make: f(1.0, horizon=x) for x in [*NO_NUMBER, 0]}
            | {f"rng {x!r}": lambda x=x, f=make: f(1.0, jobs=3, rng=x)
               for x in (-1, "a", None, 1.5, True, np.random.RandomState(0))}
            | {"both": lambda f=make: f(1.0, jobs=3, horizon=2.0)}
            | {"none comes": lambda f=make: f(1e-9, horizon=1.0)}
            | {f"rate {x!r}": lambda x=x, f=make: f(x, horizon=60) for x in (1e300, 1e308, 1e8)}
            | {f"rate {x!r}": lambda x=x, f=make: f(x, jobs=3) for x in (5e-324, 1e-305, 10**400)}
            | {"jobs 10**12": lambda f=make: f(1.0, jobs=10**12)}
        )  # fmt: skip
    collected(
        {f"cv {x!r}": lambda x=x: systems.gamma_arrivals(1.0, x, jobs=2) for x in [*NO_NUMBER, 101]}
    )
    for cv in (1e-200, 1e-17):  # closer to even than a float can tell
        assert systems.gamma_arrivals(2.0, cv, jobs=3).tolist() == [0.5, 1.0, 1.5]


@contract("erlang_b", "erlang_c", "mmc_wait", "md1_wait", "mg1_wait", "mm1_quantile")
def test_formulas_refuse_what_has_no_answer():
    two = {
        "md1_wait": systems.md1_wait,
        "mg1_wait": lambda rate, service: systems.mg1_wait(rate, service, 1.0),
        "mmc_wait": lambda rate, service: systems.mmc_wait(1, rate, service),
        "mm1_quantile": lambda rate, service: systems.mm1_quantile(rate, service, 0.9),
    }
    erlang = {"b": systems.erlang_b, "c": systems.erlang_c}
    collected(
        {f"{name} rate {x!r}": lambda x=x, f=f: f(x, 1.0)
         for name, f in two.items() for x in [*NO_NUMBER, 0, 1, 1.0, 80]}
        | {f"{name} service {x!r}": lambda x=x, f=f: f(1.0, x)
           for name, f in two.items() for x in [*NO_NUMBER, 0, 1, 80]}
        | {f"{name} servers {x!r}": lambda x=x, f=f: f(x, 0.5)
           for name, f in erlang.items() for x in NO_COUNT}
        | {f"{name} load {x!r}": lambda x=x, f=f: f(2, x)
           for name, f in erlang.items() for x in NO_NUMBER}
        | {f"c load {x!r}": lambda x=x: systems.erlang_c(2, x) for x in (2, 2.0, 80)}
        | {f"cv {x!r}": lambda x=x: systems.mg1_wait(0.5, 1.0, x) for x in NO_NUMBER}
        | {f"q {x!r}": lambda x=x: systems.mm1_quantile(0.5, 1.0, x) for x in [*NO_NUMBER, 1, 99]}
    )  # fmt: skip
    assert systems.erlang_c(np.int64(2), np.float32(1)) == systems.erlang_c(2, Fraction(1))
    with pytest.raises(ValueError, match="use at least 9 servers"):
        systems.erlang_c(8, 8)


@contract("priority_waits")
def test_classes_come_in_any_form():
    true = systems.priority_waits([1, 2], [0.25, 0.125], [1, 2]).tolist()
    for keep in (tuple, np.array, torch.tensor, pd.Series, pl.Series):
        with quiet():
            found = systems.priority_waits(keep([1, 2]), keep([0.25, 0.125]), keep([1, 2]))
        assert found.tolist() == true
    wrong = [[], None, 3, "ab", [1], [1, -2], [1, 0], [1, math.nan], ["1", "2"], [[1, 2]], {1: 2}]
    spreads = ["1", None, -1, [1], [1, 2, 3], [1, -1], math.nan, "ab", {}]
    spreads.remove([1])  # one for all
    collected(
        {f"rates {x!r}": lambda x=x: systems.priority_waits(x, [0.1, 0.1]) for x in wrong}
        | {f"services {x!r}": lambda x=x: systems.priority_waits([1, 1], x) for x in wrong}
        | {f"cv {x!r}": lambda x=x: systems.priority_waits([1, 1], [0.1, 0.1], x) for x in spreads}
        | {"too much": lambda: systems.priority_waits([1, 1], [0.5, 0.5])}
    )


@contract("batch_means")
def test_batches_come_in_any_form():
    values = np.random.default_rng(0).integers(0, 9, 1000).tolist()
    true = systems.batch_means(values)
    for keep in (tuple, np.array, torch.tensor, pd.Series, pl.Series):
        with quiet():
            assert systems.batch_means(keep(values)) == true
    collected(
        {f"values {what}": lambda x=x: systems.batch_means(x) for what, x in NO_TIMES.items()}
        | {f"batches {x!r}": lambda x=x: systems.batch_means(values, batches=x)
           for x in [*NO_COUNT, 1, 500]}
        | {f"level {x!r}": lambda x=x: systems.batch_means(values, x) for x in [*NO_NUMBER, 0, 1]}
        | {f"warm {x!r}": lambda x=x: systems.batch_means(values, warm_up=x)
           for x in [*NO_NUMBER[:6], 1, 10]}
    )  # fmt: skip


TABLE = lab.Outcomes(
    models=["small", "big"], items=[*"pqrs"], correct=[[1, 1], [0, 1], [1, 1], [0, 0]],
    confidence=[[0.9, 1], [0.4, 1], [0.8, 1], [0.1, 1]], latency=[[1, 5], [1, 4], [2, 5], [1, 3]],
)  # fmt: skip
CASCADE, SERVERS = lab.Cascade(("small", "big"), (0.5,)), {"small": 1, "big": 1}


@contract("serve_policy", "Answered")
@pytest.mark.parametrize("keep", [keep for keep in KEEP if keep != "fractions"])
def test_a_policy_is_served_at_times_in_any_form(keep):
    with quiet():
        found = systems.serve_policy(CASCADE, TABLE, SERVERS, KEEP[keep](ARRIVALS))
        given = {"small": KEEP[keep]([1, 1, 2, 1]), "big": KEEP[keep]([5, 4, 5, 3])}
        same = systems.serve_policy(CASCADE, TABLE, SERVERS, ARRIVALS, given)
    assert found.latency.tolist() == same.latency.tolist() == [1, 5, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        found.finished[0] = 0


@contract("serve_policy", "under_load")
def test_what_cannot_be_put_under_load_is_refused():
    def serve(policy=CASCADE, outcomes=TABLE, servers=SERVERS, arrivals=ARRIVALS, services=None):
        return systems.serve_policy(policy, outcomes, servers, arrivals, services)

    def load(rates=(0.1,), jobs=10, rng=0):
        return systems.under_load(CASCADE, TABLE, SERVERS, rates, jobs=jobs, rng=rng)

    others = lab.Cascade(("tiny", "huge"), (0.5,))
    learned = lab.WeightedVote().fit(
        lab.Outcomes(models=["x", "y"], items=[0, 1], correct=[[1, 0], [0, 1]], answer=[[0, 1]] * 2,
                     labels="ab", truth=[0, 1])
    )  # fmt: skip
    import dataclasses

    changed = {
        "no latency": None,
        "a gap": [[1, 5], [math.nan, 4], [2, 5], [1, 3]],
        "zero": [[1, 5], [0, 4], [2, 5], [1, 3]],
    }
    services = [3, [1, 5], {"small": 1}, {"small": 0, "big": 1}, {"small": -1, "big": 1},
                {"small": math.nan, "big": 1}, {"small": "1", "big": 1}, {"small": [1], "big": 1},
                {"small": ["1"] * 4, "big": 1}, {"small": 1, "big": 1, "huge": 1},
                {"small": [1, 1, 0, 1], "big": 1}, {"small": True, "big": 1},
                {"small": [True] * 4, "big": 1}, {"small": None, "big": 1}]  # fmt: skip
    machines = [None, 2, {}, {"small": 1}, {"small": 1, "big": 0}, {"small": 1, "big": 1.5},
                {"small": 1, "big": 1, "huge": 1}, [("small", 1)], {1: 1}]  # fmt: skip
    collected(
        {f"policy {x!r}": lambda x=x: serve(x) for x in (None, "vote", lab.Cascade, others)}
        | {"fitted on other models": lambda: serve(learned)}
        | {f"outcomes {x!r}": lambda x=x: serve(outcomes=x) for x in (None, "t", [[1]])}
        | {f"latency {what}": lambda x=x: serve(outcomes=dataclasses.replace(TABLE, latency=x))
           for what, x in changed.items()}
        | {f"servers {x!r}": lambda x=x: serve(servers=x) for x in machines}
        | {f"services {x!r}": lambda x=x: serve(services=x) for x in services}
        | {f"arrivals {what}": lambda x=x: serve(arrivals=x) for what, x in NO_TIMES.items()}
        | {"out of order": lambda: serve(arrivals=[0, 2, 1, 5])}
        | {f"rates {x!r}": lambda x=x: load(x)
           for x in ([], None, 1, "1", [0], [-1], [math.nan], ["1"], [True], {1: 2})}
        | {f"jobs {x!r}": lambda x=x: load(jobs=x) for x in [*NO_COUNT, 5]}
        | {f"rng {x!r}": lambda x=x: load(rng=x) for x in (-1, "a", None, 1.5)}
    )  # fmt: skip
