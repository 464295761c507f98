"""Files from strangers: whatever stands in them, a table or one short ValueError."""

import datetime
import gzip
import json
import random
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ensemble_lab as lab
from ensemble_lab.core.recordings.recording import HEADER, json_line

DEEP = "[" * 5000 + "]" * 5000
ODD = (
    "9" * 400, "-" + "9" * 400, "9" * 5000, "1e400", "-1e999", "1e-400", "NaN", "Infinity", "-0",
    "true", "null", "", " ", "\x00", "\u200b", "é", "\ufeff", "[1]", "{}", '{"a": 1}', "[]",
    '"x"', '"\\ud800"', DEEP, '{"a":' * 3000 + "1" + "}" * 3000, "0x1f", "1_000", "1,5", "12:30",
    "2020-01-01", "=1+1", "a,b", '"', "'", "\r", "\t", "\\", "model", "item", ":", ":correct", "a:",
    "feature:", "1" * 3000 + "." + "1" * 3000, "1e3999", "9" * 309, "1e308", "--1", "٣", "1e",
)  # fmt: skip
NAMES = (
    "item", "model", "correct", "answer", "truth", "confidence", "cost", "latency", "tokens",
    "group", "features", "feature:x", "probability", "graded", "ensemble_lab", "version", "a:cost",
    "a:answer", "b:correct", "a", "", ":", "labels", "feature:", "item:correct", "model:answer",
)  # fmt: skip
PLAIN = ("1", "0", "0.5", "x", "q1", "q2", "small", "big", "18", "yes", "no")


def cell(rng):
    return rng.choice(ODD if rng.random() < 0.3 else PLAIN)


def separated(rng):
    mark = rng.choice(",,,\t;|")
    names = rng.sample(NAMES, rng.randint(1, 6))
    rows = [[cell(rng) for _ in names] for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.2 and rows:
        rows[0] = rows[0][: rng.randint(0, len(names))]
    return "\n".join(mark.join(row) for row in [names, *rows]).encode("utf-8", "replace")


def value(rng):
    if rng.random() < 0.6:
        return cell(rng) if rng.random() < 0.4 else json.dumps(cell(rng))
    inner = [value(rng) for _ in range(rng.randint(0, 2))]
    if rng.random() < 0.5:
        return f"[{', '.join(inner)}]"
    return "{" + ", ".join(f"{json.dumps(rng.choice(NAMES))}: {one}" for one in inner) + "}"


def line(rng):
    names = rng.sample(NAMES, rng.randint(0, 5))
    if rng.random() < 0.8:
        names = ["item", "model", *names]
    pairs = [f"{json.dumps(name)}: {value(rng)}" for name in names]
    return "{" + ", ".join(pairs) + "}" if rng.random() < 0.95 else value(rng)


def lines(rng):
    return "\n".join(line(rng) for _ in range(rng.randint(0, 4))).encode("utf-8", "replace")


def recording(rng):
    header = json_line(HEADER if rng.random() < 0.9 else {"ensemble_lab": rng.choice(ODD)})
    return header.encode("utf-8", "replace") + lines(rng) + rng.choice([b"", b"\n", b"\r\n"])


def about(rng):
    made = {
        "version": 1, "models": ["a", "b"], "labels": ["x", "y"], "cost_is_estimated": False,
        "model_group": None, "json": [],
    }  # fmt: skip
    odd = [
        None,
        [],
        {},
        "x",
        1,
        True,
        ["a"],
        [None],
        [["a"]],
        {"a": 1},
        -1,
        1e9,
        ["item"],
        [1, "1"],
    ]
    for name in rng.sample(list(made), rng.randint(0, 3)):
        if rng.random() < 0.5:
            del made[name]
        else:
            made[name] = rng.choice(odd)
    return rng.choice(
        [json.dumps(made)] * 6 + ["[]", "1", "null", DEEP, "{", '"x"', '{"version": 1}']
    )


COLUMNS = (
    ["q1", "q2"], [1, 2], [1.0, None], [None, None], [True, False], [[1], [2]], [{"a": 1}, None],
    [b"x", b"y"], [0, -3], [datetime.date(2020, 1, 1), None], [10**18, 0], ["1", "[" * 5000],
    [2.0, -1.0], [float("inf"), 0.0], [[[1]], None],
)  # fmt: skip
PARTS = (
    "item", "correct:0", "correct:1", "answer:0", "answer:1", "cost:0", "cost:1", "truth", "group",
    "probability:0", "probability:1", "feature:x", "feature:", "model", "correct", "answer",
)  # fmt: skip


def parquet(rng):
    table = {name: rng.choice(COLUMNS) for name in rng.sample(PARTS, rng.randint(1, 8))}
    table = {"item": ["q1", "q2"], **table} if rng.random() < 0.7 else table
    made = pa.table(table)
    if rng.random() < 0.7:
        made = made.replace_schema_metadata({b"ensemble_lab": about(rng).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(made, sink)
    return sink.getvalue().to_pybytes()


def zipped(rng):
    return gzip.compress(separated(rng), 1)


def damaged(rng, data):
    """A few bytes that are others, gone or twice."""
    data = bytearray(data)
    for _ in range(rng.choice([0, 0, 0, 1, 3])):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.choice([0, 1, 1, 5])] = rng.choice(
            [b"", b"\xff", b"\x00", b"\n", b"{", b"9" * 50, b'"', bytes(data[:20])]
        )
    return bytes(data)


KINDS = {
    ".csv": separated, ".tsv": separated, ".jsonl": lines, ".ndjson": recording,
    ".parquet": parquet, ".csv.gz": zipped,
}  # fmt: skip


def attack(path, rng, make):
    """Read one hostile file; what is raised beside a short ValueError is returned."""
    path.write_bytes(damaged(rng, make(rng)))
    try:
        table = lab.Outcomes.read(path)
        repr(table), table.to_frame(), table.accuracy()
    except ValueError as error:
        return None if len(str(error)) - len(str(path)) <= 400 else error
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_hostile_file_is_a_table_or_a_short_error(kind, tmp_path, tables=400):
    rng, path = random.Random(0), tmp_path / f"t{kind}"
    for _ in range(tables):
        error = attack(path, rng, KINDS[kind])
        assert error is None, path.read_bytes()[:2000]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_hostile_files(kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test_a_hostile_file_is_a_table_or_a_short_error(kind, tmp_path, 10_000)


ODD_NUMBERS = (
    10**400,
    -(10**400),
    Fraction(10**400),
    Decimal("1e400"),
    Decimal("sNaN"),
    [1],
    {},
    "x",
)


@pytest.mark.parametrize("field", ["correct", "cost", "confidence", "latency", "tokens"])
@pytest.mark.parametrize("odd", ODD_NUMBERS, ids=lambda odd: str(odd)[:12])
def test_a_number_that_no_float_holds_is_refused_or_a_gap(field, odd):
    parts = {"models": ["a"], "items": [1, 2], "correct": [[1], [0]], field: [[odd], [odd]]}
    try:
        assert not np.isfinite(getattr(lab.Outcomes(**parts), field)).any()
    except ValueError as error:
        assert len(str(error)) <= 300


@pytest.mark.parametrize("odd", [[{"a": 1}, 2], [{1}, 2]])
def test_a_name_that_is_a_thing_is_refused(odd):
    with pytest.raises(ValueError, match="make it text or a number"):
        lab.Outcomes(models=["a"], items=odd, correct=[[1], [0]])


# Python 3.13 reads 9,000 levels.
@pytest.mark.parametrize("ends", ["[]", ('{"a":', "}")], ids=["lists", "objects"])
@pytest.mark.parametrize("before", ["", json_line(HEADER)])
def test_a_row_that_is_nested_deeply_says_so(tmp_path, ends, before):
    text = ends[0] * 100_000 + "1" + ends[1] * 100_000
    path = tmp_path / "t.jsonl"
    path.write_text(before + '{"item": 1, "model": "m", "answer": ' + text + "}\n")
    with pytest.raises(ValueError, match="nested too deeply"):
        lab.Outcomes.read(path)
