"""Checks of the notebooks' exercises, one module a notebook, with hints for known mistakes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether an exercise is solved, and what to say to the one who tried.

    A wrong answer is no error: a notebook with open exercises runs through.

    Examples
    --------
    >>> Verdict(False, "the small model was called as well")
    Not yet: the small model was called as well
    """

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'Right' if self.passed else 'Not yet'}: {self.message}"
