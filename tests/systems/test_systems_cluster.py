"""Machines that jump hold the times of machines that make every step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


def step_by_step(requests, machines, engine):
    """The least loaded machine takes each request; each machine makes every step."""
    n, moves = len(requests), [None] * machines  # when the step of each machine ends
    queues, running = ([[] for _ in range(machines)] for _ in range(2))
    finished, first = np.full(n, np.nan), np.full(n, np.nan)

    def begin(m, now):
        reading = 0.0
        while queues[m] and len(running[m]) < engine.slots:
            request = queues[m].pop(0)
            running[m].append([request, requests.output[request]])
            reading += engine.prompt + engine.per_token * requests.prompt[request]
        seconds = engine.step + engine.per_task * len(running[m])
        moves[m] = now + reading + seconds if running[m] else None

    def end(m):
        now = moves[m]
        for task in running[m]:
            task[1] -= 1
            if np.isnan(first[task[0]]):
                first[task[0]] = now
            if not task[1]:
                finished[task[0]] = now
        running[m] = [task for task in running[m] if task[1]]
        begin(m, now)

    for i, time in enumerate(requests.arrival):
        while any(move is not None and move < time for move in moves):
            end(min((move, m) for m, move in enumerate(moves) if move is not None)[1])
        m = min(range(machines), key=lambda m: len(queues[m]) + len(running[m]))
        queues[m].append(i)
        if moves[m] is None:
            begin(m, time)
    while any(move is not None for move in moves):
        end(min((move, m) for m, move in enumerate(moves) if move is not None)[1])
    return first, finished


def trace(seed, n=60, rate=3.0):
    rng = np.random.default_rng(seed)
    return Requests(
        np.cumsum(rng.exponential(1 / rate, n)), rng.integers(0, 200, n), rng.integers(1, 40, n)
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    machines=st.integers(1, 3),
    slots=st.integers(1, 6),
    times=st.tuples(*[st.floats(0.001, 0.1)] * 4),
)
@settings(max_examples=60, deadline=None)
def test_jumps_equal_single_steps(seed, machines, slots, times):
    engine, requests = Engine(*times, slots=slots), trace(seed)
    served = serve_requests(requests, [Machine(m, engine) for m in range(machines)], Rule())
    first, finished = step_by_step(requests, machines, engine)
    np.testing.assert_allclose(served.finished, finished, rtol=0, atol=1e-9)
    np.testing.assert_allclose(served.first, first, rtol=0, atol=1e-9)


def test_two_requests_by_hand():
    # Reading takes 1 s, a step 1 s and .5 s a task. At 2.2 s the machine is in the step that began
    # at 1 s and ends at 2.5 s: the second comes in there and is read until 3.5 s.
    requests = Requests([0.0, 2.2], [0, 0], [3, 1])
    served = serve_requests(requests, [Machine(0, Engine(1.0, 0.5, 1.0, slots=2))], Rule())
    assert served.first.tolist() == [2.5, 5.5]
    assert served.finished.tolist() == [7.0, 5.5]
    assert served.busy.tolist() == [7.0]
    assert served.paid.tolist() == [7.0]


def test_one_slot_and_one_token_are_a_queue_with_one_server():
    rng = np.random.default_rng(0)
    arrival = np.cumsum(rng.exponential(1.25, 2000))
    served = serve_requests(
        Requests(arrival, np.zeros(2000, int), np.ones(2000, int)),
        [Machine(0, Engine(1.0))],
        Rule(),
    )
    begin, free = np.empty(2000), 0.0
    for i, time in enumerate(arrival):
        begin[i] = max(time, free)
        free = begin[i] + 1.0
    np.testing.assert_allclose(served.started, begin, rtol=0, atol=1e-9)


class Stops(Rule):
    """Every two steps the task that has run longest makes room."""

    def start(self, cluster):
        for machine in cluster.machines:
            machine.quantum = 2

    def stop(self, machine, cluster):
        if not machine.queue or machine.room:
            return []
        longest = max(machine.running, key=lambda task: task.tokens)
        machine.queue.append(longest)
        return [longest]


def test_a_stopped_task_goes_on_where_it_was():
    requests = Requests([0.0, 0.0], [0, 0], [4, 4])
    served = serve_requests(requests, [Machine(0, Engine(1.0))], Stops())
    # One slot. The second request stops the first after one step; then two steps each in turn.
    assert served.finished.tolist() == [8.0, 7.0]
    assert served.stopped == 3
    assert served.busy.tolist() == [8.0]


class Patient(Stops):
    """As `Stops`, but a full machine is left alone for five seconds."""

    eager, period = False, 5.0

    def start(self, cluster):
        pass

    def tick(self, cluster):
        cluster.wake(cluster.machines[0], full=True)


def test_a_rule_that_is_not_eager_stops_only_when_it_wakes_the_machine():
    requests = Requests([0.0, 0.5], [0, 0], [8, 2])
    served = serve_requests(requests, [Machine(0, Engine(1.0))], Patient())
    # After five steps the second comes in for its two.
    assert served.finished.tolist() == [10.0, 7.0]
    assert served.stopped == 1


def test_memory_is_room_too():
    requests = Requests([0.0, 0.0], [4, 4], [2, 2])
    served = serve_requests(requests, [Machine(0, Engine(1.0, slots=2, capacity=11))], Rule())
    assert served.finished.tolist() == [2.0, 4.0]


class Drops(Rule):
    def place(self, task, cluster):
        return None if task.request % 2 else cluster.machines[0]


def test_dropped_requests_are_counted():
    served = serve_requests(trace(0), [Machine(0, Engine(0.01, slots=8))], Drops())
    assert served.dropped.mean() == 0.5
    assert served.goodput == 0.5
    assert served.row()["dropped"] == 0.5


class Switches(Rule):
    """One machine at first; the second after ten seconds, five of them for loading."""

    period = 10.0

    def start(self, cluster):
        cluster.switch_off(cluster.machines[1])

    def tick(self, cluster):
        cluster.switch_on(cluster.machines[1], 5.0)


def test_machines_are_paid_from_switching_on():
    requests = Requests(np.arange(20.0), np.zeros(20, int), np.full(20, 2))
    served = serve_requests(requests, [Machine(m, Engine(1.0)) for m in range(2)], Switches())
    end = served.finished.max()
    assert served.paid.tolist() == [end, end - 10]
    second = served.started[served.started >= 10]
    assert served.busy[1] > 0
    assert len(second)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arrival": [1.0, 0.0]}, "arrivals are out of order: 0 s at place 1"),
        ({"arrival": [0.0, np.nan]}, "give finite numbers"),
        ({"arrival": []}, "arrivals is empty"),
        ({"arrival": [[0.0, 1.0]]}, "one time a job"),
        ({"output": [1, 0]}, "output holds 0"),
        ({"output": [1.5, 1]}, "output holds 1.5"),
        ({"prompt": [1, -1]}, "prompt holds -1"),
        ({"prompt": [1]}, "2 in all"),
        ({"limit": 0}, "limit=0; give seconds"),
        ({"blocks": ((1,),)}, "1 prompts have blocks"),
    ],
)
def test_bad_traces_are_named(fields, said):
    good = {"arrival": [0.0, 1.0], "prompt": [1, 1], "output": [1, 1]}
    with pytest.raises(ValueError, match=said):
        Requests(**{**good, **fields})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"step": -1}, "step=-1"),
        ({"step": 0}, "takes no time"),
        ({"step": np.nan}, "step=nan"),
        ({"step": 1, "slots": 0}, "slots=0"),
        ({"step": 1, "capacity": 0}, "capacity=0"),
    ],
)
def test_bad_engines_are_named(values, said):
    with pytest.raises(ValueError, match=said):
        Engine(**values)


def test_no_machine_a_used_one_and_work_that_never_ends_are_refused():
    requests, machine = trace(0), Machine(0, Engine(0.1))
    with pytest.raises(ValueError, match="no machine"):
        serve_requests(requests, [], Rule())
    serve_requests(requests, [machine], Rule())
    with pytest.raises(ValueError, match="machine 0 was used before"):
        serve_requests(requests, [machine], Rule())
    with pytest.raises(RuntimeError, match="60 requests wait for ever"):
        serve_requests(requests, [Machine(0, Engine(0.1, capacity=1e-3))], Rule())


class Twice(Rule):
    """Each request is answered by two tasks on the same machine, one after the other."""

    def __init__(self):
        self.begun = set()

    def after(self, task, machine, cluster):
        if task.request in self.begun:
            return True
        self.begun.add(task.request)
        cluster.send(task.copy(), machine)
        return False


def test_a_task_sent_back_to_its_machine_is_read_again():
    requests = Requests([0.0], [10], [2])
    served = serve_requests(requests, [Machine(0, Engine(1.0, 0.5, 0.25, 0.1, slots=4))], Twice())
    assert served.finished.tolist() == [2 * (0.25 + 1.0 + 2 * 1.5)]
    assert served.busy.tolist() == [8.5]
    # Two at once: the first come back together.
    requests = Requests([0.0, 0.0, 0.0], [0, 0, 0], [1, 2, 2])
    served = serve_requests(requests, [Machine(0, Engine(1.0, prompt=0.5, slots=4))], Twice())
    # [0] alone until 1.5; 0 again, 1 and 2 are read until 3.0 and make steps to 4 and 5; and again.
    assert served.finished.tolist() == [4.0, 8.0, 8.0]


class Changes(Rule):
    """Each request has its own engine."""

    def admit(self, machine, cluster):
        if machine.running or not machine.queue:
            return None
        task = machine.queue.popleft()
        machine.engine = Engine(1.0 + task.request, prompt=10.0 * task.request)
        return task


def test_a_rule_may_change_the_engine_for_the_next_task():
    requests = Requests([0.0, 0.0], [0, 0], [1, 2])
    served = serve_requests(requests, [Machine(0, Engine(5.0))], Changes())
    assert served.finished.tolist() == [1.0, 1.0 + 10.0 + 2 * 2.0]


class Careless(Rule):
    def after(self, task, machine, cluster):
        cluster.drop(task)
        return True


def test_what_is_answered_cannot_be_dropped():
    with pytest.raises(RuntimeError, match="Careless answers or drops request 0 a second time"):
        serve_requests(trace(0), [Machine(0, Engine(0.1))], Careless())
