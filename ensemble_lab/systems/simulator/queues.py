"""What a rule is, and the simplest one: first come, first served."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from heapq import heapreplace
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import check_known
from ensemble_lab.systems.simulator.inputs import whole


class Served(NamedTuple):
    """What a rule did with n jobs on s servers, up to a horizon.

    Parameters
    ----------
    started, finished : ndarray (n,)
        Seconds; NaN where a job was dropped, or not so far by the horizon.
    server : ndarray of int (n,)
        The server that finished it, -1 for none.
    waits, service : ndarray (n,)
        Seconds in the system without being served, and being served; NaN where it was dropped.
    busy : ndarray (s,)
        Seconds that each server worked.
    """

    started: np.ndarray
    finished: np.ndarray
    server: np.ndarray
    waits: np.ndarray
    service: np.ndarray
    busy: np.ndarray


class Rule(ABC):
    """A rule: how jobs are served. Its fields are its settings."""

    stages = None  # columns of `services`; None where it has one dimension

    @abstractmethod
    def serve(self, arrivals: np.ndarray, services: np.ndarray, kind, horizon: float) -> Served:
        """Serve all jobs until `horizon`; arrivals are before it and in order, services above 0."""

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

    def serve(self, arrivals, services, kind, horizon) -> Served:
        if self.room is None:
            return in_turn(arrivals, services, self.servers, horizon)
        return self._with_room(arrivals.tolist(), services, horizon)

    def work(self, services, kind):
        return {} if self.room is not None else {"": (float(services.sum()), self.servers)}

    def _with_room(self, arrivals: list, services: np.ndarray, horizon: float) -> Served:
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
        return uninterrupted(arrivals, services, started, server, self.servers, horizon)


def in_turn(arrivals, services, servers: int, horizon: float = math.inf) -> Served:
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
    started, server = np.array(started), np.array(server, int)
    return uninterrupted(arrivals, services, started, server, servers, horizon)


def uninterrupted(arrivals, services, started, server, servers: int, horizon: float) -> Served:
    """What follows from the starts where no service is interrupted.

    What comes before the horizon does not depend on what comes after it, so that it can be cut off
    in the end.
    """
    kept, finished, waits = server >= 0, started + services, started - arrivals
    service = np.where(kept, services, np.nan)
    if (late := finished > horizon).any():
        service[late] = np.maximum(horizon - started[late], 0.0)
        waits = np.minimum(started, horizon) - arrivals
    busy = np.bincount(server[kept], service[kept], servers)
    if late.any():
        started = np.where(started > horizon, np.nan, started)
        finished, server = np.where(late, np.nan, finished), np.where(late, -1, server)
    return Served(started, finished, server, waits, service, busy)


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
