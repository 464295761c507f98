"""DistServe: its three closed forms against the simulation, and prompts kept away from answers."""

import numpy as np
import pytest
from scipy.stats import t as student

from ensemble_lab.systems.rules.distserve import DistServe, time_to_first_token
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


class Pipeline(Rule):
    """Two machines, one after the other."""

    def place(self, task, cluster):
        return cluster.machines[0]

    def after(self, task, machine, cluster):
        if machine.number:
            return True
        cluster.send(task.copy(), cluster.machines[1])
        return False


def poisson(seed, n, rate):
    arrival = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))
    return Requests(arrival, np.zeros(n, int), np.ones(n, int))


@pytest.mark.parametrize(
    ("form", "rule", "machines", "step"),
    [
        ({}, Rule, 1, 1.0),
        ({"stages": 2}, Pipeline, 2, 0.5),
        ({"speedup": 1.6}, Rule, 1, 1 / 1.6),
    ],
)
def test_closed_forms_lie_in_the_interval_of_the_simulation(form, rule, machines, step):
    means = []
    for seed in range(20):
        requests = poisson(seed, 2500, 0.6)
        served = serve_requests(
            requests, [Machine(m, Engine(step)) for m in range(machines)], rule()
        )
        means.append(served.latency[250:].mean())
    half = student.ppf(0.9995, 19) * np.std(means, ddof=1) / np.sqrt(20)
    assert abs(np.mean(means) - time_to_first_token(0.6, 1.0, **form)) < half
    assert half < 0.1


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_forms_are_those_of_the_paper(rate):
    d, k = 1.0, 1.6
    assert time_to_first_token(rate, d) == pytest.approx(d + rate * d**2 / (2 * (1 - rate * d)))
    two = d + rate * d**2 / (4 * (2 - rate * d))
    assert time_to_first_token(rate, d, stages=2) == pytest.approx(two)
    fast = d / k + rate * d**2 / (2 * k * (k - rate * d))
    assert time_to_first_token(rate, d, speedup=k) == pytest.approx(fast)


def test_two_stages_win_at_high_rates_and_lose_at_low_ones():
    # The paper's figure: a faster prompt is worth more as long as nobody waits.
    assert time_to_first_token(0.1, 1, stages=2) > time_to_first_token(0.1, 1, speedup=1.6)
    assert time_to_first_token(1.5, 1, stages=2) < time_to_first_token(1.5, 1, speedup=1.6)


def test_by_hand():
    # Read 2 s and a step of 1 s; the cache moves in 2 s; two more steps.
    requests = Requests([0.0, 0.0], [20, 20], [3, 1])
    machines = [Machine(m, Engine(1.0, per_token=0.1, slots=4)) for m in range(2)]
    served = serve_requests(requests, machines, DistServe(1, bandwidth=10.0))
    assert served.first.tolist() == [3.0, 6.0]
    assert served.finished.tolist() == [7.0, 6.0]
    assert served.busy.tolist() == [6.0, 2.0]


def test_prompts_do_not_delay_answers():
    rng = np.random.default_rng(0)
    requests = Requests(np.cumsum(rng.exponential(0.5, 400)), np.full(400, 100), np.full(400, 50))
    engine = Engine(0.02, 0.0005, per_token=0.002, slots=32)

    def gaps(rule):
        served = serve_requests(requests, [Machine(m, engine) for m in range(2)], rule)
        return (served.finished - served.first) / 49

    apart, together = gaps(DistServe()), gaps(Rule())
    assert np.quantile(apart, 0.99) < 0.7 * np.quantile(together, 0.99)


def test_all_writers_work():
    # A router that reads loads late gives everything to one of them.
    requests = Requests(np.arange(100) * 0.01, np.zeros(100, int), np.full(100, 20))
    machines = [Machine(m, Engine(0.01, slots=8)) for m in range(5)]
    served = serve_requests(requests, machines, DistServe(1, bandwidth=1.0))
    assert served.busy[1:].min() > 0.5 * served.busy[1:].max()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 1), "rate=0"),
        ((1, -1), "seconds=-1"),
        ((1, 1), "load of 1; the queue grows for ever"),
        ((np.nan, 1), "rate=nan"),
    ],
)
def test_bad_queues_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        time_to_first_token(*arguments)


def test_bad_splits_are_named():
    with pytest.raises(ValueError, match="readers=0"):
        DistServe(0)
    with pytest.raises(ValueError, match="bandwidth=0"):
        DistServe(bandwidth=0)
    with pytest.raises(ValueError, match="2 machines with 2 readers leave none to write"):
        serve_requests(
            poisson(0, 3, 1.0), [Machine(m, Engine(1.0)) for m in range(2)], DistServe(2)
        )
    with pytest.raises(ValueError, match="stages=0"):
        time_to_first_token(0.5, 1, stages=0)
