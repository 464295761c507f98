"""`read_table`: any separator, decimal sign, encoding and form gives the same table."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.reading.meanings import BESIDE, MEANINGS, SETTINGS, meaning_of, normal
from tests.contracts.hostile import examples
from tests.contracts.registry import check_refusal, contract, quiet


def test_one_table_of_flags_has_every_argument():
    arguments = list(inspect.signature(lab.read_table).parameters)[1:]
    assert [one.name for one in (*MEANINGS, *SETTINGS)] == arguments
    assert {one.flag for one in MEANINGS} >= {"--item", "--model", "--correct"}
    assert all(one.what and not one.what.endswith(".") for one in (*MEANINGS, *SETTINGS))


def test_a_usual_name_has_one_meaning():
    usual = [name for one in MEANINGS for name in one.usual]
    assert len(set(usual)) == len(usual) and not BESIDE & set(usual)
    assert all(normal(name) == name for name in [*usual, *BESIDE])
    assert all(meaning_of(name) == one.name for one in MEANINGS for name in one.usual)


UNITS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
AMOUNTS = st.sampled_from([0.0, 0.5, 1.25, 12.0, 0.001, 1234.5])
WORDS = st.sampled_from(["yes", "A", "18 kg", 'said "no"', "a;b", "two\nlines", "x|y", "Zürich"])
OURS = {
    "question_id": "item", "llm": "model", "prediction": "answer", "gold": "truth",
    "confidence": "confidence", "cost_usd": "cost", "elapsed_ms": "latency", "subject": "group",
}  # fmt: skip
CELLS = ["prediction", "confidence", "cost_usd", "elapsed_ms"]


@st.composite
def frames(draw):
    """A long table under names of other tools."""
    models = ["llama3:latest", "gpt-4", "ü;x"][: draw(st.integers(1, 3))]
    rows = []
    for i in range(draw(st.integers(1, 4))):
        fact = {"question_id": f"q{i}", "gold": draw(WORDS), "subject": f"s, {i % 2}"}
        for model in models:
            numbers = {"confidence": draw(UNITS), "cost_usd": draw(AMOUNTS)}
            numbers["elapsed_ms"] = draw(AMOUNTS)
            rows.append(fact | {"llm": model, "prediction": draw(WORDS)} | numbers)
    return pd.DataFrame(rows)


def written(frame: pd.DataFrame, draw, folder: Path) -> Path:
    """The table in one of the ways in which people keep it."""
    if draw(st.booleans()):  # wide
        mark = draw(st.sampled_from([":", "|"]))
        facts = frame[["question_id", "gold", "subject"]].drop_duplicates()
        wide = frame.pivot(index="question_id", columns="llm", values=CELLS)
        order = dict.fromkeys(frame["llm"])
        wide = wide[[(cell, model) for model in order for cell in CELLS]]
        wide.columns = [f"{model}{mark}{cell}" for cell, model in wide.columns]
        frame = facts.merge(wide.reset_index(), on="question_id")
        frame[[c for c in frame if c.split(mark)[-1] in CELLS[1:]]] = frame[
            [c for c in frame if c.split(mark)[-1] in CELLS[1:]]
        ].astype(float)
    kind = draw(st.sampled_from(["text", "text", "text", "jsonl", "json", "parquet"]))
    zipped = draw(st.sampled_from(["", "", ".gz"])) if kind != "parquet" else ""
    path = folder / f"table.{'csv' if kind == 'text' else kind}{zipped}"
    if kind == "text":
        if not zipped and draw(st.booleans()):
            path = path.with_suffix(".tsv")
        frame.to_csv(
            path,
            sep=draw(st.sampled_from([",", ";", "\t", "|"])),
            decimal=draw(st.sampled_from([".", ","])),
            encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
            index=draw(st.booleans()),
            lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        )
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl", double_precision=15)
    return path


def same(found: lab.Outcomes, wanted: lab.Outcomes) -> None:
    assert found.items.tolist() == wanted.items.tolist() and found.models == wanted.models
    assert found.labels == wanted.labels and found.known == wanted.known
    for name in ("correct", "answer", "truth", "confidence", "cost", "latency"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    assert found.group.tolist() == wanted.group.tolist()


@contract("read_table", "ReadTable")
@examples(80)
@given(frame=frames(), data=st.data())
def test_how_a_table_is_written_does_not_change_it(frame, data, tmp_path_factory):
    ours = frame.rename(columns=OURS).assign(latency=frame["elapsed_ms"] * 1e-3)
    path = written(frame, data.draw, tmp_path_factory.mktemp("t"))
    with quiet():
        found = lab.read_table(path)
        same(found.outcomes, lab.Outcomes.from_frame(ours))
    assert found.columns["meaning"].iloc[0] == "item"
    assert all(len(sentence) <= 300 for sentence in found.sentences)
    assert "elapsed_ms" in str(found) and all(sentence in str(found) for sentence in found[1])


HEADS = [
    "item", "id", "model", "llm", "answer", "output", "gold", "score", "correct", "cost", "latency",
    "elapsed_ms", "a:correct", "b|cost", "a_score", "m", "time", "prompt", "feature:x", "", "a",
    "usage.output", "logprob",
]  # fmt: skip
ODD = st.sampled_from(
    ["", "1", "0", "0.5", "0,5", "1,319", "1.234,5", "a", "b", "NaN", "-1", "1e400", "true", "PASS",
     "2026-01-01", "1795766400", "'", '"', "\0", "nan", "-0", "é", "x" * 99]
)  # fmt: skip


@examples(100, shrink=False)
@given(data=st.data())
def test_any_text_is_read_or_refused_in_plain_words(data, tmp_path_factory):
    draw = data.draw
    path = tmp_path_factory.mktemp("t") / draw(st.sampled_from(["t.csv", "t.tsv", "t.json"]))
    head = draw(st.lists(st.sampled_from(HEADS), min_size=1, max_size=6))
    rows = draw(st.lists(st.tuples(*[ODD] * len(head)), max_size=4))
    sign = draw(st.sampled_from([",", ";", "\t", "|"]))
    if path.suffix == ".json":
        text = json.dumps([dict(zip(head, row, strict=True)) for row in rows])
    else:
        text = "\n".join(sign.join(row) for row in [head, *rows])
    if draw(st.integers(0, 5)) == 0:  # damaged
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(['"', "\0", "{", "]", "\r", ""]))
    path.write_text(text)
    how = draw(
        st.dictionaries(
            st.sampled_from([one.name for one in MEANINGS]), st.sampled_from(HEADS), max_size=2
        )
    )
    with quiet():
        try:
            found = lab.read_table(path, **how)
        except Exception as error:
            check_refusal(error)
            return
    assert isinstance(found.outcomes, lab.Outcomes) and str(found)


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("item,model,correct\n1,a,1\n")
    for path in (None, 7, "https://x.org/t.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises((ValueError, FileNotFoundError)):
            lab.read_table(path)
    for how in ({"separator": ""}, {"decimal": 1}, {"encoding": 3}, {"cost": ["a", "b"]},
                {"item": {"id": 1}}, {"grades": 3}, {"grades": tmp_path / "none.csv"},
                {"latency_unit": []}, {"metric": 2}):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            lab.read_table(tmp_path / "t.csv", **how)
        assert len(str(error.value)) < 300
