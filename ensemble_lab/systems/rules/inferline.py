"""InferLine: plan on an earlier trace, then watch whether arrivals leave what was planned for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.rules.planning import fitted, only
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests

WINDOWS = (5.0, 10.0, 20.0, 40.0, 80.0)  # seconds


@dataclass(frozen=True)
class Plan:
    """Machines for a model, and requests that run together on each."""

    machines: int
    batch: int


def plan(requests: Requests, engine: Engine, machines: int) -> Plan:
    """The fewest machines, found greedily, that keep 99 % of the best service of a trace.

    The start takes all machines and the batch (1, 2, 4, ...) that answers most requests in time.
    Then a machine is taken away, with the batch as it is or doubled, as long as 99 % of that many
    are still in time, by our simulator: no step costs more than the one before it.

    Parameters
    ----------
    requests : Requests
        Of one model, with their limits.
    engine : Engine
    machines : int
        The most to be used.
    """

    def in_time(found: Plan) -> float:
        cluster = [Machine(i, replace(engine, slots=found.batch)) for i in range(found.machines)]
        return serve_requests(requests, cluster, Rule()).goodput

    sizes = {min(2**i, engine.slots) for i in range(engine.slots.bit_length() + 1)}
    best = max((Plan(machines, batch) for batch in sorted(sizes)), key=in_time)
    enough = 0.99 * in_time(best)
    while best.machines > 1:
        ways = {best.batch, min(2 * best.batch, engine.slots)}
        fewer = (Plan(best.machines - 1, batch) for batch in sorted(ways))
        found = next((one for one in fewer if in_time(one) >= enough), None)
        if found is None:
            break
        best = found
    return best


def envelope(arrival: np.ndarray, windows: Sequence[float]) -> list[int]:
    """The most arrivals in any window of each length; `arrival` (n,) in seconds, sorted."""
    ends = [np.searchsorted(arrival, arrival + window, side="left") for window in windows]
    return [int((end - np.arange(len(arrival))).max(initial=0)) for end in ends]


class InferLine(Fleet):
    """A plan from an earlier trace; machines are added when arrivals leave its envelope.

    Every 5 s, if the last 5 to 80 s (no more than the earlier trace lasts) hold more arrivals than
    any such window of the earlier trace, the model gets ``ceil(r / (mu * rho))`` machines: r is
    the largest rate in such a window, mu what a machine can serve, rho the share of it that the
    plan uses. A minute after the last such window it is back at its plan. Crankshaw et al. 2020,
    "InferLine: Latency-Aware Provisioning and Scaling for Prediction Serving Pipelines" (SoCC).
    """

    period = 5.0

    def __init__(self, variants, sample):
        super().__init__(variants, sample)
        self.sample = sample
        self.windows = [w for w in WINDOWS if w <= self.span] or list(WINDOWS[:1])

    def first(self, machines):
        self.plans, self.planned = [], []
        most = max(machines - len(self.variants) + 1, 1)
        for model, ways in enumerate(self.variants):
            own = only(self.sample, model)
            self.plans.append(plan(own, ways[0].engine, most) if own is not None else Plan(1, 1))
            self.planned.append(
                envelope(own.arrival if own is not None else np.empty(0), self.windows)
            )
        self.now = [one.machines for one in self.plans]
        self.recent = [deque() for _ in self.plans]
        self.until = [0.0] * len(self.plans)
        return fitted({(m, 0): count for m, count in enumerate(self.now)}, machines)

    def slots(self, machine):
        job = self.jobs[machine.number]
        return self.plans[job[0]].batch if job else 1

    def place(self, task, cluster):
        self.recent[task.model].append(cluster.now)
        return super().place(task, cluster)

    def tick(self, cluster):
        wanted = list(self.now)
        for model, (one, recent) in enumerate(zip(self.plans, self.recent, strict=True)):
            while recent and recent[0] <= cluster.now - self.windows[-1]:
                recent.popleft()
            times, rates = np.array(recent), []
            for window, most in zip(self.windows, self.planned[model], strict=True):
                count = int((times > cluster.now - window).sum())
                if count > most:
                    rates.append(count / window)
            if rates:
                each = max(self.expected[model], 1e-9) / one.machines  # mu * rho
                wanted[model] = max(wanted[model], ceil(max(rates) / each))
                self.until[model] = cluster.now + 60.0
            elif cluster.now >= self.until[model]:
                wanted[model] = one.machines
        if wanted != self.now:
            self.now = wanted
            counts = {(m, 0): count for m, count in enumerate(wanted)}
            self.arrange(Counter(fitted(counts, len(cluster.machines))), cluster)
