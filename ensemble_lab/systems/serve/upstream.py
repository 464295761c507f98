"""`Upstream`: one model of one server, with retries, a circuit breaker and hedges around it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp

from ensemble_lab.core.errors import shown
from ensemble_lab.models.endpoints.completion import parsed
from ensemble_lab.models.endpoints.connection import MOST_BYTES
from ensemble_lab.systems.serve.checks import check_kind
from ensemble_lab.systems.serve.resilience import Breaker, Budget, Hedge, hedged, retry_wait
from ensemble_lab.systems.serve.wire import Reply, UpstreamError, Wire

RETRIES = 2  # as the official client
FAILURES, WINDOW, COOLDOWN = 5, 10.0, 5.0  # of the breaker; seconds
NOT_AGAIN = (
    "open",
    "nonsense",
)  # kinds of error that a further call does not change
OPTIONS = "stream_options"

Made = TypeVar("Made")


class Upstream:
    """One model of one OpenAI-compatible server, as a source of a `Member`.

    Redirects are not followed: they could carry the key away.

    Parameters
    ----------
    name : str
        The model's name there.
    base_url : str
        Up to and with the version, such as ``http://127.0.0.1:8000/v1``. The proxy that the
        environment names is used, but for this machine.
    key : str, optional
        The bearer token.
    budget : Budget, optional
        Of retries; several upstreams can share one. Default: one retry in ten calls, and two at
        the start, as many as the first call could use.
    timeout : float
        Seconds that one try may take.
    breaker : Breaker, optional
        Default: 5 failures in 10 s open it for 5 s.
    hedge : Hedge, optional
        Sends a second call where the first is slow. A stream is never sent twice. Without it no
        call is: what the loser cost is not known.

    Raises
    ------
    ValueError
        An address that is none, or that goes on after the version; or another value that is none
        of its kind.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> server = lab.Upstream("llama-3.1-8b", "http://127.0.0.1:8000/v1")
    >>> lab.Member(server, parse="last number", price=(0.1, 0.4)).local
    False
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str | None = None,
        *,
        budget: Budget | None = None,
        timeout: float = 60.0,
        breaker: Breaker | None = None,
        hedge: Hedge | None = None,
    ):
        check_kind(budget, "budget", ("earn", "spend"), "a Budget")
        check_kind(breaker, "breaker", ("begin", "end"), "a Breaker")
        check_kind(hedge, "hedge", ("wait", "add"), "a Hedge")
        self.name, self._wire = name, Wire(name, base_url, key, timeout)
        self._counts_streams = True
        self.budget, self.hedge = budget or Budget(first=RETRIES), hedge
        self.breaker = breaker or Breaker(FAILURES, WINDOW, COOLDOWN, time.monotonic)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    def why(self, content: bytes, body: Mapping[str, Any]) -> str:
        """The server's reason for an error, as far as it may be shown."""
        return self._wire.why(content, body)

    async def ask(self, body: dict, deadline: float) -> Reply:
        """One completion before `deadline`, on the clock of `time.monotonic`.

        Raises
        ------
        UpstreamError
            No completion, after the retries that the budget allows.
        """
        calls = itertools.count(1)

        def call() -> Awaitable[Reply]:
            next(calls)
            return self._asked(body, deadline)

        hedge = self.hedge
        reply = await self._tried(call if hedge is None else lambda: hedged(call, hedge), deadline)
        return replace(reply, calls=next(calls) - 1)

    async def stream(self, body: dict, deadline: float) -> AsyncIterator[bytes]:
        """The data of every event, as bytes, before `deadline`; retried only before it begins."""
        body = body | {"stream": True}
        if not self._counts_streams:
            body.pop("stream_options", None)
        try:
            response, ticket = await self._tried(lambda: self._begun(body, deadline), deadline)
        except UpstreamError as error:
            asked = body.pop("stream_options", None)
            if asked is None or error.status not in (400, 422) or OPTIONS not in error.message:
                raise
            self._counts_streams = False  # it does not know the option, and is not asked again
            response, ticket = await self._tried(lambda: self._begun(body, deadline), deadline)
        try:
            rest = b""
            with self._wire.errors():
                while chunk := await response.content.readany():
                    *events, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                    if len(rest) > MOST_BYTES:
                        name = shown(self.name)
                        raise UpstreamError(502, "nonsense", f"{name} sent endless events")
                    for event in events:
                        if (data := data_of(event)) is not None:
                            yield data
            if (data := data_of(rest)) is not None:  # some servers end without a blank line
                yield data
        except UpstreamError:
            self.breaker.end(ticket, False)
            raise
        finally:
            response.close()

    async def _tried(self, call: Callable[[], Awaitable[Made]], deadline: float) -> Made:
        """The gateway's only retry loop."""
        self.budget.earn()
        for tried in itertools.count():
            try:
                return await call()
            except UpstreamError as error:
                wait = None
                if tried < RETRIES and error.kind not in NOT_AGAIN:
                    wait = retry_wait(
                        error.status, error.headers, tried, random.random, time.time()
                    )
                if wait is None or time.monotonic() + wait >= deadline or not self.budget.spend():
                    error.tried = tried
                    raise
            await asyncio.sleep(wait)
        raise AssertionError

    async def _asked(self, body: dict, deadline: float) -> Reply:
        start = time.perf_counter()
        with self._counted():
            response = await self._wire.opened(body, deadline)
            try:
                content = await self._wire.whole(response)
            finally:
                response.close()
            try:
                found = parsed(content.decode(errors="replace"))
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise UpstreamError(
                    502, "nonsense", f"{shown(self.name)} answered with no JSON object"
                )
            if not found.get("choices") and (status := status_of(found)):
                why = self.why(content, body)
                raise UpstreamError(status, "status", f"{shown(self.name)} answered an error{why}")
            return Reply(response.status, response.headers, found, time.perf_counter() - start)

    async def _begun(self, body: dict, deadline: float) -> tuple[aiohttp.ClientResponse, int]:
        with self._counted() as ticket:
            return await self._wire.opened(body, deadline, stream=True), ticket

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """Ask the breaker, and tell it how the call ended."""
        ticket, well = self.breaker.begin(), None
        if ticket is None:
            left = self.breaker.left()
            raise UpstreamError(
                503, "open", f"{shown(self.name)} failed too often and is left alone", left
            )
        try:
            yield ticket
            well = True
        except UpstreamError as error:
            well = error.status < 500  # it works, where it refuses a request
            raise
        finally:
            self.breaker.end(ticket, well)


def status_of(body: Mapping[str, Any]) -> int | None:
    """The status of an error that a server sent with status 200; None where it is no error."""
    error = body if body.get("object") == "error" else body.get("error")
    if not error:
        return None
    codes = [error.get(name) for name in ("code", "status")] if isinstance(error, Mapping) else []
    known = [int(c) for c in codes if str(c).isdecimal() and 400 <= int(c) < 600]
    return known[0] if known else 502


def data_of(event: bytes) -> bytes | None:
    """The data of one event; None for a comment, or fields that are not read."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(line.removeprefix(b" ") for line in lines) if lines else None
