"""Two models on two machines, for the queues explorer: a rule at every rate, when first asked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.catalogue import load_trace
from ensemble_lab.systems.simulator.arrivals import gamma_arrivals
from ensemble_lab.systems.simulator.networks import Pools
from ensemble_lab.systems.simulator.orders import Priority
from ensemble_lab.systems.simulator.queues import FCFS
from ensemble_lab.systems.simulator.simulate import simulate

ALONE, PIPELINE, FIRST, ROOM = RULES = (
    "one machine each", "pipeline", "pipeline, A first", "pipeline, 4 may wait",
)  # fmt: skip
POISSON, OWN, COMMON, CHAT, BOTH = ARRIVALS = (
    "Poisson (CV 1)", "own bursts (CV 3)", "common bursts (CV 3)", "an hour of chat",
    "hours of code and chat",
)  # fmt: skip
RATES = tuple(round(0.1 * i, 1) for i in range(1, 23))  # requests a second
OVERHEADS = (0, 5, 10, 20, 30)  # % of a service that each stage adds
JOBS, CV = 20_000, 3.0
TRACES = "azure-code", "azure-conversation"
SERVICE, LIMIT = 1.0, 3.0  # seconds: of every request on one machine, and until it is late


@dataclass(frozen=True, eq=False)
class Served:
    """n requests for the models A and B at one rate; seconds."""

    a: np.ndarray  # (n,), whether a request asks for A
    waits: np.ndarray  # (n,), NaN where it was refused
    service: float  # of each, in all stages
    busy: np.ndarray  # (2,), share of the time that each machine works
    load: float  # what comes over what the busiest machine can do

    @property
    def answered(self) -> np.ndarray:
        """(k,) waits of those that were not refused."""
        return self.waits[~np.isnan(self.waits)]

    @property
    def refused(self) -> float:
        """Share of all."""
        return float(np.isnan(self.waits).mean())

    @property
    def late(self) -> float:
        """Share of the answered that took more than `LIMIT` seconds."""
        return float((self.answered + self.service > LIMIT + 1e-9).mean())

    def p99(self, which=...) -> float:
        """Seconds that 99 in 100 of these do not exceed; waits only."""
        return float(np.nanquantile(self.waits[which], 0.99))


@dataclass(frozen=True, eq=False)
class Queues:
    """One rule at every rate of `RATES`, one machine each, and what the rule is drawn beside."""

    served: tuple[Served, ...]
    alone: tuple[Served, ...]
    beside: tuple[Served, ...]  # one machine each; the pipeline, if the rule is one machine each


@cache
def drawn(arrivals: str) -> tuple[np.ndarray, np.ndarray]:
    """Arrival times (n,), one a second on average, and whether each request asks for A.

    Where models have no traffic of their own, one in two asks for A, in random order.
    """
    if arrivals in (OWN, BOTH):
        if arrivals == OWN:
            both = [gamma_arrivals(0.5, CV, jobs=JOBS // 2, rng=seed) for seed in (0, 1)]
        else:
            both = [load_trace(name).arrival_s.to_numpy() for name in TRACES]
        times, a = np.concatenate(both), np.repeat([True, False], [len(one) for one in both])
        order = np.argsort(times, kind="stable")
        times, a = times[order], a[order]
    else:
        if arrivals == CHAT:
            times = load_trace(TRACES[1]).arrival_s.to_numpy()
        else:
            times = gamma_arrivals(1.0, CV if arrivals == COMMON else 1.0, jobs=JOBS, rng=0)
        a = np.random.default_rng(1).permutation(len(times)) % 2 == 0
    return times * (len(times) / times[-1]), a


@cache
def queues(rule: str, arrivals: str, overhead: int) -> Queues:
    """All rates have the same requests in the same order, closer together."""
    alone = at_all_rates(ALONE, arrivals, 0)
    if rule == ALONE:  # it has no stages
        return Queues(alone, alone, at_all_rates(PIPELINE, arrivals, overhead))
    return Queues(at_all_rates(rule, arrivals, overhead), alone, alone)


@cache
def at_all_rates(rule: str, arrivals: str, overhead: int) -> tuple[Served, ...]:
    """The requests by one rule at each rate."""
    return tuple(serve(rule, arrivals, overhead, rate) for rate in RATES)


def serve(rule: str, arrivals: str, overhead: int, rate: float) -> Served:
    """The requests by one rule.

    In a pipeline each machine has half of both models. Both stages take the same time, so nobody
    waits for the second, and the queue before the first is all there is.
    """
    times, a = drawn(arrivals)
    times, kind = times / rate, np.where(a, "A", "B").astype(object)
    stage = SERVICE if rule == ALONE else SERVICE * (0.5 + overhead / 100)
    way = {
        ALONE: Pools({"A": 1, "B": 1}),
        PIPELINE: FCFS(1),
        FIRST: Priority(1, ("A", "B")),
        ROOM: FCFS(1, room=4),
    }[rule]
    with warnings.catch_warnings():  # of overload; the picture says it
        warnings.simplefilter("ignore", UserWarning)
        found = simulate(times, np.full(len(times), stage), way, kind)
    busy = found.utilisation if rule == ALONE else np.repeat(found.utilisation, 2)
    service = SERVICE if rule == ALONE else 2 * stage
    share = max(a.mean(), 1 - a.mean()) if rule == ALONE else 1.0
    return Served(a, found.waits, service, busy, float(rate * share * stage))
