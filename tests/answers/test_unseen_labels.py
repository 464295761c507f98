"""Answers that nobody saw before: they defer or abstain, live as in replay."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from ensemble_lab.core.states import ABSENT
from tests.models.test_live import assert_live_equals_replay

ODD = "I am not sure"


def rows(seed, n, odd=None):
    """The small model is always sure of its B, and one answer may be an odd one."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        truth = rng.choice([*"AB"])
        for model, skill, price in (("small", 0.6, 1.0), ("big", 0.95, 10.0)):
            right = rng.random() < skill
            answer = truth if right else "B" if truth == "A" else "A"
            sure = 0.9 if answer == "B" else 0.8 if right else 0.2
            said = odd if odd and (i, model) == (0, "small") else answer
            yield i, model, said, truth, sure, price


def table(seed, n, odd=None):
    names = ["item", "model", "answer", "truth", "confidence", "cost"]
    return Outcomes.from_frame(pd.DataFrame(rows(seed, n, odd), columns=names))


@pytest.fixture(scope="module")
def fitted():
    return lab.BudgetCascade(9.0, per_label=True).fit(table(0, 300))


def test_an_odd_answer_defers_in_decide_and_in_run(fitted):
    later = table(1, 60, ODD)
    assert set(fitted.thresholds[0]) == {"A", "B"}
    decision = fitted.decide(later)
    assert decision.called[0].all() and decision.answers[0] in ("A", "B")
    plain = fitted.decide(table(1, 60))
    assert decision.answers[1:] == plain.answers[1:]
    models = {
        "small": lambda item: Reply(ODD, confidence=0.99),
        "big": lambda item: Reply("A", confidence=0.9),
    }
    live = lab.run(fitted, models, "Which?")
    assert live.answers == ["A"] and live.called.all()
    for row in range(5):
        assert_live_equals_replay(fitted, later, row, parallel=False)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_label_without_a_threshold_is_as_good_as_no_confidence(data):
    n, labels = 6, ("A", "B", "C", "D")
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    answer = rng.integers(0, 4, (n, 2))
    sure = rng.integers(0, 5, (n, 2)) / 4
    known = data.draw(st.sets(st.sampled_from(labels)))
    by_label = {label: data.draw(st.sampled_from([0.0, 0.5, 1.0])) for label in sorted(known)}
    whole = Outcomes(
        models=("a", "b"), items=range(n), correct=np.ones((n, 2)), answer=answer, labels=labels,
        confidence=sure,
    )  # fmt: skip
    odd = np.isin(answer[:, 0], [labels.index(label) for label in set(labels) - known])
    missing = replace(whole, confidence=np.where(odd[:, None], np.nan, sure))
    complete = dict.fromkeys(labels, 0.5) | by_label
    one = lab.Cascade(("a", "b"), (by_label,)).decide(whole)
    other = lab.Cascade(("a", "b"), (complete,)).decide(missing)
    np.testing.assert_array_equal(one.called, other.called)
    assert one.answers == other.answers


def test_plans_read_thresholds_as_the_cascade_does(fitted):
    from ensemble_lab.answers.cascades.thresholds import Ladder

    later = table(1, 60, ODD)
    ladder = Ladder.of(fitted.order, later)
    (stops,) = ladder.stops(fitted.thresholds)
    np.testing.assert_array_equal(~stops, fitted.decide(later).called[:, later.columns(["big"])[0]])


def stacked(labels="ABX", truths="ABC", n=30):
    frame = {"item": range(3 * n), "model": "m", "answer": [*labels] * n, "truth": [*truths] * n}
    return lab.StackedAnswers().fit(Outcomes.from_frame(pd.DataFrame(frame)))


def test_a_stack_gives_the_label_that_it_learned():
    """X means C, whether or not a table lists C."""
    policy = stacked()
    later = Outcomes.from_frame(pd.DataFrame({"item": [0, 1], "model": "m", "answer": ["X", "B"]}))
    decision = policy.decide(later)
    assert decision.answers == ["C", "B"] and np.isnan(decision.correct).all()
    assert lab.run(policy, {"m": lambda item: "X"}, "?").answers == ["C"]


def test_an_answer_that_a_stack_never_heard_is_silence():
    policy = stacked()
    said, truth = [ODD, "X", "B", ODD], ["A", "C", "B", "C"]
    odd = Outcomes.from_frame(
        pd.DataFrame({"item": range(4), "model": "m", "answer": said, "truth": truth})
    )
    decision = policy.decide(odd)
    assert decision.answers == [None, "C", "B", None]
    assert decision.accuracy == 1.0 and decision.known["accuracy"] == 0.5
    assert lab.run(policy, {"m": lambda item: ODD}, "?").answers == [None]


@settings(max_examples=30, deadline=None)
@given(st.permutations("ABCXQ"), st.integers(0, 99))
def test_a_stack_is_graded_by_label_whatever_the_codes(labels, seed):
    """The table lists only some of the labels, in any order."""
    policy, rng = stacked(), np.random.default_rng(seed)
    listed = labels[: rng.integers(2, 6)]
    said = [rng.choice([label for label in listed if label != "C"]) for _ in range(8)]
    truth = [rng.choice(listed) for _ in range(8)]
    code = {label: place for place, label in enumerate(listed)}
    later = Outcomes(
        models=("m",), items=range(8), labels=listed,
        correct=[[float(s == t)] for s, t in zip(said, truth)],
        answer=np.array([[code[s]] for s in said]), truth=np.array([code[t] for t in truth]),
    )  # fmt: skip
    means = {"A": "A", "B": "B", "X": "C"}
    decision = policy.decide(later)
    assert decision.answers == [means.get(s) for s in said]
    for answer, right, correct in zip(decision.answers, truth, decision.correct):
        assert np.isnan(correct) if answer is None else correct == (answer == right)
    for row in range(3):
        assert_live_equals_replay(policy, later, row, parallel=True)


@pytest.mark.parametrize("policy", [lab.MajorityVote(), lab.MeanVote(), lab.WeightedVote()])
def test_votes_count_an_odd_answer_as_any_other(policy):
    later = table(1, 60, ODD)
    voted = policy.fit(table(0, 300)).decide(later)
    assert len(voted.answers) == 60 and voted.answers[1:].count(ODD) == 0


# -- live: refused before the first call --------------------------------------------------------


def forbidden(item):
    raise AssertionError("nothing was to be asked")


@pytest.mark.parametrize(
    ("policy", "error", "said"),
    [
        (lab.Cascade(("a", "bb"), (0.5,)), KeyError, "no model 'bb'"),
        (lab.AgreementCascade((("a",), ("bb",))), KeyError, "no model 'bb'"),
        (lab.MajorityVote(("a", "bb")), KeyError, "no model 'bb'"),
        (lab.WeightedVote(), ValueError, "no weights"),
        (lab.WeightedVote(weights={"a": 1}), ValueError, "no weight for member 'b'"),
        (lab.MeanVote(weights={"a": 1}), ValueError, "no weight for member 'b'"),
        (lab.BudgetCascade(1.0), ValueError, "not fitted"),
        (lab.StackedAnswers(), ValueError, "not fitted"),
        (lab.LearnedSelector("a", "b"), ValueError, "not fitted"),
        (lab.HeuristicSelector("a", "b", "size"), KeyError, "no feature 'size'"),
        (lab.HeuristicSelector("a", "b", "gap"), ValueError, "feature 'gap' is not known"),
        (lab.HeuristicSelector("a", "b", "kind"), ValueError, "feature 'kind' holds 'long'"),
    ],
)
def test_what_must_be_refused_is_refused_before_the_first_call(policy, error, said):
    models = {"a": forbidden, "b": forbidden}
    known = {"length": 3, "gap": np.nan, "kind": "long"}
    with pytest.raises(error, match=said):
        lab.run(policy, models, "?", features=known)


def test_a_silent_member_is_not_an_odd_one():
    policy = stacked()
    silent = Outcomes(
        models=("m",), items=[0], correct=[[np.nan]], answer=[[ABSENT]], labels=("A", "Q")
    )
    assert policy.decide(silent).answers == [None]
