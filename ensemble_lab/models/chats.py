"""The messages of a chat: looked at one by one, and as text where a model reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reply import in_utf8
from ensemble_lab.models.errors import ModelError

ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython")
TEXTS = ("text", "input_text", "output_text")  # what providers call a part that is text
HALF = "holds half a character; take it out, as text.encode('utf-8', 'ignore').decode() does"


def plain(part: Any) -> Any:
    """A numpy scalar or a tensor without dimensions as Python's own number."""
    return part.item() if hasattr(part, "item") and getattr(part, "ndim", 1) == 0 else part


def chat(messages: Sequence[Mapping]) -> list[dict[str, Any]]:
    """Messages that were looked at, one by one.

    Raises
    ------
    ModelError
        A message without role or content, of an unknown role, or whose content is neither text
        nor a list of parts.
    """
    for number, message in enumerate(messages, 1):
        if wrong := _fault(message):
            few = [{k: plain(v) for k, v in one.items()} for one in messages[:3]]
            raise ModelError(
                f"prompt {shown(few)} is neither text nor a list of messages: message"
                f" {number} {wrong}"
            )
    return [dict(message) for message in messages]


def _fault(message: Mapping) -> str | None:
    """What is wrong with a message, and the fix."""
    for key in ("role", "content"):
        if key not in message:
            return f"has no {key!r}; write {{'role': 'user', 'content': ...}}"
    role, content = message["role"], message["content"]
    if role not in ROLES:
        return f"has the role {shown(role, 30)}; use one of {', '.join(ROLES[:4])}, {ROLES[4]}"
    if isinstance(content, str) or (content is None and message.get("tool_calls")):
        return None
    if isinstance(content, list | tuple) and content:
        for part in content:
            kind = part.get("type") if isinstance(part, Mapping) else None
            text = kind not in TEXTS or isinstance(part.get("text"), str)
            if not isinstance(kind, str) or not text:
                return f"has the part {shown(part, 40)}; write {{'type': 'text', 'text': ...}}"
        return None
    return f"has the content {shown(content, 40)}; give text, or a list of parts with text"


def spoken(messages: Sequence[Mapping]) -> list[dict[str, Any]]:
    """Messages whose content is text: the text parts of each stand behind one another.

    Raises
    ------
    ModelError
        A part of another type, such as an image.
    """
    return [{**message, "content": _text(message["content"])} for message in messages]


def _text(content: Any) -> Any:
    if not isinstance(content, list | tuple):
        return content
    for part in content:
        if part["type"] not in TEXTS:
            raise ModelError(
                f"a message holds a part of type {shown(part['type'], 40)}, and this model reads"
                " text only: leave that part out, or load a model of that kind by 'openai:...'"
            )
    return "".join(part["text"] for part in content)


def check_characters(*parts: Any) -> None:
    """Refuse texts with half a character, which no tokenizer reads; what is no text is passed over.

    Raises
    ------
    ModelError
        The text, and the fix.
    """
    for text in parts:
        if isinstance(text, str) and in_utf8(text) != text:
            raise ModelError(f"prompt {shown(text)} {HALF}")
