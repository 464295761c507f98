"""What `record` and `run` are given: understood with certainty, or refused before any call."""

import asyncio
import enum
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.asking.live import record, run

FRAME = pd.DataFrame({"id": [1, 2, 3], "question": ["Why?", "How?", "When?"]})
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]


class Tier(enum.StrEnum):
    SMALL = "s"


def never(item):
    raise AssertionError("this model was called")


def recorded(tmp_path, items, **about):
    return record({"echo": str}, items, tmp_path / "r.jsonl", progress=False, **about)


def said(table):
    return [table.labels[code] for code in table.answer[:, 0]]


def refused(tmp_path, words, items=("a", "b"), models=None, **about):
    with pytest.raises((TypeError, ValueError, KeyError), match=words) as caught:
        record(
            {"m": never} if models is None else models,
            items,
            tmp_path / "r.jsonl",
            progress=False,
            **about,
        )
    text = str(caught.value)
    assert len(text) <= 300 and "\n" not in text and "np." not in text
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (FRAME, r"items is a DataFrame.* one column of it, such as frame\["),
        (pa.table({"q": ["a"]}), r"items is a Table.* one column"),
        ("Why?", r"items is one string, 'Why\?'; pass a list: \['Why\?'\]"),
        ("w" * 9999, "items is one string"),
        (b"Why?", "items is one string"),
        ({"a", "b"}, "items is a set, which has no order; give a list"),
        (7, "items is 7"),
        (None, "items is None"),
        (np.array(7), "0 dimensions"),
        (FRAME[["question"]].to_numpy(), "2 dimensions; give a list"),
        (CHAT, r"items is one chat, a list of messages; give \[chat\]"),
        (CHAT[1], "items is one message; one item is given as a list"),
        ({"input_ids": [1, 2], "attention_mask": [1, 1]}, "items is what a tokenizer returns"),
        ([], "0 items"),
        (iter([]), "0 items"),
        ({True: "a"}, "item name True"),
        ({None: "a"}, "item name None"),
        ({float("nan"): "a"}, "item name nan"),
        ({float("inf"): "a"}, "item name inf"),
        ({(1, 2): "a"}, r"item name \(1, 2\) is tuple"),
        ({b"a": "a"}, "item name b'a' is bytes"),
        ({pd.Timestamp(0): "a"}, "is Timestamp"),
        ({np.datetime64("2026-01-01"): "a"}, "is datetime64"),
        ({"a\ud83d": "a"}, "holds half a character"),
        ({1: "a", "1": "b"}, "named '1' as text and as a number"),
        ({"2.5": "a", 2.5: "b"}, "named '2.5' as text and as a number"),
        (pd.Series(["a", "b"], index=[0, 0]), "item 0 is there more than once; reset_index"),
        (pd.Series(["a"], index=[np.nan]), "item name nan .*; reset_index"),
        (pd.Series(["a"], index=pd.to_datetime(["2026-01-01"])), "is Timestamp.*reset_index"),
        (pd.Series(["a"], index=pd.MultiIndex.from_tuples([(1, 2)])), "is tuple.*reset_index"),
    ],
)
def test_items_that_would_be_misread(tmp_path, items, words):
    refused(tmp_path, words, items)


QUESTIONS = ["Why?", "How?", "When?"]


@pytest.mark.parametrize(
    "items",
    [
        tuple(QUESTIONS),
        (q for q in QUESTIONS),
        iter(QUESTIONS),
        dict.fromkeys(QUESTIONS).keys(),
        np.array(QUESTIONS),
        np.array(QUESTIONS, object),
        FRAME["question"],
        pd.Index(QUESTIONS),
        FRAME["question"].astype("category"),
        FRAME["question"].convert_dtypes(),
        pa.array(QUESTIONS),
        pa.chunked_array([QUESTIONS[:1], QUESTIONS[1:]]),
    ],
    ids=lambda items: type(items).__name__,
)
def test_several_items_of_any_kind(tmp_path, items):
    kinds = []

    def model(item):
        kinds.append(type(item))
        return item

    table = record({"m": model}, items, tmp_path / "r.jsonl", progress=False)
    assert said(table) == QUESTIONS and table.items.tolist() == [0, 1, 2] and set(kinds) == {str}


@pytest.mark.parametrize("items", [np.array([3, 1]), torch.tensor([3, 1]), range(3, 0, -2)])
def test_numbers_as_items_are_plain(tmp_path, items):
    assert said(recorded(tmp_path, items)) == ["3", "1"]


@pytest.mark.parametrize("rows", [np.eye(3), torch.eye(3), torch.zeros(3, 2, 2)])
def test_rows_of_numbers_are_items(tmp_path, rows):
    table = record(
        {"m": lambda row: str(tuple(row.shape))}, rows, tmp_path / "r.jsonl", progress=False
    )
    assert len(table) == 3 and table.labels == (str(tuple(rows.shape[1:])),)


def test_chats_as_items(tmp_path):
    table = record({"m": len}, [CHAT, CHAT[:1]], tmp_path / "r.jsonl", progress=False)
    assert said(table) == [2, 1]


names = st.one_of(
    st.integers(-(2**80), 2**80),
    st.text(max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
).filter(lambda name: not isinstance(name, str) or name.isprintable())


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=6, unique_by=str))
def test_names_keep_their_types(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    items = {name: "x" for name in found}
    table = record({"m": str}, items, path, progress=False)
    read = Outcomes.read(path)
    parquet = Outcomes.read(read.to_parquet(path.with_suffix(".parquet")))
    for back in (table, read, parquet, Outcomes.from_frame(read.to_frame())):
        assert back.items.tolist() == list(items)
        assert [type(name) for name in back.items.tolist()] == [type(name) for name in items]
    assert read.to_frame()["item"].tolist() == list(items)
    record({"m": never}, items, path, progress=False)  # and nothing is asked again


def test_names_of_numpy_and_of_an_enum_are_plain(tmp_path):
    items = {np.int64(1): "a", np.str_("x"): "b", np.float32(0.5): "c", Tier.SMALL: "d"}
    table = recorded(tmp_path, items)
    assert table.items.tolist() == [1, "x", 0.5, "s"]
    assert {type(name) for name in table.items.tolist()} == {int, str, float}
    plain = {1: "a", "x": "b", 0.5: "c", "s": "d"}
    record({"echo": never}, plain, tmp_path / "r.jsonl", progress=False)


def test_mixed_features_and_groups_keep_their_types(tmp_path):
    features = {
        "mixed": [1, "x", None],
        "big": [2**70, 1, None],
        "gaps": [1, None, 2.5],
        "yes": [True, False, True],
        "whole": [1, 2, 3],
        "na": pd.array([1, None, 3], dtype="Int64"),
    }
    table = recorded(tmp_path, QUESTIONS, features=features, group=[1, "b", None])
    for back in (table, Outcomes.read(tmp_path / "r.jsonl")):
        assert back.group.tolist() == [1, "b", None]
        got = {name: values.tolist() for name, values in back.features.items()}
        assert got["mixed"] == [1, "x", None] and got["big"] == [2**70, 1, None]
        np.testing.assert_array_equal(back.features["gaps"], [1, np.nan, 2.5])
        np.testing.assert_array_equal(back.features["na"], [1, np.nan, 3])
        assert got["yes"] == [True, False, True] and back.features["yes"].dtype == bool
        assert got["whole"] == [1, 2, 3] and back.features["whole"].dtype == np.int64


def test_features_may_come_one_after_the_other(tmp_path):
    recorded(tmp_path, ["a"], features={"one": [1]})
    assert recorded(tmp_path, ["a"], features={"two": [2]}).features.keys() == {"one", "two"}


BY_ID = {"q1": "a", "q2": "b", "q3": "c"}
RIGHT = pd.Series({"q3": "c", "q1": "a", "q2": "b", "q9": "z"})


@pytest.mark.parametrize(
    ("items", "truth"),
    [
        (BY_ID, {"q3": "c", "q2": "b", "q1": "a", "more": "z"}),
        (BY_ID, RIGHT),
        (BY_ID, RIGHT[:3]),
        (BY_ID, pd.Series(["a", "b", "c"])),
        (BY_ID, (t for t in "abc")),
        (BY_ID, np.array([*"abc"])),
        (BY_ID, pa.array([*"abc"])),
        ([*"abc"], pd.Series([*"abc"])),
        ([*"abc"], pd.Series([*"abc"], index=[0, 1, 2])),
        ([*"abc"], pd.Series([*"abc"], dtype="category")),
        (pd.Series([*"abc"], index=[7, 3, 5]), pd.Series([*"bca"], index=[3, 5, 7])),
        (pd.Series([*"abc"], index=[2, 0, 1]), pd.Series([*"bca"])),  # shuffled, and not
        (pd.Series([*"abc"], index=[7, 3, 5]), pd.Series([*"abc"])),
        (pd.Series([*"abc"], index=[7, 3, 5]), {5: "c", 7: "a", 3: "b"}),
        (pd.Series([*"abc"]), pd.Series([*"abcdefg"])),
        ({2: "a", 0: "b", 1: "c"}, pd.Series({1: "c", 2: "a", 0: "b"})),
    ],
)
def test_truth_goes_by_name_where_there_are_names(tmp_path, items, truth):
    table = recorded(tmp_path, items, truth=truth)
    assert table.correct.ravel().tolist() == [1, 1, 1]


def test_one_frame_shuffled_keeps_its_rows_together(tmp_path):
    frame = pd.DataFrame({"q": [*"abcdef"], "n": range(6)}).sample(frac=1, random_state=3)
    table = recorded(
        tmp_path, frame["q"], truth=frame["q"], features=frame[["n"]], group=frame["q"]
    )
    assert table.correct.all() and table.group.tolist() == frame["q"].tolist()
    assert table.items.tolist() == frame.index.tolist() == table.features["n"].tolist()


@pytest.mark.parametrize(
    ("items", "truth", "words"),
    [
        ([*"abc"], pd.Series([*"cab"], index=[2, 0, 1]), r"differ; give truth\.to_dict\(\) or tr"),
        ({2: "a", 0: "b", 1: "c"}, pd.Series([*"bca"]), "by its index or by its order"),
        ([*"abc"], pd.Series([*"abc"], index=[4, 5, 6]), r"item 0\); give truth\.tolist\(\)"),
        (BY_ID, pd.Series([*"abc"], index=["q1", "q2", "Q3"]), "does not name each item once"),
        (BY_ID, pd.Series([*"abc"], index=["q1", "q2", "q2"]), "does not name each item once"),
        (BY_ID, pd.Series([*"ab"]), "truth has 2 entries for 3 items"),
        ([*"abc"], "abc", "truth is one string"),
        ([*"abc"], {"a", "b", "c"}, "truth is a set"),
        ([*"abc"], pd.DataFrame({"t": [*"abc"]}), "truth is a DataFrame"),
        ([*"abc"], np.array([["a"], ["b"], ["c"]]), "truth has 2 dimensions"),
        ([*"abc"], "c", "truth is one string"),
        ([*"abc"], 5, "truth is 5"),
        ([*"abc"], (t for t in "ab"), "truth has 2 entries for 3 items"),
        ([*"abc"], [["a"], "b", "c"], r"the truth \['a'\] is list for item 0; make it str or"),
        (BY_ID, {"q1": "a", "q2": "b"}, "no item 'q3' in the truth"),
    ],
)
def test_truth_that_may_be_misread(tmp_path, items, truth, words):
    refused(tmp_path, words, items, truth=truth)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([1, 2], r"features is list; give \{'length': \[12, …\], …\}"),
        (pd.Series([1, 2]), "features is Series"),
        ({"length": "ab"}, "feature 'length' is one string"),
        ({"length": [1]}, "feature 'length' has 1 entries for 2 items"),
        ({0: [1, 2]}, "feature name 0 is int"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "has column 'a' twice"),
        (pd.DataFrame({"a": [1, 2]}, index=[5, 6]), "index of feature 'a' does not name"),
        ({"length": [1, [2]]}, r"the feature 'length' \[2\] is list for item 1"),
    ],
)
def test_features_that_may_be_misread(tmp_path, features, words):
    refused(tmp_path, words, features=features)


@pytest.mark.parametrize(
    "features",
    [
        pd.DataFrame({"n": [1, 2]}),
        pa.table({"n": [1, 2]}),
        {"n": iter([1, 2])},
        {"n": {1: 2, 0: 1}},
        {"n": torch.tensor([1, 2])},
    ],
)
def test_features_of_any_kind(tmp_path, features):
    assert recorded(tmp_path, ["a", "b"], features=features).features["n"].tolist() == [1, 2]


async def later(item):
    return item


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([("m", never)], r"models is list; name them: \{'small': model"),
        ({never}, "models is set; name them"),
        (never, "models is function; name them"),
        (pd.Series({"m": never}), "models is Series; name them"),
        ({1: never}, "model name 1 is int; make it str"),
        ({"m": "gpt-4"}, r"model 'm' is 'gpt-4' \(str\), which cannot be called; give a function"),
        ({"m": never, "n": None}, "model 'n' is None"),
        ({"m\ud83d": never}, "holds half a character"),
        ({"m": later}, "model 'm' is asynchronous; give lambda item: asyncio.run"),
        ({"m": types.SimpleNamespace(predict=never)}, "model 'm' is .* cannot be called"),
    ],
)
def test_models_that_cannot_be_asked(tmp_path, models, words):
    refused(tmp_path, words, models=models)
    with pytest.raises(TypeError if "half" not in words else ValueError, match=words):
        run(lab.MajorityVote(), models, "?")


def test_a_coroutine_wrapped_as_told(tmp_path):
    models = {"m": lambda item: asyncio.run(later(item))}
    assert said(record(models, ["a"], tmp_path / "r.jsonl", progress=False)) == ["a"]


def test_grades_need_a_function_and_a_truth(tmp_path):
    refused(tmp_path, "grade is 'exact'; give a function", grade="exact", truth=["a", "b"])


# run


def sure(answer, **more):
    return lambda item: Reply(answer, **{"confidence": 0.9} | more)


NEVER = {"small": never, "big": never}


@pytest.mark.parametrize(
    ("policy", "about", "words"),
    [
        (lab.Cascade(("small", "bigger"), (0.5,)), {}, "no model 'bigger' in the models given"),
        (lab.AgreementCascade((("small",), ("huge",))), {}, "no model 'huge'"),
        (lab.HeuristicSelector("small", "big", "length", 5), {}, "no feature 'length'"),
        (lab.BudgetCascade(1.0), {}, "not fitted"),
        (lab.LearnedSelector("small", "big"), {"features": {"n": 1}}, "not fitted"),
        (lab.StackedAnswers(), {}, "not fitted"),
        (lab.MajorityVote, {}, "policy is .*; give one such as"),
        ("majority", {}, "policy is 'majority'; give one such as"),
        (lab.MajorityVote(), {"labels": "yes"}, "labels is one string"),
        (lab.MajorityVote(), {"labels": {"yes": 1}}, "labels is a dict"),
        (lab.MajorityVote(), {"labels": {"yes", "no"}}, "labels is a set"),
        (lab.MajorityVote(), {"labels": ["a", "a"]}, "label 'a' is there more than once"),
        (lab.MajorityVote(), {"labels": ["a", None]}, "a label is missing"),
        (lab.MajorityVote(), {"labels": [["a"]]}, r"the label \['a'\] is list"),
        (lab.MajorityVote(), {"features": [1, 2]}, "features is list; give"),
        (lab.MajorityVote(), {"features": {"n": [1]}}, r"the feature 'n' \[1\] is list"),
        (lab.MajorityVote(), {"features": {1: 1}}, "feature name 1 is int"),
        (lab.MajorityVote(), {"features": FRAME}, r"one row of it: frame\.iloc\[0\]"),
    ],
)
def test_run_refuses_before_the_first_call(policy, about, words):
    with pytest.raises((TypeError, ValueError, KeyError), match=words) as caught:
        run(policy, NEVER, "?", **about)
    assert len(str(caught.value)) <= 300


def test_run_without_models():
    with pytest.raises(ValueError, match="models is empty"):
        run(lab.MajorityVote(), {}, "?")


@pytest.mark.parametrize(
    "features",
    [
        {"n": 7},
        {"n": np.int64(7)},
        {"n": torch.tensor(7)},
        pd.DataFrame({"n": [7], "kind": ["x"]}).iloc[0],
    ],
)
def test_features_of_one_item(features):
    policy = lab.HeuristicSelector("small", "big", "n", 5)
    assert run(policy, {"small": never, "big": sure("x")}, "?", features=features).answers == ["x"]


@pytest.mark.parametrize(
    "labels",
    [["a", "b"], iter("ab"), np.array(["a", "b"]), pd.Series(["a", "b"]), pa.array([*"ab"])],
)
def test_labels_of_any_kind(labels):
    decision = run(lab.MeanVote(), {"m": sure("b")}, "?", labels=labels)
    assert decision.labels == ("a", "b") and decision.answers == ["b"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "odd", 7]), min_size=2, max_size=4),
    st.permutations(["a", "b"]),
)
def test_unlisted_labels_are_those_of_a_table_that_lists_them(answers, labels):
    """Live with a label too few equals replay on the table that has all."""
    models = {f"m{i}": sure(answer) for i, answer in enumerate(answers)}
    extra = sorted({a for a in answers if a not in labels}, key=lambda a: (isinstance(a, str), a))
    full = [*labels, *extra]
    for policy in (lab.MajorityVote(), lab.MeanVote(), lab.Cascade(("m0", "m1"), (0.95,))):
        live = run(policy, models, "?", labels=labels)
        table = Outcomes(
            models=list(models),
            items=[0],
            correct=[[np.nan] * len(models)],
            answer=[[full.index(answer) for answer in answers]],
            labels=full,
            confidence=[[0.9] * len(models)],
        )
        if live.called.all():  # what was not asked was not seen
            assert live.labels == tuple(full)
        assert live.answers == policy.decide(table).answers
