"""Calls with a time limit: a server can be silent, or very slow."""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

AT_ONCE = 8  # calls side by side
LOOK = 0.2  # seconds between two checks of progress
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


class TooSlow(TimeoutError):
    """There was no progress within the time limit."""


def within(seconds: float, calls: Sequence[Callable[[], Any]], grown: Callable | None = None):
    """The results of some parallel calls; abandoned where they take too long.

    An abandoned call continues in its thread, which ends with the process: a read without a time
    limit cannot be ended otherwise.

    Parameters
    ----------
    seconds : float
        Time for all of them; with `grown`, the longest time without progress.
    calls : sequence of callables
    grown : callable, optional
        Returns a value that changes as long as there is progress.

    Raises
    ------
    TooSlow
        They do not finish in time.
    Exception
        The error of the first call that failed.
    """
    made: list = [None] * len(calls)
    failed: list[BaseException] = []
    waiting = list(enumerate(calls))[::-1]
    over, lock = threading.Event(), threading.Lock()
    left = len(calls)

    def work() -> None:
        nonlocal left
        while not over.is_set():
            with lock:
                if not waiting:
                    return
                i, call = waiting.pop()
            try:
                made[i] = call()
            except BaseException as error:  # handed over to the caller's thread
                failed.append(error)
                over.set()
            with lock:
                left -= 1
                if not left:
                    over.set()

    for _ in range(min(AT_ONCE, len(calls))):
        threading.Thread(target=work, daemon=True).start()
    try:
        _wait(over, seconds, grown)
    finally:
        over.set()  # no other call is started
    if failed:
        raise failed[0]
    return made


def _wait(over: threading.Event, seconds: float, grown: Callable | None) -> None:
    size, since = grown and grown(), time.monotonic()
    while not over.wait(LOOK):
        if grown is not None and (now := grown()) != size:
            size, since = now, time.monotonic()
        if time.monotonic() - since > seconds:
            raise TooSlow(f"nothing came in {seconds:.0f} s")


def without_secrets(text: str) -> str:
    """A text without keys: those of the environment, and parts that look like one."""
    for name in SECRETS:
        if key := os.environ.get(name, "").strip():
            text = text.replace(key, "…")
    text = re.sub(r"(?i)\b(bearer|basic)(\s+)[^\s'\"\\]+", r"\1\2…", text)
    text = re.sub(r"\bhf_\w{6,}", "…", text)
    return re.sub(r"//[^/@\s'\"]+@", "//…@", text)


def cause_of(error: BaseException) -> BaseException | None:
    """The error as a cause to show, or None where it or its own causes contain a key."""
    written = "".join(traceback.format_exception(error))
    return error if without_secrets(written) == written else None
