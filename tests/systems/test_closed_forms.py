"""Formulas against tables, brute force and one another; simulations against the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

import ensemble_lab as lab

systems = lab.systems
SEED = 20261127  # of all simulations here, fixed before any was run


@pytest.mark.parametrize(
    ("servers", "load", "true"),
    [(1, 0.8, 0.8), (2, 1.6, 0.711111), (4, 3.2, 0.596432), (10, 8, 0.409180), (100, 90, 0.216940)],
)
def test_erlang_c_is_that_of_the_tables(servers, load, true):
    assert abs(systems.erlang_c(servers, load) - true) < 5e-7


@given(servers=st.integers(1, 40), busy=st.floats(0.01, 0.99))
def test_erlang_is_the_birth_and_death_chain(servers, busy):
    load = servers * busy
    weight = [load**k / math.factorial(k) for k in range(servers + 1)]
    assert math.isclose(systems.erlang_b(servers, load), weight[-1] / sum(weight), rel_tol=1e-9)
    wait = weight[-1] / (1 - busy)
    true = wait / (sum(weight[:-1]) + wait)
    assert math.isclose(systems.erlang_c(servers, load), true, rel_tol=1e-9)


def test_many_servers_are_no_trouble():
    assert 0 < systems.erlang_c(100_000, 99_000) < 1 and systems.erlang_b(3, 0) == 0


def test_formulas_agree_where_they_meet():
    assert math.isclose(systems.mmc_wait(10, 8, 1.0), 0.204590, abs_tol=5e-7)
    assert math.isclose(systems.mmc_wait(10, 80, 0.1), 0.0204590, abs_tol=5e-8)
    assert math.isclose(systems.mmc_wait(1, 0.8, 1.0), systems.mg1_wait(0.8, 1.0, cv=1.0))
    assert math.isclose(systems.md1_wait(0.8, 1.0), 2.0)
    one = systems.priority_waits([0.8], [1.0], cv=0.7)
    assert math.isclose(one[0], systems.mg1_wait(0.8, 1.0, cv=0.7))
    median = systems.mm1_quantile(0.8, 1.0, 0.5)
    assert math.isclose(median, math.log(2) / 0.2)


@given(
    rates=st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    cv=st.floats(0, 3),
    data=st.data(),
)
def test_priorities_share_out_the_same_wait(rates, cv, data):
    """Kleinrock's conservation: the waits weighted by load do not depend on the order."""
    services = data.draw(st.lists(st.floats(0.1, 5), min_size=len(rates), max_size=len(rates)))
    rates, services = np.array(rates), np.array(services)
    rates *= 0.9 / (rates @ services)
    waits = systems.priority_waits(rates, services, cv)
    work = (rates * services**2 * (1 + cv**2)).sum() / 2
    assert math.isclose(rates * services @ waits, 0.9 * work / 0.1, rel_tol=1e-9)
    resumed = systems.priority_waits(rates, services, cv, preemptive=True)
    first = systems.mg1_wait(rates[0], services[0], cv)
    assert math.isclose(resumed[0], first, rel_tol=1e-9)  # as if the others were not there


# -- simulations inside 99.9 % intervals, each narrow enough to mean something ------------------


def mm(jobs, servers, rng):
    arrivals = systems.poisson_arrivals(0.8 * servers, jobs=jobs, rng=rng)
    return systems.simulate(arrivals, rng.exponential(size=jobs), systems.FCFS(servers))


def md(jobs, rng):
    arrivals = systems.poisson_arrivals(0.8, jobs=jobs, rng=rng)
    return systems.simulate(arrivals, np.ones(jobs), systems.FCFS(1))


def mg(jobs, rng):
    arrivals = systems.poisson_arrivals(0.7, jobs=jobs, rng=rng)
    return systems.simulate(arrivals, rng.gamma(0.5, 2.0, jobs), systems.FCFS(1))


CASES = {
    "M/M/1": (lambda jobs, rng: mm(jobs, 1, rng), 4.0),
    "M/M/2": (lambda jobs, rng: mm(jobs, 2, rng), systems.mmc_wait(2, 1.6, 1.0)),
    "M/M/10": (lambda jobs, rng: mm(jobs, 10, rng), 0.204590),
    "M/D/1": (md, 2.0),
    "M/G/1": (mg, systems.mg1_wait(0.7, 1.0, cv=2**0.5)),
}


def check_mean(waits, true, width):
    wide = systems.batch_means(waits, level=0.999)
    assert true in wide, (true, wide)
    narrow = systems.batch_means(waits)
    assert narrow.half_width < width, narrow


@pytest.mark.parametrize("name", CASES)
def test_a_simulation_agrees_with_theory(name):
    run, true = CASES[name]
    found = run(400_000, np.random.default_rng(SEED))
    check_mean(found.waits, true, 0.06)
    assert found.little().gap < 1e-9


@pytest.mark.nightly
@pytest.mark.parametrize("name", CASES)
def test_a_long_simulation_agrees_within_one_percent(name):
    """Forty runs of a million jobs, the first tenth of each dropped: each run is a batch.

    Twenty are enough for the others; at ten servers most jobs do not wait, and the few that do
    wait long (1.3 % after twenty).
    """
    (run, true), runs = CASES[name], 40
    waits = [run(1_000_000, np.random.default_rng([SEED, i])).waits[100_000:] for i in range(runs)]
    waits = np.concatenate(waits)
    assert true in systems.batch_means(waits, level=0.999, batches=runs, warm_up=0)
    assert systems.batch_means(waits, batches=runs, warm_up=0).half_width < 0.01


@pytest.mark.parametrize("preemptive", [False, True])
def test_classes_wait_as_cobham_says(preemptive):
    rng, n = np.random.default_rng(SEED), 400_000
    rates, services, classes = [0.1, 0.3, 0.1], [2.0, 1.0, 3.0], ("urgent", "usual", "batch")
    arrivals = systems.poisson_arrivals(sum(rates), jobs=n, rng=rng)
    rank = rng.choice(3, n, p=np.array(rates) / sum(rates))
    drawn = np.array(services)[rank] * rng.exponential(size=n)
    rule = systems.Priority(1, classes, preemptive)
    found = systems.simulate(arrivals, drawn, rule, [classes[r] for r in rank])
    true = systems.priority_waits(rates, services, 1.0, preemptive)
    for i in range(3):
        check_mean(found.waits[rank == i], true[i], 0.1)


def test_the_tail_of_one_server_is_exponential():
    found = mm(400_000, 1, np.random.default_rng(SEED))
    for q in (0.5, 0.9, 0.99):
        over = found.latency > systems.mm1_quantile(0.8, 1.0, q)
        assert 1 - q in systems.batch_means(over.astype(float), level=0.999)


def test_lost_calls_are_erlangs_for_any_service():
    rng, n = np.random.default_rng(SEED), 300_000
    arrivals = systems.poisson_arrivals(4.0, jobs=n, rng=rng)
    for drawn in (rng.exponential(size=n), np.ones(n)):
        lost = systems.simulate(arrivals, drawn, systems.FCFS(5, room=0)).dropped
        assert systems.erlang_b(5, 4.0) in systems.batch_means(lost.astype(float), level=0.999)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_a_pipeline_halves_the_wait_of_constant_services_at_every_load(load):
    """AlpaServe's case: stages of half the time; M/D/1 at the first, no wait at the second."""
    arrivals = systems.poisson_arrivals(2 * load, jobs=400_000, rng=SEED)
    found = systems.simulate(arrivals, np.full((400_000, 2), 0.5), systems.Tandem((1, 1)))
    check_mean(found.waits, systems.md1_wait(load, 1.0) / 2, 0.05)


def test_a_second_try_after_the_mean_saves_a_fifth_for_a_third_more_calls():
    rng, n = np.random.default_rng(SEED), 100_000
    arrivals = systems.poisson_arrivals(1.0, jobs=n, rng=rng)
    found = systems.simulate(arrivals, rng.exponential(size=(n, 2)), systems.Hedged(40, after=1.0))
    assert found.waits.max() == 0
    assert 1 - math.exp(-1) / 2 in systems.batch_means(found.latency, level=0.999)
    again = (found.latency > 1).astype(float)
    assert math.exp(-1) in systems.batch_means(again, level=0.999)


def test_shortest_first_saves_waits_and_lets_the_long_wait():
    rng, n = np.random.default_rng(SEED), 100_000
    arrivals = systems.poisson_arrivals(0.8, jobs=n, rng=rng)
    drawn = rng.exponential(size=n)
    usual, short = (
        systems.simulate(arrivals, drawn, rule(1)) for rule in (systems.FCFS, systems.ShortestFirst)
    )
    # A job of length x waits as if of a class of its own: R / (1 - load of the shorter ones)^2.
    at = np.linspace(0, 40, 400_001)
    shorter = 0.8 * (1 - np.exp(-at) * (1 + at))
    assert trapezoid(np.exp(-at) * 0.8 / (1 - shorter) ** 2, at) in systems.batch_means(
        short.waits, level=0.999
    )
    assert short.waits.mean() < 0.8 * usual.waits.mean()
    assert short.quantile(0.999) > usual.quantile(0.999)


# -- intervals ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:batches of 179 jobs")  # one set in a hundred
def test_intervals_cover_as_they_say():
    """Of values with memory, in batches that are long beside it."""
    rng, inside, runs = np.random.default_rng(SEED), 0, 400
    for _ in range(runs):
        noise = rng.normal(size=4000)
        values = np.convolve(noise, 0.7 ** np.arange(20), "valid") + 5
        inside += 5 in systems.batch_means(values)
    assert 0.92 < inside / runs < 0.98


def test_batches_that_are_alike_are_said_to_be():
    walk = np.cumsum(np.random.default_rng(SEED).normal(size=2000))
    with pytest.warns(UserWarning, match="still alike.*simulate longer"):
        systems.batch_means(walk)


def test_a_start_from_empty_is_dropped():
    """Ciw #68: a mean that includes the warm-up is not that of theory."""
    values = np.concatenate([np.zeros(1000), np.tile([9.0, 11.0], 4500)])
    found = systems.batch_means(values)
    assert found.mean == found.low == found.high == 10 and found.half_width == 0
    assert systems.batch_means(values, warm_up=0).mean < 10
