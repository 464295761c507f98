"""Grades answers: codes are compared with codes, where both are in one notation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.columns import GAPS, Column
from ensemble_lab.core.reading.headers import say
from ensemble_lab.core.reading.numerals import number_in
from ensemble_lab.core.states import ABSENT


def one_spelling(labels, truths) -> dict:
    """Label to itself, or to the first spelling of the same number in `truths` and `labels`.

    Texts of one number, such as "18.0" and "18", count as one answer.
    """
    first: dict = {}
    found = {}
    for label in [*truths, *labels]:
        number = number_in(label) if isinstance(label, str) else None
        found[label] = label if number is None else first.setdefault(number, label)
    return found


def grade(answer: np.ndarray, truth: np.ndarray | None, labels: tuple) -> np.ndarray:
    """Correctness (n, m) of answer codes (n, m) against `truth` (n,): unparsed is wrong.

    Raises
    ------
    ValueError
        Answers and truth in two notations: a number in one and the same number as text in the
        other, or only text in one and only numbers in the other.
    """
    if truth is None:
        return np.full(answer.shape, np.nan)
    _refuse_two_notations(answer, truth, labels)
    right = (answer == truth[:, None]).astype(float)
    return np.where((answer == ABSENT) | (truth[:, None] < 0), np.nan, right)


def _refuse_two_notations(answer: np.ndarray, truth: np.ndarray, labels: tuple) -> None:
    written = {number_in(label): label for label in labels if isinstance(label, str)}
    for label in labels:
        if not isinstance(label, str) and label in written:
            raise ValueError(
                f"answers and truth hold both {shown(label)} and {shown(written[label])}, which"
                " are not equal; make them all numbers or all strings"
            )
    compared = (answer >= 0) & (truth >= 0)[:, None]
    given = [labels[code] for code in np.unique(answer[compared])]
    known = [labels[code] for code in np.unique(truth[compared.any(axis=1)])]
    apart = {isinstance(label, str) for label in given}.isdisjoint(
        isinstance(label, str) for label in known
    )
    if apart and len(given) > 1:
        raise ValueError(
            f"answers and truth are written in two ways: {_three(given)} are answers, and"
            f" {_three(known)} are truths; write both as text, or both as numbers"
        )


def warn_unequal(answer: np.ndarray, truth: np.ndarray | None, labels: tuple) -> None:
    """Warn where two or more answers are compared and none is right: notations may differ.

    Parameters
    ----------
    answer : ndarray of int (n, m)
    truth : ndarray of int (n,) or None
    labels : tuple
    """
    if truth is None:
        return
    compared = (answer >= 0) & (truth >= 0)[:, None]
    if compared.sum() < 2 or (answer == truth[:, None])[compared].any():
        return
    given, known = np.unique(answer[compared]), np.unique(truth[compared.any(axis=1)])
    say(
        f"not one of {compared.sum()} answers equals its truth: answers are such as"
        f" {_three([labels[code] for code in given])}, truths such as"
        f" {_three([labels[code] for code in known])}"
    )


def warn_of_gaps(columns: Sequence[Column]) -> None:
    """Warn of answers and truths that are a text which some tools write for a gap.

    R's write.csv writes NA. It may also be meant: the code of Namibia, or the answer "None".
    """
    many: Counter = Counter()
    for column in columns:
        each = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
        for value, count in zip(column.values, each.tolist(), strict=True):
            if isinstance(value, str) and value in GAPS:
                many[value] += count
    if many:
        gap, count = many.most_common(1)[0]
        say(
            f"cells of answers and truth that hold the text {shown(gap)}: {count:,}, read as"
            " answers. If these are gaps, leave them empty: write.csv(…, na='') in R, to_csv"
            f" without na_rep in pandas, or from_frame(frame.replace({shown(gap)}, None))"
        )


def _three(labels: list) -> str:
    return ", ".join(shown(label, 25) for label in labels[:3])
