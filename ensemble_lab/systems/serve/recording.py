"""`TrafficLog`: every request that a gateway answered, as a recording that tables are made from.

Requests are written by a thread of the log's own, each by one call of the system: a request waits
for a place in a queue and for nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import hmac
import logging
import os
import queue
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.identity import identity
from ensemble_lab.core.recordings.journal import TAKEN, lock
from ensemble_lab.core.recordings.lines import json_line, loads
from ensemble_lab.core.recordings.recording import HEADER
from ensemble_lab.core.reply import Reply, entry, exact, in_utf8
from ensemble_lab.core.states import MEASURES

MOST_WAITING = 10_000  # requests in the queue; further ones are not recorded
PATIENCE = 10.0  # seconds in which the rest is written at the end
ABOUT = ("time", "policy", "status", "seconds", "rule", "chosen", "answer", "error")
LOG = logging.getLogger("ensemble_lab.serve")


class TrafficLog:
    """A file with every request that a gateway answered or refused, for `read_traffic`.

    The file is a recording, as `ensemble_lab.record` writes it: one line of facts a request and one
    line a member that was asked, so that `Outcomes.read` reads it too, also while it is written. It
    is continued after a crash; a line that the crash cut short is removed. Only this user may read
    a new file. One gateway at a time writes to it.

    Of a question the log holds a hash. A reader of the file who guesses a question can check the
    guess, so short questions, names and numbers are no secret: with `key` only those who know the
    key can. An answer is what `parse` took from a reply: with ``"exact"`` it is the whole reply.
    Features, such as the length of a question, and the client's group and request id are written
    as they are. Requests without the gateway's own key are not recorded.

    Parameters
    ----------
    path : path
        ``*.jsonl``; made with its folder.
    prompts : bool
        Write the messages of every request and the texts of all replies too.
    key : str, optional
        Makes the hash of a question one that cannot be computed without this key.

    Attributes
    ----------
    written, lost : int
        Requests in the file, and those that are not: the disk or the queue was full.
    cut : int
        Incomplete lines that were removed when the file was opened: 0 or 1.

    Raises
    ------
    ValueError
        A path that is not ``*.jsonl``, an empty key, or a file that is not a recording; it is not
        changed.
    BlockingIOError
        Another gateway, or `record`, writes there.

    Examples
    --------
    >>> gateway = app(policy, members, recorder=TrafficLog("traffic.jsonl"))  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, prompts: bool = False, key: str | None = None):
        if not isinstance(path, str | Path) or Path(path).suffix != ".jsonl":
            name = Path(path).name if isinstance(path, str | Path) else path
            raise ValueError(f"a traffic log is {shown(name)}; give a path that ends in .jsonl")
        if not isinstance(prompts, bool):
            raise ValueError(f"prompts is {shown(prompts)}; give true or false")
        if key is not None:
            _check_key(key)
        self.path, self.prompts, self._key = Path(path), prompts, key
        self.written = self.lost = self.cut = 0
        self._said = False
        self._open()
        self._queue: queue.Queue = queue.Queue(MOST_WAITING)
        self._writer = threading.Thread(target=self._write_all, name="traffic", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def write(self, request: Mapping[str, Any]) -> None:
        """Put one request into the queue; see `lines_of` for what it holds. Never blocks."""
        try:
            if not self._writer.is_alive():
                raise queue.Full
            self._queue.put_nowait(request)
        except queue.Full:
            self._lose("too many wait to be written")

    def flush(self) -> None:
        """Wait until all that was put into the queue is in the file."""
        self._queue.join()

    def close(self) -> None:
        """Write the rest, and close the file."""
        atexit.unregister(self.close)
        if self._writer.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=PATIENCE)
            self._writer.join(PATIENCE)
        if not self._writer.is_alive():
            self._file.close()

    def _write_all(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                lines = lines_of(request, self.prompts, self._key)
                self._append("".join(map(json_line, lines)).encode())
                self.written += 1
                self._said = False
            except OSError as error:
                self._lose(error.strerror or type(error).__name__)
            except Exception as error:  # its text may hold a prompt
                self._lose(f"a request cannot be written ({type(error).__name__})")
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _lose(self, why: str) -> None:
        """Count a request that is not in the file, and say so once until it goes well again."""
        self.lost += 1
        if not self._said:
            self._said = True
            LOG.error("requests are not recorded in %s: %s; serving goes on", self.path, why)

    def _append(self, data: bytes) -> None:
        if not self._is_there():  # moved away by a rotation, or removed
            self._file.close()
            self._open()
        size = os.fstat(self._file.fileno()).st_size
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(size)  # no half a line stays
            raise

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except (FileNotFoundError, ValueError):  # ValueError: closed, as it could not be opened
            return False

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b", buffering=0, opener=_private)
        try:
            try:
                lock(self._file)
            except OSError as error:
                if error.errno in TAKEN:
                    raise BlockingIOError(
                        f"{shown(str(self.path), 150)} is written by another gateway or by record;"
                        " give each its own path"
                    ) from None
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> None:
        """Check the first line, and close off the last one."""
        header = json_line(HEADER).encode()
        self._file.seek(0)
        first = self._file.read(len(header))
        if first.rstrip(b"\r\n") != header[:-1] and not header.startswith(first):
            raise ValueError(
                f"{shown(str(self.path), 150)} is not a recording that can be continued; give a"
                " path that does not exist"
            )
        end, tail = _last_line(self._file)
        if tail and _is_whole(tail):
            self._file.write(b"\n")  # an editor may have trimmed it
        elif tail:
            self._file.truncate(end)
            self.cut += 1
        if not os.fstat(self._file.fileno()).st_size:
            self._file.write(header)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
    _check_key(key)
    made = hmac.new(key.encode(), question.encode(errors="surrogatepass"), hashlib.sha256)
    return made.hexdigest()[:32]


def _check_key(key) -> None:
    if not isinstance(key, str) or not key:
        raise ValueError("the key of the hashes is empty or no text; give text, or None")


def _last_line(file) -> tuple[int, bytes]:
    """Where the last line without an end begins, and its bytes; empty where the file ends well."""
    end, tail = file.seek(0, os.SEEK_END), b""
    while end and b"\n" not in tail:
        start = max(end - 2**16, 0)
        file.seek(start)
        tail, end = file.read(end - start) + tail, start
    at = tail.rfind(b"\n") + 1
    return end + at, tail[at:]


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(loads(line), dict)
    except ValueError:
        return False
