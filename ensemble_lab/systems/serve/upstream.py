"""The gateway's client of one server: bytes in, a completion or raw events out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ensemble_lab.core.errors import shown
from ensemble_lab.models.endpoints.completion import excerpt, reason

MOST = 64 * 2**20  # bytes of one reply


class UpstreamError(Exception):
    """A server gave no usable reply: HTTP status (0 for none), kind, and advice on trying again."""

    def __init__(self, status: int, kind: str, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.kind, self.message, self.retry_after = status, kind, message, retry_after


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
        From the request to the last byte.
    """

    status: int
    headers: Any
    body: dict = field(repr=False)
    seconds: float


class Upstream:
    """One model of one server.

    Parameters
    ----------
    name : str
        The model's name there.
    base_url : str
        Up to and with the version, such as ``http://127.0.0.1:8000/v1``.
    key : str, optional
        The bearer token.
    timeout : float
        Seconds that one call may take.
    """

    def __init__(
        self, name: str, base_url: str, key: str | None = None, *, budget=None, timeout=60.0
    ):
        self.name, self.base_url, self.timeout = name, base_url.rstrip("/"), timeout
        headers = {"accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx2.AsyncClient(headers=headers, timeout=None, limits=limits)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, body: dict, deadline: float) -> Reply:
        """One completion before `deadline`, on the clock of `time.monotonic`."""
        start = time.perf_counter()
        async with self._opened(body, deadline) as response:
            content = await self._all(response, deadline)
        try:
            found = json.loads(content.decode(errors="replace"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UpstreamError(502, "nonsense", f"{shown(self.name)} answered with no JSON object")
        return Reply(response.status_code, response.headers, found, time.perf_counter() - start)

    async def stream(self, body: dict, deadline: float) -> AsyncIterator[bytes]:
        """The data of every event, as bytes, before `deadline`."""
        async with self._opened(body | {"stream": True}, deadline) as response:
            rest = b""
            chunks = response.aiter_raw().__aiter__()
            while True:
                with self._named():
                    async with self._until(deadline):
                        chunk = await anext(chunks, None)
                if chunk is None:
                    return
                *events, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                if len(rest) > MOST:
                    raise UpstreamError(502, "nonsense", "an event without end")
                for event in events:
                    lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
                    if lines:
                        yield b"\n".join(line.removeprefix(b" ") for line in lines)

    @asynccontextmanager
    async def _opened(self, body: dict, deadline: float):
        request = self._client.build_request(
            "POST",
            f"{self.base_url}/chat/completions",
            content=json.dumps(body, separators=(",", ":")).encode(),
            headers={"content-type": "application/json"},
        )
        with self._named():
            async with self._until(deadline):
                response = await self._client.send(request, stream=True)
        try:
            if response.status_code >= 300:
                content = await self._all(response, deadline)
                after = response.headers.get("retry-after", "")
                raise UpstreamError(
                    response.status_code,
                    "status",
                    f"{shown(self.name)} answered HTTP {response.status_code}:"
                    f" {excerpt(reason(content)[:4000])}",
                    float(after) if after.isdigit() else None,
                )
            yield response
        finally:
            await response.aclose()

    async def _all(self, response, deadline: float) -> bytes:
        with self._named():
            async with self._until(deadline):
                return await response.aread()

    def _until(self, deadline: float):
        left = min(deadline - time.monotonic(), self.timeout)
        return asyncio.timeout(max(left, 0))

    def _named(self):
        return _Named(self.name)


class _Named:
    """Turns the client's errors into ours."""

    def __init__(self, name: str):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> bool:
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            raise UpstreamError(504, "timeout", f"{shown(self.name)} did not answer in time")
        if isinstance(error, httpx2.HTTPError):
            why = type(error).__name__
            kind = "unreachable" if isinstance(error, httpx2.ConnectError) else "broken"
            raise UpstreamError(503, kind, f"{shown(self.name)} cannot be reached: {why}")
        return False
