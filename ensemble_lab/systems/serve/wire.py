"""`Wire`: HTTP to one server: a request out, a response or an `UpstreamError` back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ensemble_lab.core.errors import shown
from ensemble_lab.models.endpoints.address import Address
from ensemble_lab.models.endpoints.connection import MOST_BYTES
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve.checks import check_seconds
from ensemble_lab.systems.serve.protocol import LONGEST, compact
from ensemble_lab.systems.serve.reasons import shown_reason
from ensemble_lab.systems.serve.resilience import asked_wait, time_left

# The gateways that a request has passed, so that one that meets it again ends the circle.
WAY_HEADER, WAY = "x-ensemble-way", ContextVar("way", default="")
PATH = "/chat/completions"


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


class Wire:
    """The connections to one server. Redirects are not followed: they could carry the key away.

    Parameters
    ----------
    name : str
        The model's, for messages.
    base_url : str
    key : str or None
        The bearer token.
    timeout : float
        Seconds that one try may take; of a stream, that its next bytes may take.
    """

    def __init__(self, name: str, base_url: str, key: str | None, timeout: float):
        if not isinstance(name, str) or not name:
            raise ValueError(f"name is {shown(name)}; give the model's name on that server")
        check_seconds(timeout, "timeout")
        if key is not None:
            if not isinstance(key, str):
                raise ValueError(f"the key is no text but {type(key).__name__}; give text, or None")
            key = checked(key, "key")
        self.name, self.timeout = name, timeout
        self._address, self._key = Address.of(base_url), key
        if self._address.plain.endswith(PATH):
            raise ValueError(
                f"base_url {shown(self._address.plain)} ends with {PATH}; give what comes before"
            )
        self._headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if key or self._address.basic:
            self._headers["authorization"] = f"Bearer {key}" if key else self._address.basic
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def opened(
        self, body: dict, deadline: float, stream: bool = False
    ) -> aiohttp.ClientResponse:
        """A response with status 2xx, whose body is not read yet."""
        with self.errors():
            most = time_left(deadline, time.monotonic, LONGEST)
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
            response = await self._connected().post(
                self._address.at(PATH),
                data=content,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(**limits, ceil_threshold=math.inf),
            )
        if response.status < 300:
            return response
        try:
            content = await self.whole(response)
        finally:
            response.close()
        raise UpstreamError(
            response.status,
            "status",
            f"{shown(self.name)} answered HTTP {response.status}{self.why(content, body)}",
            asked_wait(response.headers, time.time()),
            response.headers,
        )

    async def whole(self, response: aiohttp.ClientResponse) -> bytes:
        """The body of a response, bounded."""
        parts, size = [], 0
        with self.errors():
            while part := await response.content.readany():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    most = f"{MOST_BYTES >> 20} MB"
                    raise UpstreamError(
                        502, "nonsense", f"{shown(self.name)} sent more than {most}"
                    )
        return b"".join(parts)

    def why(self, content: bytes, body: Mapping[str, Any]) -> str:
        """The server's reason for an error, as far as it may be shown."""
        return shown_reason(content, body, self._key)

    @contextmanager
    def errors(self) -> Iterator[None]:
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

    def _connected(self) -> aiohttp.ClientSession:
        """Made by the first call, as it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),  # one client's cookies are not the next one's
                auto_decompress=False,
                proxy=self._address.proxy(),
            )
        return self._session
