"""What OpenAI's clients read and write: requests, completions and errors; streams are in `chunks`.

What is written is strict, as clients are; what is read from other servers is not, as they are not.

References
----------
OpenAI, API reference, "Chat", "Chat streaming" and "Error codes".
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ensemble_lab.core.errors import excerpt
from ensemble_lab.models.endpoints.completion import count

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
LONGEST = 86_400.0  # seconds, of a wait
_ENCODER = json.JSONEncoder(separators=(",", ":"))
SINGLE = ("tools", "tool_choice", "functions", "function_call", "audio", "modalities")


class ApiError(Exception):
    """An error in OpenAI's form.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        The bad value and the fix; no key and no prompt.
    param : str, optional
        The parameter of the request that is wrong.
    code : str, optional
        A word for programs, such as ``"model_not_found"``.
    retry_after : float, optional
        Seconds.
    retry : bool, optional
        Whether the client should try again; by default it decides by the status.
    more : mapping of str, optional
        Further headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retry: bool | None = None,
        more: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.more = more or {}
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after, self.retry = retry_after, retry

    def __reduce__(self):
        return ApiError, (self.status, self.message), self.__dict__

    @property
    def body(self) -> dict[str, Any]:
        """``{"error": {…}}``."""
        usual = "invalid_request_error" if self.status < 500 else "server_error"
        kind = KINDS.get(self.status, usual)
        about = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": about}

    @property
    def headers(self) -> dict[str, str]:
        """Advice to the client about trying again, and `more`."""
        advice = dict(self.more)
        if self.retry_after is not None:
            seconds = min(max(self.retry_after, 0.0), LONGEST)
            advice["retry-after"] = str(math.ceil(seconds))
            if seconds % 1:
                advice["retry-after-ms"] = str(math.ceil(seconds * 1e3))
        if self.retry is not None:
            advice["x-should-retry"] = str(self.retry).lower()
        return advice


class StreamOptions(BaseModel):
    """Options of an event stream."""

    model_config = ConfigDict(extra="allow", strict=True)
    include_usage: bool | None = None


class Message(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="allow", strict=True)
    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(BaseModel):
    """The fields of a chat completion that the gateway reads; it passes others on unread."""

    model_config = ConfigDict(extra="allow", strict=True)
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=128)
    metadata: dict[str, str] | None = None


def chat_request(content: bytes) -> dict[str, Any]:
    """The body of a chat completion, checked.

    Raises
    ------
    ApiError
        400: no JSON, or a field of another type: named.
    """
    try:
        body = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = "nested too deep" if isinstance(error, RecursionError) else excerpt(_why(error))
        raise ApiError(400, f"the body is not JSON: {where}", code="invalid_json") from None
    try:
        ChatRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        where = param or "the body"
        raise ApiError(400, f"{excerpt(where)}: {first['msg']}", param=param) from None
    if body.get("stream_options") and not body.get("stream"):
        raise ApiError(400, "stream_options is for stream: true", param="stream_options")
    return body


def _refuse_constant(word: str):
    raise ValueError(f"{word} is no number of JSON")


def _why(error: ValueError) -> str:
    """The reason without the text of the body, which is not repeated."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error)


def single_only(body: Mapping[str, Any]) -> None:
    """Refuse what one model answers and a policy over several cannot.

    Raises
    ------
    ApiError
        400: tools, images, sound, or `n` above 1.
    """
    asked = [name for name in SINGLE if body.get(name) not in (None, [], "none", ["text"])]
    asked += ["n"] * ((body.get("n") or 1) > 1)
    parts = (p for m in body["messages"] for p in m.get("content") or () if isinstance(p, dict))
    asked += ["messages"] * any(part.get("type") != "text" for part in parts)
    if asked:
        what = "parts other than text" if asked[0] == "messages" else "this parameter"
        raise ApiError(
            400,
            f"{asked[0]}: a policy over several models does not take {what}; ask one of its members"
            " by name",
            param=asked[0],
        )


def text_in(message: Mapping[str, Any]) -> str:
    """The text of one message, of its parts where it has several."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if isinstance(part.get("text"), str))


def models_list(names: Mapping[str, str], created: int) -> dict[str, Any]:
    """The list of models, from name to owner."""
    about = {"object": "model", "created": created}
    data = [{"id": name, **about, "owned_by": owner} for name, owner in names.items()]
    return {"object": "list", "data": data}


def usage_of(body: Mapping[str, Any]) -> dict[str, int]:
    """The token counts of a completion or chunk; empty where a server gives none."""
    given = body.get("usage")
    given = given if isinstance(given, Mapping) else {}
    found = {name: n for name in COUNTS if (n := count(given.get(name))) is not None}
    if {"prompt_tokens", "completion_tokens"} <= found.keys():
        found["total_tokens"] = found["prompt_tokens"] + found["completion_tokens"]
    return found


def summed(usages: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Token counts of several calls."""
    usages = list(usages)
    return {name: sum(one.get(name, 0) for one in usages) for name in COUNTS}


def repaired(body: Mapping[str, Any]) -> dict[str, Any]:
    """A server's completion with the fields that clients need, where it left them out."""
    choices = []
    for index, choice in enumerate(body["choices"]):
        message = {"role": "assistant", "content": None, "refusal": None, **choice["message"]}
        choices.append({"index": index, "logprobs": None, **choice, "message": message})
        choices[-1]["finish_reason"] = choice.get("finish_reason") or "stop"
    given = {name: value for name, value in body.items() if value is not None}
    head = {"id": given.get("id") or new_id(), "created": int(time.time())}
    return {**head, **given, "object": "chat.completion", "choices": choices}


def new_id() -> str:
    """An id for a completion."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def completion(model: str, text: str | None, usage: Mapping[str, int]) -> dict[str, Any]:
    """A whole completion; text None is an abstention."""
    message = {"role": "assistant", "content": text, "refusal": None}
    if text is None:
        message["refusal"] = "The policy gave no answer."
    choice = {"message": message}
    return repaired({"model": model, "choices": [choice], "usage": summed([usage])})


def compact(body: Any) -> bytes:
    """JSON in ASCII alone, so that no half of a character can break it."""
    return _ENCODER.encode(body).encode()
