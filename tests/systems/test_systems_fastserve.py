"""FastServe: queues by hand, and who gains and loses by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.fastserve import FastServe, first_level
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


def finished(rule, arrival, output, **engine):
    n = len(arrival)
    requests = Requests(arrival, np.zeros(n, int), output)
    return serve_requests(requests, [Machine(0, Engine(1.0, **engine))], rule)


def test_a_short_answer_overtakes_a_long_one():
    # The long one uses the first quantum up in its first step and goes down. The short one joins
    # the first queue, runs from 1 to 2 s, and the long one goes on.
    served = finished(FastServe(1.0), [0.0, 0.5], [10, 1])
    assert served.finished.tolist() == [11.0, 2.0]
    assert served.stopped == 1
    first_come = finished(Rule(), [0.0, 0.5], [10, 1])
    assert first_come.finished.tolist() == [10.0, 11.0]
    assert served.latency.mean() == 6.25 < first_come.latency.mean() == 10.25


def test_equal_answers_lose():
    # 1 step each, 2 steps each, and then the last step of each.
    served = finished(FastServe(1.0), [0.0, 0.0], [4, 4])
    assert served.finished.tolist() == [7.0, 8.0]
    assert finished(Rule(), [0.0, 0.0], [4, 4]).finished.tolist() == [4.0, 8.0]


def test_a_long_prompt_skips_the_queues_that_it_would_only_fall_through():
    assert [first_level(s, 1.0) for s in (0.2, 1.0, 1.1, 2.0, 4.0, 4.1)] == [0, 0, 1, 1, 2, 3]
    # Reading 5 s and a step of 1 s: level 3 (8 s). A prompt of one token that comes a little later
    # than both goes first as soon as the step ends.
    requests = Requests([0.0, 0.1, 0.2], [50, 50, 0], [1, 1, 1])
    served = serve_requests(requests, [Machine(0, Engine(1.0, per_token=0.1))], FastServe(1.0))
    assert served.finished.tolist() == [6.0, 13.0, 7.0]


def test_a_stopped_task_keeps_its_cache():
    requests = Requests([0.0, 5.5], [50, 0], [10, 1])
    served = serve_requests(requests, [Machine(0, Engine(1.0, per_token=0.1))], FastServe(1.0))
    assert served.stopped == 1
    assert served.busy.tolist() == [16.0]  # 5 s of reading once, and 11 steps


def test_memory_is_made_free_only_for_those_that_then_fit():
    # The third needs the memory of both others. At 1 s only the first could be stopped for it:
    # it waits. It has its first step from 2 to 3 s, two from 5 to 7 s, and the rest at the end.
    served = finished(FastServe(1.0), [0.0, 0.0, 0.5], [6, 6, 9], slots=3, capacity=12)
    assert served.finished.tolist() == [9.0, 10.0, 16.0]
    assert served.stopped == 6


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=40, deadline=None)
def test_it_works_as_long_as_there_is_work(seed, slots, quantum):
    # With one slot and nothing to read the machine works the same seconds under any order.
    rng = np.random.default_rng(seed)
    arrival, output = np.cumsum(rng.exponential(3.0, 40)), rng.integers(1, 12, 40)
    served = finished(FastServe(quantum, promote=20.0), arrival, output, slots=slots)
    first_come = finished(Rule(), arrival, output, slots=slots)
    assert np.isfinite(served.finished).all()
    if slots == 1:
        assert served.busy[0] == pytest.approx(output.sum())
        assert served.finished.max() == pytest.approx(first_come.finished.max())


def test_those_that_wait_are_load_too():
    requests = Requests(np.arange(30) * 0.7, np.zeros(30, int), np.full(30, 4))
    served = serve_requests(requests, [Machine(m, Engine(1.0)) for m in range(3)], FastServe(1.0))
    assert served.busy.tolist() == [40.0] * 3


def test_waiting_ends_where_tasks_are_promoted():
    # Short ones come for ever; without promotion the long one waits for the last of them.
    arrival, output = np.arange(0.0, 60.0, 1.0), np.ones(60, int)
    output[0] = 3
    starved = finished(FastServe(1.0), arrival, output)
    promoted = finished(FastServe(1.0, promote=5.0), arrival, output)
    assert starved.finished[0] == starved.finished.max()
    assert promoted.finished[0] < 30


@pytest.mark.parametrize("values", [{"quantum": 0}, {"quantum": np.nan}, {"promote": -1}])
def test_bad_quanta_are_named(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"{name}="):
        FastServe(**values)
