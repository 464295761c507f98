"""Each paper's rule holds what its paper, or a few lines of arithmetic, say of it."""

from collections import Counter
from itertools import product
from math import floor

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, brentq, milp
from scipy.stats import t as student

from ensemble_lab import MajorityVote, Outcomes
from ensemble_lab.core.states import UNPARSED
from ensemble_lab.systems.rules.alpaserve import AlpaServe, pipeline_engine, pooled_wait
from ensemble_lab.systems.rules.clipper import Clipper
from ensemble_lab.systems.rules.cocktail import Cocktail
from ensemble_lab.systems.rules.fleet import Fleet, Variant
from ensemble_lab.systems.rules.infaas import INFaaS, cheapest_variant
from ensemble_lab.systems.rules.inferline import InferLine, envelope, plan
from ensemble_lab.systems.rules.loki import Loki, allocate_machines
from ensemble_lab.systems.rules.nexus import Nexus, squishy_bins
from ensemble_lab.systems.rules.planning import BatchTime, shares
from ensemble_lab.systems.rules.shepherd import Shepherd
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


def passes(arrival, model=None, limit=np.inf, output=1):
    """Requests of `output` steps without a prompt: one step is one pass of a classifier."""
    n = len(arrival)
    return Requests(arrival, np.zeros(n, int), np.full(n, output), model, limit)


def cluster_of(engine, count):
    return [Machine(i, engine) for i in range(count)]


# What the rules share.


@given(
    fixed=st.floats(0.001, 1), each=st.floats(0.001, 0.5), limit=st.floats(0.01, 5),
    slots=st.integers(1, 50),
)  # fmt: skip
def test_the_largest_batch_is_the_largest(fixed, each, limit, slots):
    time = BatchTime(fixed, each)
    batch = time.largest(limit, slots)
    assert batch == 0 or time(batch) <= limit + 1e-6
    assert batch == slots or time(batch + 1) > limit - 1e-6


def test_the_time_of_a_batch_is_that_of_the_machine():
    engine = Engine(0.02, 0.003, 0.001, 0.0001, slots=8)
    time = BatchTime.of(engine, prompt=100, output=50)
    for size in (1, 3, 8):
        n = size + 1  # the first makes one step, in which the others come
        requests = Requests([0] + [0.01] * size, [0] + [100] * size, [1] + [50] * size)
        served = serve_requests(requests, cluster_of(engine, 1), Rule())
        assert served.finished[1:] - served.finished[0] == pytest.approx([time(size)] * (n - 1))


def test_a_request_behind_others_is_answered_when_the_machine_says():
    time, engine = BatchTime(0.3, 0.1), Engine(0.3, 0.1, slots=4)
    served = serve_requests(passes([0.0] + [0.1] * 12), cluster_of(engine, 1), Rule())
    # Whole batches: the last of the first batch, of the second, of the third.
    for ahead in (3, 7, 11):
        assert served.finished[ahead + 1] - 0.4 == pytest.approx(time.behind(ahead, 4))
    rest = [time.behind(ahead, 4) for ahead in range(12)]
    assert rest == sorted(rest)


def test_machines_are_shared_by_load():
    assert shares([3, 1], 4) == [3, 1]
    assert shares([1, 0, 0], 3) == [1, 1, 1]
    assert shares([0, 0], 5) == [3, 2]
    with pytest.raises(ValueError, match="1 machines cannot hold 2 variants"):
        shares([1, 1], 1)


class Plans(Fleet):
    """Takes what a test plans for each tick."""

    period = 1.0

    def __init__(self, *args, plans, **more):
        super().__init__(*args, **more)
        self.plans, self.placed = iter(plans), []

    def tick(self, cluster):
        if (counts := next(self.plans, None)) is not None:
            self.arrange(Counter(counts), cluster)

    def soonest(self, task, cluster):
        machine = super().soonest(task, cluster)
        assert machine is None or machine in cluster.on or machine.running
        return machine


WAYS = [[Variant(Engine(0.1, 0.01, slots=2), 0.9, load=2.5)]] * 2


def test_a_machine_that_is_taken_away_loses_no_request():
    # The requests piled up on a replica disappeared when it was removed (ray 18925).
    requests = passes(np.linspace(0, 5, 200), np.arange(200) % 2, output=3)
    plans = [{(0, 0): 1, (1, 0): 1}, {(0, 0): 3, (1, 0): 1}, {(0, 0): 1, (1, 0): 2}] * 3
    rule = Plans(WAYS, requests, plans=plans)
    served = serve_requests(requests, cluster_of(WAYS[0][0].engine, 4), rule)
    assert not served.dropped.any()
    assert served.paid.sum() < 4 * served.finished.max()


def test_loading_longer_than_a_period_ends():
    # A replica whose start outlasts the window was removed before it was ready (kserve 1247).
    requests = passes(np.arange(0, 20, 0.04))
    plans = [{(0, 0): 1, (1, 0): 1}] + [{(0, 0): 2, (1, 0): 1}] * 15
    rule = Plans(WAYS, requests, plans=plans)
    served = serve_requests(requests, cluster_of(WAYS[0][0].engine, 3), rule)
    assert np.count_nonzero(served.busy) == 2


def test_the_same_plan_again_changes_nothing():
    # A plan that looked at what ran, not at what was wanted, undid itself (ray 19869).
    requests = passes(np.arange(0, 20, 0.02), np.arange(1000) % 2)
    plans = [{(1, 0): 2, (0, 0): 1}, {(0, 0): 1, (1, 0): 2}] * 9
    rule, changed = Plans(WAYS, requests, plans=plans), []
    turn = rule._turn
    rule._turn = lambda machine, cluster: (changed.append(cluster.now), turn(machine, cluster))
    serve_requests(requests, cluster_of(WAYS[0][0].engine, 3), rule)
    assert max(changed) < 2  # at the start, and the first time


def test_a_machine_comes_back_at_once_after_it_was_switched_off():
    # There was a dead minute after scaling to zero (knative 2103).
    requests = passes(np.arange(0, 20, 0.25), np.arange(80) % 2)
    plans = [{(0, 0): 1}, {(0, 0): 1, (1, 0): 1}]
    served = serve_requests(
        requests, cluster_of(WAYS[0][0].engine, 2), Plans(WAYS, requests, plans=plans)
    )
    off = (requests.model == 1) & (requests.arrival > 1) & (requests.arrival < 2)
    assert served.dropped[off].all()  # no machine holds the model
    assert not served.dropped[~off & (requests.arrival != 1) & (requests.arrival != 2)].any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Fleet([], passes([0.0])), "a model has no variant"),
        (lambda: Fleet(WAYS[:1], passes([0.0], [1])), "2 models, Fleet has variants of 1"),
        (lambda: Variant(Engine(1), 1.5), "accuracy=1.5"),
        (lambda: Variant(Engine(1), load=-1), "load=-1"),
    ],
)
def test_bad_variants_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# Clipper.


@given(
    fixed=st.floats(0.05, 0.2), each=st.floats(0.005, 0.02), limit=st.floats(0.4, 0.9),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_clipper_settles_round_the_largest_batch_in_time(fixed, each, limit):
    best = floor((limit - fixed) / each)
    assume(0.001 < (limit - fixed) / each - best < 0.999)  # not a matter of rounding
    sizes = []

    class Watched(Clipper):
        def after(self, task, machine, cluster):
            sizes.append(self.slots(machine))
            return super().after(task, machine, cluster)

    requests = passes(np.zeros(400 * best), limit=limit)
    engine = Engine(fixed, each, slots=10_000)
    serve_requests(requests, cluster_of(engine, 1), Watched([[Variant(engine)]], requests))
    settled = np.array(sizes[len(sizes) // 2 : -best])
    assert floor(0.9 * (best + 1)) - 1 <= settled.min() <= settled.max() <= best + 1
    assert best in settled  # and it comes back after each decrease


# Nexus.

times_ = st.builds(BatchTime, st.floats(0.005, 0.05), st.floats(0.001, 0.01))


@given(
    models=st.lists(st.tuples(st.floats(0.1, 400), times_), min_size=1, max_size=6),
    limit=st.floats(0.2, 1),
)
@example(models=[(107.0, BatchTime(0.041, 0.00526))], limit=0.2012)  # no batch but the largest
@settings(max_examples=200, deadline=None)
def test_bins_serve_their_rates_in_time_and_are_never_overfull(models, limit):
    rates, times = zip(*models, strict=True)
    bins = squishy_bins(rates, times, limit, slots=64)
    served = Counter()
    for one in bins:
        assert one.occupancy <= 1 + 1e-9
        assert one.occupancy == pytest.approx(sum(times[m](b) for m, b in one.batches) / one.cycle)
        for model, batch in one.batches:
            served[model] += batch / one.cycle
            # It just missed a batch, waits a cycle, and is answered at the end of the next one.
            assert one.cycle + times[model](batch) <= limit + 1e-9
    assert all(served[m] >= rate * (1 - 1e-9) for m, rate in enumerate(rates))


def test_nexus_by_hand():
    # l(b) = 10 + 5 b ms and 100 ms: B = floor((50 - 10) / 5) = 8 of 50 ms, 160 a second.
    time = BatchTime(0.010, 0.005)
    full, rest = squishy_bins([200.0], [time], 0.100, slots=64)
    assert full.batches == ((0, 8),)
    assert full.cycle == pytest.approx(0.050)
    # 40 a second are left: 10 + 5 b + 25 b <= 100 gives b = 3, every 75 ms, for 25 ms.
    assert rest.batches == ((0, 3),)
    assert rest.occupancy == pytest.approx(1 / 3)
    # Two such parts fit on one machine; three would be full to the brim, and a fourth is not.
    assert [len(one.batches) for one in squishy_bins([40.0] * 4, [time] * 4, 0.100, 64)] == [3, 1]
    with pytest.raises(ValueError, match="model 0 needs 0.03 s"):
        squishy_bins([1.0], [time], 0.02, slots=64)


@pytest.mark.parametrize("seed", range(3))
def test_nexus_drops_only_what_would_be_late(seed):
    rng = np.random.default_rng(seed)
    engine, n = Engine(0.010, 0.005, slots=64), 3000
    arrival = np.cumsum(rng.gamma(0.25, 4 / 500, n))  # bursts, 500 a second
    requests = passes(arrival, rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]), limit=0.1)
    late = []

    class Watched(Nexus):
        def admit(self, machine, cluster):
            drop = cluster.drop

            def checked(task):
                # Not even the batch that it would join, were it begun now, ends in time.
                waiting = [t for t in machine.queue if t.model == task.model]
                size = min(self.batches[machine.number][task.model],
                           len(machine.running) + len(machine.queue) + 1)  # fmt: skip
                late.append(cluster.now + 0.010 + 0.005 * size > task.until)
                assert task not in waiting
                drop(task)

            cluster.drop = checked
            try:
                return super().admit(machine, cluster)
            finally:
                cluster.drop = drop

    rule = Watched([[Variant(engine)]] * 4, requests)
    served = serve_requests(requests, cluster_of(engine, 4), rule)
    assert late
    assert all(late)
    assert served.dropped.sum() == len(late)
    assert (
        served.goodput
        > serve_requests(
            requests, cluster_of(engine, 4), Fleet([[Variant(engine)]] * 4, requests)
        ).goodput
    )


# InferLine.


@given(st.lists(st.floats(0, 100), max_size=40), st.floats(0.1, 50))
@settings(deadline=None)
def test_the_envelope_is_the_fullest_window(times, window):
    times = np.sort(times)
    most = max((sum(start <= t < start + window for t in times) for start in times), default=0)
    assert envelope(times, [window]) == [most]


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_keeps_the_limit_and_costs_no_more_than_its_start(seed):
    rng = np.random.default_rng(seed)
    engine = Engine(0.1, 0.02, slots=16)
    requests = passes(np.cumsum(rng.gamma(0.25, 4 / 160, 800)), limit=1.0)  # bursts

    def in_time(machines, batch):
        slots = Engine(0.1, 0.02, slots=batch)
        return serve_requests(requests, cluster_of(slots, machines), Rule()).goodput

    for most in (1, 3, 12):
        found = plan(requests, engine, most)
        best = max(in_time(most, batch) for batch in (1, 2, 4, 8, 16))
        assert found.machines <= most
        assert in_time(found.machines, found.batch) >= 0.99 * best
        fewer = found.machines - 1
        for batch in {found.batch, min(2 * found.batch, 16)} if fewer else ():
            assert in_time(fewer, batch) < 0.99 * best
    assert found.machines < 12
    # 160 a second in batches of 16, 0.42 s each: 38 a second and machine.
    assert found.machines >= 4


def test_inferline_adds_machines_in_a_burst_and_takes_them_away_again():
    engine = Engine(0.1, 0.02, slots=8)
    sample = passes(np.arange(0, 60, 0.1), limit=2.0)
    burst = np.r_[np.arange(0, 100, 0.1), np.arange(100, 130, 0.01), np.arange(130, 400, 0.1)]
    counts = []

    class Watched(InferLine):
        def tick(self, cluster):
            super().tick(cluster)
            counts.append((cluster.now, len(cluster.on)))

    rule = Watched([[Variant(engine, load=1.0)]], sample)
    served = serve_requests(passes(burst, limit=2.0), cluster_of(engine, 20), rule)
    planned = rule.plans[0].machines
    assert {n for t, n in counts if t < 100} == {planned}
    most = max(n for _, n in counts)
    # 100 a second instead of 10: mu * rho is 10 / planned.
    assert 10 * planned <= most <= 10 * planned + 1
    assert counts[-1][1] == planned  # replicas stayed after the load was gone (ray 61551)
    assert (
        served.goodput
        > serve_requests(passes(burst, limit=2.0), cluster_of(engine, planned), Rule()).goodput
    )


# INFaaS.


@given(
    rate=st.floats(0.1, 100), accuracy=st.floats(0, 1), limit=st.floats(0.1, 3),
    ways=st.lists(
        st.tuples(times_, st.floats(0, 1), st.floats(0, 2), st.integers(1, 32)),
        min_size=1, max_size=4,
    ),
    warm=st.none() | st.just(0),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_infaas_takes_what_brute_force_takes(rate, accuracy, limit, ways, warm):
    times = [time for time, *_ in ways]
    variants = [Variant(Engine(1, slots=s), a, load) for _, a, load, s in ways]
    best = None
    for i, (time, a, load, slots) in enumerate(ways):
        cold = 0 if i == warm else load
        if a < accuracy or time(1) > limit or (i != warm and time(1) + cold > limit):
            continue
        count = 1
        while count * max(b / time(b) for b in range(1, slots + 1) if time(b) <= limit + 1e-9) < (
            rate * (1 - 1e-9)
        ):
            count += 1
        if best is None or (count, time(1) + cold) < best[:2]:
            best = (count, time(1) + cold, i)
    if best is None:
        with pytest.raises(ValueError, match="no variant is right"):
            cheapest_variant(variants, times, rate, accuracy, limit, warm)
    else:
        variant, count = cheapest_variant(variants, times, rate, accuracy, limit, warm)
        assert count == best[0]
        assert variant == best[2] or times[variant](1) == times[best[2]](1)


def test_infaas_replicates_as_the_rate_grows_and_gives_back():
    engine = Engine(0.1, 0.01, slots=8)
    small = Variant(Engine(0.05, 0.005, slots=8), 0.6, load=0.5)
    ways = [[Variant(engine, 0.9, load=0.5), small]]
    slow, fast = np.arange(0, 60, 0.05), np.arange(60, 150, 0.005)
    requests = passes(np.r_[slow, fast, np.arange(150, 240, 0.05)], limit=1.0)
    sample = passes(slow, limit=1.0)
    for accuracy, held in ((0.8, 0), (0.5, 1)):
        rule, counts = INFaaS(ways, sample, accuracy), []
        tick = rule.tick
        rule.tick = lambda cluster, tick=tick, counts=counts: (
            tick(cluster), counts.append(len(cluster.on))
        )  # fmt: skip
        served = serve_requests(requests, cluster_of(engine, 8), rule)
        assert set(served.quality) == {ways[0][held].accuracy}
        assert counts[0] < max(counts) > counts[-1]
    with pytest.raises(ValueError, match="no variant is right in 0.95"):
        serve_requests(requests, cluster_of(engine, 8), INFaaS(ways, sample, 0.95))


# Cocktail.


def recorded(answers, truth):
    return Outcomes(
        models=[f"m{j}" for j in range(answers.shape[1])], items=np.arange(len(truth)),
        correct=answers == truth[:, None], answer=answers, labels=tuple("ABCD"), truth=truth,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_cocktail_that_does_not_shrink_is_our_vote(seed):
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 4, (120, 5))
    answers[rng.random(answers.shape) < 0.1] = UNPARSED
    answers[0] = UNPARSED
    outcomes = recorded(answers, rng.integers(0, 4, 120))
    right = MajorityVote().decide(outcomes).correct
    engine = Engine(0.1, slots=4)
    requests = passes(np.arange(120) * 0.1)
    rule = Cocktail([[Variant(engine)] * 5], requests, outcomes, shrink=False)
    served = serve_requests(requests, cluster_of(engine, 7), rule)
    assert not served.dropped.any()
    np.testing.assert_array_equal(served.quality, right)


def test_a_cocktail_shrinks_while_its_members_agree_and_grows_when_they_do_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    answers = np.tile(truth[:, None], 5)
    answers[:1000, 4] = (answers[:1000, 4] + (rng.random(1000) < 0.5)) % 4  # the weakest
    answers[1000:] = rng.integers(0, 4, (1000, 5))
    requests = passes(np.arange(2000) * 0.05)
    engine, seen = Engine(0.01, slots=4), []

    class Watched(Cocktail):
        def tick(self, cluster):
            super().tick(cluster)
            seen.append(list(self.members[0]))

    rule = Watched([[Variant(engine, load=1.0)] * 5], requests, recorded(answers, truth))
    served = serve_requests(requests, cluster_of(engine, 6), rule)
    assert 4 not in seen[0]  # the one that agreed least went first
    assert min(map(len, seen)) < 3
    assert len(seen[-1]) > min(map(len, seen))
    assert (served.quality[:1000] == 1).all()
    assert not served.dropped.any()


def test_cocktail_refuses_answers_of_other_members():
    table, one = recorded(np.zeros((3, 5), int), np.zeros(3, int)), passes([0.0])
    with pytest.raises(ValueError, match="2 variants, outcomes has 5 models"):
        Cocktail([[Variant(Engine(1))] * 2], one, table)
    bare = Outcomes(models=table.models, items=table.items, correct=table.correct)
    with pytest.raises(ValueError, match="no answers to vote on"):
        Cocktail([[Variant(Engine(1))] * 5], one, bare)


# Loki.


def right_answers(counts, rates, capacity, accuracy):
    total = 0.0
    for m, rate in enumerate(rates):
        for v in np.argsort(-np.asarray(accuracy[m]), kind="stable"):
            served = min(rate, capacity[m][v] * counts.get((m, int(v)), 0))
            rate, total = rate - served, total + served * accuracy[m][v]
    return total


def programmes(count, models, variants, machines, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        k, v = rng.integers(1, models + 1), rng.integers(1, variants + 1)
        yield (
            rng.uniform(0, 5, k), rng.uniform(0.3, 3, (k, v)), rng.random((k, v)),
            int(rng.integers(1, machines + 1)),
        )  # fmt: skip


def test_loki_finds_what_brute_force_finds():
    for rates, capacity, accuracy, machines in programmes(40, 4, 2, 4):
        jobs = list(product(range(len(rates)), range(capacity.shape[1])))
        best = max(
            (round(right_answers(dict(zip(jobs, x, strict=True)), rates, capacity, accuracy), 7),
             -sum(x))
            for x in product(range(machines + 1), repeat=len(jobs)) if sum(x) <= machines
        )  # fmt: skip
        found = allocate_machines(rates, capacity, accuracy, machines)
        value = round(right_answers(found, rates, capacity, accuracy), 7)
        assert (value, -sum(found.values())) == best


def test_loki_finds_what_an_integer_programme_finds():
    for rates, capacity, accuracy, machines in programmes(15, 4, 3, 8, seed=1):
        able, gain, n = capacity.ravel(), accuracy.ravel(), capacity.size
        of_model = np.kron(np.eye(len(rates)), np.ones(capacity.shape[1]))
        solved = milp(
            np.r_[np.zeros(n), -gain],
            integrality=np.r_[np.ones(n), np.zeros(n)],
            bounds=Bounds(0, np.r_[np.full(n, machines), np.full(n, np.inf)]),
            constraints=[
                LinearConstraint(np.hstack([-np.diag(able), np.eye(n)]), ub=0.0),
                LinearConstraint(np.hstack([0 * of_model, of_model]), ub=rates),
                LinearConstraint(np.r_[np.ones(n), np.zeros(n)], ub=machines),
            ],
            options={"mip_rel_gap": 0.0},
        )
        found = allocate_machines(rates, capacity, accuracy, machines)
        assert right_answers(found, rates, capacity, accuracy) == pytest.approx(-solved.fun)


def test_loki_adds_machines_before_it_gives_up_accuracy():
    capacity, accuracy = [[1.0, 2.0, 4.0]], [[0.9, 0.8, 0.6]]
    plans = [
        allocate_machines([rate], capacity, accuracy, 4) for rate in (0.5, 2.5, 4.0, 5.0, 9.0, 20.0)
    ]
    assert plans[:3] == [{(0, 0): 1}, {(0, 0): 3}, {(0, 0): 4}]
    assert plans[3] == {(0, 0): 3, (0, 1): 1}
    assert plans[5] == {(0, 2): 4}
    # The accurate ones serve first: 3 * .9 + 1.5 * .65 is more than 4 * .9.
    assert allocate_machines([4.5], [[1.0, 3.0]], [[0.9, 0.65]], 4) == {(0, 0): 3, (0, 1): 1}


def test_loki_serves_a_burst_with_less_accurate_variants():
    ways = [[Variant(Engine(s, s / 10, slots=8), a, 0.5) for s, a in ((0.2, 0.9), (0.05, 0.6))]]
    calm = np.arange(0, 120, 0.05)
    burst = np.r_[calm, np.arange(120, 240, 0.01), np.arange(240, 400, 0.05)]
    served = serve_requests(
        passes(burst, limit=1.0),
        cluster_of(ways[0][0].engine, 2),
        Loki(ways, passes(calm, limit=1.0)),
    )
    when = served.requests.arrival
    assert set(served.quality[when < 119]) == {0.9}
    assert set(served.quality[(when > 160) & (when < 235)]) == {0.6}
    assert set(served.quality[when > 300]) == {0.9}


# SHEPHERD.


@pytest.mark.parametrize(("size", "wins"), [(3, False), (4, True)])
def test_shepherd_preempts_one_job_only_for_more_than_three(size, wins):
    # One job of ten seconds runs; after a second others come that cannot wait for its end.
    engine = Engine(1.0, slots=8)
    requests = Requests(
        [0.0] + [0.5] * size, [0] * (1 + size), [10] + [10] * size, [0] + [1] * size,
        limit=np.r_[100.0, np.full(size, 12.0)],
    )  # fmt: skip
    served = serve_requests(
        requests, cluster_of(engine, 1), Shepherd([[Variant(engine)]] * 2, requests)
    )
    if wins:
        assert served.stopped == 1
        assert served.finished.tolist() == [21.0] + [11.0] * size  # it began anew
    else:
        assert served.stopped == 0
        assert served.finished[0] == 10.0
        assert served.dropped[1:].all()


def test_shepherd_wastes_less_than_half_of_its_work_against_an_adversary():
    # Each batch is just large enough to preempt the one before it: 1, 4, 13, 40. All value but the
    # last one is lost, and what was lost is less than the last.
    sizes = [1, 4, 13, 40]
    arrival = np.repeat(np.arange(4) * 1.0, sizes)
    model = np.repeat(np.arange(4), sizes)
    engine = Engine(1.0, slots=64)
    limit = np.where(model == 3, 30.0, 12.0)
    requests = passes(arrival + 0.01 * model, model, limit, output=10)
    served = serve_requests(
        requests, cluster_of(engine, 1), Shepherd([[Variant(engine)]] * 4, requests)
    )
    assert served.goodput == 40 / 58
    assert served.stopped == 1 + 4 + 13


# AlpaServe.


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_pooling_two_models_on_a_pipeline_halves_the_wait(load):
    # Two machines with service 1; each model alone loads its machine by `load`.
    alone, pooled = pooled_wait(load, 1.0), pooled_wait(2 * load, 1.0, stages=2)
    assert alone / pooled == pytest.approx(2.0, abs=1e-12)
    rng = np.random.default_rng(19)
    n = 60_000
    arrival = np.cumsum(rng.exponential(1 / (2 * load), n))
    model = rng.integers(0, 2, n)
    two = serve_requests(passes(arrival, model), cluster_of(Engine(1.0), 2), Own())
    # The stages of a pipeline without overhead take the same time: only the first has a queue.
    one = serve_requests(passes(arrival), cluster_of(Engine(0.5), 1), Rule())
    for served, exact in ((two, alone), (one, pooled)):
        waits = (served.started - served.requests.arrival)[n // 12 :].reshape(22, -1).mean(axis=1)
        half = student.ppf(0.9995, 21) * waits.std(ddof=1) / np.sqrt(22)
        assert abs(waits.mean() - exact) < half < 0.35 * exact


class Own(Rule):
    """Each model has its machine."""

    def place(self, task, cluster):
        return cluster.machines[task.model]


class Stages(Rule):
    """Each request passes all machines, one after the other."""

    def place(self, task, cluster):
        return cluster.machines[0]

    def after(self, task, machine, cluster):
        if machine.number + 1 == len(cluster.machines):
            return True
        cluster.send(task.copy(), cluster.machines[machine.number + 1])
        return False


def test_in_a_pipeline_of_equal_stages_only_the_first_has_a_queue():
    rng = np.random.default_rng(0)
    requests = passes(np.cumsum(rng.exponential(0.7, 500)))
    whole = serve_requests(requests, cluster_of(Engine(0.5), 2), Stages())
    first = serve_requests(requests, cluster_of(Engine(0.5), 1), Rule())
    np.testing.assert_allclose(whole.finished, first.finished + 0.5, rtol=0, atol=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_stage_overhead_eats_the_gain_of_pooling(load):
    def gain(overhead):
        alone = 1 + pooled_wait(load, 1.0)
        return alone - (1 + 2 * overhead + pooled_wait(2 * load, 1.0, 2, overhead))

    even = brentq(gain, 0, 0.999 * (0.5 / load - 0.5))
    assert gain(0) == pytest.approx(pooled_wait(load, 1.0) / 2)
    assert gain(even / 2) > 0 > gain(even * 1.01)
    with pytest.raises(ValueError, match="keep it below 1"):
        pooled_wait(2 * load, 1.0, 2, 0.5 / load - 0.5)


def test_a_pipeline_of_one_is_the_machine_and_a_larger_one_reads_faster():
    engine = Engine(0.02, 0.004, 0.01, 0.002, slots=4)
    assert pipeline_engine(engine, 1) == engine
    two = pipeline_engine(engine, 2, 0.001)
    assert (two.step, two.per_task, two.slots) == (0.022, 0.002, 8)
    assert two.step + 8 * two.per_task == pytest.approx(engine.step + 4 * engine.per_task + 0.002)


def test_alpaserve_refuses_only_what_it_cannot_answer_in_time():
    # Estimates that drifted under overload refused everything (alpa-projects/mms 32).
    engine = Engine(0.2)
    rng = np.random.default_rng(0)
    requests = passes(np.cumsum(rng.exponential(0.02, 1000)), rng.integers(0, 2, 1000), limit=1.0)
    rule = AlpaServe([[Variant(engine)]] * 2, requests, size=1)
    served = serve_requests(requests, cluster_of(engine, 2), rule)
    assert not served.late.any()
    assert 0.1 < served.goodput < 0.25  # of 50 a second two machines answer 10
    assert served.utilisation > 0.95


def test_alpaserve_takes_all_that_it_can_answer_in_time():
    requests = passes(np.zeros(8), limit=1.01)  # of 0.2 s each: the fifth ends at 1.0 s
    rule = AlpaServe([[Variant(Engine(0.2))]], requests, size=1)
    served = serve_requests(requests, cluster_of(Engine(0.2), 1), rule)
    assert served.dropped.tolist() == [False] * 5 + [True] * 3
    assert not served.late.any()


def test_alpaserve_pools_where_one_model_has_a_burst():
    engine = Engine(0.1, slots=1)
    arrival = np.sort(np.r_[np.arange(0, 60, 1.0), np.arange(20, 24, 0.07)])
    model = ((arrival % 1 != 0) * 1).astype(int)
    requests = passes(arrival, model, limit=0.5)
    ways = [[Variant(engine)]] * 2
    rule = AlpaServe(ways, requests)
    pooled = serve_requests(requests, cluster_of(engine, 2), rule)
    alone = serve_requests(requests, cluster_of(engine, 2), AlpaServe(ways, requests, size=1))
    assert rule.size == 2
    assert pooled.goodput > alone.goodput
    assert pooled.busy[0] == pooled.busy[1]
