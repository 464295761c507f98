"""A simulation that is cut off: what had happened by then, and no time counted twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.systems import peers
from tests.systems.test_simulator import CLASSES, RULES, draws, reals

systems = lab.systems
FCFS, Priority, Tandem, Hedged = systems.FCFS, systems.Priority, systems.Tandem, systems.Hedged
simulate = systems.simulate
lengths = st.floats(0.1, 1e3).map(lambda x: round(x, 3))


def test_a_cut_by_hand():
    """Jobs 0 and 1 share two servers, 2 waits for one of them, 3 comes too late."""
    found = simulate([0, 1, 2, 6], [3, 9, 4, 1], FCFS(2), horizon=6)
    assert len(found) == 3 and found.inside.tolist() == [False, True, True]
    assert found.finished[0] == 3 and np.isnan(found.finished[1:]).all()
    assert found.started.tolist() == [0, 1, 3] and found.server.tolist() == [0, -1, -1]
    assert found.waits.tolist() == [0, 0, 1] and found.service.tolist() == [3, 5, 3]
    assert found.busy.tolist() == [6, 5] and found.utilisation.tolist() == [1, 5 / 6]
    assert found.little() == (12 / 6, 3 / 6, 12 / 3) and found.throughput == 1 / 6
    assert found.table().loc["all", ["jobs", "inside", "latency"]].tolist() == [3, 2, 3]
    assert "2 still inside at 6 s" in repr(found)


def test_who_is_interrupted_or_waits_at_the_cut_has_been_served_so_far():
    rule = Priority(1, ("urgent", "usual"), preemptive=True)
    kind = ["usual", "usual", "urgent"]
    found = simulate([0, 1, 2], [5, 1, 4], rule, kind, horizon=4)
    assert found.service.tolist() == [2, 0, 2] and found.waits.tolist() == [2, 3, 0]
    assert found.inside.all() and found.busy.tolist() == [4] and np.isnan(found.started[1])
    with pytest.raises(ValueError, match="none has left before the horizon, 4 s"):
        found.quantile(0.5)
    assert repr(found) == "Simulation(3 jobs; 3 still inside at 4 s; 1 server 100% busy)"


def test_a_pipeline_and_second_tries_at_the_cut_by_hand():
    found = simulate([0, 0], [[2, 5], [2, 1]], Tandem((1, 1)), horizon=6)
    assert found.waits.tolist() == [0, 4] and found.service.tolist() == [6, 2]
    assert found.busy.tolist() == [4, 4] and found.inside.all()
    found = simulate([0, 1], [[9, 9], [9, 9]], Hedged(2, after=2), horizon=4)
    assert found.waits.tolist() == [0, 0] and found.service.tolist() == [4, 3]
    assert found.busy.tolist() == [4, 3] and found.inside.all()


def test_what_ends_at_the_horizon_has_ended_and_what_comes_then_has_not_come():
    """Ciw #260: one job an hour, each of an hour, for 24 hours."""
    found = simulate(np.arange(30.0), np.ones(30), FCFS(1), horizon=24)
    assert len(found) == 24 and not found.inside.any() and found.utilisation == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_who_has_left_by_then_has_left_in_simpy(share):
    arrivals, services, rank = draws(8, n=400, load=1.2)
    until, kind = float(share * arrivals[-1]), [CLASSES[one] for one in rank]
    two = np.stack([services, np.roll(services, 1)], axis=1)
    pairs = [
        (FCFS(3), services, peers.fcfs(arrivals, services, 3, until)),
        (Tandem((3, 4)), two, peers.tandem(arrivals, two, (3, 4), until)),
        (Hedged(3, 0.5), two, peers.hedged(arrivals, two, 3, 0.5, until)),
    ] + [
        (
            Priority(3, CLASSES, preemptive),
            services,
            peers.priority(arrivals, services, 3, rank, preemptive, until),
        )
        for preemptive in (False, True)
    ]
    for rule, work, true in pairs:
        found = simulate(arrivals, work, rule, kind, horizon=until)
        np.testing.assert_allclose(found.finished, true[: len(found)], atol=1e-9)
        assert np.isnan(true[len(found) :]).all() and found.inside.any(), rule


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.tuples(reals, lengths, lengths, st.sampled_from(CLASSES)), min_size=1),
    servers=st.integers(1, 3),
    share=st.floats(0.01, 2),
)
def test_what_every_rule_keeps_at_a_cut(name, jobs, servers, share):
    """Little's formula; each job is one of four; servers work as long as jobs are served; and all
    that has happened by then is what happens without a horizon."""
    jobs = sorted(jobs, key=lambda job: job[0])
    rule = RULES[name](servers)
    arrivals, one, two, kind = map(list, zip(*jobs))
    services = one if rule.stages is None else list(zip(one, two))
    whole = simulate(arrivals, services, rule, kind)
    horizon = arrivals[0] + share * whole.seconds
    found = simulate(arrivals, services, rule, kind, horizon=horizon)
    n = len(found)
    assert n == sum(at < horizon for at in arrivals)
    left = np.isfinite(found.finished)
    assert n == left.sum() + found.inside.sum() + found.dropped.sum()
    assert found.little().gap < 1e-9 and found.utilisation.max() <= 1 + 1e-9
    if name != "Hedged":  # where two servers may serve one job
        assert math.isclose(found.busy.sum(), np.nansum(found.service), rel_tol=1e-9, abs_tol=1e-9)
    for field in ("finished", "started"):
        true = getattr(whole, field)[:n]
        true = np.where(true <= horizon, true, np.nan)
        np.testing.assert_array_equal(getattr(found, field), true)
    assert (found.dropped == whole.dropped[:n]).all()
    assert (found.waits[left] == whole.waits[:n][left]).all()


def test_an_overload_is_cut_off_without_a_warning_and_said():
    arrivals = systems.poisson_arrivals(3.0, jobs=2000)
    with pytest.warns(UserWarning, match="cut it off with horizon="):
        simulate(arrivals, np.ones(2000), FCFS(2))
    found = simulate(arrivals, np.ones(2000), FCFS(2), horizon=100)
    assert 50 < found.inside.sum() < 150 and found.utilisation.min() > 0.9
    assert found.throughput == pytest.approx(2, rel=0.05)
