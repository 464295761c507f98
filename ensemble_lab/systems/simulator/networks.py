"""Rules of several queues: a pool for each model, stages one after the other, and second tries."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import settled
from ensemble_lab.systems.simulator.inputs import distinct, positive, several, whole
from ensemble_lab.systems.simulator.queues import Rule, Served, codes, in_turn


@dataclass(frozen=True)
class Pools(Rule):
    """Each model has servers of its own: what waits for one is not served by another.

    Servers are numbered in the order of `servers`, pool after pool.

    Parameters
    ----------
    servers : mapping of str to int
        Servers of each model. `simulate(kind=)` names the model of each job.

    Raises
    ------
    ValueError
        No pool, or one without a server.
    """

    servers: Mapping[str, int]

    def __post_init__(self):
        object.__setattr__(self, "servers", pools(self.servers))

    def serve(self, arrivals, services, kind, horizon) -> Served:
        pool = codes(kind, tuple(self.servers), "model", "pools")
        n, before, busy = len(arrivals), 0, []
        started, finished, waits, service = np.empty((4, n))
        server = np.empty(n, int)
        for code, servers in enumerate(self.servers.values()):
            jobs = np.flatnonzero(pool == code)
            part = in_turn(arrivals[jobs], services[jobs], servers, horizon)
            started[jobs], finished[jobs] = part.started, part.finished
            waits[jobs], service[jobs] = part.waits, part.service
            server[jobs] = np.where(part.server < 0, -1, part.server + before)
            busy.append(part.busy)
            before += servers
        return Served(started, finished, server, waits, service, np.concatenate(busy))

    def work(self, services, kind):
        pool = codes(kind, tuple(self.servers), "model", "pools")
        seconds = np.bincount(pool, services, len(self.servers)).tolist()
        return {
            name: (seconds[code], servers)
            for code, (name, servers) in enumerate(self.servers.items())
        }


def pools(servers) -> Mapping[str, int]:
    """Servers by name, checked."""
    if not isinstance(servers, Mapping):
        raise ValueError(
            f"servers={shown(servers)}; give a mapping of each model to its servers, such as"
            " {'small': 2, 'big': 1}"
        )
    names = distinct(list(servers), "servers")
    return settled({name: whole(servers[name], f"servers[{shown(name)}]") for name in names})


@dataclass(frozen=True)
class Tandem(Rule):
    """A pipeline: each job goes through all stages, and waits before each, first come first served.

    A job that leaves a stage frees it at once. `services` has a column a stage.

    Parameters
    ----------
    servers : tuple of int
        Servers of each stage.

    Raises
    ------
    ValueError
        No stage, or one without a server.
    """

    servers: tuple[int, ...]

    def __post_init__(self):
        given = several(self.servers, "servers")
        if not given:
            raise ValueError("servers is empty; give the servers of each stage, such as (1, 1)")
        checked = tuple(whole(one, f"servers[{i}]") for i, one in enumerate(given))
        object.__setattr__(self, "servers", checked)

    @property
    def stages(self) -> int:
        return len(self.servers)

    def serve(self, arrivals, services, kind, horizon) -> Served:
        at, started, busy = arrivals, None, []
        waits, service = np.zeros((2, len(arrivals)))
        for stage, servers in enumerate(self.servers):
            # Those that have come so far, in the order in which they did; ties by number.
            order = np.argsort(at, kind="stable")[: np.isfinite(at).sum()]
            part = in_turn(at[order], services[order, stage], servers, horizon)
            at, server = np.full(len(at), math.nan), np.full(len(at), -1)
            at[order], server[order] = part.finished, part.server
            waits[order] += part.waits
            service[order] += part.service
            if started is None:
                started = part.started
            busy.append(part.busy)
        server[server >= 0] += sum(self.servers[:-1])
        return Served(started, at, server, waits, service, np.concatenate(busy))

    def work(self, services, kind):
        seconds = services.sum(axis=0).tolist()
        return {f"stage {i + 1}": (seconds[i], c) for i, c in enumerate(self.servers)}


@dataclass(frozen=True)
class Hedged(Rule):
    """A second try of each job that is not finished `after` seconds; the first to finish counts.

    The other try leaves at once, from the queue or from its server. Both tries wait in one queue,
    first come, first served; first tries come before second ones of the same instant. `services`
    has two columns, the time of each try. (Dean and Barroso, The tail at scale, CACM 2013.)

    Parameters
    ----------
    servers : int
    after : float
        Seconds from the arrival.

    Raises
    ------
    ValueError
        No server, or a delay below 0.
    """

    servers: int
    after: float
    stages = 2

    def __post_init__(self):
        whole(self.servers, "servers")
        positive(self.after, "after", " seconds", zero=True)

    def serve(self, arrivals, services, kind, horizon) -> Served:
        n, duration = len(arrivals), services.tolist()
        started, finished = np.full(n, math.nan), np.full(n, math.nan)
        server, busy = np.full(n, -1), np.zeros(self.servers)
        idle, waiting = deque(range(self.servers)), deque()
        running = {}  # (job, which try): (since when, server)
        # Departures come before arrivals, and these before second tries.
        events = [(at, 1, job, 0) for job, at in enumerate(arrivals.tolist())]
        while events and events[0][0] <= horizon:
            now, what, job, which = heappop(events)
            if what:
                if not math.isnan(finished[job]):
                    continue
                waiting.append((job, which))
                if not which:
                    heappush(events, (now + self.after, 2, job, 1))
            elif (job, which) in running:
                finished[job], server[job] = now, running[job, which][1]
                for tried in ((job, 0), (job, 1)):
                    if tried in running:
                        since, who = running.pop(tried)
                        busy[who] += now - since
                        idle.append(who)
            while idle and waiting:
                job, which = waiting.popleft()
                if not math.isnan(finished[job]):
                    continue
                running[job, which] = now, idle.popleft()
                started[job] = now if math.isnan(started[job]) else started[job]
                heappush(events, (now + duration[job][which], 0, job, which))
        for since, who in running.values():  # still served at the horizon
            busy[who] += horizon - since
        begun, ended = np.nan_to_num(started, nan=horizon), np.nan_to_num(finished, nan=horizon)
        return Served(started, finished, server, begun - arrivals, ended - begun, busy)

    def work(self, services, kind):
        return {"": (float(services.min(axis=1).sum()), self.servers)}
