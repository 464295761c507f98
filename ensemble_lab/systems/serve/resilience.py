"""When to ask a server again: budgets, waits, a circuit breaker and hedges."""

from __future__ import annotations

import asyncio
import email.utils
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from numbers import Real
from typing import TypeVar

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import positive, whole

LONGEST = 120.0  # seconds: a server that asks for a longer wait is not asked again
FIRST, SLOWEST = 0.5, 8.0  # seconds: the first wait, and the longest, without Retry-After
AGAIN = (408, 409, 429)  # and every status from 500

Made = TypeVar("Made")


class Budget:
    """A token bucket: further calls are at most `first` and `share` of the calls, in every order.

    Retries then cannot multiply the load of a server that fails because of its load.

    Parameters
    ----------
    share : float
        From 0 to 1, rounded down to one in a whole number of calls: 0.1 is one in ten. 0: none.
    most : int
        Tokens that can be kept, so that a quiet day does not pay for a storm.
    first : int
        Tokens at the start, so that the first call of all can be tried again.
    """

    def __init__(self, share: float = 0.1, most: int = 10, first: int = 0):
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
            raise ValueError(
                f"share is {shown(share)}; give a share of the calls, from 0 to 1: 0.1 for 10%"
            )
        # Whole numbers of calls: 0.1 added ten times is not 1.
        self._price = math.ceil(1 / share) if share else math.inf
        self._most = whole(most, "most") * self._price
        self._saved = whole(first, "first", 0) * self._price if share else 0

    def earn(self) -> None:
        """Count a call."""
        self._saved = min(self._saved + 1, self._most)

    def spend(self) -> bool:
        """Pay for a further call; False where the budget does not allow it."""
        if self._saved < self._price:
            return False
        self._saved -= self._price
        return True


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, or `Retry-After` (seconds or a date).

    Parameters
    ----------
    headers : mapping of str
        Names in lower case, or a mapping that ignores the case.
    now : float
        Seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 1e3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return None if math.isnan(seconds) else seconds
    try:
        date = email.utils.parsedate_tz(headers.get("retry-after", ""))
        return None if date is None else email.utils.mktime_tz(date) - now
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def retry_wait(
    status: int, headers: Mapping[str, str], tried: int, uniform: Callable[[], float], now: float
) -> float | None:
    """Seconds until the next try, or None where there is none: the rule of the official client.

    Parameters
    ----------
    status : int
        HTTP status; 0 where no answer came.
    headers : mapping of str
    tried : int
        Retries made before.
    uniform : callable
        Gives a number from 0 to 1: up to a quarter of the wait is left out at random.
    now : float
        Seconds since 1970.
    """
    wait = asked_wait(headers, now)
    if wait is not None and wait > LONGEST:
        return None
    said = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    if not (status == 0 or status in AGAIN or status >= 500 if said is None else said):
        return None
    if wait is not None and wait > 0:
        return wait
    return min(FIRST * 2.0 ** min(tried, 10), SLOWEST) * (1 - 0.25 * uniform())


class Breaker:
    """A circuit breaker: after `failures` failures in `window` seconds a server is left alone.

    Closed, it lets every call pass. Open, it refuses all for `cooldown` seconds. Half-open, it lets
    one trial pass, which closes or opens it. A call that began in an earlier state changes nothing.

    Parameters
    ----------
    failures : int
    window, cooldown : float
        Seconds.
    clock : callable
        Gives seconds.

    References
    ----------
    Nygard, Release It!, 2007.
    """

    def __init__(self, failures: int, window: float, cooldown: float, clock: Callable[[], float]):
        self._failures = whole(failures, "failures")
        self._window = positive(window, "window", " of seconds")
        self._cooldown = positive(cooldown, "cooldown", " of seconds")
        if not callable(clock):
            raise ValueError(f"clock is {shown(clock)}; give a function such as time.monotonic")
        self._clock, self.state = clock, "closed"
        self._failed: deque[float] = deque(maxlen=failures)
        self._ticket = 0
        self._until = -math.inf

    def begin(self) -> int | None:
        """A ticket for `end`, or None where the call must not be made."""
        if self.state == "half-open" or (self.state == "open" and self.left() > 0):
            return None
        if self.state == "open":
            self._enter("half-open")
        return self._ticket

    def end(self, ticket: int, well: bool | None) -> None:
        """Report a call: True for success, False for failure, None where it was cancelled."""
        if ticket != self._ticket:
            return
        if self.state == "half-open":
            self._enter({True: "closed", False: "open", None: "open"}[well])
            if well is False:
                self._until = self._clock() + self._cooldown
        elif well is False:
            now = self._clock()
            self._failed.append(now)
            if len(self._failed) == self._failures and now - self._failed[0] < self._window:
                self._enter("open")
                self._until = now + self._cooldown

    def left(self) -> float:
        """Seconds until it lets a trial pass; 0 where it lets calls pass."""
        return max(self._until - self._clock(), 0.0) if self.state == "open" else 0.0

    def _enter(self, state: str) -> None:
        self.state = state
        self._ticket += 1
        self._failed.clear()


class Hedge:
    """When to send a second, equal call: after the 95th percentile of the last 256 calls' seconds.

    Parameters
    ----------
    share : float
        Second calls are at most this share of the calls.
    least : int
        Calls before the first hedge: the percentile of a few is not known.

    References
    ----------
    Dean and Barroso, The tail at scale, Communications of the ACM 56, 2013.
    """

    QUANTILE, KEPT = 0.95, 256

    def __init__(self, share: float = 0.05, least: int = 20):
        self.budget, self._least = Budget(share), whole(least, "least")
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Count a call that succeeded."""
        if len(self._recent) == self.KEPT:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(seconds)
        insort(self._sorted, seconds)

    def wait(self) -> float | None:
        """Seconds after which the second call is sent; None for never."""
        n = len(self._sorted)
        return None if n < self._least else self._sorted[math.ceil(self.QUANTILE * n) - 1]


async def hedged(call: Callable[[], Awaitable[Made]], hedge: Hedge) -> Made:
    """The result of `call()`, or of a second one if the first is slow; the loser is cancelled.

    Raises
    ------
    Exception
        The first call's error, where no call succeeds.
    """
    clock = asyncio.get_running_loop().time
    start, wait = clock(), hedge.wait()
    hedge.budget.earn()
    tasks = [asyncio.ensure_future(call())]
    try:
        done, waiting = await asyncio.wait(tasks, timeout=wait)
        if waiting and hedge.budget.spend():
            tasks.append(asyncio.ensure_future(call()))
        waiting = set(tasks) - done
        while waiting and not any(task.exception() is None for task in done):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        won = next((t for t in tasks if t.done() and t.exception() is None), tasks[0])
        result = won.result()
        hedge.add(clock() - start)
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def time_left(deadline: float, clock: Callable[[], float], most: float = math.inf) -> float:
    """Seconds that the next call may take: what remains until the deadline, `most` at most.

    Raises
    ------
    TimeoutError
        Nothing remains.
    """
    left = min(deadline - clock(), most)
    if left <= 0:
        raise TimeoutError("no time is left")
    return left
