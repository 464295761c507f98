"""Outcomes to data frames and back, long and wide, and what people's frames get wrong."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from tests.support.strategies import outcomes

MEASURES = ("correct", "confidence", "cost", "latency", "tokens")


def labelled(table: Outcomes, codes: np.ndarray) -> np.ndarray:
    names = np.array([*table.labels, "<unparsed>", "<absent>"], object)
    return names[codes]


def assert_same(found: Outcomes, was: Outcomes):
    assert found.models == was.models and found.items.tolist() == was.items.tolist()
    for name in MEASURES:
        a, b = getattr(found, name), getattr(was, name)
        if b is None:
            assert a is None
        else:
            np.testing.assert_array_equal(a, b)
    assert (labelled(found, found.answer) == labelled(was, was.answer)).all()
    assert (labelled(found, found.truth) == labelled(was, was.truth)).all()
    assert found.features.keys() == was.features.keys()
    for name, values in was.features.items():
        np.testing.assert_array_equal(found.features[name], values)
    assert was.group is None or found.group.tolist() == was.group.tolist()


@given(outcomes())
def test_wide_round_trip_keeps_every_item_and_model(table):
    found = Outcomes.from_frame(table.to_frame("wide"))
    mute = table.unparsed & np.isnan(table.correct)  # documented: nothing is left of these
    for name in MEASURES[1:]:
        values = getattr(table, name)
        mute &= True if values is None else np.isnan(values)
    answer = np.where(mute, ABSENT, table.answer)
    parts = {f: getattr(table, f) for f in (*MEASURES, "truth", "features", "group", "labels")}
    assert_same(found, Outcomes(models=table.models, items=table.items, answer=answer, **parts))


@given(outcomes())
def test_long_round_trip_keeps_all_that_was_recorded(table):
    asked = ~table.absent
    frame = table.to_frame()
    assert len(frame) == asked.sum()
    if not asked.any():
        with pytest.raises(ValueError, match="no rows"):
            Outcomes.from_frame(frame)
        return
    found = Outcomes.from_frame(frame)
    # Items and models without a row are gone, as documented; models come as they appear.
    assert set(found.models) == {m for m, some in zip(table.models, asked.any(0)) if some}
    assert_same(found, table.select(models=found.models, items=asked.any(axis=1)))


def test_long_frame_by_hand():
    frame = pd.DataFrame(
        {
            "item": ["q1", "q1", "q2", "q3", "q3"],
            "model": ["small", "big", "big", "small", "big"],
            "answer": ["cat", None, "dog", "dog", "dog"],
            "truth": [None, "cat", "dog", None, None],
            "latency": [0.1, 2, None, 0.1, 2],
            "feature:length": [3, 3, 4, 5, 5],
            "group": ["zoo", "zoo", "zoo", "home", "home"],
        }
    )
    table = Outcomes.from_frame(frame.sample(frac=1, random_state=0).sort_values("item"))
    table = table.select(models=["small", "big"])
    assert table.labels == ("cat", "dog")
    assert table.answer.tolist() == [[0, UNPARSED], [ABSENT, 1], [1, 1]]
    np.testing.assert_array_equal(table.correct, [[1, 0], [np.nan, 1], [np.nan, np.nan]])
    assert table.truth.tolist() == [0, 1, ABSENT]
    assert table.features["length"].tolist() == [3, 4, 5]
    assert table.group.tolist() == ["zoo", "zoo", "home"]


def test_frames_of_correctness_only():
    right = [True, False, True]
    long = pd.DataFrame({"item": [1, 1, 2], "model": ["a", "b", "a"], "correct": right})
    table = Outcomes.from_frame(long)
    np.testing.assert_array_equal(table.correct, [[1, 0], [1, np.nan]])
    assert table.answer is None and table.items.tolist() == [1, 2]
    wide = pd.DataFrame({"item": [1, 2], "a:b": [1, 0], "c": pd.array([1, None], "Int64")})
    table = Outcomes.from_frame(wide)
    assert table.models == ("a:b", "c")
    np.testing.assert_array_equal(table.correct, [[1, 1], [0, np.nan]])


@pytest.mark.parametrize("kind", ["float32", "float16", "Float32", "float[pyarrow]"])
@pytest.mark.parametrize("frame_of", [pd.DataFrame, pa.table], ids=["pandas", "arrow"])
def test_floats_of_32_bits_equal_the_truth_that_they_were_made_of(kind, frame_of):
    exact = [0.1, 0.5, 3.0, 1e300]
    short = pd.Series([0.1, 0.5, 3.0, 0.7]).astype(kind)
    for truth in (exact, short[:3].astype(float).tolist() + [1e300]):
        frame = {"item": [1, 2, 3, 4], "m:answer": short, "truth": truth}
        table = Outcomes.from_frame(frame_of(pd.DataFrame(frame)))
        assert table.correct.ravel().tolist() == [1, 1, 1, 0]
        assert table.labels == (0.1, 0.5, 0.7, 3, int(1e300))


def test_pandas_gaps_of_every_kind_are_gaps():
    frame = pd.DataFrame(
        {
            "item": [1, 2, 3],
            "model": "m",
            "answer": pd.array([3, None, 4], "Int64"),
            "cost": pd.array([None, 0.5, 1], "Float64"),
            "correct": [1, 0, 0],
            "group": ["x", None, "y"],
        }
    )
    table = Outcomes.from_frame(frame)
    assert table.labels == (3, 4) and table.answer.ravel().tolist() == [0, UNPARSED, 1]
    np.testing.assert_array_equal(table.cost.ravel(), [np.nan, 0.5, 1])
    assert table.group.tolist() == ["x", None, "y"]


def test_numbers_stay_one_type():
    frame = pd.DataFrame({"item": [1, 2], "model": "m", "answer": ["1", "2"], "truth": [1, 3]})
    with pytest.raises(ValueError, match="both 1 and '1', which are not equal"):
        Outcomes.from_frame(frame)
    table = Outcomes.from_frame(frame.assign(answer=[1.0, 2.0]))
    assert table.labels == (1, 2, 3) and table.correct.tolist() == [[1], [0]]
    graded = Outcomes.from_frame(frame.assign(correct=[1, 0]))  # somebody else compared them
    assert graded.correct.tolist() == [[1], [0]]


LONG = {"item": ["x", "x"], "model": ["a", "b"], "correct": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (LONG | {"corect": [1, 1]}, "unknown column 'corect'; did you mean 'correct'"),
        (LONG | {"question": ["?", "?"]}, "feature:NAME"),
        (LONG | {"model": ["a", "a"]}, "item 'x' and model 'a' are in two rows"),
        (LONG | {"model": ["a", None]}, "column 'model' is empty in row 1"),
        (LONG | {"correct": [1, 1.2]}, r"1\.2 for item 'x', model 'b'"),
        (LONG | {"correct": [1, "ja"]}, "'correct' of 'b' holds something that is not a number"),
        (LONG | {"truth": ["n", "y"]}, "column 'truth' has two values for one item"),
        ({"item": ["x"], "model": ["a"]}, "no column of outcomes"),
        ({"item": ["x"], "model": ["a"], "cost": [1]}, "neither 'correct' nor 'answer'"),
        ({"Item": ["x"], "model": ["a"]}, "no column 'item'; did you mean 'Item'"),
        ({"item": ["x"], "modle": ["a"], "correct": [1]}, "column 'model'; did you mean 'modle'"),
        ({"item": ["x", "x"], "a": [1, 1]}, "item 'x' is in two rows"),
        ({"item": ["x"], "a:corect": [1]}, "unknown column 'a:corect'; did you mean 'correct'"),
        ({"item": ["x"], "a": [1], "text": ["hm"]}, "'text' holds.*'hm'.*feature:text"),
        ({"item": ["x"], "group": ["g"]}, "no column of a model"),
        ({"item": ["x"], "a:answer": ["y"], "b": [1]}, "1 for item 'x', model 'b'; no answer"),
        ({"item": [], "a": []}, "no rows"),
    ],
)
def test_bad_frames_are_explained(columns, words):
    with pytest.raises(ValueError, match=words):
        Outcomes.from_frame(pd.DataFrame(columns))


def test_unknown_form():
    table = Outcomes(models=["a"], items=[1], correct=[[1]])
    with pytest.raises(ValueError, match="'long' or 'wide'"):
        table.to_frame("tall")


@pytest.mark.parametrize("unit", ["Y", "M", "D", "h", "s", "ms", "us", "ns"])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_dates_of_any_step_have_a_frame(unit, form):
    days = np.array(["2026-01-01", "2027-01-01"], f"M8[{unit}]")
    table = Outcomes(models=["m"], items=days, correct=[[1], [0]], features={"f": days}, group=days)
    read = Outcomes.from_frame(table.to_frame(form))
    for found in (read.items, read.group, read.features["f"]):
        assert found.dtype.kind == "M" and (found == days).all()
