"""Tables and decisions are read-only, however they are copied, and share no memory."""

import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given

import ensemble_lab as lab
from tests.support.strategies import outcomes


def arrays(thing):
    for f in dataclasses.fields(thing):
        value = getattr(thing, f.name)
        for one in value.values() if isinstance(value, dict) else [value]:
            if isinstance(one, np.ndarray):
                yield f.name, one


def table(**changes):
    parts = {
        "models": ["a", "b"],
        "items": ["x", "y", "z"],
        "correct": np.ones((3, 2)),
        "answer": np.zeros((3, 2), int),
        "labels": ["yes"],
        "confidence": np.full((3, 2), 0.5),
        "cost": np.ones((3, 2)),
        "latency": np.ones((3, 2)),
        "probability": np.ones((3, 2, 1)),
        "truth": np.zeros(3, int),
        "features": {"length": np.arange(3), "kind": np.array(["u", None, "v"], object)},
        "group": np.array(["g", "g", "h"], object),
    }
    return lab.Outcomes(**parts | changes)


WAYS = {
    "itself": lambda one: one,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(6)},
    "twice": lambda one: copy.deepcopy(pickle.loads(pickle.dumps(one))),
}
PARTS = {"select": lambda one: one.select(models=["b"]), "take": lambda one: one.take([0, 2]),
         "split": lambda one: one.split()[0], "blinded": lambda one: one.blinded(),
         "filled": lambda one: one.filled()}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_a_policy_was_given_changes_it_no_more(way):
    weights, levels = {"a": 1.0, "b": 2.0}, {"yes": 0.5}
    vote = WAYS[way](lab.WeightedVote(weights=weights))
    cascade = WAYS[way](lab.Cascade(("a", "b"), (levels,)))
    calibration = WAYS[way](lab.Calibration().fit(table()))
    weights["b"], levels["yes"] = 0.0, 2.0
    assert vote.weights == {"a": 1.0, "b": 2.0} and cascade.thresholds == ({"yes": 0.5},)
    assert repr(vote) == "WeightedVote(members=None, weights={'a': 1.0, 'b': 2.0}, classes=None)"
    for mine in (vote.weights, cascade.thresholds[0], calibration.curves):
        with pytest.raises(TypeError, match=r"replace\(policy, …\) makes another"):
            mine["a"] = 3.0
    assert dataclasses.replace(vote, weights=dict(vote.weights) | {"a": 9.0}).weights["a"] == 9


@pytest.mark.parametrize("way", WAYS | PARTS)
def test_nothing_of_a_table_can_be_written_to(way):
    found = (WAYS | PARTS)[way](table())
    for name, array in arrays(found):
        assert not array.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array
    for change in (
        lambda facts: facts.update(length=1),
        lambda facts: facts.pop("length"),
        lambda facts: facts.popitem(),
        lambda facts: facts.clear(),
        lambda facts: facts.setdefault("new", 1),
        lambda facts: facts.__setitem__("new", 1),
        lambda facts: facts.__delitem__("length"),
        lambda facts: facts.__ior__({"new": 1}),
    ):
        with pytest.raises(TypeError, match="features are read-only"):
            change(found.features)
    assert list(found.features) == ["length", "kind"]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_decision_can_be_written_to(way):
    decision = WAYS[way](lab.Cascade(("a", "b"), (0.7,)).decide(table()))
    assert decision.accuracy == 1 and decision.mean_cost == 2
    for name, array in arrays(decision):
        assert not array.flags.writeable, name
    assert decision.interval("cost") == pytest.approx(
        lab.Cascade(("a", "b"), (0.7,)).decide(table()).interval("cost")
    )


@given(outcomes())
def test_a_copy_is_the_same_table(made):
    for way in WAYS.values():
        found = way(made)
        assert (found.models, found.labels) == (made.models, made.labels)
        for (name, one), (other, two) in zip(arrays(found), arrays(made)):
            assert name == other and not one.flags.writeable
            np.testing.assert_array_equal(one, two)


def test_parquet_gives_a_read_only_table(tmp_path):
    found = lab.Outcomes.read(table().to_parquet(tmp_path / "t.parquet"))
    assert not any(array.flags.writeable for _, array in arrays(found))
    with pytest.raises(TypeError):
        found.features["length"] = 1


def test_a_read_only_window_on_somebodys_array_is_copied():
    mine = np.ones((3, 2))
    window = mine[:]
    window.flags.writeable = False
    row, memory = np.ones(2), bytearray(np.ones(6).tobytes())
    mapped = np.frombuffer(memory).reshape(3, 2)
    mapped.flags.writeable = False
    for given_array in (window, np.broadcast_to(row, (3, 2)), mapped):
        found = table(correct=given_array)
        mine[:], row[:], memory[:] = 0, 0, bytes(48)
        assert found.correct.all()
        mine[:], row[:], memory[:] = 1, 1, np.ones(6).tobytes()


def test_a_frame_that_changes_later_changes_no_table():
    frame = pd.DataFrame({"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0, 1.0], "length": [1, 2, 3]})
    found = table(correct=frame[["a", "b"]].to_numpy(), features={"length": frame["length"]})
    frame.iloc[0] = 0
    assert found.correct.all() and found.features["length"].tolist() == [1, 2, 3]


def test_what_never_changes_is_not_copied():
    column = pa.array(np.ones(3)).to_numpy()
    assert np.shares_memory(table(features={"f": column}).features["f"], column)
    found = table()
    assert found.blinded().confidence is found.confidence
