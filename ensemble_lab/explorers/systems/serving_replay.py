"""An hour of chat behind a gateway, for the serving explorer: at every rate, when first asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ensemble_lab.catalogue import load_trace
from ensemble_lab.systems.serve.resilience import Breaker, Budget, Hedge
from ensemble_lab.systems.simulator.retrying import serve_with_retries

ONCE, UNLIMITED, BUDGET = RETRIES = "none", "two, no budget", "two, budget of 10%"
OFF, HEDGED = HEDGES = "off", "after the 95th percentile"
NOTHING, BREAKER, STOPS, CACHE = GUARDS = "none", "breaker", "servers stop", "cache, 1 in 5"
RATES = tuple(round(0.1 * i, 1) for i in range(4, 14))  # of capacity, in the busiest five minutes
TRACE, EVERY = "azure-conversation", 4  # each fourth request of an hour, in the hour's rhythm
SERVERS, TIMEOUT, TOKEN = 4, 20.0, 0.01  # seconds: until a call is given up; of a token
SLOW, FACTOR = 0.04, 5.0  # so many calls meet a slow moment and take so many times as long
HITS = 0.2  # share of the requests that the cache answers
AFTER = 40  # minute from which the rush is over
BINS = np.arange(0, 60, 2.0)  # minutes; the trace ends in the 59th
SEED = 0


@dataclass(frozen=True, eq=False)
class Hour:
    """n requests of an hour at one rate; b bins of two minutes."""

    requests: np.ndarray  # (b,) work that first calls would be, over what the servers can do
    calls: np.ndarray  # (b,) work of all calls that were sent
    answered: np.ndarray  # (b,) share of the requests of these minutes
    latency: np.ndarray  # (n,) seconds, in order; infinite where there was no answer
    goodput: float  # share of all requests
    after: float  # of those from minute `AFTER` on
    per_request: float  # calls
    wasted: float  # share of the servers' work that was for nobody

    def quantile(self, share: float) -> float:
        """Seconds that this share of all requests stays within."""
        return float(self.latency[int(np.ceil(share * len(self.latency))) - 1])


@dataclass(frozen=True, eq=False)
class Serving:
    """One way to serve the hour at every rate of `RATES`, and one call a request."""

    hours: tuple[Hour, ...]
    once: tuple[Hour, ...]


@cache
def drawn(seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds of arrival (n,), seconds of service (n, 6) of up to six calls, and hits (n,).

    A reply of k tokens takes k times `TOKEN`; the trace's numbers of tokens are in random order, as
    they change within the hour.
    """
    hour, rng = load_trace(TRACE).iloc[::EVERY], np.random.default_rng(seed)
    tokens = rng.permutation(hour.output_tokens.to_numpy())
    slow = rng.random((len(hour), 6)) < SLOW
    hit = rng.random(len(hour)) < HITS
    return hour.arrival_s.to_numpy(), TOKEN * tokens[:, None] * np.where(slow, FACTOR, 1.0), hit


def faster(rate: float, seed: int = SEED) -> float:
    """How many times as fast the trace must come for this load in its busiest five minutes."""
    arrivals, services, _ = drawn(seed)
    minutes = np.bincount((arrivals // 60).astype(int))
    busiest = np.convolve(minutes, np.ones(5), "valid").max() / 300  # requests a second
    return rate * SERVERS / (busiest * services[:, 0].mean())


@cache
def serving(retries: str, hedge: str, guard: str) -> Serving:
    """All rates have the same requests, closer together."""
    return Serving(at_all_rates(retries, hedge, guard), at_all_rates(ONCE, OFF, NOTHING))


@cache
def at_all_rates(retries: str, hedge: str, guard: str) -> tuple[Hour, ...]:
    """The hour at each rate."""
    return tuple(serve(retries, hedge, guard, rate) for rate in RATES)


def serve(retries: str, hedge: str, guard: str, rate: float, seed: int = SEED) -> Hour:
    """The hour behind the gateway's own budget, hedge and breaker (5 failures in 10 s, 5 s)."""
    arrivals, services, hit = drawn(seed)
    speed = faster(rate, seed)
    hit = hit & (guard == CACHE)
    found = serve_with_retries(
        arrivals[~hit] / speed,
        services[~hit],
        SERVERS,
        TIMEOUT,
        retries=0 if retries == ONCE else 2,
        budget=Budget if retries == BUDGET else None,
        hedge=Hedge if hedge == HEDGED else None,
        breaker=partial(Breaker, 5, 10.0, 5.0) if guard == BREAKER else None,
        cancels=guard == STOPS,
        rng=seed,
    )
    latency = np.zeros(len(arrivals))  # a hit takes no time
    latency[~hit] = np.where(np.isnan(found.latency), np.inf, found.latency)
    minute, able = arrivals / 60, SERVERS * 120 / speed  # seconds of work in a bin
    offered = np.histogram(minute, BINS, weights=services[:, 0])[0] / able
    calls = np.histogram(found.sent * speed / 60, BINS, weights=found.work)[0] / able
    here, well = np.digitize(minute, BINS[1:-1]), np.isfinite(latency)
    answered = np.bincount(here, well) / np.bincount(here)
    return Hour(
        offered, calls, answered, np.sort(latency), float(well.mean()),
        float(well[minute >= AFTER].mean()), len(found.sent) / len(arrivals), found.wasted,
    )  # fmt: skip
