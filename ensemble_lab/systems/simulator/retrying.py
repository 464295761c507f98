"""Calls with time-outs, retries, hedges and a breaker, before servers that work in turn.

The rules are the gateway's own: its `Budget`, `Hedge`, `Breaker` and `retry_wait` decide here too,
on the clock of the simulation.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.serve.resilience import Breaker, Budget, Hedge, retry_wait
from ensemble_lab.systems.simulator.inputs import (
    arrival_times,
    generator,
    positive,
    service_times,
    truth,
    whole,
)
from ensemble_lab.systems.simulator.tries import Tries

ENDED, GIVEN_UP, SENT, SECOND = range(4)  # what happens at one instant comes in this order
TIMEOUT = 504  # the status of a call that was given up


def serve_with_retries(
    arrivals,
    services,
    servers: int,
    timeout: float = math.inf,
    *,
    retries: int = 2,
    budget: Callable[[], Budget] | None = Budget,
    hedge: Callable[[], Hedge] | None = None,
    breaker: Callable[[Callable[[], float]], Breaker] | None = None,
    cancels: bool = False,
    rng=0,
) -> Tries:
    """Send requests to servers as the gateway does: give up, wait, try again.

    All calls wait in one queue, first come, first served. A call that is not answered within
    `timeout` is given up; its request is tried again after `retry_wait`, if the budget allows it.

    Parameters
    ----------
    arrivals : array-like (n,)
        Seconds, in order.
    services : array-like (n,) or (n, k)
        Seconds that a server works on any call of a request, or on its first to k-th call.
    servers : int
    timeout : float
        Seconds until a call is given up; infinite for never.
    retries : int
        Retries of a request after its first try, at most.
    budget : callable or None
        Makes the budget of retries: `Budget`, which allows one in ten, or a class of your own.
        None for no budget: every retry is made.
    hedge : callable or None
        Makes what says when a second, equal call is sent: `Hedge`.
    breaker : callable or None
        Makes a circuit breaker from a clock: ``lambda clock: Breaker(5, 10.0, 5.0, clock)``.
    cancels : bool
        Whether a server stops what nobody waits for any more. If not, it works to the end.
    rng : int or numpy.random.Generator
        Draws how much of a wait before a retry is left out.

    Returns
    -------
    Tries

    Raises
    ------
    ValueError
        Arrivals out of order, services of zero or below, too few columns, another setting out of
        range.

    References
    ----------
    Bronson et al., Metastable failures in distributed systems, HotOS 2021. Dean and Barroso, The
    tail at scale, Communications of the ACM 56, 2013.

    Examples
    --------
    >>> found = serve_with_retries([0, 0], [1, 1], servers=1, timeout=1.5, budget=None)
    >>> found.answered.tolist(), found.calls.tolist()
    ([1.0, 3.0], [1, 2])
    """
    arrivals, services = arrival_times(arrivals), service_times(services)
    if services.ndim > 2 or len(services) != len(arrivals):
        raise ValueError(
            f"services has shape {services.shape} for {len(arrivals)} arrivals; give one row each"
        )
    servers, retries = whole(servers, "servers"), whole(retries, "retries", 0)
    if not isinstance(timeout, float) or timeout != math.inf:
        positive(timeout, "timeout", " seconds, or math.inf")
    most = (1 + retries) * (1 if hedge is None else 2)
    if services.ndim == 2 and services.shape[1] < most:
        raise ValueError(
            f"services has {services.shape[1]} columns, and a request may take {most} calls; give"
            " one a call, or one dimension for equal calls"
        )
    for what, made in {"budget": budget, "hedge": hedge, "breaker": breaker}.items():
        if made is not None and not callable(made):
            raise ValueError(
                f"{what} is {shown(made)}; give what makes one for this run: a class or a function"
            )
    uniform = generator(rng).random
    caller = _Caller(services, servers, timeout, retries, truth(cancels, "cancels"), uniform)
    return caller.run(arrivals, budget, hedge, breaker)


class _Caller:
    """The gateway's side and the servers' side, event by event."""

    def __init__(self, services, servers, timeout, retries, cancels, uniform):
        self.services = services.reshape(len(services), -1).tolist()
        self.idle, self.timeout, self.retries = servers, timeout, retries
        self.cancels, self.uniform = cancels, uniform
        n, self.now, self.order, self.events = len(services), -math.inf, count(), []
        self.tried, self.calls, self.answered = [0] * n, [0] * n, [math.nan] * n
        self.waiting = [[] for _ in range(n)]  # calls that a request still waits for
        self.began = [math.nan] * n  # its present try
        self.queue: deque[int] = deque()
        # Of each call: its request, breaker's ticket, seconds of work, times.
        self.of, self.ticket, self.work = [], [], []
        self.sent, self.started, self.left = [], [], []

    def run(self, arrivals, budget, hedge, breaker) -> Tries:
        """All events, to the last."""
        self.budget, self.hedge = budget and budget(), hedge and hedge()
        self.breaker = breaker and breaker(lambda: self.now)
        self.events = [(at, SENT, next(self.order), i) for i, at in enumerate(arrivals.tolist())]
        steps = {ENDED: self.end, GIVEN_UP: self.give_up, SENT: self.send, SECOND: self.second}
        while self.events:
            self.now, what, _, who = heappop(self.events)
            steps[what](who)
        calls = (np.array(one, float) for one in (self.sent, self.started, self.left, self.work))
        of = np.array(self.of, int)
        return Tries(arrivals, np.array(self.answered), np.array(self.calls), of, *calls)

    def later(self, seconds: float, what: int, who) -> None:
        """Plan an event."""
        heappush(self.events, (self.now + seconds, what, next(self.order), who))

    # -- the gateway ------------------------------------------------------------------------------

    def send(self, request: int) -> None:
        """A try begins: a call, and a second one for later."""
        self.began[request], wait = self.now, None
        if self.budget and not self.tried[request]:
            self.budget.earn()
        if self.hedge:
            wait = self.hedge.wait()
            self.hedge.budget.earn()
        if self.call(request) and wait is not None:
            self.later(wait, SECOND, (request, self.tried[request]))

    def second(self, of: tuple[int, int]) -> None:
        """A second call, if its try still waits and the budget allows it."""
        request, tried = of
        if self.waiting[request] and self.tried[request] == tried and self.hedge.budget.spend():
            self.call(request)

    def call(self, request: int) -> bool:
        """A call joins the queue, unless the breaker refuses it."""
        ticket = self.breaker.begin() if self.breaker else 0
        if ticket is None:
            return False
        call, row = len(self.of), self.services[request]
        self.work.append(row[min(self.calls[request], len(row) - 1)])
        self.of.append(request)
        self.ticket.append(ticket)
        self.sent.append(self.now)
        self.started.append(math.nan)
        self.left.append(math.nan)
        self.calls[request] += 1
        self.waiting[request].append(call)
        if self.timeout < math.inf:
            self.later(self.timeout, GIVEN_UP, call)
        self.queue.append(call)
        self.serve()
        return True

    def give_up(self, call: int) -> None:
        """A call takes too long; after the last of a try comes the next try."""
        request = self.of[call]
        if call not in self.waiting[request]:
            return
        self.forget(call, well=False)
        tried = self.tried[request]
        if self.waiting[request] or tried == self.retries:
            return
        wait = retry_wait(TIMEOUT, {}, tried, self.uniform, self.now)
        if self.budget is None or self.budget.spend():
            self.tried[request] += 1
            self.later(wait, SENT, request)

    def forget(self, call: int, well: bool | None) -> None:
        """Nobody waits for this call any more."""
        self.waiting[self.of[call]].remove(call)
        if self.breaker:
            self.breaker.end(self.ticket[call], well)
        if self.cancels and math.isnan(self.left[call]):
            self.left[call] = self.now
            if not math.isnan(self.started[call]):
                self.idle += 1
                self.serve()

    # -- the servers ------------------------------------------------------------------------------

    def serve(self) -> None:
        """Idle servers take calls from the queue."""
        while self.idle and self.queue:
            call = self.queue.popleft()
            if math.isnan(self.left[call]):
                self.idle -= 1
                self.started[call] = self.now
                self.later(self.work[call], ENDED, call)

    def end(self, call: int) -> None:
        """A server has done a call; its answer counts if somebody waits for it."""
        if not math.isnan(self.left[call]):
            return  # it was stopped before
        self.left[call] = self.now
        self.idle += 1
        request = self.of[call]
        if call in self.waiting[request]:
            self.answered[request] = self.now
            if self.hedge:
                self.hedge.add(self.now - self.began[request])
            self.forget(call, well=True)
            for other in tuple(self.waiting[request]):
                self.forget(other, well=None)
        self.serve()
