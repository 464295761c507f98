"""`ignored`: the parameter of a request that a server passed over without a word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

FORCING = ("function", "custom")  # kinds of `tool_choice` that name a tool
JSON_FORMS = ("json_object", "json_schema")


def ignored(asked: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> str | None:
    """The first parameter that shows in no choice of a completion, or None.

    Some servers drop what they do not know, `transformers serve` with a line in its own log. Its
    client would take one choice for two, or prose for JSON, and nothing would say so. So the
    gateway answers 400 with the parameter and the code ``"ignored"``: a client is told what to
    leave out, and the official one does not try again. The call was made and is paid: the headers
    of the error say who was called and what it cost, and the metrics count it. There is no setting
    that drops parameters; a client that can do without one leaves it out.

    A policy asks no member for `n`, tools or images, so this is for members that are asked by name.
    What was cut short by `max_tokens` is not held against a server. Nor is a parameter whose effect
    does not show in a reply, such as `seed`: nobody can tell.

    Parameters
    ----------
    asked : mapping
        The request, checked.
    choices : several mappings
        Of the whole completion.

    Examples
    --------
    >>> ignored({"n": 2}, [{"message": {"content": "4"}}])
    'n'
    """
    if len(choices) < (asked.get("n") or 1):
        return "n"
    written = [one for one in choices if one["message"].get("content")]
    if asked.get("logprobs") and any(not one.get("logprobs") for one in written):
        return "logprobs"
    ended = [one["message"] for one in choices if one.get("finish_reason") == "stop"]
    tool = asked.get("tool_choice")
    forced = tool == "required" or (isinstance(tool, Mapping) and tool.get("type") in FORCING)
    if forced and any(not one.get("tool_calls") and not one.get("refusal") for one in ended):
        return "tool_choice"
    form = asked.get("response_format")
    wants_json = isinstance(form, Mapping) and form.get("type") in JSON_FORMS
    texts = [one["content"] for one in ended if isinstance(one.get("content"), str)]
    return "response_format" if wants_json and not all(map(_is_json, texts)) else None


def why_ignored(name: str, param: str) -> str:
    """The message about it."""
    return f"{param}: the server of {name} took no notice of it; leave it out, or ask another model"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
