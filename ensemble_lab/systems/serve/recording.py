"""`TrafficLog`: every request that a gateway answered, as a recording that tables are made from.

The lines of a request are made when its reply was sent, and a thread of the log's own writes them,
all that came in `INTERVAL` seconds by one call of the system: a request waits for no disk.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.recordings.journal import TAKEN, lock
from ensemble_lab.core.recordings.lines import json_line, loads
from ensemble_lab.core.recordings.recording import HEADER
from ensemble_lab.systems.serve.lines import check_key, lines_of

INTERVAL = 0.1  # seconds: a crash loses the requests of so long at most
MOST_WAITING = 10_000  # requests that are not written yet; further ones are not recorded
PATIENCE = 10.0  # seconds in which the rest is written at the end
LOG = logging.getLogger("ensemble_lab.serve")


class TrafficLog:
    """A file with every request that a gateway answered or refused, for `read_traffic`.

    The file is a recording, as `ensemble_lab.record` writes it: one line of facts a request and one
    line a member that was asked, so that `Outcomes.read` reads it too, also while it is written. It
    is continued after a crash; a line that the crash cut short is removed. A process that is killed
    loses what it answered in its last 0.1 s, and a machine without power what its system had not
    put on the disk. Only this user may read a new file. One gateway at a time writes to it.

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
        Requests in the file, and those that are not: the disk was full, or too many waited for it.
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
            check_key(key)
        self.path, self.prompts, self._key = Path(path), prompts, key
        self.written = self.lost = self.cut = 0
        self._said = False
        self._open()
        self._waiting: deque[bytes] = deque()
        self._wake, self._closing = Event(), Event()
        self._writing, self._counting = Lock(), Lock()
        self._writer = Thread(target=self._write_all, name="traffic", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def write(self, request: Mapping[str, Any]) -> None:
        """Put the lines of one request where the writer takes them; never wait for the disk.

        See `lines_of` for what a request holds.
        """
        if len(self._waiting) >= MOST_WAITING or not self._writer.is_alive():
            self._lose("too many wait to be written")
            return
        try:
            lines = lines_of(request, self.prompts, self._key)
            self._waiting.append("".join(map(json_line, lines)).encode())
        except Exception as error:  # its text may hold a prompt
            self._lose(f"a request cannot be written ({type(error).__name__})")
            return
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write all that waits."""
        with self._writing:
            batch = []
            while self._waiting:  # others may add at the same time
                batch.append(self._waiting.popleft())
            if not batch:
                return
            try:
                self._append(b"".join(batch))
                self.written += len(batch)
                self._said = False
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or type(error).__name__
                self._lose(why, len(batch))

    def close(self) -> None:
        """Write the rest, and close the file."""
        atexit.unregister(self.close)
        self._closing.set()
        self._wake.set()
        self._writer.join(PATIENCE)
        if not self._writer.is_alive():
            self.flush()
            self._file.close()

    def _write_all(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            # One write for the requests of so many seconds: to wake a thread costs the most.
            self._closing.wait(INTERVAL)
            self._wake.clear()
            self.flush()

    def _lose(self, why: str, requests: int = 1) -> None:
        """Count requests that are not in the file; say so once until it goes well again."""
        with self._counting:
            self.lost += requests
            said, self._said = self._said, True
        if not said:
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
