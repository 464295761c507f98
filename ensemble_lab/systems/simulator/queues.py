"""Rules of one queue: who is served next.

At one instant departures come before arrivals, and jobs that arrive together come in the order of
their numbers, each at once taking a server that is idle.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.systems.simulator.inputs import distinct, whole


class Served(NamedTuple):
    """What a rule did with n jobs on s servers.

    Parameters
    ----------
    started, finished : ndarray (n,)
        Seconds; NaN where a job was dropped.
    server : ndarray of int (n,)
        The server that finished it, -1 where it was dropped.
    waits : ndarray (n,)
        Seconds in system without being served.
    busy : ndarray (s,)
        Seconds that each server worked.
    """

    started: np.ndarray
    finished: np.ndarray
    server: np.ndarray
    waits: np.ndarray
    busy: np.ndarray


class Rule(ABC):
    """A rule: how jobs are served. Its fields are its settings."""

    stages = None  # columns of `services`; None where it has one dimension

    @abstractmethod
    def serve(self, arrivals: np.ndarray, services: np.ndarray, kind) -> Served:
        """Serve all jobs; arrivals are in order, services above 0."""

    @abstractmethod
    def work(self, services: np.ndarray, kind) -> dict[str, tuple[float, int]]:
        """Seconds of work and number of servers of each station: what may be overloaded."""


@dataclass(frozen=True)
class FCFS(Rule):
    """First come, first served, by the server that has been idle longest.

    Parameters
    ----------
    servers : int
    room : int, optional
        Places to wait. A job that finds all servers busy and no place is dropped; without a room
        (None) there is place for all.

    Raises
    ------
    ValueError
        No server, or a room that is not a whole number from 0 up.
    """

    servers: int
    room: int | None = None

    def __post_init__(self):
        whole(self.servers, "servers")
        if self.room is not None:
            whole(self.room, "room", 0)

    def serve(self, arrivals, services, kind) -> Served:
        if self.room is None:
            return in_turn(arrivals, services, self.servers)
        return self._with_room(arrivals.tolist(), services)

    def work(self, services, kind):
        return {} if self.room is not None else {"": (float(services.sum()), self.servers)}

    def _with_room(self, arrivals: list, services: np.ndarray) -> Served:
        free = [(-math.inf, k) for k in range(self.servers)]
        started, server = np.full(len(arrivals), math.nan), np.full(len(arrivals), -1)
        waiting = deque()  # when those who wait will start
        for i, (now, service) in enumerate(zip(arrivals, services.tolist(), strict=True)):
            while waiting and waiting[0] <= now:
                waiting.popleft()
            at, who = free[0]
            if at > now:
                if len(waiting) == self.room:
                    continue
                waiting.append(at)
            start = max(at, now)
            heapreplace(free, (start + service, who))
            started[i], server[i] = start, who
        return served(arrivals, services, started, server, self.servers)


def in_turn(arrivals: np.ndarray, services: np.ndarray, servers: int) -> Served:
    """First come, first served: a heap of the times at which servers become free."""
    free = [(-math.inf, k) for k in range(servers)]
    started, server = [], []
    start_of, serve_by = started.append, server.append  # a third of the time is saved
    for now, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        at, who = free[0]
        if at > now:
            now = at
        heapreplace(free, (now + service, who))
        start_of(now)
        serve_by(who)
    return served(arrivals, services, np.array(started), np.array(server, int), servers)


def served(arrivals, services, started, server, servers: int) -> Served:
    """What follows from the starts where no service is interrupted."""
    kept = server >= 0
    busy = np.bincount(server[kept], services[kept], servers)
    return Served(started, started + services, server, started - arrivals, busy)


@dataclass(frozen=True)
class ShortestFirst(Rule):
    """A server that becomes free takes the shortest waiting job, of equal ones the first to come.

    Services are not interrupted. It has the least mean wait of all rules that do not interrupt
    (Smith, 1956), and lets long jobs wait longest.

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

    def serve(self, arrivals, services, kind) -> Served:
        return _by_rank(arrivals, services, np.argsort(services, kind="stable"), self.servers)

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

    def serve(self, arrivals, services, kind) -> Served:
        rank = codes(kind, self.classes, "class", "classes")
        order = np.argsort(rank, kind="stable")
        if not self.preemptive:
            return _by_rank(arrivals, services, order, self.servers)
        return _interrupting(arrivals, services, order, rank, self.servers)

    def work(self, services, kind):
        return {"": (float(services.sum()), self.servers)}


def codes(kind, names: tuple[str, ...], what: str, plural: str) -> np.ndarray:
    """The place (n,) of each job's kind among `names`.

    Raises
    ------
    ValueError
        There are no kinds.
    KeyError
        A kind that is not among them.
    """
    if kind is None:
        raise ValueError(f"this rule needs the {what} of each job; give kind=, one of its {plural}")
    place = {name: code for code, name in enumerate(names)}
    for name in dict.fromkeys(kind):
        check_known(name, place, what, "rule")
    return np.array([place[name] for name in kind])


def _by_rank(arrivals, services, order: np.ndarray, servers: int) -> Served:
    """Of those who wait, the first in `order` (a permutation of the jobs) is next."""
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    position, job_at = position.tolist(), order.tolist()
    duration, ends, waiting = services.tolist(), [], []
    idle = deque(range(servers))
    started, server = np.empty(len(order)), np.empty(len(order), int)

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
    return served(arrivals, services, started, server, servers)


def _interrupting(arrivals, services, order, rank, servers: int) -> Served:
    """As `_by_rank`, but a job of lesser `rank` interrupts one of greater rank."""
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    position, job_at, rank = position.tolist(), order.tolist(), rank.tolist()
    left, ends, waiting = services.tolist(), [], []  # ends: (when, its position, server)
    idle, busy = deque(range(servers)), np.zeros(servers)
    started, finished = np.full(len(order), math.nan), np.empty(len(order))
    server = np.empty(len(order), int)
    since = arrivals.tolist()  # when a job began to run, or to wait
    waits = np.zeros(len(order))

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
    leave(math.inf)
    return Served(started, finished, server, waits, busy)
