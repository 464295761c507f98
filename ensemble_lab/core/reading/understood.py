"""The columns of a table under the names of `Outcomes.from_frame`, in its units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.columns import Column, Typed, no_number
from ensemble_lab.core.reading.dialect import decimal_of, with_points
from ensemble_lab.core.reading.guess import TIME, Place, places, target
from ensemble_lab.core.reading.headers import refuse_twice, say, tell
from ensemble_lab.core.reading.meanings import meaning_of
from ensemble_lab.core.reading.tables import without_row_numbers
from ensemble_lab.core.reading.units import converted

NUMBERS = ("correct", "confidence", "cost", "latency", "tokens")


def understood(
    raw: list[tuple[str, Column]],
    named: Mapping[str, list[str]],
    decimal: str | None,
    latency_unit: str | None,
) -> tuple[list[Place], list[tuple[str, Column]]]:
    """The columns that are used, and their cells under the names of `Outcomes.from_frame`.

    Parameters
    ----------
    raw : list of (name, Column)
        As they stand in the file.
    named : mapping
        Meaning to the columns that the caller named.
    decimal, latency_unit : str, optional

    Raises
    ------
    ValueError
        What is in doubt, with the argument that decides it.
    """
    refuse_twice([name for name, _ in raw], "column")
    if not raw or not len(raw[0][1]):
        raise ValueError("the table has no rows; give at least one")
    given = {name for columns in named.values() for name in columns}
    whole = dict(without_row_numbers(_without_empty(raw, given), given))
    found = places(list(whole), named)
    # One decimal sign a file, found where cells must be numbers.
    measured = {p.column: whole[p.column] for p in found if p.meaning in NUMBERS}
    sign = decimal or decimal_of(measured)
    if sign == ",":
        if decimal is None:
            tell("read with a comma as decimal sign")
        for place in found:
            if place.meaning in (*NUMBERS, "answer", "truth", "feature"):
                whole[place.column] = with_points(
                    whole[place.column], place.column, decimal == ",", place.meaning in NUMBERS
                )
    table = [
        (target(place), converted(place, whole[place.column], latency_unit))
        for place in found
        if place.meaning != "item"
    ]
    keys = [place.column for place in found if place.meaning == "item"]
    item = _one_name([whole[name] for name in keys], keys)
    _doubt_spaces("items", item)
    for name, column in table:
        if name == "model":
            _doubt_spaces("models", column)
            _doubt_case(column)
    _refuse_two_rows(item, dict(table).get("model"), whole, keys)
    table = [(name, _first(item, c) if name == TIME else c) for name, c in table]
    return found, [("item", item), *table]


def _doubt_spaces(what: str, column: Column) -> None:
    """Warn of two names that differ by spaces at their ends: often one thing, written twice."""
    texts = [value for value in column.values if isinstance(value, str)]
    bare = dict.fromkeys(text.strip() for text in texts)
    if len(bare) < len(texts):
        twice = next(text for text in texts if text != text.strip() and text.strip() in bare)
        say(f"{what} differ by spaces at their ends only, such as {shown(twice, 40)}; they are"
            " read as two")  # fmt: skip


def _doubt_case(models: Column) -> None:
    """Warn of two models whose names differ by case: often one model, written twice."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(v.strip() for v in models.values if isinstance(v, str)):
        if found.setdefault(text.casefold(), text) != text:
            say(f"models differ by case only, such as {shown(text, 40)}; they are read as two")
            return


def _first(item: Column, time: Column) -> Column:
    """The first time of each item, where its rows have several."""
    seconds = time.numbers(no_number)
    first = np.full(len(item.values) + 1, np.inf)
    np.fmin.at(first, item.codes, seconds)
    first[np.isinf(first)] = np.nan
    if (seconds > first[item.codes]).any():
        tell("the time of an item is that of its first call")
    return Typed(first[item.codes], TIME)


def _without_empty(raw: list[tuple[str, Column]], given: set) -> list[tuple[str, Column]]:
    """The columns that hold something, and those that may be a model that was never asked."""
    empty = [
        name
        for name, column in raw
        if name not in given and column.empty().all() and meaning_of(name) is not None
    ]
    if empty:
        tell(f"left out, because they are empty: {', '.join(shown(n, 24) for n in empty[:6])}")
    return [pair for pair in raw if pair[0] not in empty]


def _refuse_two_rows(item: Column, model: Column | None, whole: dict, keys: list[str]) -> None:
    """Refuse two rows of one item and model, and name a column that tells them apart."""
    if model is None:
        return
    pair = item.codes * (len(model.values) + 1) + model.codes
    if len(np.unique(pair)) == len(pair):
        return
    for name, column in whole.items():
        size = len(column.values) + 1
        if meaning_of(name) in NUMBERS or size > len(pair):
            continue
        if len(np.unique(pair * size + column.codes)) == len(pair):
            both = ", ".join(shown(key, 30) for key in [*keys, name])
            raise ValueError(
                f"an item and a model are in several rows, which column {shown(name, 30)} tells"
                f" apart: give item=[{both}], or keep one row"
            )


def _one_name(columns: list[Column], names: list[str]) -> Column:
    """Several columns as one: their cells with a slash between."""
    if len(columns) == 1:
        return columns[0]
    cells = [column.cells().tolist() for column in columns]
    for name, column in zip(names, columns, strict=True):
        if column.empty().any():
            row = int(column.empty().argmax()) + 1
            raise ValueError(f"column {shown(name, 40)} is empty in row {row}; fill it or drop it")
    keys = list(zip(*cells, strict=True))
    texts = ["/".join(str(part) for part in key) for key in keys]
    if len(set(texts)) < len(set(keys)):
        raise ValueError(
            f"columns {' and '.join(shown(n, 30) for n in names)} with a slash between do not name"
            " each item once; make a column that does"
        )
    tell(f"an item is named by columns {' and '.join(shown(name, 30) for name in names)}")
    return Typed(np.array([*texts, None], object)[:-1], "item")
