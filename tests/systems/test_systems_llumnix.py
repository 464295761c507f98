"""Llumnix: moves come to an end, and no machine is worse off than the worst was."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.llumnix import Llumnix, freeness, to_move
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests

ENGINE = Engine(0.01, 0.0005, per_token=0.0001, slots=64, capacity=2000)


def test_freeness_by_hand():
    assert freeness(100, 4) == 25
    assert freeness(-50, 2) == -25
    assert freeness(100, 0) == inf


def test_the_move_by_hand():
    # Source: 10 free, 3 tasks of 20, 40 and 60; target: 100 free, 1 task. Freeness 3.3 and 100.
    # Moving 20: 15 and 40. Moving 40: 25 and 30. Moving 60 turns the order round.
    assert to_move((10, 3), (100, 1), [20, 40, 60]) == 1
    assert to_move((10, 3), (100, 1), [60]) is None
    assert to_move((10, 3), (100, 1), []) is None
    # The last task does not move to an idle machine: nothing would be gained.
    assert to_move((10, 1), (50, 0), [40]) is None


def test_a_move_that_makes_the_source_less_free_is_none():
    # It wants 10 more than it has: -5 each for two tasks, but -9 for the one that would stay.
    assert freeness(-10, 2) > freeness(-9, 1)
    assert to_move((-10, 2), (-12, 6), [1]) is None


@given(
    sizes=st.lists(st.lists(st.integers(1, 40), max_size=8), min_size=2, max_size=5),
    capacity=st.integers(20, 200),
)
@settings(max_examples=200, deadline=None)
def test_moves_stop_and_the_largest_load_never_rises(sizes, capacity):
    def state(tasks):
        return capacity - sum(tasks), len(tasks)

    moves = 0
    while True:
        order = sorted(sizes, key=lambda tasks: freeness(*state(tasks)))
        i = to_move(state(order[0]), state(order[-1]), order[0])
        if i is None:
            return
        before = [freeness(*state(tasks)) for tasks in order]
        order[-1].append(order[0].pop(i))
        after = [freeness(*state(tasks)) for tasks in sizes]
        assert min(after) >= min(before)
        assert sorted(after) > before
        moves += 1
        assert moves < 1000


def uneven(seed, n=400, rate=14.0):
    """A few answers are long, so machines that got equal numbers are not equally loaded."""
    rng = np.random.default_rng(seed)
    output = np.where(rng.random(n) < 0.1, 800, 20)
    return Requests(np.cumsum(rng.exponential(1 / rate, n)), rng.integers(10, 100, n), output)


class Dispatch(Llumnix):
    """Llumnix without moves."""

    def tick(self, cluster):
        pass


class RoundRobin(Rule):
    def place(self, task, cluster):
        return cluster.machines[task.request % len(cluster.machines)]


def run(requests, rule, machines=4, engine=ENGINE):
    return serve_requests(requests, [Machine(m, engine) for m in range(machines)], rule)


def test_moves_shorten_waiting():
    waits = {}
    for rule in (RoundRobin, Dispatch, Llumnix):
        served = [run(uneven(seed), rule()) for seed in range(5)]
        waits[rule] = np.mean([np.quantile(s.started - s.requests.arrival, 0.99) for s in served])
    assert waits[Llumnix] < waits[RoundRobin]
    assert waits[Dispatch] < waits[RoundRobin]


def test_a_moved_answer_is_whole_and_its_cache_moves_with_it():
    class Watched(Llumnix):
        def stop(self, machine, cluster):
            moved = super().stop(machine, cluster)
            assert all(task.kept for task in moved)
            return moved

    requests = uneven(1)
    rule = Watched(period=0.2)
    served = run(requests, rule)
    assert served.stopped > 5
    assert np.isfinite(served.finished).all()
    assert rule.wanted == [0] * 4
    # Each prompt is read once and no step takes less than one task's: a bound from below.
    least = ENGINE.per_token * requests.prompt + requests.output * (0.01 + 0.0005)
    assert (served.latency >= least - 1e-9).all()


def test_a_task_that_ends_before_its_move_is_not_moved():
    # The round falls into the last step of the first task; only the second is there to be moved.
    requests = Requests([0.0, 0.0, 0.0], [10, 10, 10], [1, 1, 40])
    served = run(requests, Llumnix(period=0.005), 2)
    assert np.isfinite(served.finished).all()


def test_ten_machines_without_work_move_nothing():
    served = run(Requests([0.0, 50.0], [10, 10], [5, 5]), Llumnix(), 10)
    assert served.stopped == 0


@pytest.mark.parametrize("values", [{"period": 0}, {"pause": np.nan}, {"period": -1}])
def test_bad_settings_are_named(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"{name}="):
        Llumnix(**values)


def test_memory_without_end_is_refused():
    with pytest.raises(ValueError, match="finite capacity"):
        run(uneven(0), Llumnix(), engine=Engine(1.0))
