"""The gateway's client of one server: bytes in, a completion or raw events out."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp

from ensemble_lab.core.errors import shown
from ensemble_lab.models.endpoints.address import Address
from ensemble_lab.models.endpoints.completion import excerpt, parsed, reason
from ensemble_lab.models.endpoints.connection import MOST_BYTES
from ensemble_lab.models.patience import without_secrets
from ensemble_lab.systems.serve.protocol import compact
from ensemble_lab.systems.serve.resilience import (
    Breaker,
    Budget,
    Hedge,
    asked_wait,
    hedged,
    retry_wait,
    time_left,
)

RETRIES = 2  # as the official client
FAILURES, WINDOW, COOLDOWN = 5, 10.0, 5.0  # of the breaker; seconds
NOT_AGAIN = ("open", "nonsense")  # kinds of error that a further call does not change
QUOTED = 16  # characters of a prompt in a row: an error's text with so many is not shown

# The gateways that a request has passed, so that one that meets it again ends the circle.
WAY_HEADER, WAY = "x-ensemble-way", ContextVar("way", default="")

Made = TypeVar("Made")


class UpstreamError(Exception):
    """A server gave no usable reply.

    Parameters
    ----------
    status : int
        HTTP status for the client: the server's, or 502 to 504.
    kind : str
        ``"status"``, ``"timeout"``, ``"unreachable"``, ``"broken"``, ``"nonsense"`` or ``"open"``
        (the circuit breaker).
    message : str
        Without a key and without the prompt.
    retry_after : float, optional
        Seconds that the server asks to wait.
    headers : mapping of str, optional
        The server's.

    Attributes
    ----------
    tried : int
        Times that the call was made again.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.kind, self.message, self.retry_after = status, kind, message, retry_after
        self.headers, self.tried = headers or {}, 0

    def __reduce__(self):
        return UpstreamError, (
            self.status, self.kind, self.message, self.retry_after, dict(self.headers)
        )  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """A server's completion.

    Parameters
    ----------
    status : int
    headers : mapping of str
    body : dict
        The completion.
    seconds : float
        From the request to the last byte, of the try that succeeded.
    calls : int
        Calls that it took, with those that failed and those that lost to a second one.
    """

    status: int
    headers: Any
    body: dict = field(repr=False)
    seconds: float
    calls: int = 1


class Upstream:
    """One model of one server. Redirects are not followed: they could carry the key away.

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
        self.name, self.timeout = name, timeout
        self._address = Address.of(base_url)
        self.budget, self.hedge = budget or Budget(first=RETRIES), hedge
        self.breaker = breaker or Breaker(FAILURES, WINDOW, COOLDOWN, time.monotonic)
        self._key = key
        self._headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if key or self._address.basic:
            self._headers["authorization"] = f"Bearer {key}" if key else self._address.basic
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

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
        response, ticket = await self._tried(lambda: self._begun(body, deadline), deadline)
        try:
            rest = b""
            with self._named():
                while chunk := await response.content.readany():
                    *events, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                    if len(rest) > MOST_BYTES:
                        name = shown(self.name)
                        raise UpstreamError(502, "nonsense", f"{name} sent endless events")
                    for event in events:
                        if (data := data_of(event)) is not None:
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
            response = await self._opened(body, deadline)
            try:
                content = await self._all(response)
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
            return Reply(response.status, response.headers, found, time.perf_counter() - start)

    async def _begun(self, body: dict, deadline: float) -> tuple[aiohttp.ClientResponse, int]:
        with self._counted() as ticket:
            return await self._opened(body, deadline, stream=True), ticket

    async def _opened(
        self, body: dict, deadline: float, stream: bool = False
    ) -> aiohttp.ClientResponse:
        """A response with status 2xx, whose body is not read yet."""
        with self._named():
            most = time_left(deadline, time.monotonic)
            left = min(most, self.timeout)
            content = compact(body)
            # The header in which the official client says how long it waits.
            headers = self._headers | {"x-stainless-read-timeout": f"{left:.3f}"}
            if way := WAY.get():
                headers[WAY_HEADER] = way
            # A stream may take longer than one try, as long as its next bytes come in time.
            limits = (
                {"connect": left, "sock_read": left, "total": most} if stream else {"total": left}
            )
            response = await self._connections().post(
                self._address.at("/chat/completions"),
                data=content,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(**limits, ceil_threshold=math.inf),
            )
        if response.status < 300:
            return response
        try:
            content = await self._all(response)
        finally:
            response.close()
        raise UpstreamError(
            response.status,
            "status",
            f"{shown(self.name)} answered HTTP {response.status}{self._why(content, body)}",
            asked_wait(response.headers, time.time()),
            response.headers,
        )

    async def _all(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        with self._named():
            while part := await response.content.readany():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    most = f"{MOST_BYTES >> 20} MB"
                    raise UpstreamError(
                        502, "nonsense", f"{shown(self.name)} sent more than {most}"
                    )
        return b"".join(parts)

    def _connections(self) -> aiohttp.ClientSession:
        """Made by the first call, as it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),  # one client's cookies are not the next one's
                auto_decompress=False,
                proxy=self._address.proxy(),
            )
        return self._session

    def _why(self, content: bytes, body: dict) -> str:
        """The server's reason, unless it quotes the prompt."""
        text = reason(content)[:4000]
        if self._key:
            text = text.replace(self._key, "…")
        if any(_quotes(text, part) for part in _texts(body.get("messages"))):
            return "; its reason is not shown, for it quotes the prompt"
        text = excerpt(without_secrets(text))
        return f": {text}" if text else ""

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

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the client's errors into ours; theirs hold the request, with key and prompt."""
        try:
            yield
        except TimeoutError:
            raise UpstreamError(
                504, "timeout", f"{shown(self.name)} did not answer in time"
            ) from None
        except aiohttp.ClientError as error:
            kind = "unreachable" if isinstance(error, aiohttp.ClientConnectorError) else "broken"
            why = type(error).__name__
            raise UpstreamError(503, kind, f"{shown(self.name)} cannot be reached: {why}") from None


def data_of(event: bytes) -> bytes | None:
    """The data of one event; None for a comment, or fields that are not read."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(line.removeprefix(b" ") for line in lines) if lines else None


def _texts(value: Any) -> Iterator[str]:
    """Every text of a chat that a user or a program wrote."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if name not in ("role", "type"):
                yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _quotes(text: str, prompt: str) -> bool:
    """Whether a text holds a piece of a prompt, as it is or as JSON writes it."""
    piece = min(QUOTED, len(prompt))
    written = json.dumps(prompt)[1:-1]
    return piece > 3 and any(
        text[i : i + piece] in whole
        for whole in {prompt, written, written.replace("\\n", " ")}
        for i in range(len(text) - piece + 1)
    )
