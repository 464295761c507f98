"""Votes against scikit-learn's VotingClassifier and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from tests.support.strategies import outcomes

CLASSES = tuple(range(10))


@pytest.fixture(scope="module")
def digits():
    """Three weak classifiers on digits, and what they say about the other half, as outcomes."""
    x, y = load_digits(return_X_y=True)
    members = [
        ("tree", DecisionTreeClassifier(max_depth=5, random_state=0)),
        ("bayes", GaussianNB()),
        ("linear", LogisticRegression(max_iter=200, C=1e-6)),
        ("stump", DecisionTreeClassifier(max_depth=2, random_state=1)),
    ]
    train, test = slice(0, 300), slice(300, None)
    fitted = [(name, model.fit(x[train], y[train])) for name, model in members]
    proba = np.stack([model.predict_proba(x[test]) for _, model in fitted], axis=1)
    answer = np.stack([model.predict(x[test]) for _, model in fitted], axis=1)
    table = Outcomes(
        models=[name for name, _ in fitted],
        items=np.arange(len(y[test])),
        correct=answer == y[test][:, None],
        answer=answer,
        labels=CLASSES,
        truth=y[test],
        probability=proba,
    )
    return members, (x[train], y[train]), x[test], table


def reference(digits, **settings):
    members, (x, y), x_test, _ = digits
    return VotingClassifier(members, **settings).fit(x, y).predict(x_test)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 2.0, 0.5]])
def test_soft_vote_equals_scikit_learn(digits, weights):
    named = None if weights is None else dict(zip(digits[-1].models, weights, strict=True))
    ours = lab.MeanVote(weights=named).decide(digits[-1])
    np.testing.assert_array_equal(ours.answers, reference(digits, voting="soft", weights=weights))


@pytest.mark.parametrize("weights", [None, [2.0, 1.0, 1.0, 1.0]])
def test_hard_vote_equals_scikit_learn_up_to_its_label_order_ties(digits, weights):
    table = digits[-1]
    w = np.ones(4) if weights is None else np.array(weights)
    policy = (
        lab.MajorityVote()
        if weights is None
        else lab.WeightedVote(weights=dict(zip(table.models, weights, strict=True)))
    )
    ours = np.array(policy.decide(table).answers)
    theirs = reference(digits, voting="hard", weights=weights)
    behind = np.array([np.bincount(row, w, minlength=10) for row in table.answer])
    top = behind.max(axis=1, keepdims=True) == behind  # (n, 10): the labels in the tie
    tied = top.sum(axis=1) > 1
    assert tied.sum() > 50  # ties are common here: the rule is really exercised
    np.testing.assert_array_equal(ours[~tied], theirs[~tied])
    # scikit-learn takes the lowest label of a tie, we the first member's among them.
    np.testing.assert_array_equal(theirs[tied], top[tied].argmax(axis=1))
    first = [next(a for a in row if t[a]) for row, t in zip(table.answer[tied], top[tied])]
    np.testing.assert_array_equal(ours[tied], first)


def table_of(answers, labels="xyz", **more):
    answer = np.array(answers)
    return Outcomes(
        models=tuple("abcde"[: answer.shape[1]]),
        items=np.arange(len(answer)),
        correct=np.where(answer == ABSENT, np.nan, answer == 0),
        answer=answer,
        labels=labels,
        truth=np.zeros(len(answer), int),
        **more,
    )


def test_plurality_by_hand():
    table = table_of([
        [0, 1, 1],  # a majority
        [1, 0, 2],  # nobody agrees: the first member's
        [UNPARSED, 2, 1],  # no answer, no vote: the first that has one
        [ABSENT, 1, 1],
        [ABSENT, UNPARSED, ABSENT],  # all that was said cannot be read: wrong
        [ABSENT, ABSENT, ABSENT],  # nobody: no answer
    ])  # fmt: skip
    decision = lab.MajorityVote().decide(table)
    assert decision.answers == ["y", "y", "z", "y", None, None]
    assert decision.abstained.tolist() == [False] * 5 + [True]
    assert decision.coverage == pytest.approx(5 / 6)
    assert decision.correct[4] == 0 and np.isnan(decision.correct[5])
    other = lab.MajorityVote(("c", "b", "a")).decide(table)
    assert other.answers == ["y", "z", "y", "y", None, None]


def test_weights_are_not_learned_of_members_without_a_grade():
    """All weights would be 0, and the first member overrule the others."""
    graded = table_of([[0, 1, 1], [0, 0, 1]])
    blind = replace(graded, correct=np.full((2, 3), np.nan), truth=None)
    with pytest.raises(ValueError, match="no answer of 'a' is graded, so it has no weight"):
        lab.WeightedVote().fit(blind)
    partly = replace(graded, correct=np.where([True, False, True], graded.correct, np.nan))
    with pytest.raises(ValueError, match="no answer of 'b' is graded"):
        lab.WeightedVote().fit(partly)
    assert set(lab.WeightedVote(("a", "c")).fit(partly).weights) == {"a", "c"}


def test_a_vote_over_answers_is_not_a_vote_over_correctness():
    """Wrong answers scatter: two of five can be enough, though most are wrong."""
    table = table_of([[0, 0, 1, 2, 3]], labels="vwxyz")
    assert lab.MajorityVote().decide(table).accuracy == 1.0
    assert (table.correct.mean(axis=1) > 0.5).mean() == 0.0


def test_many_labels_give_what_few_labels_give():
    rng = np.random.default_rng(0)
    few = rng.integers(-2, 3, (200, 4))
    many = np.where(few >= 0, few * 1000 + 7, few)
    labels = tuple(range(3000))
    one = lab.MajorityVote().decide(table_of(few))
    other = lab.MajorityVote().decide(table_of(many, labels=labels))
    np.testing.assert_array_equal(one.chosen, other.chosen)


def test_fit_orders_members_by_accuracy():
    table = table_of([[1, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert lab.MajorityVote().fit(table).members == ("c", "b", "a")


def test_log_odds_weights_by_hand():
    answer = np.ones((8, 2), int)
    answer[:7, 0] = 0  # a: 7 of 8 right
    answer[:1, 1] = 0  # b: 1 of 8, worse than chance
    fitted = lab.WeightedVote().fit(table_of(answer, labels="xy"))
    assert fitted.weights["a"] == pytest.approx(np.log(0.8 / 0.2))
    assert fitted.weights["b"] == pytest.approx(np.log(0.2 / 0.8))
    three = lab.WeightedVote(classes=3).fit(table_of(answer, labels="xy"))
    assert three.weights["b"] == pytest.approx(np.log(0.2 * 2 / 0.8))


def test_a_negative_weight_counts_against():
    table = table_of([[0, 1]], labels="xy")
    assert lab.WeightedVote(weights={"a": -1.0, "b": 0.5}).decide(table).answers == ["y"]


def test_float_weights_that_tie_are_a_tie():
    table = table_of([[0, 1, 1]], labels="xy")
    weights = {"a": 0.3, "b": 0.1, "c": 0.2}  # 0.1 + 0.2 > 0.3 in binary
    assert lab.WeightedVote(weights=weights).decide(table).answers == ["x"]


some_weight = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.3000001, 1.0, 2.0])
large = st.floats(1e-100, 1e100)


@pytest.mark.parametrize("kind", [lab.WeightedVote, lab.MeanVote])
@given(table=outcomes(with_cost=False), data=st.data())
def test_only_ratios_of_the_weights_that_vote_count(kind, table, data):
    """All weights times a constant, or an absent member of any weight, change no winner."""
    weights = {name: data.draw(some_weight) for name in table.models}
    if kind is lab.WeightedVote and data.draw(st.booleans()):
        weights[table.models[0]] *= -1
    most = 1e12 / 2 if kind is lab.MeanVote else 1e100
    factor = data.draw(large.filter(lambda value: value <= most), label="factor")
    absent = data.draw(st.sampled_from([1e-300, 1e9, 1e12, 1e307]), label="absent weight")
    absent = min(absent, 1e12) if kind is lab.MeanVote else absent
    chosen = kind(weights=weights).decide(table).chosen
    scaled = {name: weight * factor for name, weight in weights.items()}
    np.testing.assert_array_equal(kind(weights=scaled).decide(table).chosen, chosen)
    wide = beside_somebody_absent(table)
    more = kind(weights=weights | {"absent": absent}).decide(wide).chosen
    np.testing.assert_array_equal(more, chosen)


def beside_somebody_absent(table):
    """The table with one more model, which was never asked."""
    proba = table.probability
    return Outcomes(
        models=(*table.models, "absent"),
        items=table.items,
        correct=np.pad(table.correct, ((0, 0), (0, 1)), constant_values=np.nan),
        answer=np.pad(table.answer, ((0, 0), (0, 1)), constant_values=ABSENT),
        labels=table.labels,
        truth=table.truth,
        confidence=np.pad(table.confidence, ((0, 0), (0, 1)), constant_values=np.nan),
        probability=None
        if proba is None
        else np.pad(proba, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan),
    )


@pytest.mark.parametrize("heavy", [1.0, 1e9, 1e300])
def test_an_absent_heavy_member_makes_no_ties(heavy):
    table = table_of([[0, 1, ABSENT], [0, 1, 0]], labels="xy")
    vote = lab.WeightedVote(weights={"a": 0.1, "b": 0.2, "c": heavy})
    assert vote.decide(table).answers == ["y", "x"]


def test_votes_that_cancel_are_a_tie():
    table = table_of([[0, 1, 1, 1]], labels="xy")
    weights = {"a": 0.0, "b": 0.1, "c": 0.2, "d": -0.3}  # 0.1 + 0.2 - 0.3 > 0 in binary
    assert lab.WeightedVote(weights=weights).decide(table).answers == ["x"]


PROBABILITIES = [[[0.6, 0.3, 0.1], [0.0, 0.55, 0.45], [0.3, 0.3, 0.4]]]


@pytest.mark.parametrize(
    ("policy", "winner"),
    [
        (lab.MeanVote(), "y"),  # sums 0.9, 1.15, 0.95
        (lab.ProductVote(), "y"),  # 0, 0.0495, 0.018
        (lab.MaxVote(), "x"),  # 0.6, 0.55, 0.45
        (lab.MinVote(), "y"),  # 0, 0.3, 0.1
        (lab.MedianVote(), "z"),  # 0.3, 0.3, 0.4
        (lab.RankVote(), "y"),  # points 2 + 0 + 0.5, 1 + 2 + 0.5, 0 + 1 + 2
    ],
)
def test_probabilities_by_hand(policy, winner):
    table = Outcomes(
        models=("a", "b", "c"),
        items=[0],
        correct=[[0, 1, 0]],
        labels="xyz",
        truth=[1],
        probability=PROBABILITIES,
    )
    decision = policy.decide(table)
    assert decision.answers == [winner]
    assert decision.accuracy == (winner == "y")


def test_median_of_members_some_of_whom_are_absent():
    probabilities = np.array([[[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [0.4, 0.6]],
                     [[np.nan, np.nan]] * 4])  # fmt: skip
    table = Outcomes(
        models=tuple("abcd"),
        items=[0, 1],
        correct=np.full((2, 4), np.nan),
        labels="xy",
        probability=probabilities,
    )
    assert lab.MedianVote().decide(table).answers == ["y", None]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 8])
def test_median_equals_numpy(m):
    proba = np.random.default_rng(m).dirichlet(np.ones(4), (50, m))
    table = Outcomes(
        models=[f"m{j}" for j in range(m)],
        items=np.arange(50),
        correct=np.full((50, m), np.nan),
        labels="wxyz",
        probability=proba,
    )
    expected = np.median(proba, axis=1).argmax(axis=1)
    np.testing.assert_array_equal(lab.MedianVote().decide(table).answer, expected)


def test_confidences_are_read_as_probabilities():
    """c for the answer, (1 - c) / (k - 1) for each other label: as if these had been given."""
    rng = np.random.default_rng(3)
    answer = rng.integers(0, 3, (300, 4))
    confidence = rng.uniform(1 / 3, 1, (300, 4))
    rest = np.repeat((1 - confidence)[:, :, None] / 2, 3, axis=2)
    np.put_along_axis(rest, answer[:, :, None], confidence[:, :, None], axis=2)
    with_confidence = table_of(answer, confidence=confidence)
    with_probabilities = table_of(answer, probability=rest)
    # Over confidences a label that no member gave cannot win; over probabilities MinVote lets it.
    for policy in (lab.MeanVote(), lab.ProductVote(), lab.MaxVote()):
        one, other = policy.decide(with_confidence), policy.decide(with_probabilities)
        np.testing.assert_array_equal(one.answer, other.answer)


def test_a_confidence_below_chance_or_missing_says_nothing():
    confidence = [[0.2, 0.6], [np.nan, 0.6]]  # 0.2 of two labels cannot be of the answer given
    table = table_of([[0, 1], [0, 1]], labels="xy", confidence=confidence)
    for policy in (lab.MeanVote(), lab.ProductVote(), lab.MaxVote(), lab.MinVote()):
        assert policy.decide(table).answers == ["y", "y"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lab.WeightedVote(), "no weights"),
        (lab.WeightedVote(weights={"a": 1.0}), "no weight for member 'b'"),
        (lab.WeightedVote(weights={"a": np.nan, "b": 1, "c": 1}), "weight of 'a' is nan"),
        (lab.MeanVote(), "MeanVote needs 'confidence'"),
        (lab.RankVote(), "RankVote needs 'probability'"),
    ],
)
def test_bad_input_says_what_is_missing(policy, message):
    with pytest.raises(ValueError, match=message):
        policy.decide(table_of([[0, 1, 1]]))


def test_unknown_members_are_named_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean"):
        lab.MajorityVote(("aa",)).decide(table_of([[0, 1]]))
    with pytest.raises(ValueError, match="members='a'"):
        lab.MajorityVote("a")
    with pytest.raises(ValueError, match=r"members=\(\)"):
        lab.MajorityVote(())
    only_correct = Outcomes(models=("a", "b"), items=[0], correct=[[1, 0]])
    with pytest.raises(ValueError, match="MajorityVote needs 'answer'"):
        lab.MajorityVote().decide(only_correct)


def test_a_name_that_ends_in_nul_stays_as_it_is():
    """numpy's own text would drop that character."""
    correct = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0]])
    table = Outcomes(
        models=["a\x00", "b", "c"], items=range(4), correct=correct, answer=1 - correct,
        labels=("p", "q"), truth=[0] * 4, confidence=correct * 0.8, cost=[[0.1, 0.2, 0.3]] * 4,
    )  # fmt: skip
    assert lab.MajorityVote().fit(table).members == ("a\x00", "b", "c")
    assert lab.AdaptiveConsistency().fit(table).order == ("a\x00", "b", "c")
    assert lab.BudgetCascade(1.0).fit(table).order == ("a\x00",)
