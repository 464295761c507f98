"""Keys and passwords: sent only to their server, and never shown."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

from ensemble_lab.models.errors import ModelError

VARIABLE = "OPENAI_API_KEY"
GONE = "[key]"  # shown in place of a key
PART = 8  # a part of a key with so many characters is hidden too
SHORTEST = 3  # a shorter value is not a secret, and hiding it would damage ordinary text


def given_key(key) -> str | None:
    """The key that a caller gave, without the spaces and the end of line around it.

    Raises
    ------
    ValueError
        Not text, empty, or refused by `checked`; the key is not shown.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        raise ValueError(f"key= is {type(key).__name__}; give it as text")
    if not key.strip():
        raise ValueError("key= is empty; leave it out, or give the key")
    return checked(key, "key=")


def environment_key() -> str | None:
    """The key in `OPENAI_API_KEY`, if there is one; see `checked`."""
    key = os.environ.get(VARIABLE, "")
    return checked(key, VARIABLE) if key.strip() else None


def checked(key: str, where: str) -> str:
    """A key that is allowed in a header, without surrounding space.

    Raises
    ------
    ModelError
        Characters that are not allowed in a header; the key is not shown.
    """
    key = key.strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise ModelError(
            f"{where} holds a space, a control character or a letter outside ASCII; give the key"
            " alone, as the service shows it"
        )
    return key


class Secrets:
    """Texts that messages, replies and logs must not contain, in all forms that servers repeat.

    Parameters
    ----------
    texts : iterable of str or None
        Keys, passwords and values of queries.
    """

    def __init__(self, texts: Iterable[str | None]):
        self._texts = sorted({t for t in texts if t and len(t) >= SHORTEST}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Secrets({len(self._texts)})"

    def out_of(self, text: str) -> str:
        """`text` without any secret, its longer parts and its encoded forms."""
        for secret in self._texts:
            if len(secret) < PART:  # such as "EMPTY": only where it is a separate word
                alone = rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])"
                text = re.sub(alone, GONE, text)
                continue
            for form in _forms(secret):
                text = _without(text, form)
        return text

    def out_of_reply(self, content: bytes) -> bytes:
        """A server's text without complete keys, as it may go into a recording.

        Only complete and long keys: an answer may contain a word that equals a short key.
        """
        for secret in self._texts:
            if len(secret) >= 2 * PART:
                content = content.replace(secret.encode(errors="surrogateescape"), GONE.encode())
        return content


def _forms(secret: str) -> list[str]:
    """The secret itself, percent-encoded, in hexadecimal and in base64."""
    raw = secret.encode(errors="surrogateescape")
    forms = [secret, quote(raw, safe=""), "".join(f"%{byte:02X}" for byte in raw), raw.hex()]
    for skipped in range(3):  # at any offset in the encoded text
        coded = base64.b64encode(b"\0" * skipped + raw).decode()
        # The first and last characters also depend on the neighbouring text.
        core = coded[(0, 2, 3)[skipped] :].rstrip("=")
        core = core if (skipped + len(raw)) % 3 == 0 else core[:-1]
        forms += [core, core.replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(forms))


def _without(text: str, form: str) -> str:
    """`text` with `GONE` for every run of at least `PART` characters that occurs in `form`."""
    small, low = form.lower(), text.lower()
    if len(low) != len(text):  # a letter whose lower case is longer
        small, low = form, text
    pieces = {small[i : i + PART] for i in range(len(small) - PART + 1)}
    kept, at = [], 0
    while at < len(text):
        if low[at : at + PART] not in pieces:
            kept.append(text[at])
            at += 1
            continue
        end = at + PART
        while end < len(text) and low[at : end + 1] in small:
            end += 1
        kept.append(GONE)
        at = end
    return "".join(kept).replace(GONE + GONE, GONE)
