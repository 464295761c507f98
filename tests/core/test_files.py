"""Outcomes in files: an exact round trip, people's own tables, and files that are broken."""

import gzip
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import UNPARSED
from tests.support.strategies import outcomes


def assert_equal(found: Outcomes, was: Outcomes):
    for f in fields(Outcomes):
        a, b = getattr(found, f.name), getattr(was, f.name)
        if f.name == "features":
            assert a.keys() == b.keys()
            pairs = [(a[name], b[name]) for name in b]
        elif isinstance(b, np.ndarray):
            pairs = [(a, b)]
        else:
            assert a == b and type(a) is type(b), f.name
            assert f.name != "labels" or [type(x) for x in a] == [type(x) for x in b]
            continue
        for left, right in pairs:
            assert left.dtype.kind == right.dtype.kind, f.name
            np.testing.assert_array_equal(left, right)


@given(outcomes())
def test_parquet_round_trip_is_exact(table):
    with tempfile.TemporaryDirectory() as folder:
        path = table.to_parquet(Path(folder) / "table.parquet")
        assert_equal(Outcomes.read(path), table)
        assert [p.name for p in Path(folder).iterdir()] == ["table.parquet"]


def test_parquet_keeps_gaps_in_strings_and_features_of_every_kind(tmp_path):
    table = Outcomes(
        models=["a"],
        items=np.array(["x", "y"]),
        correct=[[1], [0.25]],
        labels=["no", 1, 2.5, True and "True"],
        features={
            "text": ["é", "z"],
            "gap": np.array(["u", np.nan], object),
            "number": [np.nan, 1],
            "flag": [True, False],
            "count": np.array([3, 2**40]),
        },
        group=[None, "g"],
    )
    found = Outcomes.read(table.to_parquet(tmp_path / "t.parquet"))
    assert_equal(found, table)
    assert found.features["gap"].tolist() == ["u", None]


@given(outcomes(min_items=2))
def test_csv_round_trip_of_the_wide_form(table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv.gz"
        table.to_frame("wide").to_csv(path, index=False)
        found = Outcomes.read(path)
    assert found.models == table.models and found.items.tolist() == table.items.tolist()
    np.testing.assert_array_equal(found.correct, table.correct)
    for name in ("confidence", "cost", "latency", "tokens"):
        if getattr(table, name) is not None:
            np.testing.assert_array_equal(getattr(found, name), getattr(table, name))


def test_a_users_csv_long_and_wide(tmp_path):
    long = tmp_path / "long.CSV"
    long.write_text(
        "item,model,answer,truth,cost\nq1,small,None,None,0.1\nq1,big,,None,\nq2,big,NA,müde,NA\n",
        encoding="utf-8",
    )
    table = Outcomes.read(long)  # None and NA are what the models said, an empty cell is not
    assert table.labels == ("NA", "None", "müde")
    assert table.correct[0].tolist() == [1, 0] and table.correct[1, 1] == 0
    assert table.answer[0].tolist() == [1, UNPARSED]
    assert table.cost[0, 0] == 0.1 and np.isnan(table.cost[1, 1])
    wide = tmp_path / "wide.csv"
    wide.write_text("item,small,big:correct,big:latency\n7,1,0.5,2\n8,,1,\n")
    table = Outcomes.read(wide)
    assert table.models == ("small", "big") and table.items.tolist() == [7, 8]
    assert table.latency[0, 1] == 2 and np.isnan(table.correct[1, 0])


def test_labels_of_a_csv_are_read_cell_by_cell(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("item,a:answer,b:answer,truth\n1,3.0,no idea,3\n2,4,4,4\n")
    table = Outcomes.read(path)  # what b says of item 1 changes nothing else
    assert table.labels == (3, 4, "no idea")
    assert table.correct.tolist() == [[1, 0], [1, 1]]
    path.write_text("item,a:answer,b:answer,truth\n1,3,,3.0\n2,4,04,4\n")
    table = Outcomes.read(path)
    assert table.labels == (3, 4) and table.correct.tolist()[1] == [1, 1]


def test_a_users_own_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"item": [1, 1], "model": ["a", "b"], "answer": ["x", "y"], "truth": "x"})
    frame.to_parquet(path)
    assert Outcomes.read(path).correct.tolist() == [[1, 0]]


def test_no_file_and_no_such_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*lost\.csv'"):
        Outcomes.read(tmp_path / "lost.csv")
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"'t\.xlsx' is not \.csv"):
        Outcomes.read(path)


def whole(folder: Path) -> bytes:
    table = Outcomes(models=["a", "b"], items=range(50), correct=np.ones((50, 2)), group=["g"] * 50)
    return table.to_parquet(folder / "whole.parquet").read_bytes()


def other_schema(folder: Path, change) -> bytes:
    import pyarrow.parquet as pq

    whole(folder)
    table = change(pq.read_table(folder / "whole.parquet"))
    pq.write_table(table, folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


BROKEN = {
    "cut.parquet": lambda d: whole(d)[:-100],
    "half.parquet": lambda d: whole(d)[:200],
    "text.parquet": lambda d: b"item,a\n1,1\n",
    "void.parquet": lambda d: b"",
    "column.parquet": lambda d: other_schema(d, lambda t: t.drop_columns(["correct:1"])),
    "items.parquet": lambda d: other_schema(d, lambda t: t.drop_columns(["item"])),
    "newer.parquet": lambda d: other_schema(
        d, lambda t: t.replace_schema_metadata({"ensemble_lab": '{"version": 99}'})
    ),
    "about.parquet": lambda d: other_schema(
        d, lambda t: t.replace_schema_metadata({"ensemble_lab": '{"version": 1}'})
    ),
    "list.parquet": lambda d: other_schema(
        d, lambda t: t.replace_schema_metadata({"ensemble_lab": "[1]"})
    ),
    "cut.csv.gz": lambda d: gzip.compress(b"item,a\n" + b"1,1\n" * 500)[:-12],
    "plain.csv.gz": lambda d: b"item,a\n1,1\n",
    "flip.csv.gz": lambda d: gzip.compress(b"item,a\n1,1\n")[:10] + b"\xff" * 30,
    "void.csv": lambda d: b"",
    "header.csv": lambda d: b"item,a\n",
    "prose.csv": lambda d: b"Dear reader, this\nis a letter, not, a table\nof anything",
    "binary.csv": lambda d: bytes(range(256)),
    "latin.csv": lambda d: "item,a:answer\n1,müde\n".encode("latin-1"),
    "log.jsonl": lambda d: b'{"some": "log"}\n',
    "number.jsonl": lambda d: b'{"ensemble_lab": "recording", "version": 1}\n5\n',
    "void.jsonl": lambda d: b"",
    "item.jsonl": lambda d: b'{"ensemble_lab": "recording", "version": 1}\n{"item": [1]}\n',
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_error_that_names_them(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name](tmp_path))
    with pytest.raises(ValueError) as caught:
        Outcomes.read(path)
    assert str(path) in str(caught.value)
    why = str(caught.value).split("could not be read: ")[1]
    assert len(why) > 10, why


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.parquet"
    Outcomes(models=["a"], items=[1], correct=[[1]]).to_parquet(path)
    odd = {"f": np.array([1, {"a": 1}], object)}
    bad = Outcomes(models=["a"], items=[1, 2], correct=[[1], [1]], features=odd)
    with pytest.raises(TypeError, match=r"'feature:f' holds \{'a': 1\} \(dict\)"):
        bad.to_parquet(path)
    assert Outcomes.read(path).correct.tolist() == [[1]]
