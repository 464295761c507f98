"""What goes into a chat completion, and what can be told from what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ensemble_lab.core.errors import MOST_SHOWN, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import Prompt, mean_probability


def messages(item: Prompt) -> list[dict[str, Any]]:
    """A prompt as chat messages: a text, one message, or a list of messages.

    The content of a message goes to the server as it is: text, or a list of parts.
    """
    if isinstance(item, str):
        return [{"role": "user", "content": str(item)}]
    turns = [item] if isinstance(item, Mapping) else item
    if not isinstance(turns, Sequence) or not len(turns) or not all(map(_is_message, turns)):
        raise ModelError(
            f"prompt {shown(item)} is neither text nor a list of {{'role': …, 'content': …}}"
            " messages"
        )
    return [dict(turn) for turn in turns]


def _is_message(turn) -> bool:
    return (
        isinstance(turn, Mapping)
        and isinstance(turn.get("role"), str)
        and isinstance(turn.get("content", 0), str | list | tuple | None)
    )


def confidence(choice: Mapping[str, Any]) -> float | None:
    """Geometric mean of the tokens' probabilities, if the server returned them all."""
    try:
        tokens = [token["logprob"] for token in choice["logprobs"]["content"]]
    except (KeyError, TypeError):
        return None
    return mean_probability(tokens) if tokens and all(map(is_count, tokens)) else None


def reason(content: bytes) -> str:
    """The sentence in an error's JSON, where one of the usual fields holds one."""
    text = content.decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        return text
    for name in ("error", "message", "detail"):
        told = told.get(name, told) if isinstance(told, dict) else told
    return told if isinstance(told, str) else text


def excerpt(text: object) -> str:
    """A text as a message shows it, without quotes."""
    line = " ".join(str(text).split())
    return line if len(line) <= MOST_SHOWN else line[: MOST_SHOWN - 1] + "…"


def mend(status: int) -> str:
    """Say what to do about a common HTTP error."""
    mends = {
        401: "set OPENAI_API_KEY to a valid key",
        403: "set OPENAI_API_KEY to a key that may use this model",
        404: "check the address and the model's name",
        429: "the service limits your rate: ask more slowly",
    }
    return f" ({mends[status]})" if status in mends else ""


def is_count(value) -> bool:
    """Whether a server's or a caller's value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
