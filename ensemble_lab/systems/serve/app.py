"""`app`: the gateway as one ASGI application, for uvicorn alone or inside Ray Serve.

References
----------
OpenAI, API reference. Starlette cancels a stream whose client left; a plain request is watched
here.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
import uuid
from collections.abc import Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.core.policy import Policy
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve import deciding, schema
from ensemble_lab.systems.serve.counting import Metrics
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.events import Events, MemberStream, decided
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.protocol import (
    ApiError,
    Chunks,
    chat_request,
    compact,
    models_list,
    single_only,
    usage_of,
)
from ensemble_lab.systems.serve.upstream import UpstreamError

VARIABLE = "ENSEMBLE_LAB_KEY"
MOST_BODY = 8 * 2**20  # bytes
MOST_WAITING = 256  # requests at the same time
SOON = 5.0  # seconds in which a streaming policy may still answer with a status of its own
BODY_TIME = 30.0  # seconds until the whole body is here
OPEN = ("/health",)


def app(
    policy: Policy | Served | Mapping[str, Policy | Served],
    models: Mapping[str, Any],
    *,
    timeout: float = 120.0,
    most_body: int = MOST_BODY,
    most_waiting: int = MOST_WAITING,
) -> FastAPI:
    """The gateway: policies and their members behind an OpenAI-compatible address.

    Clients that know the key in the environment variable `ENSEMBLE_LAB_KEY` are let in; without
    that variable all are. The prompt and the key are in no error and no metric.

    Parameters
    ----------
    policy : Policy, Served, or mapping of name to one
        One alone is named ``"ensemble"``.
    models : mapping of name to Member, Upstream or callable
        All that the policies name; each can be asked alone as well.
    timeout : float
        Seconds until a request is given up, with 504.
    most_body : int
        Bytes of a request; longer ones get 413.
    most_waiting : int
        Requests at the same time; further ones get 503.

    Raises
    ------
    ValueError
        A policy that could not answer: it names no member, or compares answers of a member without
        `parse`; a policy and a model of one name.

    Examples
    --------
    >>> gateway = app(Cascade(("small", "big"), (0.8,)), members)  # doctest: +SKIP
    >>> uvicorn.run(gateway, host="127.0.0.1", port=8000)  # doctest: +SKIP
    """
    members = {
        name: one if isinstance(one, Member) else Member(one) for name, one in models.items()
    }
    named = policy if isinstance(policy, Mapping) else {"ensemble": policy}
    policies = {
        name: one if isinstance(one, Served) else Served(one) for name, one in named.items()
    }
    deciding.verified(members)
    for name, served in policies.items():
        if name in members:
            raise ValueError(f"{shown(name, 40)} names a policy and a model; rename one of them")
        served.check(members, name)
    key = os.environ.get(VARIABLE, "")
    gateway = Gateway(policies, members, timeout, most_body, most_waiting)

    @asynccontextmanager
    async def lifespan(_):
        yield
        for member in members.values():
            await member.source.aclose()

    made = FastAPI(
        title="ensemble-lab",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    made.add_exception_handler(HTTPException, _http_error)
    made.add_exception_handler(RequestValidationError, _validation_error)
    made.add_api_route(
        "/v1/models", gateway.models, methods=["GET"], responses=schema.of_models(), name="models"
    )
    made.add_api_route(
        "/v1/chat/completions",
        gateway.chat,
        methods=["POST"],
        openapi_extra=schema.request(),
        responses=schema.of_chat(),
        name="chat",
    )
    made.add_api_route("/health", gateway.health, methods=["GET"], name="health")
    made.add_api_route("/metrics", gateway.metrics, methods=["GET"], name="metrics")
    made.state.gateway = gateway
    made.add_middleware(_Door, key=checked(key, VARIABLE) if key.strip() else None)
    return made


class Json(Response):
    """A response in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return compact(content)


class Gateway:
    """The policies, the members and the counts of one application."""

    def __init__(self, policies, members, timeout, most_body, most_waiting):
        self.policies: Mapping[str, Served] = policies
        self.members: Mapping[str, Member] = members
        self.timeout, self.most_body, self.most_waiting = timeout, most_body, most_waiting
        self.counts, self.created, self._waiting = Metrics(), int(time.time()), 0

    async def models(self) -> Response:
        """Policies and members."""
        owners = dict.fromkeys(self.policies, "ensemble-lab") | dict.fromkeys(
            self.members, "member"
        )
        return Json(models_list(owners, self.created))

    async def health(self) -> Response:
        """Whether the gateway answers; it asks no member."""
        return Json({"status": "ok"})

    async def metrics(self) -> Response:
        """Counts for Prometheus."""
        content, kind = self.counts.exposition()
        return Response(content, media_type=kind)

    async def chat(self, request: Request) -> Response:
        """A chat completion of a policy or of one member."""
        start, name = time.perf_counter(), ""
        if self._waiting >= self.most_waiting:
            return self._refused(
                ApiError(503, f"{self._waiting} requests are waiting", retry_after=1), name, start
            )
        self._waiting += 1
        streams = False
        try:
            body = chat_request(await self._content(request))
            name = self._known(body["model"])
            deadline = time.monotonic() + self.timeout
            work = self._policy if name in self.policies else self._member
            work = self._stream if body.get("stream") else work
            response = await unless_gone(request, work(name, body, deadline, start))
            streams = isinstance(response, Events)
            return response
        except (ApiError, UpstreamError) as error:
            return self._refused(api_error(error), name, start)
        finally:
            if not streams:
                self._waiting -= 1

    async def _policy(self, name: str, body: dict, deadline: float, start: float) -> Response:
        single_only(body)
        found = await deciding.answer(name, self.policies[name], self.members, body, deadline)
        self.counts.answered(name, found.called, found.failed, found.cost)
        spent = time.perf_counter() - start
        self.counts.took(name, 200, spent, spent - found.waited)
        return Json(found.body, headers=explaining(found, spent - found.waited))

    async def _member(self, name: str, body: dict, deadline: float, start: float) -> Response:
        member = self.members[name]
        reply = await member.ask(body, deadline)
        cost = member.cost(usage_of(reply.body))
        self.counts.answered(name, [name], {}, cost)
        spent = time.perf_counter() - start
        self.counts.took(name, 200, spent, spent - reply.seconds)
        headers = headers_of([name], cost, spent - reply.seconds, f"{name} was named")
        return Json({**reply.body, "model": name}, headers=headers)

    async def _stream(self, name: str, body: dict, deadline: float, start: float) -> Events:
        options = body.get("stream_options") or {}
        chunks = Chunks(f"chatcmpl-{uuid.uuid4().hex}", name, bool(options.get("include_usage")))
        if name in self.policies:
            return await self._stream_of_policy(name, body, deadline, start, chunks)
        member = self.members[name]
        stream, began = MemberStream(member, name, body, chunks), time.perf_counter()
        await stream.begin(deadline)
        now = time.perf_counter()
        overhead = began - start

        async def events():
            try:
                async for part in stream.events():
                    yield part
            finally:
                failed = {name: stream.failed} if stream.failed else {}
                self.counts.answered(name, [name], failed, member.cost(stream.usage))
                self.counts.took(
                    name, 502 if failed else 200, time.perf_counter() - start, overhead
                )

        overhead += time.perf_counter() - now
        headers = headers_of([name], None, overhead, f"{name} was named")
        return Events(events(), self._left, headers)

    async def _stream_of_policy(self, name, body, deadline, start, chunks) -> Events:
        single_only(body)
        work = deciding.answer(name, self.policies[name], self.members, body, deadline)
        working, headers = asyncio.ensure_future(work), {}

        def told(found) -> None:
            spent = time.perf_counter() - start
            if isinstance(found, Exception):
                self.counts.took(name, 502, spent, None)
                return
            self.counts.answered(name, found.called, found.failed, found.cost)
            self.counts.took(name, 200, spent, spent - found.waited)

        try:
            # An answer that comes soon has its headers, and an error its status.
            if (await asyncio.wait((working,), timeout=SOON))[0]:
                found = working.result()
                headers = explaining(found, time.perf_counter() - start - found.waited)
        except BaseException:
            working.cancel()
            raise
        return Events(decided(working, chunks, told), self._left, headers)

    def _left(self) -> None:
        self._waiting -= 1

    def _refused(self, error: ApiError, name: str, start: float) -> Response:
        spent = time.perf_counter() - start
        self.counts.took(name, error.status, spent, None)
        return Json(error.body, error.status, headers=error.headers)

    def _known(self, name: str) -> str:
        if name in self.policies or name in self.members:
            return name
        hint = nearest(name, [*self.policies, *self.members])
        raise ApiError(
            404, f"no model {shown(name, 60)}{hint}", param="model", code="model_not_found"
        )

    async def _content(self, request: Request) -> bytes:
        """The body, at most so long and in at most so many seconds."""
        most = self.most_body
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


def api_error(error: ApiError | UpstreamError) -> ApiError:
    """A member's error as the client reads it; the gateway has already tried again."""
    if isinstance(error, ApiError):
        return error
    status = error.status
    if status in (401, 403):  # the gateway's own key, not the client's
        return ApiError(502, f"{error.message} (the gateway's key)", code=error.kind, retry=False)
    if status == 429:
        return ApiError(429, error.message, code="rate_limit", retry_after=error.retry_after)
    status = {400: 400, 413: 413, 422: 400, 408: 504, 503: 503, 504: 504}.get(status, 502)
    return ApiError(
        status, error.message, code=error.kind, retry_after=error.retry_after, retry=False
    )


def headers_of(called, cost: float | None, overhead: float, rule: str) -> dict[str, str]:
    """Who was asked, what it cost in USD, the gateway's own milliseconds, and which rule fired."""
    found = {
        "x-ensemble-called": ",".join(called),
        "x-ensemble-overhead-ms": f"{max(overhead, 0) * 1e3:.3f}",
        "x-ensemble-rule": rule,
    }
    found |= {} if cost is None else {"x-ensemble-cost": f"{cost:.9g}"}
    return {k: ascii_line(v) for k, v in found.items()}


def explaining(found: deciding.Answered, overhead: float) -> dict[str, str]:
    """The headers of a policy's answer."""
    headers = headers_of(found.called, found.cost, overhead, found.rule)
    if found.failed:
        headers["x-ensemble-failed"] = ascii_line(
            ",".join(f"{k}={v}" for k, v in found.failed.items())
        )
    return headers


def ascii_line(text: str) -> str:
    """A header's value: names and labels may be other than ASCII, and hold ends of lines."""
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()


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


async def _http_error(request: Request, error: HTTPException) -> Response:
    said = {404: "no such address: the gateway has /v1/models and /v1/chat/completions"}
    made = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return Json(made.body, error.status_code, headers=error.headers)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    return Json(ApiError(400, "the request could not be read").body, 400)


class _Door:
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
