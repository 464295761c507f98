"""What a traffic log holds of one request: its facts, and each member's reply."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.identity import identity
from ensemble_lab.core.reply import Reply, entry, exact, in_utf8
from ensemble_lab.core.states import MEASURES

ABOUT = ("time", "policy", "status", "seconds", "rule", "chosen", "answer", "error")


def lines_of(request: Mapping[str, Any], prompts: bool, key: str | None) -> Iterator[dict]:
    """The lines of one request: its facts, then each member's reply or failure.

    Parameters
    ----------
    request : mapping
        ``request``, the client's id, and whether it is ``ours``; ``question`` and ``messages``;
        ``features`` and ``group``; ``replies``, member to its line or to a function that makes it;
        ``failed``, member to a kind of error; and the fields in `ABOUT`.
    prompts : bool
    key : str or None
        Of the hash of the question.
    """
    # A client may send one id twice, and a recording holds an item once.
    given = in_utf8(request["request"])
    item = given if request.get("ours") else f"{given}~{uuid.uuid4().hex[:8]}"
    facts = {name: request[name] for name in ABOUT if request.get(name) is not None}
    facts |= {} if item == given else {"request": given}
    if request.get("question"):
        # The name in `record` is for a hash without a key only.
        name = "asked" if key is None else "keyed"
        facts[name] = question_hash(request["question"], key)
    if request.get("group") is not None:
        facts["group"] = exact(request["group"], "group")
    if request.get("features"):
        facts["features"] = {k: exact(v, "feature") for k, v in request["features"].items()}
    if prompts:
        facts["messages"] = request.get("messages")
    yield {"item": item} | facts
    for name, line in (request.get("replies") or {}).items():
        try:
            line = line() if callable(line) else line
            measures = {measure: line.get(measure) for measure in MEASURES}
            text = line.get("text") if prompts else None
            given = line.get("probability")
            shares = None if given is None else dict(given)
            reply = Reply(line.get("answer"), text=text, probability=shares, **measures)
            yield {"item": item, "model": name} | entry(reply, 0.0, "")
        except Exception as error:  # a reply that could not be read again, as in `record`
            yield {"item": item, "failed": type(error).__name__, "by": name}
    for name, kind in (request.get("failed") or {}).items():
        yield {"item": item, "failed": kind, "by": name}


def question_hash(question: str, key: str | None = None) -> str:
    """The hash by which a traffic log names a question: the text of the user's last message.

    Parameters
    ----------
    question : str
    key : str, optional
        The key of the log, if it has one.

    Raises
    ------
    ValueError
        No text, or a key that is empty.

    Examples
    --------
    >>> question_hash("2 + 2?")
    'b1d48eb2aebca662'
    """
    if not isinstance(question, str):
        raise ValueError(f"the question is {shown(question)}; give its text")
    if key is None:
        return identity(question)
    check_key(key)
    made = hmac.new(key.encode(), question.encode(errors="surrogatepass"), hashlib.sha256)
    return made.hexdigest()[:32]


def check_key(key) -> None:
    """Refuse a key of the hashes that is empty or no text."""
    if not isinstance(key, str) or not key:
        raise ValueError("the key of the hashes is empty or no text; give text, or None")
