"""Streamed completions: of one member as it writes, of a policy once it has decided."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from ensemble_lab.systems.serve.chunks import WAITING, Chunks, event
from ensemble_lab.systems.serve.ignored import ignored, why_ignored
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.protocol import ApiError
from ensemble_lab.systems.serve.wire import Reply, UpstreamError


class Events(StreamingResponse):
    """An event stream; `left` is called once, when it is over or its client is gone."""

    def __init__(
        self, events: AsyncIterator[bytes], left: Callable[[], None], headers: Mapping[str, str]
    ):
        # Proxies such as nginx keep events back unless they are told not to.
        usual = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers={**usual, **headers})
        self._left = left

    async def __call__(self, scope, receive, send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


class MemberStream:
    """One member's events, repaired: role first, usage only when asked for, an end.

    `begin` raises what the server answers instead of a stream; then errors are events.
    """

    def __init__(self, member: Member, name: str, body: Mapping[str, Any], chunks: Chunks):
        self._member, self._name, self._body, self._chunks = member, name, body, chunks
        self.usage: dict[str, int] = {}
        self.failed: str | None = None
        self.whole, self._said = False, {}

    async def begin(self, deadline: float) -> None:
        """Wait for the first event."""
        if self._member.local:  # its completion is whole
            self._reply = await self._member.ask(self._body, deadline)
            self._first, self._rest = self._chunks.of_completion(self._reply.body), None
            return
        self._rest = self._member.stream(self._body, deadline)
        try:
            self._first = await self._next()
            if self._first is None:
                raise UpstreamError(502, "stream", f"{self._name} sent no event")
        except BaseException:
            await self._rest.aclose()
            raise

    async def _next(self) -> bytes | None:
        """The next events for the client; None at the end."""
        data = await anext(self._rest, None)
        if data is None or data.strip() == b"[DONE]":
            return None
        try:
            # Not strict: half of a character must not end an answer.
            body = json.loads(data.decode(errors="replace"))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, Mapping):
            raise UpstreamError(502, "stream", f"{self._name} broke off: an event is not JSON")
        if body.get("error") or body.get("object") == "error":
            why = self._member.source.why(data, self._body)
            raise UpstreamError(502, "stream", f"{self._name} broke off{why}")
        self._member.check_model(body)
        add_chunk(self._said, body)
        return self._chunks.of_chunk(body)

    async def events(self, over: Callable[[], None]) -> AsyncIterator[bytes]:
        """All events, to the end or to an error; then, or when the client leaves, `over()`."""
        try:
            part = self._first
            while part is not None:
                if part:
                    yield part
                part = None if self._rest is None else await self._next()
            if not self._chunks.finished:
                raise UpstreamError(502, "stream", f"{self._name} ended without a finish")
            if param := ignored(self._body, self._said.values()):
                raise UpstreamError(400, "ignored", why_ignored(self._name, param))
            self.usage, self.whole = self._chunks.usage, True
            yield self._chunks.end(self.usage)
        except UpstreamError as error:
            self.failed = error.kind
            yield event(ApiError(502, error.message, code=error.kind).body)
        finally:
            try:
                if self._rest is not None:
                    await self._rest.aclose()
            finally:
                over()

    def reply(self, seconds: float) -> Reply:
        """The whole reply, once it is there; `seconds` from the request to its end."""
        if self._member.local:
            return self._reply
        made = {"choices": [*self._said.values()], "usage": self.usage}
        return Reply(200, {}, made, seconds)


def add_chunk(said: dict[int, dict], chunk: Mapping[str, Any]) -> None:
    """Add a chunk to the choices so far, by index: their text, and what else they brought."""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        one = said.setdefault(choice.get("index", 0), {"message": {"content": ""}})
        if isinstance(text := delta.get("content"), str):
            one["message"]["content"] += text
        one["message"] |= {k: v for k in ("tool_calls", "refusal") if (v := delta.get(k))}
        one |= {k: v for k in ("logprobs", "finish_reason") if (v := choice.get(k))}


async def decided(
    working: asyncio.Future, chunks: Chunks, told: Callable[[Any], None], pause: float
) -> AsyncIterator[bytes]:
    """A policy's answer as events: the role, comments while it works, then the whole answer.

    Parameters
    ----------
    working : future of Answered
        Cancelled when the client leaves.
    chunks : Chunks
    told : callable
        Is given the answer, or the error.
    pause : float
        Seconds between comments.
    """
    try:
        if not working.done():
            yield chunks.role()
        while not (await asyncio.wait((working,), timeout=pause))[0]:
            yield WAITING
        try:
            found = working.result()
        except (ApiError, UpstreamError) as error:
            told(error)
            yield event(ApiError(502, str(error), code="member").body)
            return
        told(found)
        yield chunks.of_completion(found.body)
        yield chunks.end(found.usage)
    finally:
        working.cancel()
