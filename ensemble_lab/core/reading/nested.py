"""JSON tables: objects inside objects become columns ``outer.inner``; a table may be a list."""

from __future__ import annotations

import json

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.reading.columns import Column, Typed
from ensemble_lab.core.reading.headers import tell
from ensemble_lab.core.reading.text import objects_in, of_objects, utf8

PROMPTFOO = "results.results"  # where promptfoo has its rows, beside lists of prompts and tests
DEEP = 6  # objects inside objects


def json_columns(rows: list[dict]) -> list[tuple[str, Column]]:
    """Name and cells of each key of objects, also of objects in them."""
    rows = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    lists = [name for name in names if any(isinstance(row.get(name), list) for row in rows)]
    if lists:
        tell(f"left out, because they hold lists: {', '.join(excerpt(n, 24) for n in lists[:6])}")
    # A reply with two choices in some rows: the one choice of the others is left out too.
    kept = [name for name in names if not any(f"{name}.".startswith(f"{one}.") for one in lists)]
    return [(name, _column(name, rows)) for name in kept]


def json_rows(data: bytes, lines: bool) -> list[dict]:
    """The objects of JSON lines, or of the one list of objects in a JSON document.

    Parameters
    ----------
    data : bytes
    lines : bool
        Whether the file says by its name that it has an object a line.

    Raises
    ------
    ValueError
        No list of objects, or several of them.
    """
    data = utf8(data)
    if lines and data.lstrip()[:1] != b"[":
        return objects_in(data)
    try:
        return _rows_in(json.loads(data))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a .json file with an object a line
            return objects_in(data)
        raise ValueError(f"line {error.lineno} is not JSON: {error.msg}") from None


def _rows_in(whole) -> list[dict]:
    lists = dict(_lists(whole, ""))
    if not lists and isinstance(whole, dict):
        return [whole]
    if not lists:
        raise ValueError("it holds no list of objects; a table has one object a row")
    if PROMPTFOO in lists:
        lists = {PROMPTFOO: lists[PROMPTFOO]}
    if len(lists) > 1:
        raise ValueError(
            f"it holds several lists of objects ({', '.join(excerpt(n, 30) for n in lists)}):"
            " write the one that is the table to a file of its own"
        )
    [(name, rows)] = lists.items()
    if name:
        tell(f"the rows are the list {shown(name, 60)}")
    return rows


def _lists(node, name: str):
    """The lists of objects that are in no other list, with their names."""
    if isinstance(node, list) and node and all(isinstance(row, dict) for row in node):
        yield name, node
    elif isinstance(node, dict) and name.count(".") < DEEP:
        for key, inner in node.items():
            yield from _lists(inner, f"{name}.{key}" if name else key)


def _flat(row: dict, before: str = "", deep: int = 0) -> dict:
    """One level of names: ``{"usage": {"tokens": 3}}`` is ``{"usage.tokens": 3}``."""
    if deep > DEEP:
        raise ValueError(f"key {shown(before, 60)} is nested too deeply; give numbers and texts")
    found: dict = {}
    for name, value in row.items():
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]  # the one choice of a reply
        if isinstance(value, dict):
            parts = _flat(value, f"{before}{name}.", deep + 1)
        else:
            parts = {before + name: value}
        if twice := found.keys() & parts.keys():
            raise ValueError(f"key {shown(next(iter(twice)), 60)} is there twice; rename one")
        found |= parts
    return found


def _column(name: str, rows: list[dict]) -> Typed:
    return of_objects(name, [row.get(name) for row in rows])
