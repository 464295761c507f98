"""Cascades by hand, at their limits, and swept all at once."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from tests.support.strategies import outcomes

nan = np.nan


@pytest.fixture
def three():
    """Four items by three models, worked through by hand in the tests."""
    return Outcomes(
        models=("small", "middle", "big"),
        items=("sure", "second", "third", "fooled"),
        correct=[[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 1, 1]],
        answer=[[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]],
        labels=("cat", "dog"),
        confidence=[[0.9, 0.9, 0.9], [0.5, 0.8, 0.9], [0.4, 0.3, 0.9], [0.95, 0.9, 0.9]],
        cost=[[1, 10, 100]] * 4,
        latency=[[0.1, 0.2, 0.4]] * 4,
    )


def test_every_called_stage_is_paid_for(three):
    decision = lab.Cascade(("small", "middle", "big"), (0.6, 0.6)).decide(three)
    assert decision.cost.tolist() == [1, 11, 111, 1]
    np.testing.assert_allclose(decision.latency, [0.1, 0.3, 0.7, 0.1])
    assert decision.answers == ["cat", "cat", "cat", "dog"]
    assert decision.correct.tolist() == [1, 1, 1, 0]
    assert decision.chosen.tolist() == [0, 1, 2, 0]
    assert decision.calls == {"small": 1.0, "middle": 0.5, "big": 0.25}


def test_confidence_at_the_threshold_is_sure_enough(three):
    assert lab.Cascade(("small", "big"), (0.5,)).decide(three).chosen.tolist() == [0, 0, 2, 0]


def test_a_threshold_for_each_label(three):
    decision = lab.Cascade(("small", "big"), ({"cat": 0.0, "dog": 0.96},)).decide(three)
    assert decision.chosen.tolist() == [0, 2, 2, 2]
    assert decision.accuracy == 1.0
    # A label without a threshold of its own is not sure, however high its confidence.
    some = lab.Cascade(("small", "big"), ({"cat": 0.5},)).decide(three)
    assert some.chosen.tolist() == [0, 2, 2, 2]


def test_early_abstention_pays_for_no_further_stage(three):
    cascade = lab.Cascade(("small", "big"), (0.6,), abstain=(0.45, 0.0))
    decision = cascade.decide(three)
    assert decision.abstained.tolist() == [False, False, True, False]
    assert decision.cost.tolist() == [1, 101, 1, 1]
    assert decision.answers == ["cat", "cat", None, "dog"]
    assert decision.coverage == 0.75
    assert decision.accuracy == pytest.approx(2 / 3)
    at_the_end = lab.Cascade(("small", "big"), (2.0,), abstain=(0.0, 0.95)).decide(three)
    assert at_the_end.abstained.all()


def test_absent_and_unparsed_replies_are_not_sure():
    table = Outcomes(
        models=("small", "big"),
        items=range(4),
        correct=[[nan, 1], [0, 1], [0, 0], [1, nan]],
        answer=[[ABSENT, 0], [UNPARSED, 0], [1, UNPARSED], [0, ABSENT]],
        labels=("x", "y"),
        confidence=[[nan, 0.9], [0.99, 0.9], [0.1, 0.9], [nan, nan]],
    )
    decision = lab.Cascade(("small", "big"), (0.0,)).decide(table)
    # The third is answered by small's 0.1 >= 0; a missing confidence defers even at 0.
    assert decision.called[:, 1].tolist() == [True, True, False, True]
    assert decision.chosen.tolist() == [1, 1, 0, 0]  # what was answered stands
    always = lab.Cascade(("small", "big"), (2.0,)).decide(table)
    assert always.chosen.tolist() == [1, 1, 0, 0]
    assert always.called.all()


@settings(max_examples=50, deadline=None)
@given(outcomes(min_models=2, complete=True, labels=3), st.floats(1.001, 2.0))
def test_at_zero_it_is_its_first_stage_and_above_one_its_last(table, above):
    first, *_, last = table.models
    low = lab.Cascade((first, last), (0.0,)).decide(table)
    high = lab.Cascade((first, last), (above,)).decide(table)
    np.testing.assert_array_equal(low.answer, table.answer[:, 0])
    np.testing.assert_array_equal(low.cost, table.cost[:, 0])
    np.testing.assert_array_equal(high.answer, table.answer[:, -1])
    np.testing.assert_allclose(high.cost, table.cost[:, 0] + table.cost[:, -1])


@settings(max_examples=50, deadline=None)
@given(outcomes(min_models=3, complete=True, labels=3), st.lists(st.floats(0, 1.1), min_size=2))
def test_cost_is_monotone_in_each_threshold(table, thresholds):
    a, b, c = table.models[:3]
    for build in (lambda t: (t, 0.5), lambda t: (0.5, t)):
        costs = [lab.Cascade((a, b, c), build(t)).decide(table).cost for t in sorted(thresholds)]
        assert all((later >= earlier).all() for earlier, later in pairwise(costs))


@pytest.mark.filterwarnings("ignore:.*leave items without an answer")
@settings(max_examples=60, deadline=None)
@given(
    outcomes(min_models=3, labels=3),
    st.lists(st.floats(0, 1.1), min_size=1, max_size=4),
    st.integers(2, 3),
)
def test_the_sweep_equals_replaying_every_setting(table, levels, stages):
    """The histogram is exact, with absent answers, unknown prices and levels in any order."""
    cascade = lab.Cascade(table.models[:stages], (0.5,) * (stages - 1))
    fast = lab.frontier(cascade, table, against="calls", thresholds=levels)
    every = [t for t in fast["thresholds"]]
    slow = lab.frontier(cascade, table, against="calls", thresholds=every)
    assert len(fast) == len(levels) ** (stages - 1)
    for column in ("accuracy", "coverage", "cost", "latency", "calls"):
        np.testing.assert_allclose(fast[column], slow[column].astype(float), atol=1e-12)


def test_thresholds_by_label_are_for_labels_of_the_outcomes():
    table = lab.Outcomes(
        models=["s", "b"],
        items=range(4),
        correct=np.ones((4, 2)),
        answer=np.zeros((4, 2), int),
        labels=[0, 1],
        confidence=np.ones((4, 2)),
    )
    assert lab.Cascade(("s", "b"), ({0: 0.5},)).decide(table).calls == {"s": 1, "b": 0}
    with pytest.raises(ValueError, match="of 's' are for labels such as '0', .* have 0: write"):
        lab.Cascade(("s", "b"), ({"0": 0.5, "1": 0.5},)).decide(table)
    other = lab.Cascade(("s", "b"), ({"cat": 0.5},))
    with pytest.warns(UserWarning, match="for labels .'cat'., .* never stops the cascade"):
        assert other.decide(table).calls == {"s": 1, "b": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one item shows no label but its own
        other.decide(table.take([0]))


def test_the_sweep_runs_through_abstaining_cascades_too(three):
    cascade = lab.Cascade(("small", "middle", "big"), (0.5, 0.5), abstain=(0.1, 0.0, 0.0))
    with pytest.warns(UserWarning, match="4 of 8 settings leave items without an answer"):
        table = lab.frontier(cascade, three, thresholds=[0.2, 0.6], abstain=[None, (0.45, 0, 0)])
    assert len(table) == 2 * 2 * 2
    assert table["coverage"].tolist() == [1, 0.75] * 4
    assert table["accuracy"].max() == pytest.approx(0.75)


def test_agreement_cascade_by_hand():
    table = Outcomes(
        models=("a", "b", "c", "big"),
        items=range(4),
        correct=[[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [nan, 0, nan, 1]],
        answer=[[0, 0, 0, 0], [0, 0, 1, 1], [1, 2, 0, 0], [ABSENT, 1, UNPARSED, 0]],
        labels=("x", "y", "z"),
        cost=[[1, 1, 1, 50]] * 4,
    )
    unanimous = lab.AgreementCascade((("a", "b", "c"), ("big",))).decide(table)
    assert unanimous.cost.tolist() == [3, 53, 53, 53]
    assert unanimous.answers == ["x", "y", "x", "x"]
    two_thirds = lab.AgreementCascade((("a", "b", "c"), ("big",)), agreement=2 / 3).decide(table)
    assert two_thirds.cost.tolist() == [3, 3, 53, 53]
    alone = lab.AgreementCascade((("a", "b", "c"),)).decide(table)
    assert alone.answers == ["x", "x", "y", "y"]  # the last tier always answers


@pytest.mark.parametrize(
    ("order", "thresholds", "message"),
    [
        (("small", "big"), (), "0 thresholds for 2 stages"),
        (("small", "big"), (0.5, 0.5), "2 thresholds for 2 stages"),
        (("small", "big"), (nan,), "Cascade.thresholds is nan"),
        (("small", "big"), (-0.1,), "Cascade.thresholds is -0.1"),
        (("small", "big"), (85,), r"85, outside 0.0 to 2.0 \(did you mean 0.85\?\)"),
        (("small", "big"), ({"cat": 0.5, "dog": nan},), "Cascade.thresholds is nan"),
        (("small", "big"), ("high",), "'high'"),
        (("small", "small"), (0.5,), "names a model twice"),
        ((), (), r"order=\(\)"),
        ("small", (), "order='small'"),
    ],
)
def test_bad_settings_are_named(order, thresholds, message):
    with pytest.raises(ValueError, match=message):
        lab.Cascade(order, thresholds)


def test_bad_tables_are_named(three):
    with pytest.raises(KeyError, match="no model 'bigg' in the outcomes; did you mean 'big'"):
        lab.Cascade(("small", "bigg"), (0.5,)).decide(three)
    bare = Outcomes(models=("small", "big"), items=[0], correct=[[1, 1]])
    with pytest.raises(ValueError, match="Cascade needs 'confidence'"):
        lab.Cascade(("small", "big"), (0.5,)).decide(bare)
    assert lab.Cascade(("big",)).decide(bare).accuracy == 1.0  # nobody's confidence is read
    with pytest.raises(ValueError, match="nan"):
        lab.frontier(lab.Cascade(("small", "big"), (0.5,)), three, thresholds=[0.5, nan])
    with pytest.raises(ValueError, match="AgreementCascade.agreement"):
        lab.AgreementCascade((("a",),), agreement=1.5)
    with pytest.raises(ValueError, match="none empty"):
        lab.AgreementCascade((("a",), ()))
    with pytest.raises(ValueError, match="name each model once"):
        lab.AgreementCascade((("a",), ("a",)))
