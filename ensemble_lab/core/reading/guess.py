"""Which column means what: as the caller says, else by its usual name, never by its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ensemble_lab.core.errors import check_known, excerpt, shown
from ensemble_lab.core.reading.headers import CELL, FEATURE, say, tell
from ensemble_lab.core.reading.meanings import BESIDE, MEANINGS, meaning_of, normal

TIME = FEATURE + "time"
GIVEN, USUAL, NAMED, REST = "given", "usual name", "model and field", "a model's own column"


class Place(NamedTuple):
    """A column with its meaning.

    Parameters
    ----------
    column : str
        Its name in the file.
    meaning : str
        A name in `MEANINGS`.
    model : str or None
        The model of a column of the wide form.
    why : str
        How the meaning is known.
    field : str
        The part of the name that tells the unit.
    """

    column: str
    meaning: str
    model: str | None = None
    why: str = USUAL
    field: str = ""


def places(names: Sequence[str], given: Mapping[str, list[str]]) -> list[Place]:
    """The columns that are used, each with its meaning.

    Parameters
    ----------
    names : sequence of str
        The header.
    given : mapping
        Meaning to the columns that the caller named; an empty list where there is none.

    Raises
    ------
    ValueError
        No item or model, two columns for one meaning, or a column for two.
    """
    found = _as_given(names, given)
    taken = {place.column for place in found}
    found += _as_usual([name for name in names if name not in taken], given)
    meant = {place.meaning for place in found}
    taken = {place.column for place in found}
    rest = [name for name in names if name not in taken and normal(name) not in BESIDE]
    if "item" not in meant:
        raise ValueError(
            f"no column is known to name the item: {_few(names)}; give item=… (several columns make"
            " one name)"
        )
    lists = any(place.model is not None for place in found)
    if "model" in meant:
        if lists:
            several = next(place.meaning for place in found if place.model is not None)
            raise ValueError(
                f"{several} names several columns, one a model, but there is a column of models"
                f" too; give one column, or model=''"
            )
    else:
        found += _wide(names, rest, found, lists)
    if not any(place.meaning in CELL for place in found):
        raise ValueError(f"no column is known to hold answers or grades: {_few(names)}; give"
                         " correct=…, or answer=… and truth=…")  # fmt: skip
    left = [name for name in names if name not in {place.column for place in found}]
    if left:
        tell(f"left out: {_few(left)}; feature=… keeps a fact that is known before the answers")
    return found


def _as_given(names: Sequence[str], given: Mapping[str, list[str]]) -> list[Place]:
    found: list[Place] = []
    for meaning, columns in given.items():
        for column in columns:
            check_known(column, names, "column", "table")
            twice = next((place for place in found if place.column == column), None)
            if twice is not None:
                raise ValueError(
                    f"column {shown(column, 40)} is given as {twice.meaning} and as {meaning};"
                    " name it once"
                )
            many = len(columns) > 1 and meaning in ("answer", "correct")
            found.append(Place(column, meaning, column if many else None, GIVEN, column))
    return found


def _as_usual(names: Sequence[str], given: Mapping[str, list[str]]) -> list[Place]:
    by_meaning: dict[str, list[str]] = {}
    found = []
    for name in names:
        if name.startswith(FEATURE):
            found.append(Place(name, "feature", field=name))
        elif (meaning := meaning_of(name)) and meaning not in given:
            by_meaning.setdefault(meaning, []).append(name)
    for meaning, columns in by_meaning.items():
        least = min(name.count(".") for name in columns)  # the row's own before an object's in it
        columns = [name for name in columns if name.count(".") == least]
        if len(columns) > 1:
            raise ValueError(
                f"columns {' and '.join(shown(c, 40) for c in columns[:3])} may both be the"
                f" {meaning}: give {meaning}={shown(columns[0], 40)}"
                f" or {meaning}={shown(columns[1], 40)} ('' for none)"
            )
        found.append(Place(columns[0], meaning, field=columns[0]))
    return found


def _wide(names, rest: list[str], found: list[Place], lists: bool) -> list[Place]:
    """Columns of the wide form: a model and a field, or a model alone."""
    loose = [place for place in found if place.meaning in CELL and place.model is None]
    named = _model_and_field(rest)
    own = {place.model for place in named}
    graded = {place.model for place in named if place.meaning == "correct"}
    taken = {place.column for place in named}
    # Beside MODEL|total_cost, a column MODEL holds the score of this model.
    named += [
        Place(name, "correct", name, NAMED, name)
        for name in rest
        if name in own and name not in graded and name not in taken
    ]
    if loose:
        one = loose[0]
        raise ValueError(
            f"column {shown(one.column, 40)} is the {one.meaning} of one answer, but no column"
            f" names the model{_hint(names)}; give model=…, or {one.meaning}='' to leave it out"
            + (", or truth=…" if one.meaning == "answer" else "")
        )
    if named or lists:
        return named
    if len(rest) < 1:
        raise ValueError(
            f"no column is known to name the model: {_few(names)}; give model=…, or correct=… with"
            " one column a model"
        )
    return [Place(name, "correct", name, REST, name) for name in rest]


def _model_and_field(rest: list[str]) -> list[Place]:
    """Columns MODEL:FIELD and MODEL|FIELD; else names whose last or first word is a field."""
    for mark in ":", "|":
        found = []
        for name in rest:
            model, there, field = name.rpartition(mark)
            meaning = meaning_of(field) if there and model else None
            if meaning in CELL:
                found.append(Place(name, meaning, model, NAMED, field))
        if found:
            return found
    return _affixed(rest)


def _affixed(rest: list[str]) -> list[Place]:
    last, first = [], []
    for name in rest:
        marks = [m.start() for m in re.finditer(r"[_./ -]", name)]
        for at in marks:  # the longest field first: gpt_4_is_correct
            if name[:at] and meaning_of(name[at + 1 :]) in CELL:
                field = name[at + 1 :]
                last.append(Place(name, meaning_of(field), name[:at], NAMED, field))
                break
        for at in reversed(marks):
            if name[at + 1 :] and meaning_of(name[:at]) in CELL:
                field = name[:at]
                first.append(Place(name, meaning_of(field), name[at + 1 :], NAMED, field))
                break
    if not last and not first:
        return []
    if last and first:
        raise ValueError(
            f"columns {shown(last[0].column, 40)} and {shown(first[0].column, 40)} name the model"
            " at two ends; rename them MODEL:FIELD"
        )
    found = last or first
    models = [*dict.fromkeys(place.model for place in found)]
    if len(models) < 2:  # one such name may be anything
        return []
    say(f"read as models, by the names of their columns such as {shown(found[0].column, 40)}:"
        f" {_few(models)}")  # fmt: skip
    return found


def _hint(names: Sequence[str]) -> str:
    return f" ({_few(names)})"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(excerpt(str(name), 24) for name in names[:6]) + more


def target(place: Place) -> str:
    """The column's name in `Outcomes.from_frame`."""
    if place.meaning == "feature":
        return place.column if place.column.startswith(FEATURE) else FEATURE + place.column
    if place.meaning == "time":
        return TIME
    if place.why == REST:  # so that its cells are looked at with more care
        return place.column
    return place.meaning if place.model is None else f"{place.model}:{place.meaning}"


ORDER = {one.name: at for at, one in enumerate(MEANINGS)}


def as_frame(found: Sequence[Place]):
    """The columns as a small table: meaning, column, model, how it is known, and the argument."""
    import pandas as pd

    rows = sorted(found, key=lambda place: ORDER[place.meaning])
    return pd.DataFrame(
        {
            "meaning": [place.meaning for place in rows],
            "column": [place.column for place in rows],
            "model": [place.model or "" for place in rows],
            "known by": [place.why for place in rows],
        }
    )
