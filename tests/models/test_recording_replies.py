"""Odd replies and answers in another notation: understood, or named, and nothing paid is lost."""

import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.recording import Recording
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.asking.live import record, run

NAN, INF = float("nan"), float("inf")
PROBABILITY = {"a": 0.75, "b": 0.25}


def one(tmp_path, reply, **about):
    path = tmp_path / "r.jsonl"
    table = record({"m": lambda item: reply}, {"q": 1}, path, progress=False, **about)
    read = Outcomes.read(path)
    assert read.to_frame().equals(table.to_frame()) and read.labels == table.labels
    return table


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), Decimal("0.5"), Fraction(1, 2)],
)
@pytest.mark.parametrize("name", ["confidence", "cost", "latency", "tokens"])
def test_numbers_of_any_kind(tmp_path, name, value):
    assert getattr(one(tmp_path, Reply("a", **{name: value})), name).tolist() == [[0.5]]


@pytest.mark.parametrize(
    "value", [NAN, np.float64("nan"), torch.tensor(NAN), pd.NA, Decimal("nan")]
)
@pytest.mark.parametrize("name", ["confidence", "cost", "latency", "tokens"])
def test_a_number_that_is_not_known(tmp_path, name, value):
    assert np.isnan(getattr(one(tmp_path, Reply("a", **{name: value})), name)).all()


def test_a_confidence_may_lie_on_another_scale(tmp_path):
    assert one(tmp_path, Reply("a", confidence=-3.5)).confidence.tolist() == [[-3.5]]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (np.str_("a"), "a"),
        (np.int64(7), 7),
        (torch.tensor(7), 7),
        (np.array("a"), "a"),
        (np.bool_(True), True),
        (2**80, 2**80),
        ("", ""),
    ],
)
def test_answers_of_any_kind(tmp_path, answer, kept):
    (label,) = one(tmp_path, Reply(answer)).labels
    assert label == kept and type(label) is type(kept)


@pytest.mark.parametrize("answer", [None, NAN, np.nan, pd.NA, pd.NaT, torch.tensor(NAN)])
def test_no_answer(tmp_path, answer):
    assert one(tmp_path, answer).unparsed.all()


@pytest.mark.parametrize(
    "proba",
    [
        PROBABILITY,
        pd.Series(PROBABILITY),
        {np.str_("a"): torch.tensor(0.75), "b": np.float32(0.25)},
        {"b": Decimal("0.25"), "a": Fraction(3, 4)},
    ],
)
def test_probabilities_of_any_kind(tmp_path, proba):
    table = one(tmp_path, Reply("a", probability=proba))
    assert table.labels == ("a", "b") and table.probability.tolist() == [[[0.75, 0.25]]]


def test_a_distribution_that_is_not_known(tmp_path):
    assert one(tmp_path, Reply("a", probability={"a": NAN, "b": NAN})).probability is None


def given(**gaps):
    """Models that give distributions, but for some items."""

    def model(name):
        def reply(item):
            return Reply(
                "a", confidence=0.5, probability=None if item in gaps[name] else PROBABILITY
            )

        return reply

    return {name: model(name) for name in gaps}


def test_a_reply_without_a_distribution_costs_no_other_one_its_own(tmp_path):
    path = tmp_path / "r.jsonl"
    models = given(m=[1], n=[])
    words = "1 of 6 replies give no probabilities: they are NaN"
    with pytest.warns(UserWarning, match=words):
        table = record(models, range(3), path, progress=False)
    with pytest.warns(UserWarning, match=words):
        read = Outcomes.read(path)
    for made in (table, read, Outcomes.read(table.to_parquet(tmp_path / "t.parquet"))):
        lacks = np.isnan(made.probability)
        assert lacks[1, 0].all() and lacks.sum() == 2
        assert made.probability[~lacks].tolist() == [0.75, 0.25] * 5


def test_a_model_that_never_gives_a_distribution_takes_none_from_the_others(tmp_path):
    """The others keep theirs, and votes over distributions read its confidence."""
    path = tmp_path / "r.jsonl"
    models = given(m=[], n=range(3))
    with pytest.warns(UserWarning, match="3 of 6 replies give no probabilities"):
        table = record(models, range(3), path, progress=False)
    assert np.isnan(table.probability).all(axis=2).tolist() == [[False, True]] * 3


def test_probabilities_over_labels_that_no_two_items_share_are_left_out_with_a_warning(tmp_path):
    """4,000 items times 4,000 labels of their own: 16 million chances, of which 4,000 are told."""
    lines = ['{"ensemble_lab": "recording", "version": 1}']
    for i in range(4000):
        lines.append(f'{{"item": {i}, "model": "m", "answer": {i}, "probability": [[{i}, 1.0]]}}')
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="4,000 labels for each of 4,000 items .* table has none"):
        table = Outcomes.read(path)
    assert table.probability is None and len(table.labels) == len(table) == 4000


def test_a_recording_of_a_model_a_reply_is_refused(tmp_path):
    lines = ['{"ensemble_lab": "recording", "version": 1}']
    lines += [f'{{"item": {i}, "model": "m{i}", "answer": 1}}' for i in range(4000)]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="4,000 models and 4,000 items make 16,000,000 cells"):
        Outcomes.read(path)


@pytest.mark.parametrize("gaps", [[], range(3)], ids=["all", "none"])
def test_probabilities_everywhere_or_nowhere_are_nothing_to_tell(tmp_path, gaps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = record(given(m=gaps), range(3), tmp_path / "r.jsonl", progress=False)
    assert (table.probability is None) == bool(gaps)


ODD = [
    (Reply("a", confidence="0.9"), "the confidence is '0.9'"),
    (Reply("a", confidence="high " * 1000), "the confidence is 'high"),
    (Reply("a", confidence=True), "the confidence is True"),
    (Reply("a", confidence=np.bool_(False)), "the confidence is False"),
    (Reply("a", confidence=INF), "the confidence is inf"),
    (Reply("a", confidence=[0.5]), r"the confidence is \[0\.5\]"),
    (Reply("a", confidence=np.array([0.5])), r"the confidence is \[0\.5\]"),
    (Reply("a", confidence=torch.tensor([0.5])), r"the confidence is \[0\.5\]"),
    (Reply("a", confidence=1j), "the confidence is 1j"),
    (Reply("a", cost=-1), "the cost is -1"),
    (Reply("a", cost=Decimal("inf")), "the cost is inf"),
    (Reply("a", cost="0.1 USD"), "the cost is '0.1 USD'"),
    (Reply("a", latency=pd.Timedelta("1s")), "the latency is"),
    (Reply("a", latency=-0.5), "the latency is -0.5"),
    (Reply("a", tokens="12"), "the tokens is '12'"),
    (Reply("a", tokens=[1, 2]), r"the tokens is \[1, 2\]"),
    (Reply("a", text=b"a"), "the text is b'a'"),
    (Reply("a", text=["a"]), r"the text is \['a'\]"),
    (Reply("a", probability=[0.5, 0.5]), r"the probability is \[0\.5, 0\.5\] \(list\)"),
    (Reply("a", probability=np.array([0.5, 0.5])), "the probability is .*ndarray"),
    (Reply("a", probability=torch.tensor([0.5, 0.5])), "the probability is .*Tensor"),
    (Reply("a", probability=0.5), r"the probability is 0\.5 \(float\)"),
    (Reply("a", probability={}), "the sum of the probability is 0"),
    (Reply("a", probability={"a": 75, "b": 25}), "the sum of the probability is 100"),
    (Reply("a", probability={"a": 0.5, "b": 0.2}), "the sum of the probability is 0.7"),
    (Reply("a", probability={"a": 1.5, "b": -0.5}), "the probability is -0.5"),
    (Reply("a", probability={"a": 1.0, "b": NAN}), "known for some labels only"),
    (Reply("a", probability={"a": 0.5, None: 0.5}), "has a label twice, or none"),
    (Reply("a", probability={"a": 0.5, torch.tensor(1): 0.2, torch.tensor(1): 0.3}), "twice"),
    (Reply("a", probability={"a": "0.5", "b": 0.5}), "the probability is '0.5'"),
    (["a"], r"the answer \['a'\] is list"),
    ({"answer": "a"}, r"the answer \{'answer': 'a'\} is dict"),
    (("a", 0.9), r"the answer \('a', 0\.9\) is tuple"),
    (np.array(["a"]), r"the answer \['a'\] is ndarray"),
    (torch.tensor([1]), r"the answer \[1\] is Tensor"),
    (torch.zeros(50_000), "the answer .* is Tensor"),
    (Decimal("7"), r"the answer Decimal\('7'\) is Decimal"),
    (pd.Series(["a"]), r"the answer \['a'\] is Series"),
    (pd.DataFrame({"a": [1]}), "is DataFrame"),
    (iter("a"), "is str_ascii_iterator|is str_iterator"),
    (Reply, "is type"),
]


@pytest.mark.parametrize(("reply", "words"), ODD)
def test_odd_replies_are_named_and_nothing_is_lost(tmp_path, reply, words):
    path = tmp_path / "r.jsonl"
    replies = {"p": "a", "q": reply}
    items = {"p": "p", "q": "q"}
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        record({"model": replies.get}, items, path, progress=False)
    text = str(caught.value)
    assert "for item 'q', model 'model'" in text and len(text) <= 300 and "np." not in text
    assert "'model' failed on item 'q'" in caught.value.__notes__[0]
    assert list(Recording.load(path).replies) == [("p", "model")]
    asked = []
    record({"model": lambda i: asked.append(i) or "b"}, items, path, progress=False)
    assert asked == ["q"]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        run(lab.MajorityVote(), {"model": lambda item: reply}, "?")
    assert "of model 'model'" in str(caught.value)


# Answers and truth in two notations


def exam(tmp_path, answers, truth, **about):
    """What was asked, and the table or the error."""
    asked = []

    def model(item):
        asked.append(item)
        return answers[item]

    path = tmp_path / "r.jsonl"
    try:
        return asked, record(
            {"m": model}, range(len(answers)), path, truth=truth, progress=False, **about
        )
    except ValueError as error:
        assert len(str(error)) <= 300
        return asked, error


@pytest.mark.parametrize(
    ("answers", "truth", "corrected", "calls"),
    [
        ([*"ABCA"], [0, 1, 2, 0], [*"ABCA"], 2),
        ([*"AAAB"], [0, 0, 0, 1], [*"AAAB"], 4),
        (["yes", "no", "yes", "no"], [True, False, True, False], ["yes", "no", "yes", "no"], 2),
        (["18", "7", "9", "7"], [18, 7, 9, 7], ["18", "7", "9", "7"], 1),
        ([0, 1, 2, 0], [*"ABCA"], [0, 1, 2, 0], 2),
        (["7.0", "8", "9", "10"], [8, 7, 9, 10], ["7", "8", "9", "10"], 1),
    ],
)
def test_two_notations_cost_few_calls_and_the_fix_costs_none(
    tmp_path, answers, truth, corrected, calls
):
    asked, error = exam(tmp_path, answers, truth)
    assert isinstance(error, ValueError) and asked == list(range(calls))
    assert "'m' failed on item" in error.__notes__[0]
    path = tmp_path / "r.jsonl"
    assert len(Recording.load(path).replies) == calls  # what was paid is kept
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        table = Outcomes.read(path)  # readable, and graded by nobody or as all wrong
    assert not (table.correct == 1).any()
    assert np.isnan(table.correct).all() == any("nothing is graded" in str(w.message) for w in seen)
    asked, again = exam(tmp_path, answers, truth)
    assert asked == [] and str(again) == str(error)  # before any further call
    asked, table = exam(tmp_path, answers, corrected)
    assert asked == list(range(calls, 4)) and table.correct.ravel().tolist() == [1] * 4
    assert Outcomes.read(path).correct.ravel().tolist() == [1] * 4


def test_the_other_fix_is_a_grade(tmp_path):
    assert exam(tmp_path, [*"ABCA"], [0, 1, 2, 1])[0] == [0, 1]
    place = lambda said, truth: "ABC".index(said) == truth  # noqa: E731
    asked, table = exam(tmp_path, [*"ABCA"], [0, 1, 2, 1], grade=place)
    assert asked == [2, 3] and table.correct.ravel().tolist() == [1, 1, 1, 0]
    assert Outcomes.read(tmp_path / "r.jsonl").correct.ravel().tolist() == [1, 1, 1, 0]
    asked, table = exam(tmp_path, [*"ABCAB"], [0, 1, 2, 1, 1], grade=place)  # graded once
    assert asked == [4] and table.correct.ravel().tolist() == [1, 1, 1, 0, 1]


def test_what_was_graded_by_a_rule_goes_on_by_a_rule(tmp_path):
    exam(tmp_path, ["18.0"], [18], grade=lambda said, truth: float(said) == truth)
    asked, error = exam(tmp_path, ["18.0", "7.0"], [18, 7])
    assert asked == [] and "was graded with grade=; give the same grade= again" in str(error)
    assert exam(tmp_path, ["18.0"], [18])[1].correct.tolist() == [[1.0]]  # nothing left to ask
    asked, error = exam(tmp_path, ["18.0"], [19])
    assert "has truth 18 for item 0, now it is 19" in str(error)


@pytest.mark.parametrize(("grade", "correct"), [(NAN, [NAN]), (None, [NAN]), (np.bool_(1), [1])])
def test_grades_of_any_kind(tmp_path, grade, correct):
    _, table = exam(tmp_path, ["a"], ["a"], grade=lambda said, truth: grade)
    for found in (table, Outcomes.read(tmp_path / "r.jsonl")):
        np.testing.assert_array_equal(found.correct.ravel(), correct)


@pytest.mark.parametrize("grade", ["yes", -1, 95, INF, [1]])
def test_odd_grades_are_named(tmp_path, grade):
    with pytest.raises((TypeError, ValueError), match="for item 0, model 'm'"):
        record({"m": str}, [1], tmp_path / "r.jsonl", truth=["1"], grade=lambda a, t: grade)


def test_one_model_of_two_may_be_the_one(tmp_path):
    models = {"good": lambda i: i, "letters": lambda i: "ABC"[i]}
    with pytest.raises(ValueError, match="model 'letters' answers 'A', 'B', the truths are 0, 1"):
        record(models, range(3), tmp_path / "r.jsonl", truth=range(3), progress=False)


def test_answers_of_several_kinds_are_no_other_notation(tmp_path):
    answers = [0, "I am not sure", "no idea", 3]
    _, table = exam(tmp_path, answers, [0, 1, 2, 3])
    assert table.correct.ravel().tolist() == [1, 0, 0, 1]


def test_answers_that_never_equal_a_truth_are_shown(tmp_path):
    words = "not one of 4 answers equals its truth: answers are such as 'A', 'B', 'C', truths such"
    with pytest.warns(UserWarning, match=words) as seen:
        exam(tmp_path, [*"ABCD"], [*"0123"])
    assert len(str(seen[0].message)) <= 300
    asked, table = exam(tmp_path, [*"ABCD"], [*"ABCD"])  # the truth may be corrected
    assert asked == [] and table.correct.all()


@pytest.mark.parametrize(
    ("answers", "truth"),
    [
        (["a"], ["b"]),
        (["a", "b"], ["b", "b"]),
        ([None, None], ["a", "b"]),
        (["a", "b"], ["c", None]),
    ],
)
def test_bad_models_are_not_warned_about(tmp_path, answers, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, table = exam(tmp_path, answers, truth)
    assert not table.absent.any()


def test_a_truth_that_one_answer_met_stands(tmp_path):
    exam(tmp_path, [*"AB"], [*"AC"])
    assert "has truth 'C' for item 1, now it is 'B'" in str(exam(tmp_path, [*"AB"], [*"AB"])[1])
