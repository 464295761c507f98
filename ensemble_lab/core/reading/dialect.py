"""How a text table is written: its encoding, the sign between cells and the decimal sign."""

from __future__ import annotations

import csv
import io
import re
from itertools import islice

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.columns import Column, Text
from ensemble_lab.core.reading.headers import tell
from ensemble_lab.core.reading.numerals import local_readings, number_in

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ROWS = 200  # of a file that are looked at to find the sign between cells
SAMPLE = 2**22  # bytes in which these rows are
COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?")
MARKED = r"[ \t]*[+-]?[0-9]*[.,][0-9]+([eE][+-]?[0-9]+)?[ \t]*"
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


def in_utf8(data: bytes, encoding: str | None) -> bytes:
    """The text as UTF-8 without a byte order mark; UTF-16 is known by its mark.

    Raises
    ------
    ValueError
        An unknown encoding, a byte that it does not have, or UTF-16 without a mark.
    """
    if encoding is None:
        if b"\0" in data[:2]:
            end = "le" if data[1:2] == b"\0" else "be"
            raise ValueError(f"it may be UTF-16 without a mark; give encoding='utf-16-{end}'")
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            tell("read as UTF-16, by its byte order mark")
        return data  # read with care later
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except (LookupError, TypeError):
        raise ValueError(
            f"encoding={shown(encoding, 40)} is not known; give one such as utf-8 or cp1252"
        ) from None
    except UnicodeError as error:
        raise ValueError(
            f"it is not {shown(encoding, 40)}: byte {getattr(error, 'start', 0)} does not belong"
            " there; give another encoding"
        ) from None


def separator_of(data: bytes, usual: str) -> tuple[str, bytes]:
    """The sign between cells, and the text without a first line ``sep=;``.

    A sign fits where every row has as many cells as the header, and two or more.

    Raises
    ------
    ValueError
        No sign fits, or two do.
    """
    line, _, rest = data.partition(b"\n")
    stated = re.fullmatch(rb'"?sep=([,;|\t])"?\r?', line)
    if stated:
        tell(f"read with {SEPARATORS[stated[1].decode()]} between cells, as its first line says")
        return stated[1].decode(), rest
    text = data[:SAMPLE].decode("utf-8", "replace")
    fit = [sign for sign in SEPARATORS if _cells(text, sign, len(data) > SAMPLE) > 1]
    if len(fit) > 1:
        raise ValueError(
            f"both {SEPARATORS[fit[0]]} and {SEPARATORS[fit[1]]} may be between its cells: give"
            f" separator={shown(fit[0])} or separator={shown(fit[1])}"
        )
    if not fit:
        return usual, data  # the reader names the row that does not fit
    if fit[0] != usual:
        tell(f"read with {SEPARATORS[fit[0]]} between cells")
    return fit[0], data


def _cells(text: str, sign: str, cut: bool) -> int:
    """Cells a row, where the first rows have equally many, else 0; the last may be `cut`."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
    counts: list[int] = []
    try:
        counts += (len(row) for row in islice(filter(None, lines), ROWS))
    except csv.Error:  # a cell that is longer than the module reads
        cut = False
    if cut and 1 < len(counts) < ROWS:
        counts.pop()
    return counts[0] if counts and len(set(counts)) == 1 else 0


def decimal_of(columns: dict[str, Column]) -> str | None:
    """The decimal sign in columns that must hold numbers: None where no cell tells.

    Raises
    ------
    ValueError
        Cells with a comma and with a point, or only such as "1,319", which may be thousands.
    """
    comma = point = unclear = None
    for name, column in columns.items():
        if not isinstance(column, Text):
            continue
        for value in column.matching(MARKED):
            value = value.strip(" \t")
            if POINT.fullmatch(value):
                point = point or (name, value)
            elif THOUSANDS.fullmatch(value):
                unclear = unclear or (name, value)
            else:
                comma = comma or (name, value)
    if comma and point:
        raise ValueError(
            f"column {shown(comma[0], 30)} holds {shown(comma[1], 20)} and column"
            f" {shown(point[0], 30)} {shown(point[1], 20)}: write one decimal sign"
        )
    if unclear and not comma:
        value = unclear[1]
        raise ValueError(
            f"column {shown(unclear[0], 30)} holds {shown(value, 20)}, which may be"
            f" {value.replace(',', '')} or {value.replace(',', '.')}: give decimal=',' or write"
            " it without a mark for thousands"
        )
    return "," if comma else "." if point else None


def with_points(column: Column, name: str, sure: bool, numbers: bool) -> Column:
    """The column with decimal points for commas.

    Parameters
    ----------
    column
    name : str
        For errors.
    sure : bool
        Whether the caller gave the decimal sign.
    numbers : bool
        Whether all cells must be numbers; else only texts that are numbers change.

    Raises
    ------
    ValueError
        A point in a number, or an answer such as "1,319", which may be written with thousands.
    """
    import pyarrow as pa

    if not isinstance(column, Text):
        return column
    spelt = []
    for value in column.values:
        plain = value.strip()
        if COMMA.fullmatch(plain):
            if not sure and not numbers and THOUSANDS.fullmatch(plain):
                raise ValueError(
                    f"column {shown(name, 40)} holds {shown(plain, 20)}, which may be"
                    f" {plain.replace(',', '')} or {plain.replace(',', '.')}: give decimal=','"
                )
            value = plain.replace(",", ".")
        elif numbers and (POINT.fullmatch(plain) or (number_in(plain) is None
                                                     and local_readings(plain))):  # fmt: skip
            raise ValueError(
                f"column {shown(name, 40)} holds {shown(plain, 20)}, but the decimal sign is a"
                " comma: write no marks for thousands"
            )
        spelt.append(value)
    codes = column.codes
    return Text(pa.array(spelt, pa.string()).take(pa.array(codes, mask=np.asarray(codes < 0))))
