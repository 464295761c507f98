"""Rules that do not serve in order of arrival: by length, and by class.

At one instant departures come before arrivals, and jobs that arrive together come in the order of
their numbers, each at once taking a server that is idle.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import distinct, whole
from ensemble_lab.systems.simulator.queues import Rule, Served, codes, uninterrupted


@dataclass(frozen=True)
class ShortestFirst(Rule):
    """A server that becomes free takes the shortest waiting job, of equal ones the first to come.

    Services are not interrupted. At one server with Poisson arrivals no rule without interruptions
    has a lower mean wait (Conway, Maxwell and Miller, Theory of Scheduling, 1967); it is paid for
    by the long jobs, which wait longest.

    Parameters
    ----------
    servers : int

    Raises
    ------
    ValueError
        No server.
    """

    servers: int

    def __post_init__(self):
        whole(self.servers, "servers")

    def serve(self, arrivals, services, kind, horizon) -> Served:
        order = np.argsort(services, kind="stable")
        return _by_rank(arrivals, services, order, self.servers, horizon)

    def work(self, services, kind):
        return {"": (float(services.sum()), self.servers)}


@dataclass(frozen=True)
class Priority(Rule):
    """The most important class first, and in a class first come, first served.

    Parameters
    ----------
    servers : int
    classes : tuple of str
        Names of the classes, the most important first. `simulate(kind=)` names the class of each
        job.
    preemptive : bool
        A job that finds all servers busy interrupts the least important running job, of equal ones
        the last to come, if that is less important than itself. What was interrupted waits before
        all of its class that came later, and is resumed where it stopped. Otherwise a service that
        has begun is finished.

    Raises
    ------
    ValueError
        No server, a class twice, or one that is not text.
    """

    servers: int
    classes: tuple[str, ...]
    preemptive: bool = False

    def __post_init__(self):
        whole(self.servers, "servers")
        object.__setattr__(self, "classes", distinct(self.classes, "classes"))
        if not isinstance(self.preemptive, bool):
            raise ValueError(f"preemptive={shown(self.preemptive)}; give True or False")

    def serve(self, arrivals, services, kind, horizon) -> Served:
        rank = codes(kind, self.classes, "class", "classes")
        order = np.argsort(rank, kind="stable")
        if not self.preemptive:
            return _by_rank(arrivals, services, order, self.servers, horizon)
        return _interrupting(arrivals, services, order, rank, self.servers, horizon)

    def work(self, services, kind):
        return {"": (float(services.sum()), self.servers)}


def _by_rank(arrivals, services, order: np.ndarray, servers: int, horizon: float) -> Served:
    """Of those who wait, the first in `order` (a permutation of the jobs) is next."""
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    position, job_at = position.tolist(), order.tolist()
    duration, ends, waiting = services.tolist(), [], []
    idle = deque(range(servers))
    started, server = [math.nan] * len(order), [-1] * len(order)

    def start(job: int, now: float, who: int):
        started[job], server[job] = now, who
        heappush(ends, (now + duration[job], who))

    def leave(until: float):
        while ends and ends[0][0] <= until:
            now, who = heappop(ends)
            if waiting:
                start(job_at[heappop(waiting)], now, who)
            else:
                idle.append(who)

    for job, now in enumerate(arrivals.tolist()):
        leave(now)
        if idle:
            start(job, now, idle.popleft())
        else:
            heappush(waiting, position[job])
    leave(math.inf)
    started, server = np.array(started), np.array(server)
    return uninterrupted(arrivals, services, started, server, servers, horizon)


def _interrupting(arrivals, services, order, rank, servers: int, horizon: float) -> Served:
    """As `_by_rank`, but a job of lesser `rank` interrupts one of greater rank."""
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    position, job_at, rank = position.tolist(), order.tolist(), rank.tolist()
    left, ends, waiting = services.tolist(), [], []  # ends: (when, its position, server)
    idle, busy, waits = deque(range(servers)), [0.0] * servers, [0.0] * len(order)
    started, finished, server = (
        [math.nan] * len(order),
        [math.nan] * len(order),
        [-1] * len(order),
    )
    since = arrivals.tolist()  # when a job began to run, or to wait

    def start(job: int, now: float, who: int):
        if math.isnan(started[job]):
            started[job] = now
        waits[job] += now - since[job]
        since[job] = now
        heappush(ends, (now + left[job], position[job], who))

    def leave(until: float):
        while ends and ends[0][0] <= until:
            now, place, who = heappop(ends)
            job = job_at[place]
            finished[job], server[job] = now, who
            busy[who] += now - since[job]
            if waiting:
                start(job_at[heappop(waiting)], now, who)
            else:
                idle.append(who)

    for job, now in enumerate(arrivals.tolist()):
        leave(now)
        if idle:
            start(job, now, idle.popleft())
            continue
        last = max(ends, key=lambda end: end[1])  # the least important, the last to come
        if rank[job_at[last[1]]] <= rank[job]:
            heappush(waiting, position[job])
            continue
        when, place, who = last
        ends.remove(last)
        heapify(ends)
        busy[who] += now - since[job_at[place]]
        left[job_at[place]], since[job_at[place]] = when - now, now
        heappush(waiting, place)
        start(job, now, who)
    leave(horizon)
    service = services.copy()
    for _, place, who in ends:  # still served at the horizon
        job = job_at[place]
        busy[who] += horizon - since[job]
        service[job] += horizon - since[job] - left[job]
    for job in (job_at[place] for place in waiting):
        waits[job] += horizon - since[job]
        service[job] -= left[job]
    times = (np.array(values) for values in (started, finished, server, waits))
    return Served(*times, service, np.array(busy))
