"""A server's reason for an error, as far as it may be shown: no key, and nothing of the prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ensemble_lab.models.endpoints.completion import excerpt, reason
from ensemble_lab.models.patience import without_secrets

QUOTED = 16  # characters of a prompt in a row: a text with so many is not shown


def shown_reason(content: bytes, asked: Mapping[str, Any], key: str | None) -> str:
    """The end of an error's message: the server's reason, unless it quotes the prompt.

    Parameters
    ----------
    content : bytes
        What the server sent.
    asked : mapping
        The request.
    key : str or None
        Of the gateway, for this server.
    """
    text = reason(content)[:4000]
    if key:
        text = text.replace(key, "…")
    if any(_quotes(text, part) for part in _texts(asked.get("messages"))):
        return "; its reason is not shown, for it quotes the prompt"
    text = excerpt(without_secrets(text))
    return f": {text}" if text else ""


def _texts(value: Any) -> Iterator[str]:
    """Every text of a chat that a user or a program wrote."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if name not in ("role", "type"):
                yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _quotes(text: str, prompt: str) -> bool:
    """Whether a text holds a piece of a prompt, as it is or as JSON writes it."""
    piece = min(QUOTED, len(prompt))
    written = json.dumps(prompt)[1:-1]
    return piece > 3 and any(
        text[i : i + piece] in whole
        for whole in {prompt, written, written.replace("\\n", " ")}
        for i in range(len(text) - piece + 1)
    )
