"""`read_table`: outcomes from a table as people have it, and what was understood, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.columns import Column, Typed
from ensemble_lab.core.reading.dialect import decimal_of, with_points
from ensemble_lab.core.reading.guess import Place, as_frame, places, target
from ensemble_lab.core.reading.headers import listening, tell
from ensemble_lab.core.reading.meanings import MEANINGS
from ensemble_lab.core.reading.opened import existing, refusal
from ensemble_lab.core.reading.sources import Dialect, columns_in
from ensemble_lab.core.reading.tables import from_columns, without_row_numbers
from ensemble_lab.core.reading.units import SECONDS, converted

NUMBERS = ("correct", "confidence", "cost", "latency", "tokens")


class ReadTable(NamedTuple):
    """A table that was read, and how it was understood; printed, it tells all of it.

    Parameters
    ----------
    outcomes : Outcomes
    sentences : list of str
        What was understood, and each doubt with the argument that decides otherwise.
    columns : DataFrame
        One row a column that is used: ``meaning``, ``column``, ``model``, ``known by``.
    """

    outcomes: Outcomes
    sentences: list[str]
    columns: Any

    def __str__(self) -> str:
        said = "".join(f"- {sentence}\n" for sentence in self.sentences)
        return f"{self.outcomes!r}\n{said}{self.columns.to_string(index=False)}"


def read_table(
    path: str | Path,
    *,
    item: str | Sequence[str] | None = None,
    model: str | None = None,
    answer: str | Sequence[str] | None = None,
    truth: str | None = None,
    correct: str | Sequence[str] | None = None,
    confidence: str | None = None,
    cost: str | None = None,
    latency: str | None = None,
    tokens: str | None = None,
    group: str | None = None,
    time: str | None = None,
    feature: str | Sequence[str] | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    latency_unit: str | None = None,
    encoding: str | None = None,
) -> ReadTable:
    r"""Read a table of outcomes as people have it, long or wide, and say what was understood.

    Columns are known by their usual names (`prompt_id`, `llm`, `is_correct`, `elapsed_ms`, …), not
    by their numbers. Each argument names a column instead; ``""`` says that there is none. Two
    columns that may have one meaning are refused. Long: one row an item and model. Wide: columns
    ``MODEL:FIELD``, ``MODEL|FIELD``, ``MODEL_FIELD`` or ``FIELD_MODEL``, or lists of columns for
    `answer` or `correct`, each named by its model.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv``, ``.txt``, ``.jsonl``, ``.json``, these also as ``.gz``, or ``.parquet``.
    item : str or sequence of str, optional
        The column that names the item; several make one name.
    model, truth, confidence, cost, latency, tokens, group, time : str, optional
        Columns. `time` becomes the feature ``time``, in seconds since 1970.
    answer, correct : str or sequence of str, optional
        A column, or in the wide form one column a model.
    feature : str or sequence of str, optional
        Columns that are facts about an item, known before any model is asked.
    separator, decimal, encoding : str, optional
        How a text file is written. Default: the sign that gives each row as many cells as the
        header has; the decimal sign that the numbers show; UTF-8, or UTF-16 with a mark.
    latency_unit : {"s", "ms", "us", "ns"}, optional
        Default: the end of the column's name, else seconds.

    Returns
    -------
    ReadTable
        ``outcomes``, ``sentences`` and ``columns``. `print` shows all three.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or one that cannot be read with certainty: what is in doubt, and the argument
        that decides it.

    Warns
    -----
    UserWarning
        Each sentence that is a doubt.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "runs.csv")
    >>> _ = path.write_text("prompt_id;llm;score;elapsed_ms\nq1;a;1;250\nq1;b;0,5;90\n")
    >>> table = read_table(path)
    >>> table.outcomes.latency
    array([[0.25, 0.09]])
    >>> table.sentences[0]
    'read with semicolons between cells'
    """
    given = dict(
        item=item, model=model, answer=answer, truth=truth, correct=correct, confidence=confidence,
        cost=cost, latency=latency, tokens=tokens, group=group, time=time, feature=feature,
    )  # fmt: skip
    dialect = Dialect(separator, decimal, encoding)
    dialect.check()
    if latency_unit is not None and latency_unit not in SECONDS:
        raise ValueError(
            f"latency_unit={shown(latency_unit, 40)}; give one of {', '.join(SECONDS)}"
        )
    named = _named(given)
    path = existing(path)
    with listening() as said, refusal(path):
        found, table = _understood(columns_in(path, dialect), named, decimal, latency_unit)
        outcomes = from_columns(table, None, False)
    return ReadTable(outcomes, said, as_frame(found))


def _named(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Meaning to the columns that the caller gave, as lists; an empty list for ``""``."""
    found = {}
    many = {one.name for one in MEANINGS if one.several}
    for meaning, value in given.items():
        if value is None:
            continue
        columns = [value] if isinstance(value, str) else several(value, meaning)
        columns = [column for column in columns if column != ""]
        odd = next((column for column in columns if not isinstance(column, str)), None)
        if odd is not None or (len(columns) > 1 and meaning not in many):
            wanted = "names of columns" if meaning in many else "the name of a column"
            raise ValueError(f"{meaning}={shown(value)}; give {wanted} as text")
        found[meaning] = columns
    return found


def _understood(
    raw: list[tuple[str, Column]],
    named: Mapping[str, list[str]],
    decimal: str | None,
    latency_unit: str | None,
) -> tuple[list[Place], list[tuple[str, Column]]]:
    """The columns that are used, and their cells under the names of `Outcomes.from_frame`."""
    whole = dict(without_row_numbers(raw, {name for columns in named.values() for name in columns}))
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
    return found, [("item", _one_name([whole[name] for name in keys], keys)), *table]


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
