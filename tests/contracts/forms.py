"""The forms in which people bring a table, and how the package reads each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.hostile import as_text
from tests.contracts.plain import MEASURES, Table

CELL = ("answer", "correct", *MEASURES)


# -- columns ------------------------------------------------------------------------------------


def long_columns(table: Table, order=None) -> dict[str, list]:
    """Name to cells: one row a recorded pair."""
    rows = [table.rows[i] for i in order] if order else table.rows
    there = [name for name in CELL if any(name in row for row in rows)]
    columns = {name: [row.get(name) for row in rows] for name in ("item", "model", *there)}
    for fact in dict.fromkeys(name for facts in table.facts.values() for name in facts):
        columns[fact] = [table.facts[row["item"]].get(fact) for row in rows]
    return columns


def wide_columns(table: Table, order=None, pair=lambda model, field: f"{model}:{field}") -> dict:
    """Name to cells: one row an item."""
    items = [table.items[i] for i in order] if order else table.items
    columns: dict = {"item": items}
    for model in table.models:
        for field in CELL:
            if any(field in row for row in table.rows):
                cells = [(table.row(item, model) or {}).get(field) for item in items]
                columns[pair(model, field)] = cells
    for fact in dict.fromkeys(name for facts in table.facts.values() for name in facts):
        columns[fact] = [table.facts[item].get(fact) for item in items]
    return columns


def wide_holds(table: Table) -> bool:
    """A row needs a cell that says something, and no model may be named like a feature."""
    if any(str(name).startswith("feature:") for name in table.models):
        return False
    return all(any(row.get(field) is not None for field in CELL) for row in table.rows)


def csv_holds(table: Table) -> bool:
    """A CSV has no empty text beside the gap, and no NUL."""
    texts = [*table.models, *table.items]
    for row in table.rows:
        texts.append(row.get("answer"))
    for facts in table.facts.values():
        texts += [*facts, *facts.values()]
    texts = [text for text in texts if isinstance(text, str)]
    return all(text and "\0" not in text and "\r" not in text for text in texts)


def measured(name: str) -> bool:
    """Whether a column holds numbers that the package reads as floats."""
    field = name.rpartition(":")[2]
    return field in ("correct", *MEASURES) and not name.startswith("feature:")


# -- typed columns ------------------------------------------------------------------------------


@st.composite
def dressed(draw, name: str, cells: list):
    """A pandas column of these cells, in any type that holds them."""
    known = [cell for cell in cells if cell is not None]
    kinds = {type(cell) for cell in known}
    gap = draw(st.sampled_from([None, float("nan"), pd.NA]))
    ways = [lambda: pd.Series([gap if c is None else c for c in cells], dtype=object)]
    if kinds <= {str} and kinds:
        ways += [
            lambda: pd.Series(cells, dtype="string"),
            lambda: pd.Series(cells, dtype=object).astype("category"),
            lambda: pd.Series(pa.array(cells, pa.string()), dtype=pd.ArrowDtype(pa.string())),
        ]
    if kinds == {bool}:
        ways.append(lambda: pd.Series(cells, dtype="boolean"))
    if kinds and kinds <= {int} and all(-(2**63) <= cell < 2**63 for cell in known):
        ways += [
            lambda: pd.Series(cells, dtype="Int64"),
            lambda: pd.Series(cells, dtype="Int64").astype("category"),
            lambda: pd.Series(pa.array(cells, pa.int64()), dtype=pd.ArrowDtype(pa.int64())),
        ]
        if len(known) == len(cells):
            for kind in ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"):
                info = np.iinfo(kind)
                if all(info.min <= cell <= info.max for cell in known):
                    ways.append(lambda kind=kind: pd.Series(cells, dtype=kind))
    if kinds == {int} and all(0 <= cell < 2**64 for cell in known):
        ways.append(lambda: pd.Series(_unsigned(cells)))
    if name in ("correct", *MEASURES) and kinds:
        numbers = [math.nan if cell is None else float(cell) for cell in cells]
        ways += [
            lambda: pd.Series(numbers, dtype="float64"),
            lambda: pd.Series([None if c is None else float(c) for c in cells], dtype="Float64"),
            lambda: pd.Series([None if c is None else repr(c) for c in cells], dtype=object),
            lambda: pd.Series(
                [gap if c is None else Decimal(repr(c)) for c in cells], dtype=object
            ),
        ]
        for kind in ("float32", "float16"):
            if all(math.isnan(x) or float(np.dtype(kind).type(x)) == x for x in numbers):
                ways.append(lambda kind=kind: pd.Series(numbers, dtype=kind))
        if name == "correct" and set(known) <= {0, 1}:
            ways += [
                lambda: pd.Series([None if c is None else bool(c) for c in cells], dtype="boolean"),
                lambda: pd.Series([gap if c is None else bool(c) for c in cells], dtype=object),
            ]
    return draw(st.sampled_from(ways))().reset_index(drop=True)


def _unsigned(cells: list):
    """Nullable integers up to 2^64; pandas itself goes through floats."""
    numbers = np.array([0 if cell is None else cell for cell in cells], np.uint64)
    return pd.arrays.IntegerArray(numbers, np.array([cell is None for cell in cells]))


@st.composite
def pandas_frame(draw, columns: dict):
    series = {name: draw(dressed(str(name), cells)) for name, cells in columns.items()}
    names = draw(st.permutations(list(series)))
    frame = pd.concat([series[name] for name in names], axis=1)
    frame.columns = pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else names
    odd = draw(st.sampled_from(["range", "zeros", "text", "shifted"]))
    if odd != "range":
        n = len(frame)
        frame.index = {
            "zeros": [0] * n,
            "text": [f"row {i % 2}" for i in range(n)],
            "shifted": range(n, 0, -1),
        }[odd]
    return frame


def arrow_columns(columns: dict) -> dict | None:
    """As pyarrow arrays, None where a column mixes types."""
    found = {}
    for name, cells in columns.items():
        kinds = {type(cell) for cell in cells if cell is not None}
        if measured(str(name)):
            cells = [None if cell is None else float(cell) for cell in cells]
        elif kinds == {int} and not all(-(2**63) <= c < 2**63 for c in cells if c is not None):
            return None
        elif len(kinds) > 1 or Decimal in kinds:
            return None
        found[str(name)] = pa.array(cells)
    return found if len(found) == len(columns) else None


# -- files --------------------------------------------------------------------------------------


def written(columns: dict, separator: str, draw) -> bytes:
    """A CSV or TSV by Python's own writer, with the ends and marks that tools add."""
    out = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(out, delimiter=separator, lineterminator=ends, quoting=quoting)
    writer.writerow(columns)
    flags = draw(st.sampled_from([repr, repr, lambda v: repr(float(v)), lambda v: f"+{v!r}"]))
    for cells in zip(*columns.values(), strict=True):
        line = []
        for name, cell in zip(columns, cells, strict=True):
            if cell is None:
                line.append("")
            elif isinstance(cell, str):
                line.append(cell)
            elif measured(name):
                line.append(flags(cell))
            else:
                line.append(str(cell))
        writer.writerow(line)
        if draw(st.integers(0, 19)) == 0:
            out.write(separator * (len(columns) - 1) + ends)  # a blank row of a spreadsheet
    text = out.getvalue()
    if draw(st.booleans()):
        text = text.removesuffix(ends)
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return mark + text.encode("utf-8")


def json_lines(columns: dict, draw) -> bytes:
    """One object a line; a gap is null or left out."""
    lines = []
    some = {name for name, cells in columns.items() if any(cell is not None for cell in cells)}
    leave = some if draw(st.booleans()) else ()
    ascii_only = draw(st.booleans())
    for cells in zip(*columns.values(), strict=True):
        row = {
            name: cell
            for name, cell in zip(columns, cells, strict=True)
            if cell is not None or name not in leave
        }
        lines.append(json.dumps(row, ensure_ascii=ascii_only))
    ends = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    return ends.join(lines).encode() + draw(st.sampled_from([b"", b"\n"]))


class Form:
    """One way to bring a table.

    Parameters
    ----------
    name : str
    text : bool
        Whether every cell is text there.
    bring : callable
        (table, draw, folder) to what `read` reads, or None where the form cannot hold it.
    """

    def __init__(self, name: str, text: bool, bring):
        self.name, self.text, self.bring = name, text, bring

    def __repr__(self) -> str:
        return self.name

    def told(self, table: Table) -> Table:
        """The table as this form tells it."""
        return as_text(table) if self.text else table


def _shuffled(draw, n: int) -> list[int]:
    return draw(st.permutations(range(n)))


def _of_frame(frame):
    return lambda: lab.Outcomes.from_frame(frame)


def _of_file(folder, name: str, data: bytes):
    path = folder / name
    path.write_bytes(data)
    return lambda: lab.Outcomes.read(path)


def long_pandas(table, draw, folder):
    return _of_frame(draw(pandas_frame(long_columns(table, _shuffled(draw, len(table.rows))))))


def wide_pandas(table, draw, folder):
    if not wide_holds(table):
        return None
    return _of_frame(draw(pandas_frame(wide_columns(table, _shuffled(draw, len(table.items))))))


def pair_pandas(table, draw, folder):
    """Columns are pairs, as `pivot(index="item", columns="model")` makes them."""
    if not wide_holds(table) or any(name == "" or name in CELL for name in table.models):
        return None
    first = draw(st.booleans())
    columns = wide_columns(
        table, None, lambda model, field: (field, model) if first else (model, field)
    )
    columns = {name if isinstance(name, tuple) else (name, ""): c for name, c in columns.items()}
    return _of_frame(draw(pandas_frame(columns)))


def _arrow(shape):
    def bring(table, draw, folder):
        if shape is wide_columns and not wide_holds(table):
            return None
        n = len(table.rows if shape is long_columns else table.items)
        found = arrow_columns(shape(table, _shuffled(draw, n)))
        if found is None or any("\0" in name for name in found):
            return None  # names end at a NUL in Arrow's interface, and polars ends the process
        return pa.table(found)

    return bring


def _polars(shape):
    def bring(table, draw, folder):
        found = _arrow(shape)(table, draw, folder)
        return None if found is None else _of_frame(pl.from_arrow(found))

    return bring


def _pyarrow(shape):
    def bring(table, draw, folder):
        found = _arrow(shape)(table, draw, folder)
        return None if found is None else _of_frame(found)

    return bring


def _foreign_parquet(shape):
    def bring(table, draw, folder):
        import pyarrow.parquet as pq

        found = _arrow(shape)(table, draw, folder)
        if found is None:
            return None
        pq.write_table(found, folder / "theirs.parquet")
        return lambda: lab.Outcomes.read(folder / "theirs.parquet")

    return bring


def _separated(shape, separator: str, kind: str):
    def bring(table, draw, folder):
        if not csv_holds(as_text(table)) or (shape is wide_columns and not wide_holds(table)):
            return None
        n = len(table.rows if shape is long_columns else table.items)
        columns = shape(table, _shuffled(draw, n))
        data = written({str(name): cells for name, cells in columns.items()}, separator, draw)
        if draw(st.integers(0, 5)) == 0:
            return _of_file(folder, f"t{kind}.gz", gzip.compress(data))
        return _of_file(folder, f"t{kind}", data)

    return bring


def _json(shape):
    def bring(table, draw, folder):
        if shape is wide_columns and not wide_holds(table):
            return None
        n = len(table.rows if shape is long_columns else table.items)
        columns = shape(table, _shuffled(draw, n))
        if any(isinstance(cell, Decimal) for cells in columns.values() for cell in cells):
            return None
        return _of_file(folder, "t.jsonl", json_lines(columns, draw))

    return bring


def arrays(table: Table, labels: list | None = None) -> dict:
    """The fields of `Outcomes(...)`, as lists."""
    from tests.contracts.plain import same

    labels = labels or table.labels()

    def code(label):
        return next(k for k, known in enumerate(labels) if same(known, label))

    def codes(item, model):
        row = table.row(item, model)
        if row is None:
            return lab.ABSENT
        return lab.UNPARSED if row["answer"] is None else code(row["answer"])

    def matrix(cell):
        return [[cell(item, model) for model in table.models] for item in table.items]

    def floats(value):
        return math.nan if value is None else float(value)

    fields = {
        "models": list(table.models),
        "items": list(table.items),
        "correct": matrix(lambda i, m: floats(table.correct(i, m))),
        "labels": labels,
    }
    if table.answers:
        fields["answer"] = matrix(codes)
    for name in MEASURES:
        if table.has(name):
            fields[name] = matrix(lambda i, m, name=name: floats(table.measure(name, i, m)))
    if any("truth" in facts for facts in table.facts.values()):
        truths = [table.truth(item) for item in table.items]
        fields["truth"] = [lab.ABSENT if t is None else code(t) for t in truths]
    names = dict.fromkeys(name for facts in table.facts.values() for name in facts)
    known = {name: [table.facts[item].get(name) for item in table.items] for name in names}
    if "group" in known:
        fields["group"] = known["group"]
    features = {n.removeprefix("feature:"): v for n, v in known.items() if n.startswith("feature:")}
    if features:
        fields["features"] = features
    return fields


def direct(table, draw, folder):
    if any(isinstance(label, Decimal) for label in table.labels()):
        return None
    return lambda: lab.Outcomes(**arrays(table))


def own_parquet(table, draw, folder):
    if any(isinstance(label, Decimal) for label in table.labels()):
        return None

    def read():
        return lab.Outcomes.read(lab.Outcomes(**arrays(table)).to_parquet(folder / "ours.parquet"))

    return read


def own_frame(form: str):
    def bring(table, draw, folder):
        if any(isinstance(label, Decimal) for label in table.labels()):
            return None
        if form == "wide" and not wide_holds(table):
            return None
        return lambda: lab.Outcomes.from_frame(lab.Outcomes(**arrays(table)).to_frame(form))

    return bring


FORMS = [
    Form("long pandas", False, long_pandas),
    Form("wide pandas", False, wide_pandas),
    Form("pairs in pandas", False, pair_pandas),
    Form("long polars", False, _polars(long_columns)),
    Form("wide polars", False, _polars(wide_columns)),
    Form("long pyarrow", False, _pyarrow(long_columns)),
    Form("wide pyarrow", False, _pyarrow(wide_columns)),
    Form("long parquet of others", False, _foreign_parquet(long_columns)),
    Form("wide parquet of others", False, _foreign_parquet(wide_columns)),
    Form("long csv", True, _separated(long_columns, ",", ".csv")),
    Form("wide csv", True, _separated(wide_columns, ",", ".csv")),
    Form("long tsv", True, _separated(long_columns, "\t", ".tsv")),
    Form("wide tsv", True, _separated(wide_columns, "\t", ".tsv")),
    Form("long json lines", False, _json(long_columns)),
    Form("wide json lines", False, _json(wide_columns)),
    Form("Outcomes(…)", False, direct),
    Form("our parquet", False, own_parquet),
    Form("our long frame", False, own_frame("long")),
    Form("our wide frame", False, own_frame("wide")),
]
