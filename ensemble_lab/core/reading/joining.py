"""Joins a log of requests with a file of their grades, by the name of the request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.checks import objects
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.reading.columns import Column, Text, Typed
from ensemble_lab.core.reading.headers import say, tell
from ensemble_lab.core.reading.meanings import meaning_of, normal

GRADES = "grades."  # before the names of columns that come from the second file
REQUEST = {
    "request", "request_id", "id", "call_id", "trace_id", "custom_id", "generation_id",
    "response_id", "completion_id",
}  # fmt: skip

Named = list[tuple[str, Column]]


def joined(log: Named, grades: Named, on: str | None) -> Named:
    """The log with the columns of the grades that give correctness, truth or a group.

    Parameters
    ----------
    log, grades : list of (name, Column)
    on : str, optional
        The column that names a request in both. Default: the one that both have under one of the
        usual names of a request.

    Raises
    ------
    ValueError
        No common column or several, a request twice, or no request that has a grade.
    """
    key, other = _keys([name for name, _ in log], [name for name, _ in grades], on)
    requests, graded = _texts(dict(log)[key]), _texts(dict(grades)[other])
    _refuse_twice(requests, key, "the log")
    _refuse_twice(graded, other, "the grades")
    row = {name: i for i, name in enumerate(graded) if name is not None}
    at = np.array([row.get(name, -1) if name is not None else -1 for name in requests])
    _count(requests, graded, at)
    wanted = [
        (GRADES + name, _taken(column, at))
        for name, column in grades
        if name != other and meaning_of(name) in ("correct", "truth")
    ]
    if not wanted:
        raise ValueError(
            "the grades have no column that is known to be a grade or a truth; name one correct or"
            " truth"
        )
    rest = [name for name, _ in log if name != key and meaning_of(name) == "item"]
    if rest and meaning_of(key) == "item":  # a request is not an item where items have names
        log = [pair for pair in log if pair[0] != key]
    return [*log, *wanted]


def _keys(log: Sequence[str], grades: Sequence[str], on: str | None) -> tuple[str, str]:
    if on is not None:
        check_known(on, log, "column", "log")
        check_known(on, grades, "column", "grades")
        return on, on
    there = {normal(name): name for name in grades}
    common = [(name, there[normal(name)]) for name in log if normal(name) in there]
    common = [pair for pair in common if normal(pair[0]) in REQUEST]
    if len(common) != 1:
        what = " and ".join(shown(name, 30) for name, _ in common[:2]) or "no column"
        raise ValueError(
            f"{what} may name the request in the log and in the grades; give on='request_id', or"
            " its name"
        )
    tell(f"grades are joined by column {shown(common[0][0], 40)}")
    return common[0]


def _texts(column: Column) -> list[str | None]:
    return [None if value is None else str(value) for value in column.cells().tolist()]


def _refuse_twice(names: list, key: str, where: str) -> None:
    seen: set = set()
    for name in names:
        if name is not None and name in seen:
            raise ValueError(
                f"request {shown(name, 40)} is in two rows of {where} (column {shown(key, 30)});"
                " keep one"
            )
        seen.add(name)


def _count(requests: list, graded: list, at: np.ndarray) -> None:
    """Say how many requests have no grade, and how many grades no request."""
    known = {name for name in requests if name is not None}
    strange = [name for name in graded if name not in known]
    if (at < 0).all():
        few = shown(next(iter(graded), None), 30), shown(next(iter(requests), None), 30)
        raise ValueError(f"no grade names a request: grades are for {few[0]}, …; requests are"
                         f" {few[1]}, …; give on=…")  # fmt: skip
    if (at < 0).any():
        say(f"{(at < 0).sum():,} of {len(at):,} requests have no grade: their correctness is"
            " unknown")  # fmt: skip
    if strange:
        say(f"{len(strange):,} of {len(graded):,} grades name no request of the log, such as"
            f" {shown(strange[0], 40)}")  # fmt: skip


def _taken(column: Column, at: np.ndarray) -> Column:
    """The cells of a column at these rows; empty at -1."""
    if isinstance(column, Text):
        import pyarrow as pa

        codes = np.where(at < 0, -1, column.codes[at])
        values = pa.array(column.values, pa.string())
        return Text(values.take(pa.array(codes, mask=codes < 0)))
    cells = [*column.cells().tolist(), None]
    return Typed(objects([cells[i] for i in at]), "grades", getattr(column, "numeric", False))
