"""How a report ends before its time: by Ctrl-C or another signal, or a notebook by its limit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

# What asks a process to end: Ctrl-C, a time limit of CI, a terminal that was closed.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
PIPE = getattr(signal, "SIGPIPE", signal.SIGTERM)  # nobody reads what is printed any more


class Stopped(KeyboardInterrupt):
    """A report was stopped; what it had finished stands, and its index says what is missing.

    Parameters
    ----------
    message : str
        What was not run.
    number : int
        The signal.
    failures : sequence of str
        Of the notebooks that had been run.
    """

    def __init__(self, message: str = "", *, number: int, failures: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.number, self.failures = int(number), list(failures)


class Stop:
    """Whether a report has to end, and the end of the kernel that runs meanwhile.

    Inside of ``with Stop() as stop:`` a signal is noted and kills the kernel. Nothing is raised
    there, so no file is left half written and no kernel half started; only inside of
    `interruptible`, where no kernel runs, it raises `Stopped`. Further signals change nothing: the
    way out is short.

    Attributes
    ----------
    number : int or None
        The first signal that came.
    late : bool
        Whether the time limit killed the kernel that runs, or ran last.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.late = False
        self._raises = False
        self._kernel: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # no other one hears signals
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):  # nohup, or a job in the background
                    self._before[number] = before
                    signal.signal(number, self._asked)
        return self

    def __exit__(self, *error) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        first, self.number = self.number is None, self.number or number
        self._kill()
        if first and self._raises:
            raise Stopped(number=number)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Work that may end half-way, such as drawing a long page."""
        self._raises = True
        try:
            if self.number is not None:
                raise Stopped(number=self.number)
            yield
        finally:
            self._raises = False

    @contextmanager
    def kernel(self, seconds: float | None) -> Iterator[None]:
        """While one kernel runs: after `seconds` it is killed, and in the end it is gone."""
        self.late = False
        limit = threading.Timer(seconds, self._time_is_up) if seconds else None
        try:
            if limit:
                limit.daemon = True
                limit.start()
            yield
        finally:
            if limit:
                limit.cancel()
            self._kill()  # with what the notebook left running
            self._kernel = None

    def began(self, process: int) -> None:
        """The kernel runs as this process, the first of a group of its own."""
        self._kernel = process
        if self.late or self.number is not None:
            self._kill()

    def _time_is_up(self) -> None:
        self.late = True
        self._kill()

    def _kill(self) -> None:
        if self._kernel is None:
            return
        with suppress(OSError):  # it has ended by itself
            if hasattr(os, "killpg"):
                os.killpg(self._kernel, signal.SIGKILL)
            else:
                os.kill(self._kernel, signal.SIGTERM)
