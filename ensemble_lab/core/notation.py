"""Whether answers and truths are written alike: "A" never equals 0, however right it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.grading import grade
from ensemble_lab.core.outcomes import Outcomes

FEW = 3  # examples of each in a message
MEND = "give truth in the answers' notation, or grade="


class Notation:
    """Looks at answers as they come in, so that a wrong notation costs few calls.

    Parameters
    ----------
    truths : iterable
        Every truth that is known.
    """

    def __init__(self, truths: Iterable):
        self._truths = list(dict.fromkeys(truths))
        self._kinds = {_kind(truth) for truth in self._truths}
        self._settled: set[str] = set()  # models that gave an answer of a truth's kind
        self._strange: dict[str, list] = {}  # of the others, the different answers so far

    def hear(self, model: str, answer, truth) -> None:
        """One answer that is to be graded by whether it equals `truth`.

        Raises
        ------
        ValueError
            The two are one number in two spellings; or this model has given two different answers
            and none of a kind (text, number) that a truth has.
        """
        if answer != truth:
            grade(np.array([[0]]), np.array([1]), (answer, truth))  # it knows the spellings
        if _kind(answer) in self._kinds:
            self._settled.add(model)
        if model in self._settled:
            return
        strange = self._strange.setdefault(model, [])
        if answer not in strange:
            strange.append(answer)
        if len(strange) > 1:
            raise ValueError(
                f"model {shown(model, 40)} answers {_few(strange)}, the truths are"
                f" {_few(self._truths)}: none can be equal; {MEND}"
            )


def never_right(outcomes: Outcomes) -> str | None:
    """A warning where no answer of the table equals any truth in it, though two or more could.

    Only for tables that were graded by whether answer and truth are equal.
    """
    if outcomes.answer is None or outcomes.truth is None:
        return None
    graded = (outcomes.answer >= 0) & (outcomes.truth >= 0)[:, None]
    answers = dict.fromkeys(outcomes.answer[graded].tolist())
    truths = dict.fromkeys(outcomes.truth[outcomes.truth >= 0].tolist())
    if graded.sum() < 2 or answers.keys() & truths.keys():
        return None
    said, right = ([outcomes.labels[code] for code in codes] for codes in (answers, truths))
    return (
        f"no answer equals any truth: the answers are {_few(said)}, the truths {_few(right)};"
        f" if they are in two notations, {MEND}"
    )


def _kind(label) -> str:
    return "text" if isinstance(label, str) else "number"


def _few(values: Iterable) -> str:
    values = list(values)
    return ", ".join(shown(v, 24) for v in values[:FEW]) + (", …" if len(values) > FEW else "")
