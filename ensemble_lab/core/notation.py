"""Whether answers and truths are written alike: "A" never equals 0, however right it is."""

from __future__ import annotations

from collections.abc import Iterable

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.numerals import number_in

FEW = 3  # examples of each in a message
FIX = "give truth in the answers' notation, or grade="


class Notation:
    """Looks at answers as they come in, so that a wrong notation costs few calls.

    What it refuses is what `reading.grading.grade` would refuse in the whole table, and
    one thing more: a model of several that alone has another notation.

    Parameters
    ----------
    truths : iterable
        Every truth that is known; nothing is compared without any.
    """

    def __init__(self, truths: Iterable):
        self._truths = list(dict.fromkeys(truths))
        self._kinds = {_kind(truth) for truth in self._truths}
        self._numbers: set = set()  # written as numbers
        self._texts: dict = {}  # numbers that are written as text, with the text
        self._settled: set[str] = set()  # models that gave an answer of a truth's kind
        self._strange: dict[str, list] = {}  # of the others, the different answers so far
        for truth in self._truths:
            self._note(truth)

    def hear(self, model: str, answer, graded: bool) -> None:
        """One answer of a model; `graded` where it is to be compared with a truth.

        Raises
        ------
        ValueError
            A number is written as a number here and as text there; or this model has given two
            different answers and none of a kind (text, number) that a truth has.
        """
        self._note(answer)
        if not self._truths or not graded:
            return
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
                f" {_few(self._truths)}: none can be equal; {FIX}"
            )

    def _note(self, label) -> None:
        number = number_in(label) if isinstance(label, str) else label
        if isinstance(label, str):
            self._texts.setdefault(number, label)
        else:
            self._numbers.add(number)
        if self._truths and number in self._numbers and number in self._texts:
            raise ValueError(
                f"answers and truth hold both {shown(number)} and {shown(self._texts[number])},"
                f" which are not equal; {FIX}"
            )


def is_right(answer, truth) -> bool:
    """Whether a table would grade this answer as right: two texts of one number are the same."""
    if answer == truth:
        return True
    texts = isinstance(answer, str) and isinstance(truth, str)
    return texts and number_in(answer) is not None and number_in(answer) == number_in(truth)


def _kind(label) -> str:
    return "text" if isinstance(label, str) else "number"


def _few(values: list) -> str:
    return ", ".join(shown(v, 24) for v in values[:FEW]) + (", …" if len(values) > FEW else "")
