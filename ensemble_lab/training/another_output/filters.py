"""Filters for what a model wrote: which items to learn from, and why the others are dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.training.another_output.overlap import near_duplicates, words

Fault = Callable[[str, str], bool]  # of a task and its answer
NEAR = "near duplicate"
END = tuple(".!?…。！？")
CLOSING = "\"'”’»)]*`"  # may stand after the end of a sentence


def is_empty(task: str, answer: str) -> bool:
    """Whether the task or the answer has no word."""
    return not words(task) or not words(answer)


def is_cut_off(task: str, answer: str) -> bool:
    """Whether the answer does not end with the end of a sentence."""
    return not answer.strip().rstrip(CLOSING).endswith(END)


def repeats_itself(task: str, answer: str, run: int = 4) -> bool:
    """Whether the same `run` words in a row come twice in the answer."""
    said = words(answer)
    runs = Counter(tuple(said[i : i + run]) for i in range(len(said) - run + 1))
    return any(times > 1 for times in runs.values())


def repeats_task(task: str, answer: str) -> bool:
    """Whether the answer is the task over again."""
    return words(task) == words(answer)


FAULTS: dict[str, Fault] = {
    "empty": is_empty,
    "cut off": is_cut_off,
    "repeats itself": repeats_itself,
    "answer is the task": repeats_task,
}


@dataclass(frozen=True)
class Filtered:
    """Why each of n items was dropped.

    Parameters
    ----------
    reasons : tuple of str
        One an item; "" where it is kept.
    """

    reasons: tuple[str, ...]

    @property
    def kept(self) -> np.ndarray:
        """Positions of the items that are kept, in their order."""
        return np.flatnonzero([not reason for reason in self.reasons])

    @property
    def dropped(self) -> dict[str, int]:
        """How many were dropped for each reason, the commonest first."""
        return dict(Counter(filter(None, self.reasons)).most_common())


def filter_pairs(
    tasks,
    answers,
    limit: float | None = 0.7,
    more: Mapping[str, Fault] | None = None,
) -> Filtered:
    """Drop tasks with a faulty answer, and tasks that resemble one that was kept.

    An item is faulty where task or answer is empty, where the answer is cut off, repeats four words
    in a row, or is the task over again. The first fault that is found is the reason. Near
    duplicates are looked for last, among the tasks without a fault, so that no faulty item
    displaces a good one.

    Parameters
    ----------
    tasks, answers : sequence of str
        n of each.
    limit : float, optional
        ROUGE-L with a kept task above which a task is dropped; None to keep near duplicates.
    more : mapping of str to callable, optional
        Faults of your own: a reason, and a function of a task and its answer that is True where it
        is to be dropped, as ``{"no label": lambda task, answer: answer not in ("yes", "no")}``. One
        with the name of a fault above replaces it.

    Raises
    ------
    ValueError
        Tasks and answers of different number, one that is not a text, faults that are no functions
        by name, or nothing left.

    References
    ----------
    Wang et al., Self-Instruct, ACL 2023. Honovich et al., Unnatural Instructions, ACL 2023.

    Examples
    --------
    >>> tasks, answers = ["Name a fish.", "Name a fish!", "Greet."], ["Cod.", "Eel.", "Hello and"]
    >>> filter_pairs(tasks, answers).reasons
    ('', 'near duplicate', 'cut off')
    """
    tasks, answers = _texts(tasks, "tasks"), _texts(answers, "answers")
    if len(tasks) != len(answers):
        raise ValueError(
            f"there are {len(tasks)} tasks and {len(answers)} answers: give one answer a task, ''"
            " where there is none"
        )
    faults = FAULTS | _faults(more)
    reasons = [
        next((name for name, fault in faults.items() if fault(task, answer)), "")
        for task, answer in zip(tasks, answers, strict=True)
    ]
    sound = [i for i, reason in enumerate(reasons) if not reason]
    if sound and limit is not None:
        like = near_duplicates([tasks[i] for i in sound], limit)
        for i, first in zip(sound, like, strict=True):
            reasons[i] = "" if first is None else NEAR
    found = Filtered(tuple(reasons))
    if not len(found.kept):
        counts = ", ".join(f"{many} {shown(why, 30)}" for why, many in found.dropped.items())
        raise ValueError(
            f"no item of {len(tasks)} is left ({counts or 'none were given'}): loosen the filter or"
            " let the model write more"
        )
    return found


def _faults(more) -> dict[str, Fault]:
    """Faults of the caller's own."""
    if more is None:
        return {}
    if not isinstance(more, Mapping):
        raise ValueError(f"more={shown(more)}: give a mapping of reasons to functions")
    for reason, fault in more.items():
        if not isinstance(reason, str) or not reason or not callable(fault):
            raise ValueError(
                f"more has {shown(reason)}: {shown(fault)}; give a reason in words and a function"
                " of a task and its answer"
            )
    return dict(more)


def _texts(values, what: str) -> list[str]:
    values = several(values, what)
    for i, one in enumerate(values):
        if not isinstance(one, str):
            raise ValueError(f"{what} {i} is {shown(one)}, not a text; give '' where there is none")
    return values
