"""ServerlessLLM: a table by hand, loads in order, and what the choice saves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.serverless import ServerlessLLM, seconds_to_load, seconds_to_start
from ensemble_lab.systems.simulator.cluster import Cluster, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


def test_loading_by_hand():
    assert seconds_to_load(26, pinned=True, disk=5, pcie=25, wait=9) == 26 / 25
    assert seconds_to_load(26, pinned=False, disk=5, pcie=25) == 26 / 5
    assert seconds_to_load(26, pinned=False, disk=5, pcie=25, wait=9) == 9 + 26 / 5
    # Six disks together outrun the bus.
    assert seconds_to_load(26, pinned=False, disk=30, pcie=25) == 26 / 25


def three_machines(answer):
    """Model 0, 26 GB: not there and idle; pinned, behind another model; there, no slot free."""
    requests = Requests([0.0, 0.0], [1, 1], [1, 1], model=[0, 1])
    machines = [Machine(0, Engine(1.0)), Machine(1, Engine(1.0), {1}), Machine(2, Engine(1.0), {0})]
    rule = ServerlessLLM([26.0, 13.0], disk=5.0, pcie=25.0, answer=answer)
    cluster = Cluster(requests, machines, rule)
    rule.start(cluster)
    rule.kept[1][0] = None
    rule.order[1][0][1] = rule.order[2][0][1] = 1
    return rule, machines


@pytest.mark.parametrize(
    ("answer", "seconds", "best"),
    [
        (10.0, [5.2, 11.04, 10.0], 0),
        (5.0, [5.2, 6.04, 5.0], 2),
        (5.1, [5.2, 6.14, 5.1], 2),
        (5.3, [5.2, 6.34, 5.3], 0),
    ],
)
def test_the_table_by_hand(answer, seconds, best):
    rule, machines = three_machines(answer)
    found = [rule.to_start(machine, 0, 0.0) for machine in machines]
    assert found == pytest.approx(seconds)
    assert np.argmin(found) == best
    # An idle machine that has it pinned beats them all.
    rule.order[1][0][1] = 0
    assert rule.to_start(machines[1], 0, 0.0) == pytest.approx(1.04)
    # A load under way is waited for.
    machines[1].ready = 3.0
    assert rule.to_start(machines[1], 0, 0.0) == pytest.approx(4.04)


def test_loads_by_hand():
    # 10 GB from the disk at 5 GB/s: 2 s. Then model 1: 2 s more after the answer. Model 0 again is
    # pinned by then: 10 GB at 20 GB/s.
    requests = Requests([0.0, 0.5, 10.0], [0, 0, 0], [3, 1, 1], model=[0, 1, 0])
    rule = ServerlessLLM([10, 10], disk=5, pcie=20, pinned=20)
    served = serve_requests(requests, [Machine(0, Engine(1.0))], rule)
    assert served.started.tolist() == [2.0, 7.0, 10.5]
    assert rule.loads == [2, 1]
    forgets = ServerlessLLM([10, 10], disk=5, pcie=20, pinned=10)
    served = serve_requests(requests, [Machine(0, Engine(1.0))], forgets)
    assert served.started.tolist() == [2.0, 7.0, 12.0]
    assert forgets.loads == [3, 0]


def test_those_that_wait_for_a_load_share_it_and_no_model_stays_for_ever():
    # Model 0 asks every second and model 1 at .5 s and 2.5 s: both of the latter share one load,
    # and model 0 comes back after them.
    arrival, model = [0.0, 0.5, 1.0, 2.0, 2.5], [0, 1, 0, 0, 1]
    requests = Requests(arrival, [0] * 5, [4] + [1] * 4, model=model)
    rule = ServerlessLLM([5, 5], disk=5, pcie=10)
    served = serve_requests(requests, [Machine(0, Engine(1.0), {0})], rule)
    assert served.started.tolist() == [0.0, 5.0, 7.5, 8.5, 6.0]
    assert sum(rule.loads) == 2


def test_the_order_of_loads_by_hand():
    # Model 5 runs two tasks, model 3 waits with one; a model takes as many seconds to load as its
    # number says, and an answer takes ten.
    order = [(5, 2), (3, 1)]
    seconds = {
        model: [seconds_to_start(order, model, slots, 10.0, float) for slots in (1, 2)]
        for model in (7, 3, 5)
    }
    assert seconds == {
        7: [20 + 3 + 10 + 7, 10 + 3 + 10 + 7],
        3: [20 + 3 + 10, 10 + 3],  # in the load that is planned
        5: [20 + 3 + 10 + 5, 10 + 3 + 10 + 5],  # others wait behind it: it is loaded again
    }
    assert seconds_to_start([(5, 2)], 5, 1, 10.0, float) == 20
    assert seconds_to_start([(None, 0)], 5, 1, 10.0, float) == 5


def test_the_model_that_was_used_longest_ago_leaves_the_memory():
    requests = Requests(np.arange(5) * 20.0, [0] * 5, [1] * 5, model=[0, 1, 0, 2, 0])
    rule = ServerlessLLM([10, 10, 10], disk=5, pcie=20, pinned=20)
    serve_requests(requests, [Machine(0, Engine(1.0))], rule)
    assert rule.loads == [3, 2]


class LeastLoaded(ServerlessLLM):
    def choose(self, task, cluster):
        return min(cluster.on, key=lambda m: sum(tasks for _, tasks, _ in self.order[m.number]))


def skewed(seed, n=300, models=8, rate=0.5):
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, models + 1)
    model = rng.choice(models, n, p=popular / popular.sum())
    arrival = np.cumsum(rng.exponential(1 / rate, n))
    return Requests(arrival, np.full(n, 10), rng.integers(10, 80, n), model=model)


def test_the_choice_saves_loads():
    engine, waits = Engine(0.05, slots=4), {}
    for kind in (LeastLoaded, ServerlessLLM):
        rules = [kind([20.0] * 8, pinned=60.0) for _ in range(5)]
        served = [
            serve_requests(skewed(seed), [Machine(m, engine) for m in range(4)], rule)
            for seed, rule in enumerate(rules)
        ]
        waits[kind] = np.mean([s.started - s.requests.arrival for s in served])
        assert all(np.isfinite(s.finished).all() for s in served)
    assert waits[ServerlessLLM] < 0.5 * waits[LeastLoaded]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_every_request_is_answered_by_its_model(seed, machines, slots):
    class Watched(ServerlessLLM):
        def admit(self, machine, cluster):
            task = super().admit(machine, cluster)
            if task is not None:
                assert machine.models == {task.model}
                assert all(other.model == task.model for other in machine.running)
            return task

    requests = skewed(seed, n=40, models=4, rate=2.0)
    rule = Watched([5.0] * 4, pinned=10.0)
    served = serve_requests(
        requests, [Machine(m, Engine(0.05, slots=slots)) for m in range(machines)], rule
    )
    assert np.isfinite(served.finished).all()
    assert all(sum(tasks for _, tasks, _ in order) == 0 for order in rule.order)
    assert all(len(kept) <= 2 for kept in rule.kept)


@pytest.mark.parametrize(
    "values", [{"sizes": [1, 0]}, {"answer": np.nan}, {"disk": 0}, {"pcie": np.inf}, {"pinned": -1}]
)
def test_bad_settings_are_named(values):
    (name,) = values
    with pytest.raises(ValueError, match="{}=".format(name.rstrip("s"))):
        ServerlessLLM(**{"sizes": [1.0], **values})


def test_unknown_models_and_full_machines_are_refused():
    requests = Requests([0.0], [1], [1], model=[3])
    with pytest.raises(ValueError, match="ask for model 3; there are 2 sizes"):
        serve_requests(requests, [Machine(0, Engine(1.0))], ServerlessLLM([1, 1]))
    with pytest.raises(ValueError, match="a machine holds several models"):
        serve_requests(
            skewed(0, models=2), [Machine(0, Engine(1.0), {0, 1})], ServerlessLLM([1, 1])
        )
