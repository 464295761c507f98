"""The gateway's door: ids, the key, bounded bodies, clients that leave, and faults as errors.

References
----------
Starlette cancels a stream whose client left; a plain request is watched here.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import uuid
from collections.abc import Awaitable, Mapping

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.serve.protocol import ApiError
from ensemble_lab.systems.serve.replies import Json

VARIABLE = "ENSEMBLE_LAB_KEY"
BODY_TIME = 30.0  # seconds until the whole body is here
OPEN = ("/health",)
# Python's client, and JavaScript's, which rounds down to whole seconds: up to one more.
PATIENCE = {"x-stainless-read-timeout": 0.0, "x-stainless-timeout": 1.0}


class Door:
    """Gives every response an id, lets in who knows the key, and turns faults into errors."""

    def __init__(self, app, key: str | None):
        self.app, self.key = app, None if key is None else key.encode()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, begun = dict(scope["headers"]), False
        given = headers.get(b"x-request-id", b"")
        ours = given if 0 < len(given) <= 128 and given.isascii() else uuid.uuid4().hex.encode()
        scope["request_id"] = ours.decode()

        async def sending(message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", ours)]
            await send(message)

        if not self._lets_in(scope, headers):
            error = ApiError(
                401, f"give the key of this gateway ({VARIABLE})", code="invalid_api_key"
            )
            head = {"www-authenticate": "Bearer"}
            await Json(error.body, 401, headers=head)(scope, receive, sending)
            return
        try:
            await self.app(scope, receive, sending)
        except Exception:
            if not begun:
                error = ApiError(
                    500, f"a fault of the gateway; see its log, request {ours.decode()}"
                )
                await Json(error.body, 500)(scope, receive, sending)
            raise

    def _lets_in(self, scope, headers: Mapping[bytes, bytes]) -> bool:
        if self.key is None or scope["path"] in OPEN:
            return True
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        # In constant time: how long it takes tells nothing about the key.
        return kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self.key)


def patience(headers: Mapping[str, str]) -> float:
    """Seconds that the client waits for the next byte, as the official clients say in a header.

    Returns
    -------
    float
        inf where no header says it.

    Raises
    ------
    ApiError
        400: no number of seconds.
    """
    found = math.inf
    for name, rounded in PATIENCE.items():
        said = headers.get(name)
        if said is None:
            continue
        try:
            seconds = float(said)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0:
            raise ApiError(400, f"{name} is {shown(said, 40)}; give seconds", param=name)
        found = min(found, seconds + rounded)
    return found


async def whole_body(request: Request, most: int) -> bytes:
    """The body, at most so long and in at most so many seconds."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        # A page of any site may send other kinds to this machine without asking first.
        raise ApiError(415, f"content-type is {shown(kind, 40)}; send application/json")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_long(most)
    parts, room = [], most
    try:
        async with asyncio.timeout(BODY_TIME):
            async for part in request.stream():
                room -= len(part)
                if room < 0:
                    raise _too_long(most)
                parts.append(part)
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive in {BODY_TIME:g} s") from None
    return b"".join(parts)


def _too_long(most: int) -> ApiError:
    return ApiError(413, f"the body is longer than {most:,} bytes", code="body_too_long")


async def unless_gone(request: Request, work: Awaitable[Response]) -> Response:
    """The result of `work`, which is cancelled as soon as the client has left."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(499, "the client left")
        return working.result()
    finally:
        working.cancel()
        watching.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def http_error(request: Request, error: HTTPException) -> Response:
    """An address or method that is not there, in OpenAI's form."""
    said = {404: "no such address: the gateway has /v1/models and /v1/chat/completions"}
    made = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return Json(made.body, error.status_code, headers=error.headers)


async def validation_error(request: Request, error: RequestValidationError) -> Response:
    """A request that FastAPI refuses, in OpenAI's form."""
    return Json(ApiError(400, "the request could not be read").body, 400)
