"""Partitions of a table: what is none of them is named and refused before anything is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from tests.contracts.registry import collected, contract, refused
from tests.systems.replaying.test_replay import made, quiet

POLICY = lab.Cascade(("small", "big"), (0.6,))


class Counting(lab.Cascade):
    """Says how many items were decided."""

    def choose(self, outcomes):
        raise AssertionError("an item was decided before all files were checked")


@pytest.fixture
def folder(tmp_path):
    made().to_parquet(tmp_path / "0.parquet")
    return tmp_path


@contract("replay")
def test_files_come_in_any_form(folder):
    path = folder / "0.parquet"
    wanted = quiet(POLICY, path)
    forms = [str(path), [path], (str(path),), iter([path]), np.array([str(path)])]
    for form in (*forms, pd.Series([str(path)]), str(folder / "*.parquet"), folder / "?.parquet"):
        assert quiet(POLICY, form) == wanted


@contract("replay")
def test_what_names_no_files_is_refused(folder):
    path = folder / "0.parquet"
    (folder / "link.parquet").symlink_to(path)
    collected({
        repr(files)[-40:]: lambda files=files: quiet(POLICY, files)
        for files in (None, 3, b"0.parquet", {"a": path}, {path}, [], [None], [[path]], "", ".",
                      folder, "s3://bucket/*.parquet", "https://x.org/0.parquet",
                      pd.DataFrame({"file": [str(path)]}), [path, path],
                      [path, folder / ".." / folder.name / "0.parquet"], folder / "*.parquet")
    })  # fmt: skip


@contract("replay")
def test_a_file_that_is_not_there_is_said(folder):
    for files, hint in (
        (folder / "1.parquet", "did you mean '0.parquet'"),
        (folder / "*.parq", "no file matches"),
        (folder / "no" / "*.parquet", "no file matches"),
        ("x" * 5000, "no file is at"),
    ):
        with pytest.raises(FileNotFoundError, match=hint) as found:
            quiet(POLICY, files)
        assert len(str(found.value)) <= 300


@contract("replay")
def test_what_is_no_policy_or_engine_is_refused(folder):
    path = folder / "0.parquet"
    collected({
        **{str(p): lambda p=p: quiet(p, path)
           for p in (None, "MajorityVote", lab.MajorityVote, made(), lab.FollowTheLeader(),
                     lab.StackedAnswers(), lab.Cascade(("small", "other"), (0.5,)))},
        **{str(e): lambda e=e: quiet(POLICY, path, engine=e)
           for e in (None, "Ray", "spark", 1, ["ray"])},
    })  # fmt: skip


OTHER = {
    "models": lambda t: replace(t, models=("small", "huge")),
    "fewer models": lambda t: t.select(models=["small"]),
    "labels": lambda t: replace(t, labels=("a", "b", "d")),
    "labels of another type": lambda t: replace(t, labels=(1, 2, 3)),
    "a label more": lambda t: replace(t, labels=("a", "b", "c", "d"), probability=None),
    "no costs": lambda t: replace(t, cost=None),
    "no truth": lambda t: replace(t, truth=None),
    "groups": lambda t: replace(t, group=["easy"] * len(t)),
    "features": lambda t: replace(t, features={"lenght": np.arange(len(t))}),
    "feature of text": lambda t: replace(t, features={"length": ["7"] * len(t)}),
    "feature of mixed": lambda t: replace(t, features={"length": [7, "7"] * (len(t) // 2)}),
    "feature of true and false": lambda t: replace(t, features={"length": [True] * len(t)}),
    "samples": lambda t: replace(t, model_group=["small", "small"]),
}


@contract("replay")
@pytest.mark.parametrize("what", OTHER)
def test_a_partition_of_another_table_is_named_before_any_item_is_decided(folder, what):
    OTHER[what](made(seed=1)).to_parquet(folder / "odd one.parquet")
    with refused("odd one.parquet"):
        quiet(Counting(("small", "big"), (0.6,)), folder / "*.parquet")


@contract("replay")
def test_one_true_and_text_are_three_labels(folder):
    """Python has 1 == True: the labels of partitions are compared with their types."""
    table = replace(made(), labels=(1, 2, 3))
    table.to_parquet(folder / "whole.parquet")
    replace(table, labels=(True, 2, 3)).to_parquet(folder / "true.parquet")
    with refused("whole.parquet"):
        quiet(POLICY, [folder / "true.parquet", folder / "whole.parquet"])


def unmarked(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def of_version(path: Path) -> None:
    table = pq.read_table(path)
    about = table.schema.metadata[b"ensemble_lab"].replace(b'"version": 1', b'"version": 9')
    pq.write_table(table.replace_schema_metadata({b"ensemble_lab": about}), path)


def without(name):
    def damage(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name]), path)

    return damage


def about(text):
    def damage(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({b"ensemble_lab": text}), path)

    return damage


def cell(name, value):
    def damage(path: Path) -> None:
        table = pq.read_table(path)
        column = table[name].to_pylist()
        column[3] = value
        place = table.schema.get_field_index(name)
        pq.write_table(table.set_column(place, name, pa.array(column)), path)

    return damage


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "text": lambda path: path.write_text("item,correct\n1,1\n"),
    "overwritten": overwritten,
    "another tool's": unmarked,
    "another version": of_version,
    "no column": without("correct:1"),
    "no items": without("item"),
    "no json": about(b"{"),
    "a list": about(b"[]"),
    "nothing": about(b"{}"),
    "many models": about(b'{"version": 1, "models": 3, "labels": [], "model_group": null}'),
    "a code without a label": cell("answer:0", 9),
    "more than right": cell("correct:0", 2.0),
    "a negative price": cell("cost:1", -1.0),
    "text for a price": cell("latency:1", None),
    "a name twice": cell("item", "q1-4"),
}


@contract("replay")
@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_partition_is_named(folder, what):
    path = made(seed=1).to_parquet(folder / "damaged.parquet")
    DAMAGE[what](path)
    if what == "text for a price":  # a gap, as it turns out: unknown, and said so
        found = quiet(POLICY, folder / "*.parquet")
        assert found.timed < found.items and np.isnan(found.mean_latency)
        return
    with refused("damaged.parquet"):
        quiet(POLICY, folder / "*.parquet")


@contract("replay")
def test_a_table_without_items_is_refused(folder):
    path = folder / "0.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with refused("0.parquet"):
        quiet(POLICY, path)


@contract("replay")
@pytest.mark.parametrize(
    "name", ["a b.parquet", "größe.parquet", "part[0].parquet", "-p.parquet", "x" * 200]
)
def test_names_of_files_are_kept(tmp_path, name):
    made().to_parquet(tmp_path / name)
    assert quiet(POLICY, tmp_path / name).items == 20


@contract("Replayed")
def test_a_replay_refuses_what_is_no_level(folder):
    found = quiet(POLICY, folder / "0.parquet")
    collected({str(level): lambda level=level: found.interval(level)
               for level in (0, 1, 95, "0.95", None, True, -0.5)})  # fmt: skip


@contract("Replayed")
def test_what_nobody_graded_is_unknown(tmp_path):
    table = Outcomes(models=["one"], items=range(3), correct=np.full((3, 1), np.nan),
                     answer=[[0], [0], [0]], labels=["a"])  # fmt: skip
    table.to_parquet(tmp_path / "0.parquet")
    found = quiet(lab.MajorityVote(), tmp_path / "0.parquet")
    assert np.isnan([found.accuracy, *found.interval(), found.mean_cost]).all()
    assert found.known == {"accuracy": 0, "cost": 0, "latency": 0} and "unknown" in repr(found)
