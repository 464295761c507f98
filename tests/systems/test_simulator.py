"""Every rule: equal to simpy on the same draws, to cases computed by hand, and to a plain loop."""

from __future__ import annotations

import dataclasses
import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.systems import peers

systems = lab.systems
FCFS, Priority, Pools, Tandem = systems.FCFS, systems.Priority, systems.Pools, systems.Tandem
Hedged, ShortestFirst, simulate = systems.Hedged, systems.ShortestFirst, systems.simulate
CLASSES = ("urgent", "usual", "batch")


def draws(seed, n=2000, servers=3, load=0.9):
    rng = np.random.default_rng(seed)
    arrivals = systems.gamma_arrivals(servers * load, 1.5, jobs=n, rng=rng)
    return arrivals, rng.gamma(0.5, 2.0, n) + 1e-6, rng.integers(0, 3, n)


@pytest.mark.parametrize("servers", [1, 2, 10])
def test_departures_in_turn_are_those_of_simpy(servers):
    arrivals, services, _ = draws(1, servers=servers)
    found = simulate(arrivals, services, FCFS(servers))
    np.testing.assert_allclose(found.finished, peers.fcfs(arrivals, services, servers), atol=1e-9)


@pytest.mark.parametrize("servers", [1, 2, 10])
@pytest.mark.parametrize("preemptive", [False, True])
def test_departures_by_priority_are_those_of_simpy(servers, preemptive):
    arrivals, services, rank = draws(2, servers=servers)
    kind = [CLASSES[one] for one in rank]
    found = simulate(arrivals, services, Priority(servers, CLASSES, preemptive), kind)
    true = peers.priority(arrivals, services, servers, rank, preemptive)
    np.testing.assert_allclose(found.finished, true, atol=1e-9)


@pytest.mark.parametrize("servers", [(1,), (1, 1), (3, 2, 4)])
def test_departures_of_a_pipeline_are_those_of_simpy(servers):
    arrivals, services, _ = draws(3, servers=min(servers), load=0.8)
    services = np.stack([np.roll(services, i) for i in range(len(servers))], axis=1)
    found = simulate(arrivals, services, Tandem(servers))
    np.testing.assert_allclose(found.finished, peers.tandem(arrivals, services, servers), atol=1e-9)


@pytest.mark.parametrize("after", [0.0, 0.5, 3.0])
def test_departures_of_second_tries_are_those_of_simpy(after):
    arrivals, services, _ = draws(4, servers=4, load=0.45)
    services = np.stack([services, np.roll(services, 1)], axis=1)
    found = simulate(arrivals, services, Hedged(4, after))
    true = peers.hedged(arrivals, services, 4, after)
    np.testing.assert_allclose(found.finished, true, atol=1e-9)
    late = simulate(arrivals, services, Hedged(4, 1e9))
    once = simulate(arrivals, services[:, 0], FCFS(4))
    np.testing.assert_allclose(late.finished, once.finished, atol=1e-9)


def by_hand(arrivals, services, servers, rank):
    """Instant by instant: departures, then arrivals by number, each taking an idle server."""
    running, waiting, finished = {}, [], {}
    moments = sorted(set(arrivals))
    while moments:
        now = moments.pop(0)
        for who, (end, job) in sorted(running.items(), key=lambda held: (held[1][0], held[0])):
            if end == now:
                finished[job] = now
                del running[who]
                if waiting:
                    waiting.sort(key=lambda j: (rank[j], j))
                    begun = waiting.pop(0)
                    running[who] = (now + services[begun], begun)
        for job in (j for j, at in enumerate(arrivals) if at == now):
            who = next((s for s in count() if s not in running), None)
            if who < servers:
                running[who] = (now + services[job], job)
            else:
                waiting.append(job)
        moments = sorted({*moments, *(end for end, _ in running.values())})
    return [finished[j] for j in range(len(arrivals))]


jobs = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(0, 2)), min_size=1)


@settings(max_examples=200, deadline=None)
@given(jobs=jobs, servers=st.integers(1, 3))
def test_ties_go_by_number_and_departures_come_first(jobs, servers):
    jobs = sorted(jobs, key=lambda job: job[0])
    arrivals, services, rank = map(list, zip(*jobs))
    kind = [CLASSES[one] for one in rank]
    found = {
        "in turn": (FCFS(servers), [0] * len(jobs)),
        "by class": (Priority(servers, CLASSES), rank),
        "shortest": (ShortestFirst(servers), services),
    }
    for rule, order in found.values():
        true = by_hand(arrivals, services, servers, order)
        assert simulate(arrivals, services, rule, kind).finished.tolist() == true, rule


RULES = {
    "FCFS": lambda servers: FCFS(servers),
    "FCFS with room": lambda servers: FCFS(servers, room=2),
    "ShortestFirst": lambda servers: ShortestFirst(servers),
    "Priority": lambda servers: Priority(servers, CLASSES),
    "Priority preemptive": lambda servers: Priority(servers, CLASSES, preemptive=True),
    "Pools": lambda servers: Pools(dict.fromkeys(CLASSES, servers)),
    "Tandem": lambda servers: Tandem((servers, 1)),
    "Hedged": lambda servers: Hedged(servers, after=1.5),
}
reals = st.floats(0, 1e3).map(lambda x: round(x, 3))
lengths = st.floats(1e-3, 1e3).map(lambda x: round(x, 3))


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.tuples(reals, lengths, lengths, st.sampled_from(CLASSES)), min_size=1),
    servers=st.integers(1, 4),
)
def test_what_every_rule_keeps(name, jobs, servers):
    """Little's formula; no time before its cause; no server does two things at once."""
    jobs = sorted(jobs, key=lambda job: job[0])
    rule = RULES[name](servers)
    arrivals, one, two, kind = map(list, zip(*jobs))
    services = one if rule.stages is None else list(zip(one, two))
    found = simulate(arrivals, services, rule, kind)
    stay = ~found.dropped
    assert found.little().gap < 1e-9
    assert (found.started[stay] >= found.arrivals[stay]).all()
    assert (found.waits[stay] >= 0).all() and (found.latency[stay] > 0).all()
    assert np.isnan(found.finished[found.dropped]).all() and (found.server[found.dropped] < 0).all()
    assert found.utilisation.max() <= 1 + 1e-9 and len(found.busy) > found.server.max()
    if name != "Hedged":  # whose services are cut short
        work = np.asarray(services)[stay]
        assert math.isclose(found.busy.sum(), work.sum(), rel_tol=1e-9)
        left = found.latency - found.waits - np.asarray(services).reshape(len(jobs), -1).sum(1)
        np.testing.assert_allclose(left[stay], 0, atol=1e-9)
    if name != "FCFS with room":
        assert stay.all()


@pytest.mark.parametrize("name", ["FCFS", "ShortestFirst", "Priority", "Priority preemptive"])
@settings(max_examples=40, deadline=None)
@given(jobs=st.lists(st.tuples(reals, lengths, st.sampled_from(CLASSES)), min_size=1))
def test_one_server_that_is_never_idle_empties_at_the_same_time_under_any_rule(name, jobs):
    jobs = sorted(jobs, key=lambda job: job[0])
    arrivals, services, kind = map(list, zip(*jobs))
    last = simulate(arrivals, services, FCFS(1)).finished.max()
    found = simulate(arrivals, services, RULES[name](1), kind).finished.max()
    assert math.isclose(found, last, rel_tol=1e-9)


def test_a_mean_case_by_hand():
    found = simulate([0, 1, 2, 10], [4, 4, 1, 1], FCFS(1))
    assert found.started.tolist() == [0, 4, 8, 10] and found.waits.tolist() == [0, 3, 6, 0]
    assert found.latency.tolist() == [4, 7, 7, 1] and found.utilisation.tolist() == [10 / 11]
    both = found.little()
    assert both.number == 19 / 11 and both.rate == 4 / 11 and both.time == 19 / 4
    assert found.throughput == 4 / 11 and len(found) == 4


def test_who_finds_no_room_is_dropped():
    found = simulate([0, 1, 2, 3, 9], [4, 4, 4, 4, 1], FCFS(1, room=1))
    assert found.dropped.tolist() == [False, False, True, True, False]
    assert found.finished[~found.dropped].tolist() == [4, 8, 10]
    assert "2 dropped" in repr(found) and found.little().rate == 3 / 10
    # One that leaves as another comes has left: no wait, no drop.
    assert not simulate([0, 4], [4, 4], FCFS(1, room=0)).dropped.any()


def test_an_urgent_job_goes_first_or_interrupts():
    kind = ["batch", "batch", "urgent"]
    calm = simulate([0, 1, 2], [4, 4, 1], Priority(1, CLASSES), kind)
    assert calm.finished.tolist() == [4, 9, 5]
    cut = simulate([0, 1, 2], [4, 4, 1], Priority(1, CLASSES, preemptive=True), kind)
    assert cut.finished.tolist() == [5, 9, 3] and cut.waits.tolist() == [1, 4, 0]
    assert cut.started.tolist() == [0, 5, 2]


def test_nothing_is_interrupted_while_a_server_is_idle_or_by_its_equal():
    """simmer #114 and #53."""
    rule = Priority(2, CLASSES, preemptive=True)
    found = simulate([0, 1, 2], [9, 9, 1], rule, ["batch", "urgent", "urgent"])
    assert found.finished.tolist() == [10, 10, 3]
    assert simulate([0, 1], [9, 9], rule, ["batch", "urgent"]).waits.tolist() == [0, 0]
    equal = simulate([0, 1], [9, 9], Priority(1, CLASSES, True), ["batch", "batch"])
    assert equal.finished.tolist() == [9, 18]


def test_the_last_to_come_is_interrupted_and_the_first_is_resumed():
    kind = ["batch", "batch", "urgent", "usual"]
    found = simulate([0, 1, 2, 3], [10, 10, 5, 5], Priority(2, CLASSES, True), kind)
    # At 2 job 1 stops, at 3 job 0; at 7 job 0 goes on with 7 left, at 8 job 1 with 9.
    assert found.finished.tolist() == [14, 17, 7, 8] and found.waits.tolist() == [4, 6, 0, 0]


def test_a_pool_is_a_queue_of_its_own():
    kind = ["big", "small", "big", "small"]
    found = simulate([0, 0, 1, 1], [5, 1, 5, 1], Pools({"small": 1, "big": 1}), kind)
    assert found.finished.tolist() == [5, 1, 10, 2] and found.server.tolist() == [1, 0, 1, 0]
    assert found.busy.tolist() == [2, 10]
    table = found.table()
    assert table.index.tolist() == ["all", "big", "small"]
    assert table.loc["big", "wait"] == 2 and table.loc["small", "wait"] == 0


def test_two_jobs_in_a_pipeline_overlap():
    found = simulate([0, 0], [[2, 3], [2, 3]], Tandem((1, 1)))
    assert found.finished.tolist() == [5, 8] and found.waits.tolist() == [0, 3]
    assert found.busy.tolist() == [4, 6] and found.server.tolist() == [1, 1]


def test_a_second_try_leaves_when_the_first_is_done_and_the_other_way_round():
    found = simulate([0, 20], [[9, 1], [3, 9]], Hedged(2, after=2))
    assert found.latency.tolist() == [3, 3]
    assert found.busy.tolist() == [3 + 1, 1 + 3] or found.busy.sum() == 3 + 1 + 3 + 1
    # With one server the second try would wait behind the first, and never runs.
    alone = simulate([0, 1], [[9, 1], [3, 9]], Hedged(1, after=2))
    assert alone.finished.tolist() == [9, 12] and alone.busy.tolist() == [12]


def test_seconds_may_start_anywhere():
    here, there = ([t + shift for t in (0.0, 1.0, 2.0)] for shift in (0, -5))
    assert simulate(here, [2] * 3, FCFS(1)).waits.tolist() == [0, 1, 2]
    assert simulate(there, [2] * 3, FCFS(1)).waits.tolist() == [0, 1, 2]


def test_a_mean_never_stands_without_its_tail():
    arrivals, services, rank = draws(5)
    said = repr(simulate(arrivals, services, FCFS(3)))
    assert said.count("99% within") == 2 and "servers" in said
    table = simulate(arrivals, services, FCFS(3), [CLASSES[r] for r in rank]).table()
    assert {"wait", "wait_p99", "latency", "latency_p99"} <= set(table.columns)
    assert table["jobs"].tolist()[0] == table["jobs"][1:].sum() == 2000


def test_more_load_than_capacity_is_said_and_where():
    rng = np.random.default_rng(0)
    arrivals = systems.poisson_arrivals(3.0, jobs=1000, rng=rng)
    with pytest.warns(UserWarning, match=r"erlang on 2 servers: the queue grows .*add servers"):
        simulate(arrivals, np.ones(1000), FCFS(2))
    kind = ["small", "big"] * 500
    with pytest.warns(UserWarning, match=r"1 server of 'big'"):
        simulate(arrivals, np.ones(1000), Pools({"small": 4, "big": 1}), kind)
    with pytest.warns(UserWarning, match="stage 2"):
        simulate(arrivals, np.ones((1000, 2)), Tandem((4, 1)))


def test_arrivals_have_the_rate_and_the_burstiness_asked_for():
    for cv in (0.0, 0.5, 1.0, 3.0):
        gaps = np.diff(systems.gamma_arrivals(4.0, cv, jobs=200_000, rng=7))
        assert abs(gaps.mean() * 4 - 1) < 0.03
        assert abs(gaps.std() / gaps.mean() - cv) < 0.05 * max(cv, 0.1)
    times = systems.gamma_arrivals(4.0, 3.0, horizon=5000, rng=7)
    assert times.max() < 5000 and abs(len(times) / 20_000 - 1) < 0.1
    same = systems.poisson_arrivals(4.0, jobs=5, rng=np.random.default_rng(3))
    assert same.tolist() == systems.poisson_arrivals(4.0, jobs=5, rng=3).tolist()


PLANTED = {  # at the job that waited longest
    "its work is cut short": lambda f, hit: {"finished": f.finished - hit},
    "its server is late": lambda f, hit: {"finished": f.finished + 0.01 * hit},
    "its wait is not counted": lambda f, hit: {"waits": f.waits * (1 - hit)},
    "it is served twice": lambda f, hit: {"service": f.service * (1 + hit)},
}


@pytest.mark.parametrize("fault", PLANTED)
@pytest.mark.parametrize("name", ["FCFS", "Priority preemptive", "Pools"])
def test_littles_formula_finds_a_planted_fault(name, fault):
    arrivals, services, rank = draws(6, n=200)
    found = simulate(arrivals, services, RULES[name](3), [CLASSES[one] for one in rank])
    assert found.waits.max() > 1 and found.little().gap < 1e-9
    wrong = PLANTED[fault](found, (found.waits == found.waits.max()).astype(float))
    assert dataclasses.replace(found, **wrong).little().gap > 1e-9


def test_as_many_even_arrivals_as_asked_for_and_no_wait_between():
    """Ciw #260: one job an hour, each of an hour, for 24 hours."""
    arrivals = systems.gamma_arrivals(1.0, 0.0, jobs=24)
    found = simulate(arrivals, np.ones(24), FCFS(1))
    assert len(found) == 24 and found.waits.max() == 0 and found.utilisation.tolist() == [1]
    assert systems.gamma_arrivals(1.0, 0.0, horizon=24).tolist() == list(range(1, 24))


def test_of_jobs_of_one_instant_the_urgent_one_interrupts():
    """inet #725: the usual one has the lesser number, so it begins, and stops at once."""
    found = simulate([0, 0], [5, 1], Priority(1, CLASSES, True), ["usual", "urgent"])
    assert found.finished.tolist() == [6, 1] and found.waits.tolist() == [1, 0]
    assert found.started.tolist() == [0, 0] and found.busy.tolist() == [6]


def test_results_go_by_job_not_by_departure():
    """inference-sim #52."""
    found = simulate([0, 0, 0], [9, 1, 5], FCFS(3))
    assert found.finished.tolist() == [9, 1, 5]


def test_a_class_of_which_all_are_dropped_has_no_mean():
    """inference-sim #926: a row all the same, without a warning."""
    found = simulate([0, 1], [9, 1], FCFS(1, room=0), ["first", "second"])
    row = found.table().loc["second"]
    assert row["dropped"] == row["jobs"] == 1 and math.isnan(row["wait"])


def test_seconds_since_1970_cost_no_more_than_their_digits():
    arrivals, services, _ = draws(8, n=500)
    here = simulate(arrivals, services, FCFS(3))
    there = simulate(arrivals + 1.8e9, services, FCFS(3))
    np.testing.assert_allclose(there.waits, here.waits, atol=1e-5)
    assert there.little().gap < 1e-6
    with pytest.raises(ValueError, match=r"lost beside .*arrivals - arrivals\[0\]"):
        simulate(arrivals + 1.8e9, services / 1e5, FCFS(3))
