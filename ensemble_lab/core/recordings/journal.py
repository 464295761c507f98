"""A recording that is being written: by one writer at a time, without losing a reply."""

from __future__ import annotations

import errno
import os
import warnings
import zlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ensemble_lab.core.errors import shown
from ensemble_lab.core.recordings.lines import json_line
from ensemble_lab.core.recordings.recording import HEADER, Recording
from ensemble_lab.core.recordings.rescue import lacking, rescued

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # errors of a lock that is held elsewhere
FAR = 2**31 - 2  # Windows blocks readers of a locked byte: lock one beyond the end of any recording

_held: dict[tuple[int, int], Journal] = {}  # by device and file number: those of this process


class Journal:
    """Lock a recording for writing until it is closed.

    The lock is on the file itself, so the system releases it when the process is killed.
    `Outcomes.read` may read meanwhile. Where another program changes the file, the missing lines
    are written again; where another program damages it, all replies are written to a file next to
    it.

    Parameters
    ----------
    path : Path
        Created, with its folder, if it does not exist.

    Attributes
    ----------
    recording : Recording
        The content of the file.

    Raises
    ------
    BlockingIOError
        Another process or thread is recording there.
    ValueError
        A file that is not a recording; it is not changed. While writing, and at the end: a file
        that was damaged meanwhile, with the path of the file that holds all replies.
    """

    def __init__(self, path: Path):
        self.path, self._file, self._written = path, None, False
        self._open()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if self._written and not (self._as_we_left_it() and self._checksum() == self._sum):
                self._rejoin(level=4)
        except (OSError, ValueError) as damage:
            if error is None:
                raise
            error.add_note(str(damage))
        finally:
            self.close()

    def write(self, line: dict) -> None:
        """Append one line; the system has it then, so it survives a kill."""
        if self._as_we_left_it():
            self._append(line)
        else:
            self._rejoin([line], level=6)

    def facts(self, item, known: dict) -> None:
        """Record the facts about an item, if they are new."""
        before = self.recording.facts.get(item)
        # Compared as written: two spellings of one number are not the same fact.
        if before is None or json_line(before) != json_line(known):
            self.write({"item": item} | known)
            self.recording.facts[item] = known

    def reply(self, item, model: str, line: dict) -> None:
        """Note a reply."""
        self.write({"item": item, "model": model} | line)
        self.recording.replies[item, model] = line
        self.recording.failed.pop((item, model), None)

    def grade(self, item, model: str, correct: float | None) -> None:
        """Record the grade of a recorded reply."""
        self.write({"item": item, "model": model, "graded": correct})
        self.recording.replies[item, model]["correct"] = correct

    def failed(self, item, model: str, kind: str) -> None:
        """Record that there is no reply, without the error's text, which may hold secrets."""
        line = {"item": item, "failed": kind, "by": model}
        self.write(line)
        self.recording.add(line)

    def close(self) -> None:
        """Close and unlock the file."""
        if self._file is None:
            return
        _held.pop(self._key, None)
        if fcntl is None and msvcrt is not None:
            self._file.seek(FAR)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_UNLCK, 1)
        self._file.close()
        self._file, self._written = None, False

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Unbuffered: a forked process has no half line to write a second time.
            self._file = self.path.open("a+b", buffering=0)
            try:
                self._claim()
                if self._is_there():
                    break
            except BaseException:
                self._file.close()
                raise
            self.close()  # the file was replaced before we had the lock
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _claim(self) -> None:
        """Take the lock, or raise."""
        about = os.fstat(self._file.fileno())
        self._key = about.st_dev, about.st_ino
        busy = BlockingIOError(
            f"{shown(str(self.path), 150)} is being recorded by another process or thread; wait"
            " until it ends, or record to another path"
        )
        # Some file systems lock for a process, not for a thread.
        if _held.setdefault(self._key, self) is not self:
            raise busy
        try:
            lock(self._file)
        except OSError as error:
            if error.errno in TAKEN:
                del _held[self._key]
                raise busy from None
            warnings.warn(
                f"{shown(str(self.path), 150)} is on a file system without locks; make sure that no"
                " other process records there",
                stacklevel=5,
            )

    def _begin(self) -> None:
        """Read the file, and remove an incomplete last line."""
        self._file.seek(0)
        try:
            # The same open file, and so the same lock, read in larger parts.
            with os.fdopen(os.dup(self._file.fileno()), "rb") as whole:
                self.recording = Recording.of(whole)
        except ValueError as error:
            path = self.path if len(str(self.path)) < 80 else Path("…", *self.path.parts[-1:])
            raise ValueError(
                f"{shown(str(path), 80)} is not a recording that can be continued: {error}"
            ) from error
        self._size = self.recording.length
        if self._size < os.fstat(self._file.fileno()).st_size:
            self._file.truncate(self._size)
        # An editor may have trimmed the last newline: it is written before the next line.
        self._file.seek(max(self._size - 1, 0))
        last = self._file.read(1)
        self._missing = b"" if last in (b"\n", b"\r", b"") else b"\n"
        self._sum = self._checksum()
        if not self._size:  # new, or killed while the header was written
            self._append(HEADER)

    def _append(self, line: dict) -> None:
        data = self._missing + json_line(line).encode()
        self._missing, self._written = b"", False
        self._size, self._sum = self._size + len(data), zlib.crc32(data, self._sum)
        while data:
            data = data[self._file.write(data) :]
        self._written = True

    def _checksum(self) -> int:
        """A hash of the content: an editor may change it and keep the size."""
        found = 0
        self._file.seek(0)
        while part := self._file.read(2**20):
            found = zlib.crc32(part, found)
        return found

    def _is_there(self) -> bool:
        """Whether the path still leads to the file that we have locked."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def _as_we_left_it(self) -> bool:
        return self._is_there() and os.fstat(self._file.fileno()).st_size == self._size

    def _rejoin(self, new: Sequence[dict] = (), *, level: int) -> None:
        """Continue, with `new` lines, after an editor saved the file or it was removed."""
        complete = self.recording
        self.close()
        try:
            self._open()
            for line in chain(lacking(self.recording, complete), new):
                self._append(line)
                self.recording.add(line)
        except (OSError, ValueError) as error:
            self.close()
            raise rescued(self.path, complete, new, error) from error
        warnings.warn(
            f"{shown(str(self.path), 150)} was changed while it was recorded; its lines are kept,"
            " and missing ones are written again",
            stacklevel=level,
        )


def lock(file) -> None:
    """Lock an open file for this writer, or raise an `OSError`: `TAKEN` where another has it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        raise OSError(errno.ENOLCK, "no locks on this system")


def _let_go_in_child() -> None:
    """Release the lock in a forked child, which would keep it when its parent is killed."""
    for journal in list(_held.values()):
        journal._file.close()
        journal._file, journal._written = None, False
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
