"""A chat as one text, by a model's own template, with limits on time and length.

A template is a program by its author. transformers runs it in a sandbox, but two nested loops of
99,999 rounds would never end. So it runs in a separate thread, which stops itself.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import shown
from ensemble_lab.models.chats import check_characters
from ensemble_lab.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_SECONDS = 10.0  # real ones take a millisecond
MOST_ADDED = 1_000_000  # characters beyond ten times the length of the messages
LOOK = 0.2  # seconds: where waiting cannot be interrupted (Windows), it is done in steps


class _Endless(Exception):
    """A template that takes too long, or writes too much: the text gives the reason."""


def chat_text(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], weights: str
) -> str:
    """A chat as the model's input text, up to the start of the model's own turn.

    Parameters
    ----------
    tokenizer
        With a chat template.
    messages
        Messages whose content is text.
    weights
        The model's name, for the message.

    Raises
    ------
    ModelError
        The template refuses the messages, takes over ten seconds, or writes a text that is much
        longer than theirs. The memory of a single step is not limited.
    """

    def write() -> str:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    text, error = _stopped(MOST_SECONDS, write)
    if error is None and len(text) > 10 * len(str(messages)) + MOST_ADDED:
        error = _Endless(f"it writes {len(text):,} characters")
    if error is not None:
        detail = f"{type(error).__name__}: {shown(str(error))}"
        raise ModelError(
            f"the chat template of {shown(weights, 60)} refuses these messages"
            f" ({error if isinstance(error, _Endless) else detail}): give the prompt as token ids,"
            " or with roles that it knows"
        ) from error
    check_characters(text)
    return text


def _stopped(seconds: float, call: Callable[[], str]) -> tuple[str, BaseException | None]:
    """The result or error of a call of Python code, stopped after a time limit.

    The caller's own interrupts and alarms are raised while it waits, and do not reach the call.
    """
    made: list[str] = []
    failed: list[BaseException] = []
    end = time.monotonic() + seconds
    left = threading.Event()

    def look(frame, event, arg):
        """Called by Python before each line."""
        if left.is_set() or time.monotonic() > end:
            raise _Endless(f"it takes longer than {seconds:g} s")
        return look

    def work() -> None:
        sys.settrace(look)  # of this thread only
        try:
            made.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True, name="chat template")
    try:
        thread.start()
        while thread.is_alive():
            thread.join(LOOK)
    finally:
        left.set()
    return (made or [""])[0], (failed or [None])[0]
