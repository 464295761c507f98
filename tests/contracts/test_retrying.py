"""Retries in a simulation: what people bring to budgets, hedges and breakers elsewhere."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet
from tests.contracts.test_systems import KEEP, NO_COUNT, NO_TIMES

systems = lab.systems
Breaker, Budget, Hedge, serve = (
    systems.Breaker, systems.Budget, systems.Hedge, systems.serve_with_retries,
)  # fmt: skip
ARRIVALS, SERVICES = [0, 1, 1, 5], [3, 1, 4, 2]
NO_SHARE = ["0.1", None, True, math.nan, math.inf, -0.1, 1.1, 10, 20, [0.1], 1j]
NO_SECONDS = ["1", None, True, math.nan, -0.5, 0, [0.5], 1j]


@contract("serve_with_retries", "Tries")
@pytest.mark.parametrize("keep", KEEP)
def test_times_come_in_any_form(keep):
    true = serve(ARRIVALS, SERVICES, 1, 4.0, budget=None)
    with quiet():
        found = serve(KEEP[keep](ARRIVALS), KEEP[keep](SERVICES), np.int64(1), np.float32(4),
                      retries=np.int8(2), budget=None, cancels=np.False_)  # fmt: skip
    np.testing.assert_array_equal(found.answered, true.answered)
    assert repr(found) == repr(true)
    assert found.calls.sum() == len(found.sent) > 4


@contract("serve_with_retries")
def test_what_is_no_time_and_no_setting_is_refused():
    def run(arrivals=ARRIVALS, services=SERVICES, servers=1, timeout=1.0, **more):
        return serve(arrivals, services, servers, timeout, **more)

    made = {"a budget": Budget(), "a share": 0.1, "text": "10%", "a hedge": Hedge(), "True": True}
    collected(
        {f"arrivals {what}": lambda x=x: run(x) for what, x in NO_TIMES.items()}
        | {f"services {what}": lambda x=x: run(services=x) for what, x in NO_TIMES.items()}
        | {f"servers {x!r}": lambda x=x: run(servers=x) for x in NO_COUNT}
        | {f"timeout {x!r}": lambda x=x: run(timeout=x) for x in [*NO_SECONDS, -math.inf]}
        | {f"retries {x!r}": lambda x=x: run(retries=x) for x in NO_COUNT[1:]}
        | {f"{name} {what}": lambda x=x, name=name: run(**{name: x})
           for name in ("budget", "hedge", "breaker") for what, x in made.items()}
        | {f"cancels {x!r}": lambda x=x: run(cancels=x) for x in ("no", 1, None)}
        | {f"rng {x!r}": lambda x=x: run(rng=x) for x in (-1, "a", None, 1.5)}
        | {"out of order": lambda: run([0, 2, 1, 5])}
        | {"two columns for three calls": lambda: run(services=np.ones((4, 2)))}
        | {"three columns for six": lambda: run(services=np.ones((4, 3)), hedge=Hedge)}
    )  # fmt: skip


@contract("serve_with_retries")
def test_retries_are_those_after_the_first_call_and_may_be_none():
    """Elsewhere the number counts attempts (gRPC), or 0 means a default (Envoy Gateway 2769)."""
    slow = np.full(4, 9.0)
    for retries in range(4):
        found = serve(ARRIVALS, slow, 4, 1.0, retries=retries, budget=None)
        assert (found.calls == 1 + retries).all() and found.goodput == 0
    assert serve(ARRIVALS, slow, 4, 1.0, retries=0, hedge=Hedge).calls.tolist() == [1] * 4


@contract("serve_with_retries", "Budget")
def test_each_run_has_a_budget_of_its_own():
    """A budget that is kept between runs has spent what the next one needs."""
    rng = np.random.default_rng(0)
    arrivals, services = np.cumsum(rng.exponential(1, 200)), rng.exponential(1.2, 200)
    runs = [serve(arrivals, services, 1, 3.0, hedge=Hedge, rng=1).calls.tolist() for _ in range(2)]
    assert runs[0] == runs[1] and max(runs[0]) > 1


@contract("Budget", "Hedge", "Breaker")
def test_shares_counts_and_seconds_are_checked():
    """A budget of 20 is a share of 20 at Envoy and Kuma, in per cent; here it is refused."""
    collected(
        {f"share {x!r}": lambda x=x: Budget(x) for x in NO_SHARE}
        | {f"most {x!r}": lambda x=x: Budget(0.1, x) for x in NO_COUNT}
        | {f"first {x!r}": lambda x=x: Budget(0.1, 10, x) for x in NO_COUNT[1:]}
        | {f"hedge {x!r}": lambda x=x: Hedge(x) for x in NO_SHARE}
        | {f"least {x!r}": lambda x=x: Hedge(0.05, x) for x in NO_COUNT}
        | {f"failures {x!r}": lambda x=x: Breaker(x, 1, 1, time.monotonic) for x in NO_COUNT}
        | {f"window {x!r}": lambda x=x: Breaker(5, x, 1, time.monotonic) for x in NO_SECONDS}
        | {f"cooldown {x!r}": lambda x=x: Breaker(5, 1, x, time.monotonic) for x in NO_SECONDS}
        | {f"clock {x!r}": lambda x=x: Breaker(5, 1, 1, x) for x in (None, 3, time.monotonic())}
    )


@contract("Breaker")
def test_a_breaker_lets_one_trial_pass_and_never_stays_half_open():
    """Polly 216 lets all pass, resilience4j 903 stays half-open; late results of an earlier
    state change nothing (Polly 223)."""
    now = [0.0]
    breaker = Breaker(1, 10.0, 5.0, lambda: now[0])
    late, first = breaker.begin(), breaker.begin()
    breaker.end(first, False)
    assert breaker.state == "open" and breaker.begin() is None
    now[0] = 5.0
    trial = breaker.begin()
    assert trial is not None and [breaker.begin() for _ in range(9)] == [None] * 9
    breaker.end(late, True)
    assert breaker.state == "half-open"
    breaker.end(trial, None)  # the trial's client left
    again = breaker.begin()
    assert again is not None
    breaker.end(again, True)
    assert breaker.state == "closed"


@contract("serve_with_retries", "Hedge")
def test_a_hedge_of_no_delay_sends_both_at_once_and_the_first_counts():
    """gRPC's hedging delay of 0."""

    class Twice:
        budget = type("Free", (), {"earn": lambda self: None, "spend": lambda self: True})()
        add = lambda self, seconds: None  # noqa: E731
        wait = lambda self: 0.0  # noqa: E731

    found = serve([0, 10], [[3, 1], [1, 3]], 2, retries=0, hedge=Twice)
    assert found.latency.tolist() == [1, 1] and found.calls.tolist() == [2, 2]
    assert found.wasted == 6 / 8


@contract("Tries")
def test_tries_are_read_only_and_quantiles_know_who_got_none():
    found = serve(ARRIVALS, SERVICES, 2, 3.0, retries=0)
    with pytest.raises(ValueError, match="read-only"):
        found.answered[0] = 1
    assert found.quantile((0, 0.25, 0.5, 1)).tolist() == [1, 1, 2, math.inf]
    collected({f"quantile {x!r}": lambda x=x: found.quantile(x) for x in (-0.1, 1.1, "0.5", None)})
    assert "Tries(4 requests" in repr(found)
    assert serve(pd.Series(ARRIVALS), SERVICES, 4).quantile(0.5) == 2.0
    assert isinstance(partial(Breaker, 5, 10.0, 5.0)(time.monotonic), Breaker)
