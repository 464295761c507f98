"""Event streams as OpenAI's clients read them.

References
----------
OpenAI, API reference, "Chat streaming".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ensemble_lab.systems.serve.protocol import compact, summed, usage_of

DONE = b"data: [DONE]\n\n"
WAITING = b": waiting\n\n"  # a comment: it keeps a connection open, and clients skip it


def event(body: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + compact(body) + b"\n\n"


class Chunks:
    """The chunks of one streamed completion: role first, usage only when asked for.

    Parameters
    ----------
    id, model : str
        As the client reads them.
    include_usage : bool
        Whether the client asked for a last chunk with the token counts.
    """

    def __init__(self, id: str, model: str, include_usage: bool):
        self._head = {"id": id, "object": "chat.completion.chunk", "created": int(time.time())}
        self._head |= {"model": model}
        self._asked, self._begun = include_usage, {}
        self.finished, self.usage = False, {}

    def _event(self, choices: list) -> bytes:
        return event(self._head | {"choices": choices} | ({"usage": None} if self._asked else {}))

    def role(self) -> bytes:
        """The first chunk, where the text is not known yet."""
        return self._event([self._with_role({"delta": {"content": ""}})])

    def of_completion(self, body: Mapping[str, Any]) -> bytes:
        """A whole completion as chunks: its message, then its finish."""
        self.usage = usage_of(body)
        chunks = []
        for choice in body["choices"]:
            end = {"index": choice.get("index", 0), "finish_reason": choice.get("finish_reason")}
            whole = {"index": end["index"], "delta": choice["message"], "finish_reason": None}
            end["finish_reason"] = end["finish_reason"] or "stop"
            whole |= {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
            chunks += [self._event([self._with_role(whole)]), self._event([{**end, "delta": {}}])]
        self.finished = True
        return b"".join(chunks)

    def of_chunk(self, body: Mapping[str, Any]) -> bytes:
        """A server's chunk, repaired; usage is kept for the end."""
        if body.get("usage"):
            self.usage = usage_of(body) or self.usage
        choices = [self._with_role(choice) for choice in body.get("choices") or ()]
        if not choices:
            return b""
        self.finished |= any(choice["finish_reason"] for choice in choices)
        made = {**body, **self._head, "choices": choices}
        made.pop("usage", None)
        return event(made | {"usage": None} if self._asked else made)

    def _with_role(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        index, delta = choice.get("index", 0), choice.get("delta") or {}
        if index not in self._begun:
            self._begun[index] = []
            if not delta.get("role"):
                delta = {**delta, "role": "assistant"}
        if delta.get("tool_calls"):
            delta = {**delta, "tool_calls": self._numbered(index, delta["tool_calls"])}
        return {"finish_reason": None, **choice, "index": index, "delta": delta}

    def _numbered(self, index: int, calls: Any) -> list:
        """Tool calls with the index by which clients join their parts.

        Where a server leaves it out, a part with an id begins a call, one without continues it.
        """
        calls, ids = calls if isinstance(calls, list) else [calls], self._begun[index]
        numbered = []
        for call in calls:
            if isinstance(call, Mapping) and call.get("index") is None:
                if (one := call.get("id")) and one not in ids:
                    ids.append(one)
                place = ids.index(one) if one else max(len(ids) - 1, 0)
                call = {**call, "index": place}
            numbered.append(call)
        return numbered

    def end(self, usage: Mapping[str, int]) -> bytes:
        """The usage, if asked for, and the end of the stream."""
        last = event(self._head | {"choices": [], "usage": summed([usage])}) if self._asked else b""
        return last + DONE
