"""Early ends of a report: Ctrl-C or another signal, or a notebook's time limit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

# Signals that end a process: Ctrl-C, a time limit of CI, a closed terminal.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
PIPE = getattr(signal, "SIGPIPE", signal.SIGTERM)  # the output is no longer read


class Stopped(KeyboardInterrupt):
    """A report was stopped; finished pages are kept, and its index names the missing ones.

    Parameters
    ----------
    message : str
        The notebooks that were not run.
    number : int
        The signal.
    failures : sequence of str
        Failures of the notebooks that had run.
    """

    def __init__(self, message: str = "", *, number: int, failures: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.number, self.failures = int(number), list(failures)


class Stop:
    """Whether a report has to end, and the end of the running kernel.

    Inside ``with Stop() as stop:`` a signal is recorded and kills the kernel. Nothing is raised
    there, so no file is half written and no kernel half started. Only inside `interruptible`, where
    no kernel runs, `Stopped` is raised. Further signals change nothing, as the end is near.

    Attributes
    ----------
    number : int or None
        The first signal.
    late : bool
        Whether the time limit killed the running or last kernel.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.late = False
        self._raises = False
        self._kernel: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stop:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # only the main thread gets signals
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
        """Work that may be interrupted, such as drawing a long page."""
        self._raises = True
        try:
            if self.number is not None:
                raise Stopped(number=self.number)
            yield
        finally:
            self._raises = False

    @contextmanager
    def kernel(self, seconds: float | None) -> Iterator[None]:
        """While one kernel runs: it is killed after `seconds`, and always ended at the exit."""
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
            self._kill()  # with processes that the notebook started
            self._kernel = None

    def began(self, process: int) -> None:
        """Register the kernel's process, the first of its own process group."""
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
