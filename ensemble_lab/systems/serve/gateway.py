"""`Gateway`: the handlers of one application."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from fastapi import Request, Response

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.systems.serve import deciding
from ensemble_lab.systems.serve.chunks import Chunks
from ensemble_lab.systems.serve.confidence import last_question
from ensemble_lab.systems.serve.counting import Metrics
from ensemble_lab.systems.serve.deciding import Answered, Served
from ensemble_lab.systems.serve.door import patience, unless_gone, whole_body
from ensemble_lab.systems.serve.events import Events, MemberStream, decided
from ensemble_lab.systems.serve.ignored import ignored, why_ignored
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.protocol import (
    ApiError,
    chat_request,
    models_list,
    new_id,
    repaired,
    single_only,
    usage_of,
)
from ensemble_lab.systems.serve.replies import Json, api_error, explaining, headers_of
from ensemble_lab.systems.serve.telling import about_request, told_of
from ensemble_lab.systems.serve.wire import WAY, WAY_HEADER, UpstreamError

SOON = 5.0  # seconds in which a streaming policy may still answer with a status of its own
KEEP_ALIVE = 5.0  # seconds between comments while members are waited for
MOST_GATEWAYS = 8  # one behind another

# The request that is being answered, for the traffic log: its id, time and body.
ASKED: ContextVar[dict[str, Any]] = ContextVar("asked")


class Gateway:
    """The policies, the members and the counts of one application."""

    def __init__(self, policies, members, timeout, most_body, most_waiting, recorder=None):
        self.recorder = recorder
        self.policies: Mapping[str, Served] = policies
        self.members: Mapping[str, Member] = members
        self.timeout, self.most_body, self.most_waiting = timeout, most_body, most_waiting
        self.counts, self.created, self._waiting = Metrics(), int(time.time()), 0
        self.counts.watch(members, lambda: self._waiting)
        self._id = uuid.uuid4().hex

    async def models(self) -> Response:
        """Policies and members."""
        return Json(models_list(self._owners(), self.created))

    async def model(self, model: str) -> Response:
        """One of them."""
        try:
            name = self._known(model)
        except ApiError as error:
            return Json(error.body, error.status)
        return Json(models_list({name: self._owners()[name]}, self.created)["data"][0])

    async def health(self) -> Response:
        """Whether the gateway answers; it asks no member."""
        return Json({"status": "ok"})

    async def metrics(self) -> Response:
        """Counts for Prometheus."""
        content, kind = self.counts.exposition()
        return Response(content, media_type=kind)

    async def chat(self, request: Request) -> Response:
        """A chat completion of a policy or of one member."""
        start, arrived, name = time.perf_counter(), time.monotonic(), ""
        asked = about_request(request)
        ASKED.set(asked)
        if self._waiting >= self.most_waiting:
            return self._refused(
                ApiError(503, f"{self._waiting} requests are waiting", retry_after=1), name, start
            )
        self._waiting += 1
        streams = False
        try:
            WAY.set(self._way(request.headers.get(WAY_HEADER, "")))
            body = chat_request(await whole_body(request, self.most_body))
            asked["body"] = body
            name = self._known(body["model"])
            deadline = arrived + self.timeout
            first = min(arrived + patience(request.headers), deadline)
            work = self._policy if name in self.policies else self._member
            if body.get("stream"):  # its client waits for the next byte, not for the last
                work = partial(self._stream, first=first)
            else:
                deadline = first
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
        spent = time.perf_counter() - start
        after = partial(self._counted, name, found, spent)
        return Json(found.body, headers=explaining(found, spent - found.waited), after=after)

    async def _member(self, name: str, body: dict, deadline: float, start: float) -> Response:
        member = self.members[name]
        reply = await member.ask(body, deadline)
        again = {name: reply.calls - 1} if reply.calls > 1 else {}
        cost = None if again else member.cost(usage_of(reply.body))
        spent = time.perf_counter() - start
        overhead = spent - reply.seconds
        headers = headers_of([name], cost, overhead, f"{name} was named", again=again)
        if param := ignored(body, reply.body["choices"]):
            self.counts.answered(name, [name], {}, again, cost)
            raise ApiError(
                400,
                why_ignored(name, param),
                param=param,
                code="ignored",
                retry=False,
                more=headers,
            )

        def after() -> None:
            self.counts.answered(name, [name], {}, again, cost)
            self.counts.took(name, 200, spent, overhead)
            self._record(name, 200, spent, chosen=name, replies={name: lambda: member.line(reply)})

        return Json({**repaired(reply.body), "model": name}, headers=headers, after=after)

    async def _stream(
        self, name: str, body: dict, deadline: float, start: float, first: float
    ) -> Events:
        options = body.get("stream_options") or {}
        chunks = Chunks(new_id(), name, bool(options.get("include_usage")))
        if name in self.policies:
            return await self._stream_of_policy(name, body, deadline, start, first, chunks)
        member = self.members[name]
        stream, began = MemberStream(member, name, body, chunks), time.perf_counter()
        try:
            async with asyncio.timeout(first - time.monotonic()):
                await stream.begin(deadline)
        except TimeoutError:
            raise UpstreamError(504, "timeout", f"{name} did not begin in time") from None
        now = time.perf_counter()
        overhead = began - start

        def over() -> None:
            spent = time.perf_counter() - start
            failed = {name: stream.failed} if stream.failed else {}
            self.counts.answered(name, [name], failed, {}, member.cost(stream.usage))
            self.counts.took(name, 502 if failed else 200, spent, overhead)
            # A client that left in mid-stream has no whole reply.
            whole = {name: lambda: member.line(stream.reply(spent))} if stream.whole else {}
            status = 200 if whole else 502 if failed else 499
            self._record(name, status, spent, chosen=name, replies=whole, failed=failed)

        overhead += time.perf_counter() - now
        headers = headers_of([name], None, overhead, f"{name} was named")
        return Events(stream.events(over), self._left, headers)

    async def _stream_of_policy(self, name, body, deadline, start, first, chunks) -> Events:
        single_only(body)
        work = deciding.answer(name, self.policies[name], self.members, body, deadline)
        working, headers = asyncio.ensure_future(work), {}

        def told(found) -> None:
            spent = time.perf_counter() - start
            if isinstance(found, Exception):
                self.counts.took(name, 502, spent, None)
                self._record(name, 502, spent)
                return
            self._counted(name, found, spent)

        try:
            # An answer that comes soon has its headers, and an error its status.
            patient = max(first - time.monotonic(), 0) / 2
            if (await asyncio.wait((working,), timeout=min(SOON, patient)))[0]:
                found = working.result()
                headers = explaining(found, time.perf_counter() - start - found.waited)
        except BaseException:
            working.cancel()
            raise
        pause = min(KEEP_ALIVE, max(patient, 0.05))
        return Events(decided(working, chunks, told, pause), self._left, headers)

    def _counted(self, name: str, found: Answered, spent: float) -> None:
        self.counts.answered(name, found.called, found.failures, found.again, found.cost)
        self.counts.took(name, 200, spent, spent - found.waited)
        self._record(name, 200, spent, **told_of(found))

    def _owners(self) -> dict[str, str]:
        return dict.fromkeys(self.policies, "ensemble-lab") | dict.fromkeys(self.members, "member")

    def _left(self) -> None:
        self._waiting -= 1

    def _refused(self, error: ApiError, name: str, start: float) -> Response:
        spent = time.perf_counter() - start

        def after() -> None:
            self.counts.took(name, error.status, spent, None)
            self._record(name, error.status, spent, error=error.code)

        return Json(error.body, error.status, headers=error.headers, after=after)

    def _record(self, name: str, status: int, seconds: float, **told) -> None:
        if self.recorder is None:
            return
        asked = dict(ASKED.get())
        body = asked.pop("body") or {"messages": []}
        asked |= {"question": last_question(body), "messages": body["messages"]}
        asked["group"] = (body.get("metadata") or {}).get("group")
        self.recorder.write(asked | {"policy": name, "status": status, "seconds": seconds} | told)

    def _way(self, way: str) -> str:
        """The gateways that a request has passed, with this one."""
        passed = way.split(",") if way else []
        if self._id in passed or len(way) > 33 * MOST_GATEWAYS:
            raise ApiError(
                508,
                "the request came back to a gateway that it had passed, or passed too many: a"
                " member is a gateway that asks this one; name another address for it",
                code="circle",
                retry=False,
            )
        return ",".join([*passed, self._id])

    def _known(self, name: str) -> str:
        if name in self.policies or name in self.members:
            return name
        hint = nearest(name, [*self.policies, *self.members])
        raise ApiError(
            404, f"no model {shown(name, 60)}{hint}", param="model", code="model_not_found"
        )
