"""The Hub, and the keys for it and for endpoints: where they are, never what they are."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ensemble_lab.doctor.finding import Finding

HUB = "https://huggingface.co"
ENDPOINT_KEY = "OPENAI_API_KEY"
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # in the order of the checks


def hub(address: str | None = None, seconds: float = 2.0) -> Finding:
    """Whether the Hugging Face Hub answers within `seconds`."""
    address = without_secrets(address or os.environ.get("HF_ENDPOINT", HUB))
    fix = f"see why: curl -I {address}   (smollm2 needs no hub)"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("Hugging Face Hub", "switched off", False, "unset HF_HUB_OFFLINE")
    answers = []
    # In a thread, because a name look-up has no timeout.
    asking = threading.Thread(target=lambda: answers.append(_asked(address, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    why = answers[0] if answers else f"no answer in {seconds:g} s"
    if why:
        return Finding("Hugging Face Hub", f"{address} not reachable: {why}", False, fix)
    return Finding("Hugging Face Hub", f"{address} answers")


def without_secrets(address: str) -> str:
    """An address without user, password and query, which may be keys."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "an address that cannot be read"


def _asked(address: str, seconds: float) -> str:
    """The error of a request to `address`; empty if it answered."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(address, method="HEAD"), timeout=seconds).close()
    except HTTPError as error:
        return f"status {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError, HTTPException) as error:
        return str(getattr(error, "reason", error))
    return ""


def keys() -> list[Finding]:
    """Where keys come from and where they are sent: never the keys or parts of them.

    The key for endpoints goes to any endpoint that is named, over https or to this machine.
    """
    token = next((name for name in HUB_TOKENS if os.environ.get(name, "").strip()), None)
    file = _token_file()
    if token:
        source = f"the variable {token} is set"
    else:
        source = f"none in {' or '.join(HUB_TOKENS)}"
        source += f"; the file {file} has one" if _holds_text(file) else f", none in {file}"
    asked = os.environ.get(ENDPOINT_KEY, "").strip()
    own = f"the variable {ENDPOINT_KEY} is set" if asked else f"none in {ENDPOINT_KEY}"
    return [
        Finding(
            "key for endpoints", f"{own}; it goes to the endpoints you name, not over plain http"
        ),
        Finding("key for the Hub", f"{source}; it goes only to the Hub, with the names of models"),
    ]


def _token_file() -> Path:
    """The file in which the Hub's own package stores the key of a log-in."""
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    # Not by Path.expanduser, which a user without a home stops.
    return Path(os.path.expanduser(os.environ.get("HF_TOKEN_PATH") or Path(home, "token")))


def _holds_text(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except (OSError, ValueError):
        return False
