"""Columns of a user's table, long or wide, as outcomes."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import partial

import numpy as np

from ensemble_lab.core.checks import check_states
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.columns import Column, Text, labels_of, no_number
from ensemble_lab.core.reading.grading import grade, one_spelling, warn_of_gaps, warn_unequal
from ensemble_lab.core.reading.headers import CELL, FEATURE, PER_ITEM, Role, roles, say
from ensemble_lab.core.room import check_room
from ensemble_lab.core.states import ABSENT, MEASURES, UNPARSED

ROW_NUMBERS = re.compile(r"|Unnamed: [0-9.]+")
PLAIN = {0.0, 0.5, 1.0}  # the values of a column without a field: right, half right and wrong


def from_columns(
    table: list[tuple[object, Column]], columns: Mapping | None, cost_is_estimated: bool
) -> Outcomes:
    """Outcomes from named columns, long or wide; see `Outcomes.from_frame`.

    Raises
    ------
    ValueError
        What cannot be read with certainty, with its place and the fix.
    """
    table = without_row_numbers(table)
    found = roles([name for name, _ in table], columns)
    if not len(table[0][1]):
        raise ValueError("the table has no rows; give at least one")
    kept = [(found[name], column) for name, column in table if name in found]
    long = any(role.field == "model" for role, _ in kept)
    cells, items, facts = _long(kept) if long else _wide(kept)
    return _assemble(cells, items, facts, cost_is_estimated)


def without_row_numbers(table: list[tuple], keep: Container = ()) -> list[tuple]:
    """Named columns without the index that pandas and R write, unless its name is in `keep`."""
    return [pair for pair in table if pair[0] in keep or not _is_row_number(*pair)]


def _is_row_number(name, column: Column) -> bool:
    """Whether this is the index that pandas and R write before the first column."""
    if not ROW_NUMBERS.fullmatch(str(name)):
        return False
    try:
        numbers = column.numbers(no_number)
    except ValueError:
        return False
    return (
        len(numbers) > 0
        and np.array_equal(numbers - numbers[0], np.arange(len(column)))
        and numbers[0] in (0, 1)
    )


class Cells:
    """(n, m) fields by name, as columns and the places of their cells.

    Parameters
    ----------
    models : list of str, length m
    places : dict
        Field to pairs of a `Column` and the places of its cells: (rows, columns) of the field.
    asked : ndarray of bool (n, m)
        Where something is recorded.
    """

    def __init__(self, models: list[str], places: dict, asked: np.ndarray):
        self.models, self.places, self.asked = models, places, asked

    def numbers(self, field: str, where) -> np.ndarray:
        values = np.full(self.asked.shape, np.nan)
        for column, at in self.places[field]:
            words = partial(where, field, at)
            values[at] = column.numbers(words, flags=field == "correct")
        return values

    def codes(self, field: str, codes: list[np.ndarray]) -> np.ndarray:
        """Codes (n, m) of labels, given those of each column's cells."""
        found = np.where(self.asked, UNPARSED, ABSENT)
        for (column, at), code in zip(self.places[field], codes, strict=True):
            found[at] = np.where(column.empty(), found[at], code)
        return found


def _long(kept: list[tuple[Role, Column]]):
    by_field = {role.field: column for role, column in kept if role.field != "feature"}
    item, model = by_field["item"], by_field["model"]
    for what, column in (("item", item), ("model", model)):
        if column.empty().any():
            row = int(column.empty().argmax())
            raise ValueError(f"column {shown(what)} is empty in row {row}; fill it or drop the row")
    models = [str(name) for name in model.values]
    check_room(len(item.values), len(models), len(item))
    asked = np.zeros((len(item.values), len(models)), bool)
    at = item.codes, model.codes
    asked[at] = True
    if asked.sum() < len(item):
        _, first = np.unique(item.codes * len(models) + model.codes, return_index=True)
        row = int(np.setdiff1d(np.arange(len(item)), first)[0])
        who = shown(item.values[item.codes[row]]), shown(models[model.codes[row]])
        raise ValueError(f"item {who[0]} and model {who[1]} are in two rows; keep one")
    places = {field: [(by_field[field], at)] for field in CELL if field in by_field}
    if not places:
        raise ValueError(f"there is no column of outcomes; give at least one of {', '.join(CELL)}")
    first = np.unique(item.codes, return_index=True)[1]
    items = item.names()[first]
    facts = []
    for role, column in kept:
        if role.field in PER_ITEM or role.field == "feature":
            facts.append((role, column, _one_each(role, column, item)))
    return Cells(models, places, asked), items, facts


def _one_each(role: Role, column: Column, item: Column) -> np.ndarray:
    """The first row (n,) of each item that has a value in a column."""
    codes = column.codes
    rows = np.flatnonzero(codes >= 0)[::-1]
    row = np.unique(item.codes, return_index=True)[1]
    row[item.codes[rows]] = rows  # written in reverse, so that the first row wins
    first_code = codes[row[item.codes]]
    differ = (codes >= 0) & (codes != first_code)
    if role.field != "group" and differ.any():  # 18 and 18.0 are two texts and one number
        (labels,), _ = labels_of([column], isinstance(column, Text))
        place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        same = np.array([*(place[label] for label in labels), -1])
        differ &= same[codes] != same[first_code]
    if differ.any():
        where = int(differ.argmax())
        name = FEATURE + role.name if role.field == "feature" else role.field
        two = shown(column.values[first_code[where]], 30), shown(column.values[codes[where]], 30)
        raise ValueError(
            f"column {shown(name)} has two values for one item,"
            f" {shown(item.values[item.codes[where]], 30)}: {two[0]} and {two[1]}; give one value"
            " an item"
        )
    return row


def _wide(kept: list[tuple[Role, Column]]):
    item = next(column for role, column in kept if role.field == "item")
    if item.empty().any():
        row = int(item.empty().argmax())
        raise ValueError(f"column 'item' is empty in row {row}; fill it or drop the row")
    if len(item.values) < len(item):
        twice = item.values[int((np.bincount(item.codes) > 1).argmax())]
        raise ValueError(f"item {shown(twice)} is in two rows; keep one")
    columns = [(role, column) for role, column in kept if role.field in CELL]
    models = list(dict.fromkeys(role.name for role, _ in columns))
    place = {name: j for j, name in enumerate(models)}
    if not models:
        raise ValueError("no column of a model was found; name them MODEL:correct, MODEL:answer, …")
    asked = np.zeros((len(item), len(models)), bool)
    places: dict = {}
    for role, column in columns:
        j = place[role.name]
        asked[:, j] |= ~column.empty()
        places.setdefault(role.field, []).append((column, (slice(None), j)))
    _check_bare(columns, any(role.field == "truth" for role, _ in kept))
    everything = np.arange(len(item))
    facts = [(r, c, everything) for r, c in kept if r.field in PER_ITEM or r.field == "feature"]
    return Cells(models, places, asked), item.names(), facts


def _check_bare(columns: list[tuple[Role, Column]], truth: bool) -> None:
    """Read a column without a field as correctness, only where it can be nothing else."""
    bare = [(role.name, column) for role, column in columns if role.bare]
    if bare and truth and not any(role.field == "answer" for role, _ in columns):
        name = bare[0][0]
        raise ValueError(
            f"column {shown(name)} may be answers or their correctness, since there is a truth:"
            f" name it {shown(name + ':answer')} or {shown(name + ':correct')}"
        )
    for name, column in bare:
        numbers = column.numbers(partial(_no_correctness, name), flags=True)
        if np.isnan(numbers).all():
            raise ValueError(
                f"column {shown(name)} is empty: drop it, or name it {shown(name + ':correct')} if"
                " it is a model that was never graded"
            )
        odd = [number for number in np.unique(numbers[~np.isnan(numbers)]) if number not in PLAIN]
        if odd:
            raise ValueError(
                f"column {shown(name)} holds {odd[0]:g}: is it a model's correctness? Name it"
                f" {shown(name + ':correct')}, or by its content: MODEL:cost, {FEATURE}NAME, …"
            )
    if bare:
        names = ", ".join(shown(name, 40) for name, _ in bare[:5])
        more = f" and {len(bare) - 5} more" if len(bare) > 5 else ""
        say(f"read as models, with 1 for right and 0 for wrong: {names}{more}")


def _no_correctness(name: str, row: int, cell: str, fix: str) -> str:
    return (
        f"'correct' of {shown(name, 60)} holds something that is not a number: {cell}; a column"
        f" that is not a model's is named {FEATURE}{excerpt(name, 60)}"
    )


def _assemble(cells: Cells, items: np.ndarray, facts: list, cost_is_estimated: bool) -> Outcomes:
    names = items.tolist()

    def where(field: str, at: tuple, row: int, cell: str, fix: str) -> str:
        i, j = (at[0][row], at[1][row]) if isinstance(at[1], np.ndarray) else (row, at[1])
        return (
            f"{field!r} of {shown(cells.models[j], 40)} holds something that is not a number:"
            f" {cell} for item {shown(names[i], 40)}; {fix}"
        )

    parts = {name: cells.numbers(name, where) for name in MEASURES if name in cells.places}
    truth = next(((column, rows) for role, column, rows in facts if role.field == "truth"), None)
    answers = [column for column, _ in cells.places.get("answer", ())]
    graded = "correct" in cells.places
    compared = bool(truth) and not graded
    coming = [*answers, *([truth[0]] if truth else [])]
    warn_of_gaps(coming)
    labels, coded = _coded(coming, compared)
    if answers:
        parts["answer"] = cells.codes("answer", coded[: len(answers)])
    if truth:
        code = coded[-1][truth[1]]
        parts["truth"] = np.where(code < 0, ABSENT, code)
    if graded:
        correct = cells.numbers("correct", where)
    elif answers:
        correct = grade(parts["answer"], parts.get("truth"), labels)
        warn_unequal(parts["answer"], parts.get("truth"), labels)
    else:
        raise ValueError("there is neither 'correct' nor 'answer'; one of them is needed")
    features = {role.name: c.facts()[rows] for role, c, rows in facts if role.field == "feature"}
    group = next((_names(c)[rows] for role, c, rows in facts if role.field == "group"), None)
    outcomes = Outcomes(
        models=cells.models,
        items=items,
        correct=correct,
        labels=labels,
        features=features,
        group=group,
        cost_is_estimated=cost_is_estimated,
        **parts,
    )
    check_states(outcomes)
    return outcomes


def _names(column: Column) -> np.ndarray:
    """Kinds of items (n,): text keeps its spelling."""
    return column.cells() if isinstance(column, Text) else column.names()


def _coded(columns: list[Column], compared: bool) -> tuple[tuple, list[np.ndarray]]:
    """Labels of answers and truth, and the code of every cell of each column.

    Text of a file is read cell by cell; in a data frame types separate text from numbers, and texts
    of one number are one label where answers are `compared` with the truth, the last column.
    """
    each, labels = labels_of(columns, all(isinstance(column, Text) for column in columns))
    if compared:
        spelling = one_spelling(labels, each[-1])
        each = [[spelling[label] for label in own] for own in each]
        labels = tuple(label for label in labels if spelling[label] == label)
    index = {label: code for code, label in enumerate(labels)}
    coded = []
    for column, own in zip(columns, each, strict=True):
        codes = np.array([*(index[label] for label in own), -1], int)
        coded.append(codes[column.codes])
    return labels, coded
