"""Calls of the reader's function, which may raise anything, print, or never end."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from ensemble_lab.core.errors import excerpt, shown

SECONDS = 20  # that one call may take
MOST = 60  # characters of what was returned in a hint
MOST_OF_ERROR = 160


class Unfit(Exception):
    """What was returned cannot be judged; the message is the hint."""


def said(value) -> str:
    """What was returned, for a hint: plain numbers however deep they stand, and no addresses."""
    if hasattr(value, "columns"):
        return "a data frame"
    if type(value).__repr__ is object.__repr__:
        return f"an object of type {excerpt(type(value).__name__, MOST)}"
    return shown(value, MOST)


def returned(function: Callable, *arguments, wanted: str):
    """What the reader's function returns.

    Parameters
    ----------
    function : callable
    *arguments
        Copies: the function may change them.
    wanted : str
        What it should return, in words.

    Raises
    ------
    Unfit
        It is no function, raises, does not end, is asynchronous, or returns nothing or another
        function.
    """
    if not callable(function):
        told = said(function)
        raise Unfit(f"give your function itself, without brackets behind its name, not {told}")
    heard = _Heard(sys.stdout)
    with readers_own(), redirect_stdout(heard):
        got = function(*arguments)
    if inspect.isawaitable(got):
        getattr(got, "close", lambda: None)()
        raise Unfit("your function is asynchronous: write `def`, not `async def`")
    if got is None and heard.something:
        raise Unfit(f"your function printed something, but returned nothing; return {wanted}")
    if got is None:
        raise Unfit(f"your function returned nothing; return {wanted}")
    if got is ... or callable(got):
        raise Unfit(f"return {wanted}, not {'…' if got is ... else 'a function'}")
    return got


@contextmanager
def readers_own():
    """A block that runs the reader's code: what it raises becomes a hint."""
    try:
        with _at_most(SECONDS):
            yield
    except _Endless:
        raise Unfit(f"your function still ran after {SECONDS} s: does a loop never end?") from None
    except (Exception, SystemExit) as error:
        try:
            message = excerpt(str(error), MOST_OF_ERROR)
        except Exception:  # their error may be broken, too
            message = ""
        name = excerpt(type(error).__name__, MOST) + _line(error)
        raise Unfit(f"your function raised {name}{': ' if message else ''}{message}") from None


def _line(error: BaseException) -> str:
    """Where in the reader's code it was raised: the deepest line in the file of the function."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).parent != Path(__file__).parent
    ]
    lines = [line for file, line in frames if file == frames[0][0]]
    return f" on line {lines[-1]}" if lines else ""


class _Endless(BaseException):
    """Time is up. No `Exception`, so that the reader's own `except Exception` lets it pass."""


@contextmanager
def _at_most(seconds: float):
    """Interrupt the block after so long, where the system and the thread can.

    Somebody else's alarm goes first if it is due sooner, and is set again if it is due later.
    """
    can = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    due = signal.getitimer(signal.ITIMER_REAL)[0] if can else 0
    if not can or 0 < due <= seconds:
        yield
        return

    def ring(number, frame):
        raise _Endless

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        if due:
            signal.setitimer(signal.ITIMER_REAL, max(due - (time.monotonic() - began), 0.001))


class _Heard:
    """Output that passes everything on, and remembers whether there was something."""

    def __init__(self, out):
        self.out, self.something = out, False

    def write(self, text: str):
        self.something = True
        return self.out.write(text)

    def __getattr__(self, name: str):
        return getattr(self.out, name)
