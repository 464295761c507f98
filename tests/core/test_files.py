"""Outcomes in files: an exact round trip, people's own tables, and files that are broken."""

import gzip
import json
import tempfile
import tracemalloc
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from ensemble_lab.core import files
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading import opened
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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1j, 2]), r".*1j \(complex128\), which a file cannot hold"),
        (np.array([(1, 2), (3, 4)], "i4,i4"), ".*which a file cannot hold"),
        (np.array(["2026", "2027"], "M8[Y]"), r".*\(datetime64\[Y\]\), which a file cannot hold"),
        (np.array([10**5000, "x"], object), "holds a whole number of over 4,300 digits; make it"),
        (np.array([[1], None], object), r"holds \[1\] \(list\), which a file cannot hold"),
    ],
    ids=["complex", "records", "years", "digits", "lists"],
)
def test_what_no_file_keeps_is_named(tmp_path, values, words):
    table = Outcomes(models=["a"], items=[1, 2], correct=[[1], [1]], features={"f": values})
    with pytest.raises((TypeError, ValueError), match="'feature:f' " + words) as caught:
        table.to_parquet(tmp_path / "t.parquet")
    assert len(str(caught.value)) <= 300 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"features": {"\ud83d": [1]}}, r"the feature name '\\ud83d' holds half a character"),
        ({"features": {1: [1]}}, "the feature name 1 is int; make it text"),
        ({"labels": [10**5000]}, "a label is a whole number of over 4,300 digits"),
    ],
    ids=["half a character", "number", "digits"],
)
def test_names_that_no_file_keeps_are_told(tmp_path, about, words):
    table = Outcomes(models=["a"], items=[1], correct=[[1]], **about)
    with pytest.raises((TypeError, ValueError), match=words):
        table.to_parquet(tmp_path / "t.parquet")


def test_half_a_character_and_scalars_of_numpy_are_kept(tmp_path):
    table = Outcomes(
        models=["\ud83d"],
        items=["a\ud83d", "b"],
        correct=[[1], [0]],
        labels=["\udc00"],
        answer=[[0], [0]],
        group=["\ud83d", None],
        features={"f": np.array([np.int64(3), "x"], object), "g": ["\udfff", "é"]},
    )
    read = Outcomes.read(table.to_parquet(tmp_path / "t.parquet"))
    assert read.items.tolist() == ["a\ud83d", "b"] and read.group.tolist() == ["\ud83d", None]
    assert (read.models, read.labels) == (("\ud83d",), ("\udc00",))
    assert {name: values.tolist() for name, values in read.features.items()} == {
        "f": [3, "x"],
        "g": ["\udfff", "é"],
    }


def test_no_folder_is_told_and_a_long_name_has_room(tmp_path):
    table = Outcomes(models=["a"], items=[1], correct=[[1]])
    with pytest.raises(FileNotFoundError, match=r"no folder '.*gone'; make it first"):
        table.to_parquet(tmp_path / "gone" / "t.parquet")
    table.to_parquet(tmp_path / ("x" * 247 + ".parquet"))
    (tmp_path / "d.parquet").mkdir()
    with pytest.raises(OSError):
        table.to_parquet(tmp_path / "d.parquet")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", [".csv.gz", ".jsonl.gz"])
def test_a_file_that_unpacks_to_more_than_memory_holds_is_refused_early(
    tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(opened, "MOST_UNPACKED", 3 * 2**20)
    path = tmp_path / f"bomb{kind}"
    path.write_bytes(gzip.compress(b"item,a\n" + b"1" * 50 * 2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"unpacks to more than 0\.0029 GiB; .* unpack it your"):
        Outcomes.read(path)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()
    rows = b"item,a:correct\n" + b"".join(b"%d,1\n" % i for i in range(99))
    path.write_bytes(gzip.compress(rows[:200]) + gzip.compress(rows[200:]))  # of two members
    if kind == ".csv.gz":
        assert len(Outcomes.read(path)) == 99


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
def test_utf_16_that_was_cut_within_a_character_says_so(tmp_path, encoding, kind):
    text = '{"item": 1, "a:correct": 1}\n' if kind == ".jsonl" else "item,a:correct\n1,1\n"
    path = tmp_path / f"t{kind}"
    data = text.encode(encoding)
    path.write_bytes((data if encoding == "utf-16" else b"\xfe\xff" + data)[:-1])
    with pytest.raises(ValueError, match=r"UTF-16 text that breaks off .* byte \d+; save it again"):
        Outcomes.read(path)


@pytest.mark.parametrize("name", ["item", "a:cost", "a:answer"])
def test_a_number_of_too_many_digits_is_named_by_its_line(tmp_path, name):
    path = tmp_path / "t.jsonl"
    row = {"item": 1, "a:correct": 1, "a:cost": 1, "a:answer": 1}
    lines = [json.dumps(row), json.dumps(row | {name: "D"}).replace('"D"', "9" * 5000)]
    path.write_text("\n".join(lines))
    with pytest.raises(
        ValueError, match="line 2 holds a number of over 4,300 digits; make it text"
    ):
        Outcomes.read(path)


def test_a_fault_of_ours_is_not_told_as_one_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("item,a:correct\n1,1\n")
    monkeypatch.setattr(files, "from_columns", lambda *given: None.columns)
    with pytest.raises(AttributeError):
        Outcomes.read(path)


def test_what_steers_a_terminal_is_shown_escaped(tmp_path):
    """In a row of a stranger, which Arrow's own message would show as it is."""
    path = tmp_path / "t.csv"
    path.write_text("item,a:correct,b:correct\n1,1,1\n2,\x1b[31mred\u202e\n")
    with pytest.raises(ValueError, match="rows do not fit its header") as caught:
        Outcomes.read(path)
    assert str(caught.value).isprintable() and r"\x1b[31mred" in str(caught.value)
