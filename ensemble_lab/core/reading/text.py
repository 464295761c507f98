"""Tables as text: comma or tab separated, or one JSON object a line; cells stay text here."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from ensemble_lab.core.checks import objects
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.reading.columns import Column, Text, Typed


def separated(data: bytes, separator: str) -> list[tuple[str, Column]]:
    """Name and cells of each column of a CSV or TSV: only an empty cell is a gap.

    Raises
    ------
    ValueError
        Rows that do not fit the header, another separator or another encoding, with the fix.
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    data = utf8(data)
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    try:
        header = next((row for row in csv.reader(lines, delimiter=separator) if row), [])
    except csv.Error as error:
        raise ValueError(f"its header cannot be read ({error}); close its quotes") from None
    if not header:
        raise ValueError("it is empty; a table has a header and a row an item")
    if len(header) == 1:
        _refuse_other_separator(header[0], separator)
    columns = [f"f{j}" for j in range(len(header))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(data),
            arrow_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=columns
            ),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"its rows do not fit its header: {excerpt(str(error), 120)}") from None
    cells = [column.combine_chunks()[1:] for column in table.columns]  # the first is the header
    blank = np.logical_and.reduce([c.is_null().to_numpy(zero_copy_only=False) for c in cells])
    if blank.any():  # rows of separators only, as spreadsheets leave them after the last row
        cells = [column.filter(pa.array(~blank)) for column in cells]
    named = [(name, Text(c)) for name, c in zip(header, cells, strict=True)]
    return [(name, c) for name, c in named if name or not c.empty().all()]


def utf8(data: bytes) -> bytes:
    """The text as UTF-8 without a byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"it is UTF-16 text that breaks off or is damaged at byte {error.start}; save it"
                " again, as CSV UTF-8"
            ) from None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is not UTF-8; save it as CSV UTF-8, or give"
            " pandas.read_csv(path, encoding='cp1252', dtype=str) to Outcomes.from_frame"
        ) from None
    return data.removeprefix(b"\xef\xbb\xbf")


def _refuse_other_separator(header: str, separator: str) -> None:
    if header.startswith("sep="):
        raise ValueError(f"its first line, {shown(header)}, is for spreadsheets: delete it")
    for other, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (",", "commas")):
        if other in header and other != separator:
            comma = ', decimal=","' if other == ";" else ""
            raise ValueError(
                f"its columns are separated by {name}: use ensemble_lab.read_table(path), or"
                f' Outcomes.from_frame(pandas.read_csv(path, sep="{other!s}"{comma}))'.replace(
                    "\t", "\\t"
                )
            )


def json_lines(data: bytes) -> list[tuple[str, Column]]:
    """Name and cells of each key, from one JSON object a row."""
    rows = objects_in(data)
    names = dict.fromkeys(name for row in rows for name in row)
    return [(name, of_objects(name, [row.get(name) for row in rows])) for name in names]


def objects_in(data: bytes) -> list[dict]:
    """The JSON objects of a text, one a line.

    Raises
    ------
    ValueError
        A line that is not an object, by its number.
    """
    rows = []
    for number, line in enumerate(utf8(data).decode().split("\n"), 1):
        if line.strip():
            rows.append(_object(line, number))
    if not rows:
        raise ValueError("it is empty; a table has one JSON object a line")
    return rows


def _object(line: str, number: int) -> dict:
    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(
                f"line {number} has the key {shown(_twice(pairs), 40)} twice; keep one"
            )
        return found

    try:
        row = json.loads(line, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"line {number} is not JSON: {error.msg} at character {error.pos}; a table has one"
            " object a line"
        ) from None
    except RecursionError:
        raise ValueError(f"line {number} is nested too deeply; give numbers and texts") from None
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError(
            f"line {number} holds a number of over 4,300 digits; make it text"
        ) from None
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is {shown(row, 40)}; a table has one object a line")
    return row


def _twice(pairs) -> str:
    names = [name for name, _ in pairs]
    return next(name for name in names if names.count(name) > 1)


def of_objects(name: str, values: list) -> Typed:
    """A column of JSON values: NaN is a gap."""
    values = [None if value != value else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    return Typed(objects(values), name, numeric=bool(kinds) and kinds <= {int, float})
