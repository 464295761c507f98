"""What can happen to a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ensemble_lab.systems.splitting.text import Text


class StageFailed(RuntimeError):
    """A stage that is gone, does not answer, or answers with something else than was asked for."""


class Forgotten(StageFailed):
    """A stage has dropped its cache of a text, because it had too many others since."""


class NoStageLeft(StageFailed):
    """A stage was lost and there is none to replace it.

    Attributes
    ----------
    text : Text
        The text so far with all that stages have read: after `Split.add_spare`, ``next(text)``
        continues it.
    """

    def __init__(self, message: str, text: Text):
        super().__init__(message)
        self.text = text
