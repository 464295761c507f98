"""What was once understood in silence, and wrongly, is refused."""

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab.systems import Engine, batch_means, priority_waits, serve_policy, simulate
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Machine
from ensemble_lab.systems.simulator.queues import FCFS
from ensemble_lab.systems.simulator.requests import Requests

ENGINE = Engine(0.1, slots=2)


def test_a_machine_counts_once():
    trace = Requests([0, 0, 0, 0], [0] * 4, [5] * 4)
    with pytest.raises(ValueError, match="there twice"):
        serve_requests(trace, [Machine(0, ENGINE)] * 3, Rule())
    assert len(serve_requests(trace, (Machine(i, ENGINE) for i in range(3)), Rule()).busy) == 3


@pytest.mark.parametrize(
    "arrival",
    [pd.to_datetime(["2026-01-01", "2026-01-02"]), np.array(["2026", "2027"], "M8[s]"), ["1", "2"]],
)
def test_requests_refuse_dates_and_text_as_seconds(arrival):
    with pytest.raises(ValueError, match="arrivals holds"):
        Requests(arrival, [0, 0], [1, 1])


@pytest.mark.parametrize("limit", ["5", True, np.timedelta64(5, "s")])
def test_limits_are_seconds(limit):
    with pytest.raises(ValueError, match="limit"):
        Requests([0, 1], [0, 0], [1, 1], limit=limit)


@pytest.mark.parametrize("field", ["prompt", "output", "model"])
def test_counts_of_tokens_are_numbers(field):
    fields = {"prompt": [1, 1], "output": [1, 1], field: [True, True]}
    with pytest.raises(ValueError, match=f"{field} holds True"):
        Requests([0, 1], **fields)


def test_a_trace_does_not_follow_later_changes_of_its_arrays():
    arrays = [np.zeros(2), np.ones(2, int), np.ones(2, int), np.zeros(2, int), np.ones(2)]
    trace = Requests(*arrays)
    for array in arrays:
        array[:] = 9
    assert trace.arrival.tolist() == [0, 0] and trace.prompt.tolist() == [1, 1]
    assert trace.output.tolist() == [1, 1] and trace.model.tolist() == [0, 0]
    assert trace.limit.tolist() == [1, 1]


def test_what_is_behind_a_mask_is_not_used():
    hidden = np.ma.array(np.ones(1000), mask=np.arange(1000) % 2)
    with pytest.raises(ValueError, match="behind a mask"):
        batch_means(hidden)
    with pytest.raises(ValueError, match="behind a mask"):
        simulate(range(1000), hidden, FCFS(1))


def test_the_word_no_is_not_true():
    with pytest.raises(ValueError, match="preemptive='no'"):
        priority_waits([0.1, 0.2], [1, 1], preemptive="no")
    table = lab.Outcomes(
        models=["a", "b"], items=[0, 1], correct=[[1, 0], [0, 1]],
        confidence=[[0.9, 1], [0.4, 1]], latency=[[1, 5]] * 2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="parallel='no'"):
        serve_policy(
            lab.Cascade(("a", "b"), (0.5,)), table, {"a": 1, "b": 1}, [0, 0], parallel="no"
        )


def test_times_of_an_engine_in_float32_are_added_in_float64():
    trace = Requests(np.arange(1000) + 1e6, [0] * 1000, [5] * 1000)
    step, per_task = np.float32(0.1), np.float32(0.01)
    one, other = (
        serve_requests(trace, [Machine(0, engine)], Rule()).finished
        for engine in (Engine(step, per_task), Engine(float(step), float(per_task)))
    )
    assert one.dtype == float and one.tolist() == other.tolist()


@pytest.mark.parametrize("wrong", [True, "4", float("nan")])
@pytest.mark.parametrize("name", ["step", "per_task", "prompt", "per_token", "slots", "capacity"])
def test_engines_are_made_of_numbers(name, wrong):
    with pytest.raises(ValueError, match=f"{name}="):
        Engine(**{"step": 0.1, name: wrong})
