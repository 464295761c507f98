"""Requests with retries and hedges: equal to the live gateway's client, to queues, to formulas."""

from __future__ import annotations

import asyncio
import json
import math
import random
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.systems.serve.upstream import Upstream
from ensemble_lab.systems.serve.wire import UpstreamError
from tests.systems.serve.virtual import run

systems = lab.systems
Breaker, Budget, Hedge, serve = (
    systems.Breaker, systems.Budget, systems.Hedge, systems.serve_with_retries,
)  # fmt: skip
BREAKER = partial(Breaker, 5, 10.0, 5.0)


def draws(seed, n=400, load=0.9, servers=3, calls=6):
    rng = np.random.default_rng(seed)
    return systems.poisson_arrivals(servers * load, jobs=n, rng=rng), rng.exponential(1, (n, calls))


# -- the live gateway's client ------------------------------------------------------------------


class Free:
    """No budget."""

    def earn(self):
        pass

    def spend(self):
        return True


class Response:
    """An answer."""

    status, headers = 200, {}

    def __init__(self):
        self.content, self.parts = self, [b'{"choices": []}']

    async def readany(self):
        return self.parts.pop() if self.parts else b""

    def close(self):
        pass


class Servers:
    """Servers with one queue in the place of a network."""

    def __init__(self, services, servers, cancels):
        self.services, self.cancels = services, cancels
        self.free, self.calls = asyncio.Semaphore(servers), np.zeros(len(services), int)

    async def post(self, url, *, data, headers, allow_redirects, timeout):
        which = int(json.loads(data)["messages"][0]["content"])
        seconds = self.services[which, self.calls[which]]
        self.calls[which] += 1
        work = asyncio.ensure_future(self.work(seconds))
        async with asyncio.timeout(timeout.total):
            await (work if self.cancels else asyncio.shield(work))
        return Response()

    async def work(self, seconds):
        async with self.free:
            await asyncio.sleep(seconds)


async def live(arrivals, services, servers, timeout, budget, hedge, breaker, cancels):
    """When each request is answered, and how many calls it took, by `Upstream` itself."""
    loop, answered = asyncio.get_running_loop(), np.full(len(arrivals), math.nan)
    upstream = Upstream(
        "m", "http://server/v1", budget=budget() if budget else Free(), timeout=timeout,
        hedge=hedge and hedge(), breaker=(breaker or partial(Breaker, 10**9, 1.0, 1.0))(loop.time),
    )  # fmt: skip
    there = upstream._wire._session = Servers(services, servers, cancels)

    async def one(i):
        await asyncio.sleep(arrivals[i])
        try:
            body = {"messages": [{"role": "user", "content": str(i)}]}
            await upstream.ask(body, math.inf)
            answered[i] = loop.time()
        except UpstreamError as error:
            assert error.kind in ("timeout", "open")

    await asyncio.gather(*map(one, range(len(arrivals))))
    await asyncio.sleep(1e4)  # what nobody waits for ends too
    return answered, there.calls


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("breaker", [None, BREAKER])
@pytest.mark.parametrize("hedge", [None, Hedge])
@pytest.mark.parametrize("budget", [None, Budget])
def test_it_does_what_the_live_gateway_does(monkeypatch, budget, hedge, breaker, cancels):
    arrivals, services = draws(1, n=250, load=1.1)
    found = serve(
        arrivals, services, 3, 4.0, budget=budget, hedge=hedge, breaker=breaker, cancels=cancels,
        rng=7,
    )  # fmt: skip
    monkeypatch.setattr(random, "random", np.random.default_rng(7).random)
    answered, calls = run(live(arrivals, services, 3, 4.0, budget, hedge, breaker, cancels))
    np.testing.assert_allclose(found.answered, answered, atol=1e-6)
    assert found.calls.tolist() == calls.tolist()
    assert 0.1 < found.goodput < 1 and calls.max() > 1


# -- queues and formulas ------------------------------------------------------------------------


@pytest.mark.parametrize("servers", [1, 3, 8])
def test_without_time_outs_it_is_first_come_first_served(servers):
    arrivals, services = draws(2, n=3000, servers=servers)
    found = serve(arrivals, services[:, 0], servers)
    queue = systems.simulate(arrivals, services[:, 0], systems.FCFS(servers))
    assert (found.answered == queue.finished).all() and (found.started == queue.started).all()
    assert found.goodput == 1 and found.wasted == 0 and (found.calls == 1).all()


def impatient(rate, timeout):
    """Share lost of M/M/1 (services of one second on average) whose jobs leave after `timeout`.

    They leave from the queue and from service. The work that an arrival finds has the density
    rate p e^-(1 - rate)x up to the time-out, and is none with chance p (Barrer, 1957).
    """
    drain = 1 - rate
    none = 1 / (1 + rate * (1 - math.exp(-drain * timeout)) / drain)
    return none * math.exp(-drain * timeout)


@pytest.mark.parametrize(("rate", "timeout"), [(0.7, 2.0), (0.9, 5.0), (1.2, 4.0)])
def test_jobs_that_leave_after_a_time_are_those_of_the_formula(rate, timeout):
    lost = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        arrivals = systems.poisson_arrivals(rate, jobs=20_000, rng=rng)
        services = rng.exponential(1, 20_000)
        lost.append(1 - serve(arrivals, services, 1, timeout, retries=0, cancels=True).goodput)
    spread = np.std(lost, ddof=1) / 5**0.5
    assert abs(np.mean(lost) - impatient(rate, timeout)) < 4 * spread + 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 1.5), st.floats(0.5, 6), st.booleans(), st.booleans())
def test_a_call_that_is_given_up_in_the_queue_is_one_that_waited_too_long(
    seed, load, timeout, hedges, cancels
):
    """Path by path: numbers in the system, the work of servers, and who was answered."""
    arrivals, services = draws(seed, n=150, load=load)
    found = serve(arrivals, services, 3, timeout, budget=None, hedge=Hedge if hedges else None,
                  cancels=cancels, rng=seed)  # fmt: skip
    assert (found.latency[~np.isnan(found.latency)] > 0).all()
    assert len(found.request) == found.calls.sum() and (found.calls >= 1).all()
    assert (np.bincount(found.request, minlength=150) == found.calls).all()
    # Little: the integral of the number of calls in the system, and the times that they spent.
    moments = sorted([(t, 1) for t in found.sent] + [(t, -1) for t in found.left])
    inside = area = 0.0
    for (at, step), (after, _) in pairwise(moments):
        inside += step
        area += inside * (after - at)
    waits = np.where(np.isnan(found.started), found.left, found.started) - found.sent
    assert area == pytest.approx((waits + found.served).sum(), rel=1e-9)
    # No more calls are served at once than there are servers, and none is idle while one waits.
    taken = sorted([(t, 1) for t in found.started[~np.isnan(found.started)]]
                   + [(t, -1) for t in found.left[~np.isnan(found.started)]])  # fmt: skip
    assert max(np.cumsum([step for _, step in taken])) <= 3
    if not cancels:
        np.testing.assert_allclose(found.served, found.work)
    used = np.isin(found.left, found.answered)
    assert found.wasted == pytest.approx(found.served[~used].sum() / found.served.sum())
    within = (found.left - found.sent)[used]
    assert (within <= timeout + 1e-9).all()


@pytest.mark.parametrize(("after", "mean", "extra"), [(1.0, 0.8161, 0.368), (0.5, 0.6967, 0.607)])
def test_a_second_call_after_d_of_exponential_services(after, mean, extra):
    """E = (1 - e^-d) + e^-d / 2 and e^-d second calls, with servers for all."""

    class After:
        """Second calls after a fixed time, as many as are asked for."""

        budget = Free()

        def add(self, seconds):
            pass

        def wait(self):
            return after

    n = 40_000
    arrivals = systems.poisson_arrivals(1.0, jobs=n, rng=0)
    services = np.random.default_rng(1).exponential(1, (n, 2))
    found = serve(arrivals, services, 200, retries=0, hedge=After)
    assert 1 - math.exp(-after) + math.exp(-after) / 2 == pytest.approx(mean, abs=1e-4)
    assert found.latency.mean() == pytest.approx(mean, rel=0.015)
    assert found.calls.mean() - 1 == pytest.approx(extra, rel=0.02)
    assert math.exp(-after) == pytest.approx(extra, abs=1e-3)
    exact = np.minimum(services[:, 0], after + services[:, 1])
    np.testing.assert_allclose(found.latency, exact, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.8, 3), st.sampled_from([0.05, 0.1, 0.5]))
def test_retries_stay_within_the_budget_at_every_moment(seed, load, share):
    arrivals, services = draws(seed, n=200, load=load)
    found = serve(arrivals, services, 3, 1.5, budget=lambda: Budget(share), rng=seed)
    first = np.unique(found.request, return_index=True)[1]
    retry = np.ones(len(found.request), bool)
    retry[first] = False
    so_far = np.cumsum(retry)
    asked = np.searchsorted(arrivals, found.sent, side="right")
    assert (so_far <= share * asked + 10).all()  # ten are what a budget can have saved
    assert retry.sum() <= share * len(arrivals) + 10


def test_a_case_by_hand():
    """One server, two seconds of work, patience of three: the second is given up, and asks again.

    It is sent at 0, given up at 3, and its server works on to 4. Its retry waits half a second,
    less up to a quarter, and is served from 4 to 6.
    """
    found = serve([0, 0], [2, 2], 1, 3.0, budget=None, rng=0)
    wait = 0.5 * (1 - 0.25 * np.random.default_rng(0).random())
    assert found.answered.tolist() == [2.0, 6.0] and found.calls.tolist() == [1, 2]
    assert found.sent.tolist() == [0, 0, 3 + wait] and found.left.tolist() == [2, 4, 6]
    assert found.wasted == pytest.approx(2 / 6) and found.goodput == 1
    stops = serve([0, 0], [2, 2], 1, 3.0, budget=None, cancels=True, rng=0)
    assert stops.answered.tolist() == [2.0, 5 + wait] and stops.wasted == pytest.approx(1 / 5 - 0)
    assert stops.left.tolist() == [2, 3, 5 + wait]


def test_an_answer_at_the_last_moment_counts():
    assert serve([0], [2], 1, 2.0, retries=0).goodput == 1
    assert serve([0], [2.001], 1, 2.0, retries=0).goodput == 0


def test_a_breaker_stops_the_storm_and_closes_again():
    """Refused requests fail at once and are not tried again; later all is well."""
    rush = np.linspace(0, 10, 200)
    calm = np.linspace(40, 240, 200)
    arrivals = np.concatenate([rush, calm])
    open_ = serve(arrivals, np.full(400, 0.5), 2, 1.0, budget=None, breaker=BREAKER)
    storm = serve(arrivals, np.full(400, 0.5), 2, 1.0, budget=None)
    assert (open_.calls == 0).sum() > 100 and (open_.calls[200:] == 1).all()
    assert np.isfinite(open_.answered[200:]).all()
    assert len(open_.request) < 0.8 * len(storm.request)


def storm(budget, retries=2, seed=0):
    """A quarter of an hour at 60 % with a rush of two minutes at 130 %; the last five minutes."""
    rng = np.random.default_rng(seed)
    parts = [(0, 300, 4.8), (300, 420, 10.4), (420, 900, 4.8)]
    times = [a + systems.poisson_arrivals(rate, horizon=b - a, rng=rng) for a, b, rate in parts]
    arrivals = np.concatenate(times)
    services = rng.exponential(1, len(arrivals))
    found = serve(arrivals, services, 8, 5.0, retries=retries, budget=budget, rng=rng)
    return np.isfinite(found.answered[arrivals > 600]).mean()


def test_retries_without_a_budget_stay_down_after_the_rush():
    """Five seeds: with a budget, or without retries, all is well again."""
    for seed in range(5):
        assert storm(None, seed=seed) < 0.05
        assert storm(Budget, seed=seed) > 0.9 and storm(Budget, retries=0, seed=seed) > 0.95


@pytest.mark.parametrize("fault", ["late counts", "earns at retries"])
def test_planted_faults_are_seen(monkeypatch, fault):
    from ensemble_lab.systems.simulator import retrying

    if fault == "late counts":
        monkeypatch.setattr(retrying._Caller, "give_up", lambda self, call: None)
        with pytest.raises(AssertionError):
            test_an_answer_at_the_last_moment_counts()
    else:

        def send(self, request, own=retrying._Caller.send):
            self.budget.earn()
            own(self, request)

        monkeypatch.setattr(retrying._Caller, "send", send)
        with pytest.raises(AssertionError):
            test_it_does_what_the_live_gateway_does(pytest.MonkeyPatch(), Budget, None, None, False)
