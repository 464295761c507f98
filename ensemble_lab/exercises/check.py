"""The engine of all exercises: what is asked, on which cases, and which mistakes are known.

A `Check` calls the reader's function on copies of its cases, reads what comes back, and compares
it part by part with the right answer. Where they differ, the reader gets up to three hints, one
at a time: the question of the known mistake that gives the same answers, a case to work out by
hand, and the numbers of that case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from inspect import signature

import numpy as np

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.exercises.calling import Unfit, returned
from ensemble_lab.exercises.given import array, in_order, number, parts, whole, yes_or_no

# How an answer is read, and what it is called, by the kind of the right answer.
KINDS = {
    "f": (number, "one number"),
    "i": (whole, "a whole number"),
    "b": (yes_or_no, "True or False"),
}


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether an exercise is solved, and the first hint where it is not.

    A wrong answer is no error: a notebook with open exercises runs through.

    Parameters
    ----------
    passed : bool
    message : str
        The first hint, or what was shown.
    more : tuple of str
        Further hints, each one stronger. A notebook shows them folded.

    Examples
    --------
    >>> Verdict(False, "who was asked first?", ("work this out: …", "it is 3, not 2"))
    Not yet: who was asked first? (2 more hints: `.more`)
    """

    passed: bool
    message: str
    more: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        count = f"{len(self.more)} more hint{'s' if len(self.more) > 1 else ''}"
        return self._first() + (f" ({count}: `.more`)" if self.more else "")

    def _first(self) -> str:
        return f"{'Right' if self.passed else 'Not yet'}: {self.message}"

    def _repr_html_(self) -> str:
        folded = ""
        for hint in reversed(self.more):
            folded = f"<details><summary>More help</summary><p>{escape(hint)}</p>{folded}</details>"
        return f"<p>{escape(self._first())}</p>{folded}"


def close(got, wanted, *case) -> bool:
    """Whether two answers are the same numbers."""
    return np.allclose(got, wanted)


@dataclass(frozen=True)
class Part:
    """One of the things that an exercise asks for.

    Parameters
    ----------
    what : str
        One number of it, in words: ``"the new weight of a row"``.
    right : callable
        The right answer, from the arguments of a case and from the parts before this one as the
        reader gave them. The answer tells how the reader's is read: a float is a number, an int a
        whole number, a bool yes or no; an array has its shape.
    mistakes : sequence
        What people get wrong, tried in this order. A pair is a function like `right` that makes the
        mistake, and a question that makes the reader look at it. A single function looks at all
        answers at once: ``(given, wanted, cases)``, lists with an entry a case, to a hint or an
        empty text.
    about : callable, optional
        ``(at, *arguments)`` to the case in words, and what the number at index `at` (a tuple) is
        there: ``"for 3 items at 0.1 USD, the bill"``. The second hint is "work out by hand: …", the
        third goes on with "is …, not …".
    key : str
        Its name in the answer, where the answer has several parts.
    asked : str, optional
        What to return, in words; ``{}`` stands for a length of the right answer.
    names : callable, optional
        From the arguments of a case to the names by which a mapping is taken.
    alike : callable, optional
        ``(given, wanted, *arguments)`` to whether both are the same answer; None where many are
        right, and `mistakes` alone judge.
    read : callable, optional
        ``(value, what)`` to one number; raises `Unfit` with a hint.
    """

    what: str
    right: Callable
    mistakes: Sequence[tuple[Callable, str] | Callable] = ()
    about: Callable[..., str] | None = None
    key: str = ""
    asked: str = ""
    names: Callable[..., Sequence] | None = None
    alike: Callable[..., bool] | None = close
    read: Callable | None = None

    def wanted(self, right) -> str:
        """What to return, in words, where this would be right."""
        shape = np.shape(right)
        words = f"{' times '.join(map(str, shape))} numbers" if shape else _kind(right)[1]
        words = self.asked.format(*shape) or words
        return f"{self.key} ({words})" if self.key else words

    def taken(self, got, right, case: tuple):
        """What was returned, as a number or an array like the right one."""
        read = self.read or _kind(right)[0]
        if not np.shape(right):
            return read(got, self.what)
        names = self.names(*case) if self.names else ()
        got = in_order(got, names, self.what) if names else got
        return array(got, np.shape(right), self.what, self.wanted(right), read, names)

    def hints(self, given: list, cases: list[tuple]) -> tuple[str, ...]:
        """What is wrong with these answers, ever more plainly; empty where nothing is."""
        wanted = [self.right(*copied(case)) for case in cases]
        if self._same(given, wanted, cases):
            return ()
        hints = self._question(given, wanted, cases), *self._difference(given, wanted, cases)
        return tuple(f"{self.key}: {hint}" if self.key else hint for hint in hints if hint)

    def _question(self, given: list, wanted: list, cases: list[tuple]) -> str:
        """The question of the known mistake that gives these answers."""
        for mistake in self.mistakes:
            if callable(mistake):
                hint = mistake(given, wanted, cases)
            else:
                makes, hint = mistake
                made = (makes(*copied(case)) for case in cases)  # up to the first that differs
                hint = hint if self._same(given, made, cases) else ""
            if hint:
                return hint
        return ""

    def _same(self, given: list, others: list, cases: list[tuple]) -> bool:
        return self.alike is not None and all(
            self.alike(got, other, *case)
            for got, other, case in zip(given, others, cases, strict=True)
        )

    def _difference(self, given: list, wanted: list, cases: list[tuple]) -> tuple[str, ...]:
        """The first case that differs, and its numbers."""
        yes_no = np.asarray(wanted[0]).dtype.kind == "b"
        if not self.alike or (yes_no and not self.about):
            return ()
        for got, right, case in zip(given, wanted, cases, strict=True):
            differs = np.argwhere(~np.isclose(got, right))
            if len(differs) and not self.alike(got, right, *case):
                at = tuple(int(i) for i in differs[0])
                about = self.about(at, *case) if self.about else f"in one case {self.what}"
                figures = _figures(*(np.asarray(np.asarray(one)[at]) for one in (right, got)))
                return f"work out by hand: {about}", f"{about} is {figures}"
        return ()


@dataclass(frozen=True, repr=False, eq=False)
class Check:
    """An exercise: called with the reader's function it returns a `Verdict`.

    Parameters
    ----------
    task : str
        What the function takes and returns; the docstring of the check.
    cases : callable
        Returns the cases, each a tuple of the arguments for one call; the same ones every time.
    parts : sequence of Part
        What the function returns, in this order; each is judged where those before are right.
    success : str
        What to say when all is right.
    """

    task: str
    cases: Callable[[], Iterable[tuple]]
    parts: Sequence[Part]
    success: str

    def __post_init__(self):
        object.__setattr__(self, "__doc__", self.task)

    def __call__(self, answer_function: Callable) -> Verdict:
        """Whether the function does what the task says, and if not, a hint."""
        overwritten: dict[str, None] = {}
        try:
            hints = self._hints(answer_function, overwritten)
        except Unfit as unfit:
            hints = (str(unfit),)
        message, *more = hints or (self.success,)
        if overwritten:
            names = " and ".join(f"`{name}`" for name in overwritten)
            message += f"; besides, your function overwrites {names}: let it work on a copy"
        return Verdict(not hints, message, tuple(more))

    def right(self, *case) -> tuple:
        """The right answer to a case, part by part."""
        answer: tuple = ()
        for part in self.parts:
            answer += (part.right(*copied(case), *answer),)
        return answer

    def _hints(self, answer_function: Callable, overwritten: dict) -> tuple[str, ...]:
        cases = list(self.cases())
        answers = [self._answer(answer_function, case, overwritten) for case in cases]
        for i, part in enumerate(self.parts):
            known = [(*case, *answer[:i]) for case, answer in zip(cases, answers, strict=True)]
            if hints := part.hints([answer[i] for answer in answers], known):
                return hints
        return ()

    def _answer(self, answer_function: Callable, case: tuple, overwritten: dict) -> tuple:
        """What the reader's function gives for one case, part by part."""
        right, copies = self.right(*case), copied(case)
        told = [part.wanted(one) for part, one in zip(self.parts, right, strict=True)]
        wanted = " and ".join(filter(None, [", ".join(told[:-1]), told[-1]]))
        try:
            got = returned(answer_function, *copies, wanted=wanted)
        finally:
            overwritten.update(dict.fromkeys(self._changed(case, copies)))
        several = len(self.parts) > 1
        found = parts(got, [part.key for part in self.parts], wanted) if several else [got]
        together = zip(self.parts, found, right, strict=True)
        return tuple(part.taken(one, good, case) for part, one, good in together)

    def _changed(self, case: tuple, copies: tuple) -> list[str]:
        """The names of the arguments that were written over."""
        names = list(signature(self.parts[0].right).parameters)[: len(case)]
        together = zip(names, case, copies, strict=True)
        return [name for name, before, after in together if _bytes(before) != _bytes(after)]


def copied(case: tuple) -> tuple:
    """Arguments that may be written over; outcomes cannot be."""
    return tuple(one if isinstance(one, Outcomes) else deepcopy(one) for one in case)


def _bytes(argument) -> list[bytes]:
    """What stands in an array, or in the arrays of a pair."""
    several = argument if isinstance(argument, tuple | list) else (argument,)
    return [one.tobytes() for one in several if isinstance(one, np.ndarray)]


def _kind(right) -> tuple[Callable, str]:
    return KINDS[np.asarray(right).dtype.kind]


def _figures(right: np.ndarray, got: np.ndarray) -> str:
    """Both answers; numbers with as many digits as are needed to see a difference."""
    if right.dtype.kind == "b":
        return f"{bool(right)}, not {bool(got)}"
    digits = next((d for d in (4, 8) if f"{right:.{d}g}" != f"{got:.{d}g}"), 16)
    return f"{right:.{digits}g}, not {got:.{digits}g}"
