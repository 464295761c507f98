"""Traces and machines: numbers in any form, and what is none of them is refused with the fix."""

import math

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet
from tests.contracts.test_systems import KEEP, NO_COUNT

SAMPLE = {"arrival": [0, 1, 1, 5], "prompt": [3, 1, 4, 2], "output": [2, 7, 1, 8],
          "model": [0, 1, 0, 1], "limit": [9, 9, 8, 7]}  # fmt: skip
NONE = {
    "nothing": [], "None": None, "one": 3, "text": "0 1 1 5", "texts": ["0", "1", "1", "5"],
    "a gap": [0, None, 1, 5], "NaN": [0, math.nan, 1, 5], "negative": [-1, 2, 3, 4],
    "too few": [1, 1, 1], "too many": [1] * 5, "rows": [[1, 2, 3, 4]], "bool": [True] * 4,
    "a frame": pd.DataFrame({"at": [1, 1, 1, 1]}), "a set": {1, 2, 3, 4}, "complex": [1j] * 4,
}  # fmt: skip


def serve(requests, machines=2, rule=None):
    machines = [lab.systems.Machine(m, lab.systems.Engine(0.5, slots=2)) for m in range(machines)]
    return lab.systems.serve_requests(requests, machines, rule or lab.systems.Rule())


@contract("Requests", "serve_requests", "Served", "Machine", "Rule")
@pytest.mark.parametrize("form", KEEP)
def test_a_trace_holds_numbers_in_any_form(form):
    with quiet():
        requests = lab.systems.Requests(**{k: KEEP[form](v) for k, v in SAMPLE.items()})
    for name, values in SAMPLE.items():
        assert getattr(requests, name).tolist() == values
        assert not getattr(requests, name).flags.writeable
    served, plain = serve(requests), serve(lab.systems.Requests(**SAMPLE))
    np.testing.assert_array_equal(served.finished, plain.finished)
    assert served.row() == plain.row()


@contract("Requests")
def test_what_is_no_trace_is_refused():
    def made(**other):
        return lambda: lab.systems.Requests(**{**SAMPLE, **other})

    fine = {("model", "None"), ("limit", "one"), ("arrival", "negative")}  # a clock may start early
    few = {("arrival", "too few"), ("arrival", "too many")}  # the others are named then
    collected(
        {f"{name} {what}": made(**{name: value}) for name in SAMPLE for what, value in NONE.items()
         if (name, what) not in fine | few}
        | {"fewer arrivals": made(arrival=[0, 1, 1]), "unsorted": made(arrival=[0, 2, 1, 5]),
           "a part of a token": made(output=[1, 1.5, 2, 3]), "no token": made(output=[1, 0, 2, 3]),
           "no time": made(limit=0), "text for a limit": made(limit="9"),
           "NaN for a limit": made(limit=math.nan), "blocks": made(blocks=[[1]]),
           "dates": made(arrival=np.array(["2026-11-27"] * 4, "datetime64[s]"))}
        | {f"factor {v!r}": lambda v=v: lab.systems.Requests(**SAMPLE).faster(v)
           for v in (0, -1, None, "2", math.nan, math.inf)}
    )  # fmt: skip


@contract("Requests")
def test_a_trace_keeps_what_it_was_given():
    arrival = np.array([0.0, 1.0])
    requests = lab.systems.Requests(arrival, [1, 1], [1, 1])
    arrival[0] = 0.5
    assert requests.arrival.tolist() == [0, 1]
    assert requests.limit.tolist() == [math.inf] * 2
    assert requests.faster(2).arrival.tolist() == [0, 0.5]


@contract("Machine", "Engine", "serve_requests", "Rule", "Cluster", "Task")
def test_what_is_no_machine_or_rule_is_refused():
    systems = lab.systems
    engine, trace = systems.Engine(0.5), systems.Requests(**SAMPLE)
    one = systems.Machine(0, engine)

    def on(machines, rule=None, requests=trace):
        return lambda: systems.serve_requests(requests, machines, rule or systems.Rule())

    seconds = [-1, None, "1", math.nan, math.inf, True, [1]]
    collected(
        {f"{name} {v!r}": lambda name=name, v=v: systems.Engine(**{"step": 1, name: v})
         for name in ("step", "per_task", "prompt", "per_token") for v in seconds}
        | {f"slots {v!r}": lambda v=v: systems.Engine(1, slots=v) for v in NO_COUNT}
        | {f"capacity {v!r}": lambda v=v: systems.Engine(1, capacity=v)
           for v in (0, -1, None, "1", math.nan)}
        | {f"number {v!r}": lambda v=v: systems.Machine(v, engine) for v in (-1, "0", None, 0.5)}
        | {f"engine {v!r}": lambda v=v: systems.Machine(0, v) for v in (1.0, None, systems.Engine)}
        | {"no machines": on([]), "one machine": on(one), "engines": on([engine]),
           "twice the same": on([one, one]), "a class for a rule": on([one], systems.Rule),
           "a policy": on([one], lab.MajorityVote()), "no trace": on([one], None, [0, 1]),
           "a frame": on([one], None, pd.DataFrame(SAMPLE))}
    )  # fmt: skip
    tasks = []

    class Watching(systems.Rule):
        def place(self, task, cluster):
            assert isinstance(cluster, systems.Cluster)
            tasks.append(task)
            return super().place(task, cluster)

    serve(trace, 2, Watching())
    assert all(isinstance(task, systems.Task) for task in tasks) and len(tasks) == len(trace)
