"""Replies, one by one, as a table of outcomes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ensemble_lab.core.checks import names_array
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.grading import grade, one_spelling
from ensemble_lab.core.room import check_room, is_mostly_empty
from ensemble_lab.core.states import ABSENT, MEASURES, UNPARSED


def tabulate(
    replies: Mapping[tuple, dict],
    items: Sequence,
    models: Sequence[str],
    facts: Mapping | None = None,
    labels: Sequence | None = None,
) -> Outcomes:
    """Outcomes from replies by (item, model); pairs without one are absent.

    Parameters
    ----------
    replies : mapping of (item, model) to dict
        The fields of each reply, as `entry` gives them, with ``correct`` where it was graded.
    items : sequence, length n
    models : sequence of str, length m
    facts : mapping of item to dict, optional
        What is known of each item: ``truth``, ``group``, ``features``.
    labels : sequence, optional
        Labels to begin with; what is seen beyond them follows. By default those seen, in order.

    Returns
    -------
    Outcomes
        Graded by what the replies carry, else by whether answer and truth are equal. Where the
        two are in different notations nothing is graded, and a warning says so. With
        probabilities where some reply gave any: NaN for the others.
    """
    check_room(len(items), len(models), len(replies))
    facts = facts or {}
    truths = [facts.get(item, {}).get("truth") for item in items]
    labels = tuple(dict.fromkeys([*(labels or ()), *_labels_in(replies.values(), truths)]))
    grid = [[replies.get((item, model)) for model in models] for item in items]
    graded = _measure(grid, "correct")
    # Texts of one number are one answer, here as in `run`, which knows no truth.
    spelling = one_spelling(labels, [truth for truth in truths if truth is not None])
    labels = tuple(label for label in labels if spelling[label] == label)
    code = {label: j for j, label in enumerate(labels)}
    code |= {label: code[spelling[label]] for label in spelling if label not in code}
    answer = np.array([[_code(cell, code) for cell in row] for row in grid], np.int32)
    parts = {name: _measure(grid, name) for name in MEASURES}
    if any(t is not None for t in truths):
        parts["truth"] = np.array([ABSENT if t is None else code[t] for t in truths], np.int32)
    return Outcomes(
        models=models,
        items=names_array(items),
        correct=_by_truth(answer, parts.get("truth"), labels) if graded is None else graded,
        answer=answer,
        labels=labels,
        probability=_probabilities(grid, code),
        features=features_of([facts.get(item, {}).get("features", {}) for item in items]),
        group=_group([facts.get(item, {}).get("group") for item in items]),
        **parts,
    )


def features_of(rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Features (n,) by name from one mapping an item: gaps are NaN among numbers, else None."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _feature([row.get(name) for row in rows]) for name in names}


def _feature(values: list) -> np.ndarray:
    """(n,): floats where all are numbers or gaps and floats hold them, else each as it is."""
    numbers = all(isinstance(value, int | float | None) for value in values)
    whole = [abs(value) for value in values if isinstance(value, int)]
    if None in values and numbers and max(whole, default=0) <= 2**53:
        return np.array([np.nan if value is None else value for value in values], float)
    return names_array(values)


def _labels_in(entries: Iterable[dict], truths: list) -> list:
    """Numbers in order, then texts in order."""
    seen = [truth for truth in truths if truth is not None]
    for line in entries:
        seen += [label for label, _ in line.get("probability", ())]
        seen += [line["answer"]] if "answer" in line else []
    return sorted(dict.fromkeys(seen), key=lambda label: (isinstance(label, str), label))


def _code(cell: dict | None, code: dict) -> int:
    return ABSENT if cell is None else code[cell["answer"]] if "answer" in cell else UNPARSED


def _by_truth(answer: np.ndarray, truth: np.ndarray | None, labels: tuple) -> np.ndarray:
    try:
        return grade(answer, truth, labels)
    except ValueError as error:  # the replies were paid for: a table without grades keeps them
        warnings.warn(f"nothing is graded: {error}", stacklevel=3)
        return np.full(answer.shape, np.nan)


def _measure(grid: list[list], name: str) -> np.ndarray | None:
    if not any(cell and name in cell for row in grid for cell in row):
        return None
    # None is a reply whose grade nobody knows; as a float it is NaN.
    return np.array([[(cell or {}).get(name) for cell in row] for row in grid], float)


def _probabilities(grid: list[list], code: dict) -> np.ndarray | None:
    """(n, m, k), NaN for a reply without probabilities; None where no reply has any.

    None also, with a warning, where each reply has labels of its own: then nearly all of the array
    would be zeros.
    """
    given = [cell["probability"] for row in grid for cell in row if cell and "probability" in cell]
    if not given:
        return None
    filled = sum(map(len, given))
    size = len(grid), len(grid[0]), len(code)
    if is_mostly_empty(math.prod(size), filled):
        warnings.warn(
            f"probabilities of {size[2]:,} labels for each of {size[0]:,} items would be nearly all"
            " 0, as replies name few of them: the table has none; give labels that items share to"
            " keep them",
            stacklevel=3,
        )
        return None
    probabilities = np.full(size, np.nan)
    for i, row in enumerate(grid):
        for j, cell in enumerate(row):
            if cell and "probability" in cell:
                probabilities[i, j] = 0.0
                for label, p in cell["probability"]:
                    probabilities[i, j, code[label]] = p
    return probabilities


def warn_without_probabilities(replies: Mapping[tuple, dict]) -> None:
    """Warn where some of these replies (by item and model), and not all, lack probabilities."""
    lacking = sum("probability" not in line for line in replies.values())
    if 0 < lacking < len(replies):
        warnings.warn(
            f"{lacking:,} of {len(replies):,} replies give no probabilities: NaN stands there, and"
            " votes over probabilities read the confidence of these replies",
            stacklevel=4,
        )


def _group(groups: list) -> np.ndarray | None:
    return None if all(group is None for group in groups) else names_array(groups)
