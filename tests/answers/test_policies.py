"""What every policy must hold: it never reads what is right, and names and order do not matter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged
from ensemble_lab.core.states import ABSENT
from tests.support.policies import every_policy, learning_policies, names_of_all_policies
from tests.support.strategies import outcomes


def usable(table: Outcomes) -> Outcomes:
    """The same table with distributions and the features that selectors read."""
    n, m, k = len(table), len(table.models), len(table.labels)
    proba = np.random.default_rng(n).dirichlet(np.ones(k), (n, m))
    proba[table.absent] = np.nan
    features = {"length": np.arange(n) * 97 % 500}
    return replace(table, probability=proba, features=features)


def without_distribution(table: Outcomes) -> Outcomes:
    return replace(table, probability=None)


def tables(**kwargs):
    return outcomes(min_models=3, max_models=4, labels=3, **kwargs).map(usable)


def decisions(table):
    for policy in every_policy(table.models, table.labels):
        yield policy, policy.decide(table)
        if not isinstance(policy, lab.RankVote):
            yield policy, policy.decide(without_distribution(table))


def same(one, other):
    np.testing.assert_array_equal(one.called, other.called)
    np.testing.assert_array_equal(one.chosen, other.chosen)
    np.testing.assert_array_equal(one.answer, other.answer)


def test_every_exported_policy_is_tested_here():
    models = ("a", "b", "c")
    tested = {type(p).__name__ for p in every_policy(models, "xy") + learning_policies(models)}
    assert tested == names_of_all_policies()


@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_scrambling_what_is_right_changes_no_call_and_no_answer(table, random):
    rng = np.random.default_rng(random.randrange(2**32))
    scrambled = replace(
        table,
        correct=rng.choice([0.0, 0.5, 1.0, np.nan], table.correct.shape),
        truth=rng.integers(ABSENT, len(table.labels), len(table)),
    )
    for (_, before), (_, after) in zip(decisions(table), decisions(scrambled), strict=True):
        same(before, after)


def test_scrambling_after_fitting_changes_nothing_either(fitting_table):
    rng = np.random.default_rng(1)
    table = fitting_table
    scrambled = replace(
        table,
        correct=rng.integers(0, 2, table.correct.shape).astype(float),
        truth=rng.permutation(table.truth),
    )
    for policy in learning_policies(table.models, budget=4.0):
        fitted = policy.fit(table)
        same(fitted.decide(table), fitted.decide(scrambled))


def test_the_scramble_test_catches_a_policy_that_peeks(fitting_table):
    """`decide` blinds its table: the peeking policy sees no right answer to lean on."""

    class Peeking(Policy):
        def choose(self, outcomes):
            assert np.isnan(outcomes.correct).all() and outcomes.truth is None
            best = np.nan_to_num(outcomes.correct).argmax(axis=1)
            return lab.Choice(best, np.ones(outcomes.correct.shape, bool))

    decision = Peeking().decide(fitting_table)
    assert decision.accuracy == pytest.approx(fitting_table.correct[:, 0].mean())


@settings(max_examples=40, deadline=None)
@given(tables(min_items=2), st.randoms(use_true_random=False))
def test_permuting_items_permutes_the_decision(table, random):
    order = list(range(len(table)))
    random.shuffle(order)
    for (_, plain), (_, moved) in zip(decisions(table), decisions(table.take(order)), strict=True):
        np.testing.assert_array_equal(plain.called[order], moved.called)
        np.testing.assert_array_equal(plain.answer[order], moved.answer)
        np.testing.assert_array_equal(plain.correct[order], moved.correct)


@settings(max_examples=40, deadline=None)
@given(tables())
def test_reversing_the_labels_changes_no_answer(table):
    """Ties go by the order of members: the order of labels is nobody's."""
    k = len(table.labels)
    flip = np.arange(k)[::-1]

    def flipped(codes):
        return np.where(codes >= 0, k - 1 - codes, codes)

    mirrored = replace(
        table,
        labels=table.labels[::-1],
        answer=flipped(table.answer),
        truth=flipped(table.truth),
        probability=table.probability[:, :, flip],
    )
    for (_, plain), (_, mirror) in zip(decisions(table), decisions(mirrored), strict=True):
        assert plain.answers == mirror.answers


@settings(max_examples=40, deadline=None)
@given(tables())
def test_what_is_called_is_paid_for_and_graded_by_the_model_that_answers(table):
    for _, decision in decisions(table):
        paid = np.where(decision.called, np.asarray(table.cost), 0).sum(axis=1)
        np.testing.assert_allclose(decision.cost, paid)
        by_model = decision.chosen >= 0
        rows = np.flatnonzero(by_model)
        assert decision.called[rows, decision.chosen[rows]].all()
        expected = table.correct[rows, decision.chosen[rows]]
        np.testing.assert_array_equal(decision.correct[rows], expected)
        assert np.isnan(decision.correct[decision.abstained]).all()


@pytest.fixture(scope="module")
def fitting_table():
    rng = np.random.default_rng(0)
    n, truth = 300, np.random.default_rng(1).integers(0, 3, 300)
    sure = rng.random((n, 3))
    right = rng.random((n, 3)) < 0.4 + 0.5 * sure
    answer = np.where(right, truth[:, None], (truth[:, None] + 1) % 3)
    return Outcomes(
        models=("a", "b", "c"),
        items=np.arange(n),
        correct=right.astype(float),
        answer=answer,
        labels=("x", "y", "z"),
        truth=truth,
        confidence=sure,
        cost=np.broadcast_to([1.0, 2.0, 5.0], (n, 3)),
        features={"length": rng.integers(1, 500, n), "noise": rng.random(n)},
        group=rng.choice(["easy", "hard"], n).tolist(),
    )


def test_latency_is_a_sum_in_sequence_and_a_maximum_in_parallel():
    table = Outcomes(
        models=("a", "b", "c"),
        items=[0],
        correct=[[1, 1, 0]],
        answer=[[0, 0, 1]],
        labels=("x", "y"),
        confidence=[[0.1, 0.9, 0.9]],
        latency=[[1.0, 2.0, 4.0]],
    )
    assert lab.MajorityVote().decide(table).mean_latency == 4.0
    assert lab.MajorityVote().decide(table, parallel=False).mean_latency == 7.0
    assert lab.Cascade(("a", "b", "c"), (0.5, 0.5)).decide(table).mean_latency == 3.0
    tiers = lab.AgreementCascade((("a", "c"), ("b",)))
    assert tiers.decide(table).mean_latency == 6.0
    assert tiers.decide(table, parallel=False).mean_latency == 7.0


def test_an_unknown_price_makes_the_cost_unknown_not_free():
    table = Outcomes(
        models=("a", "b"),
        items=[0, 1],
        correct=[[1, 1], [0, 1]],
        confidence=[[0.9, 0.9], [0.1, 0.9]],
        cost=[[1, 10], [1, np.nan]],
    )
    decision = lab.Cascade(("a", "b"), (0.5,)).decide(table)
    np.testing.assert_array_equal(decision.cost, [1, np.nan])


def test_fields_declare_their_ranges_for_sliders():
    from dataclasses import dataclass, fields

    @dataclass(frozen=True)
    class Dial(Policy):
        share: float = ranged(0.5, 0.0, 1.0, "share", 0.1)

        def choose(self, outcomes):
            raise AssertionError("not called here")

    about = fields(Dial)[0].metadata
    assert (about["low"], about["high"], about["step"]) == (0.0, 1.0, 0.1)
    with pytest.raises(
        ValueError, match=r"Dial.share is 85, outside 0.0 to 1.0 \(did you mean 0.85"
    ):
        Dial(85)
    with pytest.raises(ValueError, match="nan"):
        Dial(float("nan"))
    with pytest.raises(ValueError, match="'half'"):
        Dial("half")
