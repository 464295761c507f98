"""Budgets, waits, the breaker and hedges, on clocks that the tests hold."""

import asyncio
import email.utils
import itertools
import time

import numpy as np
import openai._base_client as official
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._models import FinalRequestOptions

from ensemble_lab.systems.serve.resilience import (
    Breaker,
    Budget,
    Hedge,
    hedged,
    retry_wait,
    time_left,
)
from tests.systems.serve.virtual import run

SHARES = st.sampled_from([0.01, 0.05, 0.07, 0.1, 1 / 3, 0.5, 1.0])


@given(SHARES, st.lists(st.booleans(), max_size=400))
def test_the_budget_holds_after_every_step_in_every_order(share, steps):
    budget, calls, further = Budget(share), 0, 0
    for is_call in steps:
        if is_call:
            budget.earn()
            calls += 1
        else:
            further += budget.spend()
        assert further <= share * calls


@given(SHARES, st.integers(1, 20))
def test_a_budget_is_spent_to_the_last_token_and_no_storm_is_saved_for(share, most):
    budget = Budget(share, most)
    for _ in range(100 * most):
        budget.earn()
    storm = sum(budget.spend() for _ in range(100))
    assert storm == most
    calls = next(n for n in itertools.count(1) if budget.earn() or budget.spend())
    assert calls == int(np.ceil(1 / share))


def test_ten_calls_pay_for_one_retry():
    budget = Budget(0.1)
    allowed = []
    for _ in range(30):
        budget.earn()
        allowed.append(budget.spend())
    assert [i for i, a in enumerate(allowed, 1) if a] == [10, 20, 30]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="from 0 to 1"):
        Budget(share)


@given(st.integers(0, 5), st.lists(st.booleans(), max_size=300))
def test_a_budget_allows_a_few_at_the_start_and_its_share_after(first, steps):
    budget, calls, further = Budget(0.1, 10, first), 0, 0
    for is_call in [False] * first + steps:
        if is_call:
            budget.earn()
            calls += 1
        else:
            further += budget.spend()
        assert further <= first + calls // 10
    assert further >= first


def test_a_share_of_0_allows_nothing():
    budget = Budget(0, first=2)
    for _ in range(1000):
        budget.earn()
        assert not budget.spend()


# --- waits -------------------------------------------------------------------------------------

NOW = 1_790_000_000.0
CLIENT = official.AsyncAPIClient(
    version="1", base_url="http://127.0.0.1:1", _strict_response_validation=False
)
DATES = st.integers(-100, 300).map(lambda s: email.utils.formatdate(NOW + s, usegmt=True))
NUMBERS = st.one_of(st.integers(-5, 200), st.floats(-5, 200), st.just("1e999")).map(str)
AFTER = st.one_of(NUMBERS, DATES, st.sampled_from(["", "nan", "soon", "Mon, 99 Foo", "-", "1,5"]))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "retry-after-ms": st.one_of(NUMBERS, st.just("soon")),
        "retry-after": AFTER,
        "x-should-retry": st.sampled_from(["true", "false", "maybe"]),
    },
)


@given(st.sampled_from([400, 401, 404, 408, 409, 422, 429, 500, 503, 529]), HEADERS,
       st.integers(0, 30), st.floats(0, 1))  # fmt: skip
@settings(max_examples=250)
def test_waits_are_those_of_the_official_client(status, headers, tried, u):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official, "random", lambda: u)
        patch.setattr(time, "time", lambda: NOW)
        request = official.httpx2.Request("POST", "http://127.0.0.1:1")
        response = official.httpx2.Response(status, headers=headers, request=request)
        expected = None
        if CLIENT._should_retry(response):
            options = FinalRequestOptions.construct(method="post", url="/", max_retries=100)
            expected = CLIENT._calculate_retry_timeout(100 - tried, options, response.headers)
    found = retry_wait(status, headers, tried, lambda: u, NOW)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_call_without_an_answer_is_tried_again_after_a_growing_wait():
    waits = [retry_wait(0, {}, n, lambda: 0.0, NOW) for n in range(7)]
    assert waits == [0.5, 1, 2, 4, 8, 8, 8]
    assert retry_wait(0, {}, 0, lambda: 1.0, NOW) == 0.375


# --- breaker -----------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def reference(events, failures=2, window=2.5, cooldown=2.0):
    """What a breaker does, from the whole history: whether each `begin` passes, and the state."""
    now, mode, since, until = 0, "closed", 0, 0.0  # `since`: number of changes of state
    failed, out, found = [], [], []
    for event in events:
        passed = None
        if event == "tick":
            now += 1
        elif event == "begin":
            trial = mode == "open" and now >= until
            if trial:
                mode, since = "half-open", since + 1
            passed = trial or mode == "closed"
            out += [since] if passed else []
        elif out:
            fresh = out.pop(0) == since
            before = mode
            if fresh and mode == "half-open":
                mode = "closed" if event == "well" else "open"
                until = now + cooldown if event == "ill" else until
            elif fresh and event == "ill":
                failed.append((now, since))
                recent = [t for t, s in failed if s == since and now - t < window]
                if len(recent) >= failures:
                    mode, until = "open", now + cooldown
            since += mode != before
        found.append((mode, passed))
    return found


def test_the_breaker_equals_its_history_in_every_order_of_seven_events():
    events, seen = ("tick", "begin", "well", "ill", "cancelled"), set()
    # Two failures first: seven further events then reach every state and change.
    start = ("begin", "begin", "begin", "ill")
    for tail in itertools.product(events, repeat=7):
        clock, tickets, found = Clock(), [], []
        breaker = Breaker(2, 2.5, 2.0, clock)
        for event in start + tail:
            passed = None
            if event == "tick":
                clock.now += 1
            elif event == "begin":
                ticket = breaker.begin()
                passed = ticket is not None
                tickets += [ticket] if passed else []
            elif tickets:
                breaker.end(tickets.pop(0), {"well": True, "ill": False}.get(event))
            found.append((breaker.state, passed))
        assert found == reference(start + tail), tail
        seen |= set(itertools.pairwise(state for state, _ in found))
    changed = {pair for pair in seen if len(set(pair)) == 2}
    assert changed == {
        ("closed", "open"), ("open", "half-open"), ("half-open", "closed"), ("half-open", "open")
    }  # fmt: skip


def test_a_breaker_opens_for_its_cooldown_and_one_trial_passes():
    clock = Clock()
    breaker = Breaker(3, 10.0, 5.0, clock)
    for _ in range(3):
        breaker.end(breaker.begin(), False)
    assert breaker.state == "open" and breaker.begin() is None and breaker.left() == 5
    clock.now = 4.5
    assert breaker.left() == 0.5 and breaker.begin() is None
    clock.now = 5.0
    trial = breaker.begin()
    assert trial is not None and breaker.begin() is None and breaker.state == "half-open"
    breaker.end(trial, None)  # its client left: the next call is the trial
    trial = breaker.begin()
    breaker.end(trial, True)
    assert breaker.state == "closed" and breaker.left() == 0


def test_failures_that_are_spread_over_more_than_the_window_do_not_open():
    clock = Clock()
    breaker = Breaker(3, 10.0, 5.0, clock)
    for now in np.arange(0, 100, 5.0):
        clock.now = now
        breaker.end(breaker.begin(), False)
    assert breaker.state == "closed"


@pytest.mark.parametrize("given", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, float("nan"), 1)])
def test_a_breaker_that_cannot_work_is_refused(given):
    with pytest.raises(ValueError, match="from 1 up|above 0 of seconds"):
        Breaker(*given, Clock())


# --- hedges ------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), min_size=20, max_size=600))
@settings(max_examples=50)
def test_the_wait_is_the_percentile_of_the_last_calls(seconds):
    hedge = Hedge()
    for i, one in enumerate(seconds):
        assert (hedge.wait() is None) == (i < 20)
        hedge.add(one)
    assert hedge.wait() == np.quantile(seconds[-256:], 0.95, method="inverted_cdf")


class Service:
    """Calls that take given seconds and then give their number or an error."""

    def __init__(self, *takes):
        self.takes, self.begun, self.cancelled = list(takes), [], []

    async def __call__(self):
        number = len(self.begun)
        seconds = self.takes[number]
        self.begun.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(abs(seconds))
        except asyncio.CancelledError:
            self.cancelled.append((number, asyncio.get_running_loop().time()))
            raise
        if seconds < 0:
            raise OSError(f"call {number}")
        return number


def ready(tokens=1):
    """A hedge whose percentile is 1 second, with a budget."""
    hedge = Hedge()
    for _ in range(40):
        hedge.add(1.0)
    for _ in range(20 * tokens):
        hedge.budget.earn()
    return hedge


@pytest.mark.parametrize(
    ("takes", "won", "begun", "cancelled"),
    [
        ((0.9,), 0, [0.0], []),
        ((5.0, 2.0), 1, [0.0, 1.0], [(0, 3.0)]),
        ((1.5, 2.0), 0, [0.0, 1.0], [(1, 1.5)]),
        ((-1.5, 2.0), 0 + 1, [0.0, 1.0], []),
        ((4.0, -0.5), 0, [0.0, 1.0], []),
        ((-0.5,), OSError("call 0"), [0.0], []),
        ((-1.5, -2.0), OSError("call 0"), [0.0, 1.0], []),
    ],
)
def test_the_first_success_wins_and_the_loser_is_cancelled(takes, won, begun, cancelled):
    service, hedge = Service(*takes), ready()
    if isinstance(won, OSError):
        with pytest.raises(OSError, match=str(won)):
            run(hedged(service, hedge))
    else:
        assert run(hedged(service, hedge)) == won
    assert service.begun == begun and service.cancelled == cancelled


def test_who_leaves_cancels_both_calls():
    service, hedge = Service(9.0, 9.0), ready()

    async def leave():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await hedged(service, hedge)

    run(leave())
    assert service.cancelled == [(0, 2.0), (1, 2.0)]


@given(st.lists(st.floats(0.01, 10), min_size=60, max_size=200))
@settings(max_examples=30, deadline=None)
def test_second_calls_are_at_most_a_twentieth(seconds):
    hedge, extra = Hedge(), 0
    for one in seconds:
        service = Service(one, one)
        run(hedged(service, hedge))
        extra += len(service.begun) - 1
    assert extra <= len(seconds) * 0.05


def test_a_hedge_shortens_the_tail_of_a_service_that_stalls_now_and_then():
    rng, hedge = np.random.default_rng(0), Hedge()
    took = {True: [], False: []}

    async def timed(call):
        clock = asyncio.get_running_loop().time
        start = clock()
        await call
        return clock() - start

    for _ in range(1000):
        takes = np.where(rng.random(2) < 0.03, 10.0, rng.uniform(0.9, 1.1, 2))
        took[True].append(run(timed(hedged(Service(*takes), hedge))))
        took[False].append(takes[0])
    assert np.quantile(took[False], 0.99) == 10.0
    assert np.quantile(took[True], 0.99) < 2.5


def test_what_remains_until_the_deadline_is_passed_on():
    clock = Clock()
    clock.now = 7.0
    assert time_left(10.0, clock) == 3.0 and time_left(10.0, clock, most=2.0) == 2.0
    for deadline in (7.0, 6.0, float("-inf")):
        with pytest.raises(TimeoutError, match="no time is left"):
            time_left(deadline, clock)
