"""The request of a chat completion, and the facts in its response."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from ensemble_lab.core.errors import excerpt as cut
from ensemble_lab.core.errors import shown
from ensemble_lab.models.chats import HALF
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import Prompt, mean_probability

ROUNDING = 1e-6  # by so much a log-probability may exceed 0 in a server's float32
MOST_TOKENS = 2**53


def messages(item: Prompt) -> list[dict[str, Any]]:
    """A prompt as chat messages: a text, one message, or a list of messages.

    The content of a message is sent unchanged: text, or a list of parts.
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
    if not tokens or not all(is_number(token) and token <= ROUNDING for token in tokens):
        return None
    return mean_probability([min(token, 0.0) for token in tokens])


def count(value) -> int | None:
    """A number of tokens, or None for another value."""
    if not is_number(value) or not 0 <= value <= MOST_TOKENS or value != int(value):
        return None
    return int(value)


def reason(content: bytes) -> str:
    """The message in an error's JSON, where one of the usual fields has one."""
    text = content.decode(errors="replace")
    try:
        found = parsed(content)
    except ValueError:
        return text
    for name in ("error", "message", "detail"):
        found = found.get(name, found) if isinstance(found, dict) else found
    return found if isinstance(found, str) else text


def parsed(content: bytes) -> Any:
    """The value in JSON.

    Raises
    ------
    ValueError
        Not JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None


def excerpt(text: str) -> str:
    """A text for a message, without quotes and without control characters."""
    return cut("".join(c if c.isprintable() else " " for c in text[:4000]))


def fix(status: int) -> str:
    """The fix for a common HTTP error."""
    fixes = {
        401: "give key= or set OPENAI_API_KEY to a valid key",
        403: "give key= or set OPENAI_API_KEY to a key that may use this model",
        404: "check the address and the model's name",
        429: "the service limits your rate: ask more slowly",
    }
    return f" ({fixes[status]})" if status in fixes else ""


def is_number(value) -> bool:
    """Whether a server's or a caller's value is a finite number."""
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number of 400 digits
        return False


def is_price(price) -> bool:
    """Whether this is USD per million input tokens and per million output tokens."""
    pair = isinstance(price, Sequence) and len(price) == 2
    return pair and all(is_number(usd) and usd >= 0 for usd in price)


def field(what: str, value) -> int | float:
    """A field of the request, ready for JSON.

    Raises
    ------
    ValueError
        A value that servers do not take.
    """
    if what == "temperature":
        if not is_number(value) or value < 0:
            raise ValueError(f"temperature={shown(value)} must be a number, 0 or above")
        return float(value)
    if not is_number(value) or value != int(value) or (what == "max_tokens" and value < 1):
        least = " above 0" if what == "max_tokens" else ""
        raise ValueError(f"{what}={shown(value)} must be a whole number{least}")
    return int(value)


def written(body: dict, item: Prompt) -> bytes:
    """The request as JSON.

    Raises
    ------
    ModelError
        A prompt that JSON cannot hold.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        why = f"it {HALF}"
    except RecursionError:
        raise ModelError("the prompt is nested too deep to be sent as JSON") from None
    except (TypeError, ValueError) as error:
        why = excerpt(str(error))
        if "Circular" in why:
            raise ModelError("the prompt contains itself, which JSON cannot express") from None
    raise ModelError(f"prompt {shown(item)} cannot be sent as JSON: {why}")
