"""MuxServe: models spread over machines, shares of memory, and who is protected by them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.muxserve import (
    MuxServe,
    adapt,
    demand,
    fair_shares,
    replicas,
    spread_models,
)
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


def loads(where, rates, seconds, machines):
    return np.bincount(where, np.multiply(rates, seconds), minlength=machines)


def test_spreading_by_hand():
    # Work .6, .5, .4, .3: the largest and the smallest share a machine.
    assert spread_models([6, 5, 4, 3], [0.1] * 4, 2) == [0, 1, 1, 0]
    # The last model goes to the fuller machine, where it takes least from the others.
    assert spread_models([1.0, 10.0, 1.0], [1.2, 0.1, 0.2], 2) == [0, 1, 0]


@given(
    st.lists(st.floats(0.01, 0.5), min_size=1, max_size=6),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_no_machine_has_more_than_four_thirds_of_the_best(work, machines):
    # Graham's bound for the longest job first, as long as no machine is overloaded.
    rates, seconds = np.array(work), np.ones(len(work))
    best = min(
        loads(where, rates, seconds, machines).max()
        for where in product(range(machines), repeat=len(work))
    )
    found = loads(spread_models(rates, seconds, machines), rates, seconds, machines).max()
    if sum(work) <= 1:
        assert found <= best * (4 / 3 - 1 / (3 * machines)) + 1e-9


def test_copies_by_hand():
    # Work 6, 3, 2 and 1 on six machines: an even share is 2.
    assert replicas([6, 3, 2, 1], [1] * 4, 6) == [3, 2, 1, 1]
    assert replicas([1], [5], 4) == [4]
    assert replicas([0, 0], [1, 1], 4) == [1, 1]


def test_demand_by_hand():
    sample = Requests([0.0, 5.0, 10.0], [10, 20, 60], [1, 3, 8], model=[0, 0, 2])
    rates, prompt, output = demand(sample, 4)
    assert rates.tolist() == [0.2, 0, 0.1, 0]
    assert prompt.tolist() == [20, 30, 45, 30]
    assert output.tolist() == [8 / 3, 4, 6, 4]


def test_shares_by_hand():
    assert fair_shares([1, 3], [200, 200], 800).tolist() == [200, 600]
    assert fair_shares([1, 1], [100, 300], 800).tolist() == [200, 600]
    assert fair_shares([0, 0], [5, 5], 800).tolist() == [400, 400]


def test_shares_move_to_those_that_wait():
    assert adapt([400, 400], [100, 400], [False, True]).tolist() == [250, 550]
    assert adapt([400, 400], [100, 400], [False, False]).tolist() == [400, 400]
    assert adapt([400, 400], [100, 400], [True, True]).tolist() == [400, 400]
    # More than its share by one long request: nothing is taken from it, nor given.
    assert adapt([100, 700], [300, 700], [False, True]).tolist() == [100, 700]


@given(st.data(), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_shares_never_vanish_and_keep_their_sum(data, n):
    shares = np.array(data.draw(st.lists(st.floats(1, 1000), min_size=n, max_size=n)))
    used = data.draw(st.lists(st.floats(0, 1000), min_size=n, max_size=n))
    waits = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    new = adapt(shares, used, waits)
    assert new.sum() == pytest.approx(shares.sum())
    assert (new >= shares / 2 - 1e-9).all()
    assert (new[waits] >= shares[waits] - 1e-9).all()


class Together(MuxServe):
    """The same machines and models, first come, first served, without shares."""

    place, admit = Rule.place, Rule.admit

    def after(self, task, machine, cluster):
        return True

    def tick(self, cluster):
        pass


def flood(seed):
    """A model asks steadily for little; another floods the machine for a minute."""
    rng = np.random.default_rng(seed)
    quiet, loud = np.cumsum(rng.exponential(1.0, 120)), 30 + np.sort(rng.uniform(0, 60, 900))
    arrival = np.concatenate([quiet, loud])
    model = np.repeat([0, 1], [len(quiet), len(loud)])
    order = np.argsort(arrival, kind="stable")
    n = len(order)
    return Requests(arrival[order], np.full(n, 50), np.full(n, 100), model=model[order])


def test_a_flood_of_one_model_does_not_drown_the_other():
    requests, engine = flood(0), Engine(0.02, 0.0002, slots=64, capacity=6000)

    def wait(rule):
        served = serve_requests(requests, [Machine(0, engine)], rule)
        quiet = requests.model == 0
        return np.quantile((served.started - requests.arrival)[quiet], 0.95)

    assert wait(MuxServe(requests)) < 0.3 * wait(Together(requests))


def test_a_request_longer_than_its_share_still_comes_in():
    requests = Requests([0.0] * 9, [5] * 9, [500] + [20] * 8, model=[0] + [1] * 8)
    served = serve_requests(
        requests, [Machine(0, Engine(0.1, slots=8, capacity=600))], MuxServe(requests)
    )
    assert np.isfinite(served.finished).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_shares_are_kept_and_all_is_answered(seed, machines, models):
    rng = np.random.default_rng(seed)
    n = 60
    requests = Requests(
        np.cumsum(rng.exponential(0.3, n)),
        rng.integers(0, 50, n),
        rng.integers(1, 50, n),
        model=rng.integers(0, models, n),
    )

    class Watched(MuxServe):
        def admit(self, machine, cluster):
            task = super().admit(machine, cluster)
            if task is not None:
                sizes = [t.prompt + self.answer[t.model] for t in (*machine.running, task)
                         if t.model == task.model]  # fmt: skip
                assert (
                    len(sizes) == 1 or sum(sizes) <= self.shares[machine.number, task.model] + 1e-6
                )
                assert machine.number in self.where[task.model]
            return task

    engine = Engine(0.05, slots=8, capacity=150)
    rule = Watched(requests, period=1.0)
    served = serve_requests(requests, [Machine(m, engine) for m in range(machines)], rule)
    assert np.isfinite(served.finished).all()
    assert rule.held == pytest.approx(np.zeros_like(rule.held), abs=1e-9)
    assert not rule.running.any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1, -1], [1, 1], 2), "rates holds -1"),
        (([1, 1], [1, np.nan], 2), "seconds"),
        (([1], [1, 1], 2), "one of each a model"),
        (([1], [1], 0), "machines=0"),
    ],
)
def test_bad_models_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        spread_models(*arguments)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="period=0"):
        MuxServe(flood(0), 0)
    with pytest.raises(ValueError, match="finite capacity"):
        serve_requests(flood(0), [Machine(0, Engine(1.0))], MuxServe(flood(0)))
