"""Several models asked at the same time, in threads that are not waited for after an error."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
LOOK = 0.2  # seconds: where waiting cannot be interrupted (Windows), it is done in steps


def together(function: Callable[[str], T], names: Sequence[str]) -> list[T]:
    """`function` of every name, all at the same time, in the order of the names.

    One name is asked in the caller's thread. The threads of several are daemons: after an error or
    Ctrl-C they are abandoned, and the interpreter can end while a model hangs. (Threads of
    `concurrent.futures` are waited for, there and at the end of the process.)

    Raises
    ------
    BaseException
        The first error, as soon as it comes.
    RuntimeError
        Several names where no thread can be started, as in a browser: nothing has been asked.
    """
    if len(names) < 2:
        # A signal for the process wakes this thread. One that another thread raises for itself
        # (signal.raise_signal, _thread.interrupt_main) does not: Python looks when the call ends.
        return [function(name) for name in names]
    done: queue.SimpleQueue = queue.SimpleQueue()

    def work(place: int, name: str) -> None:
        try:
            done.put((place, function(name), None))
        except BaseException as error:
            done.put((place, None, error))

    for place, name in enumerate(names):
        thread = threading.Thread(target=work, args=(place, name), daemon=True, name=f"ask {name}")
        try:
            thread.start()
        except RuntimeError as error:
            if sys.platform != "emscripten":
                raise
            raise RuntimeError(
                f"in a browser there are no threads, so {len(names)} models cannot be asked at the"
                " same time: run takes parallel=False, and committees need Python on a machine"
            ) from error
    found: dict[int, T] = {}
    while len(found) < len(names):
        try:
            place, result, error = done.get(timeout=LOOK)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        found[place] = result
    return [found[place] for place in range(len(names))]
