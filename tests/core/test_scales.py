"""A confidence outside [0, 1] is compared with nothing, and what is fitted knows no unit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from tests.support.strategies import outcomes

nan = np.nan
REFUSED = r"model 'a' has a confidence of .*, outside \[0, 1\]; map it there with Calibration\(\)"
VOTES = [lab.MeanVote, lab.ProductVote, lab.MaxVote, lab.MinVote, lab.MedianVote]


def table(scale=1.0, shift=0.0, n=60, columns=(0, 1, 2)):
    """Three models; the confidences of `columns` are on another scale."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, n)
    right = rng.random((n, 3)) < [0.6, 0.75, 0.9]
    sure = np.where(right, rng.beta(5, 2, (n, 3)), rng.beta(2, 4, (n, 3)))
    sure[:, columns] = scale * sure[:, columns] + shift
    return Outcomes(
        models=("a", "b", "c"),
        items=range(n),
        correct=right * 1.0,
        answer=np.where(right, truth[:, None], 1 - truth[:, None]),
        labels=("x", "y"),
        truth=truth,
        confidence=sure,
        cost=np.tile([1.0, 3.0, 10.0], (n, 1)),
    )


READERS = {
    "cascade": lambda t: lab.Cascade(("a", "c"), (0.5,)).decide(t),
    "abstaining": lambda t: lab.Cascade(("a",), abstain=(0.5,)).decide(t),
    "by label": lambda t: lab.Cascade(("a", "c"), ({"x": 0.5, "y": 0.6},)).decide(t),
    "sweep": lambda t: lab.frontier(lab.Cascade(("a", "c"), (0.5,)), t, thresholds=[0, 0.5]),
    "grid": lambda t: lab.frontier(lab.Cascade(("a", "c"), (0.5,)), t, thresholds=[(0.5,)]),
    "budget": lambda t: lab.BudgetCascade(5.0).fit(t),
    "escalate": lambda t: lab.explore("escalate", t.select(models=["a", "c"])),
    "cascade explorer": lambda t: lab.explore(lab.Cascade(("a", "c"), (0.5,)), t),
    "votes explorer": lambda t: lab.explore(lab.MeanVote(("a", "b", "c")), t),
} | {vote.__name__: lambda t, vote=vote: vote().decide(t) for vote in VOTES}


@pytest.mark.parametrize(("scale", "shift"), [(100, 0), (5, -6), (1, -0.9), (nan, np.inf)])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_a_confidence_refuses_another_scale_in_the_same_words(reader, scale, shift):
    """Per cent, log-probabilities, and one that is infinite."""
    data = table(scale, shift) if scale == scale else table()
    if scale != scale:
        sure = data.confidence.copy()
        sure[7, 0] = np.inf
        data = replace(data, confidence=sure)
    with pytest.raises(ValueError, match=REFUSED) as caught:
        READERS[reader](data)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    READERS[reader](table())


def test_only_what_is_read_is_looked_at():
    beyond = table(100, columns=[2])
    assert lab.Cascade(("a", "c"), (0.5,)).decide(beyond).called[:, 2].any()
    assert lab.MeanVote(("a", "b")).decide(beyond).coverage == 1
    probabilities = np.full((60, 3, 2), 0.5)
    assert lab.MaxVote().decide(replace(table(100), probability=probabilities)).coverage == 1
    for policy in (lab.MajorityVote(), lab.Cascade(("a",)), lab.AgreementCascade((("a", "b"),))):
        assert len(policy.decide(table(100))) == 60
    with pytest.raises(ValueError, match="'c' has a confidence"):
        lab.Cascade(("c", "a"), (0.5,)).decide(beyond)


def test_one_high_confidence_among_many_is_found_and_a_missing_one_is_on_no_scale():
    sure = table().confidence.copy()
    sure[:, 0], sure[41, 0] = nan, 1.5
    data = replace(table(), confidence=sure)
    with pytest.raises(ValueError, match=r"'a' has a confidence of 1\.5,"):
        lab.Cascade(("a", "c"), (0.5,)).decide(data)
    assert "of 1.5" in lab.explore("votes", data).missing["rule: mean confidence"]
    assert "of 1.5" in lab.explore("cascade", data).missing["per_label"]
    sure[41, 0] = nan
    silent = lab.Cascade(("a", "c"), (0.0,)).decide(replace(data, confidence=sure.copy()))
    assert silent.called[:, 2].all()


def test_live_it_is_refused_before_the_next_model_is_asked():
    def forbidden(item):
        raise AssertionError("this model was not to be asked")

    models = {"a": lambda item: Reply("x", confidence=55.0), "c": forbidden}
    with pytest.raises(ValueError, match=REFUSED):
        lab.run(lab.Cascade(("a", "c"), (0.5,)), models, "?")
    with pytest.raises(ValueError, match=REFUSED):
        lab.run(lab.MaxVote(("a",)), models, "?", labels=["x", "y"])


# -- what is fitted -----------------------------------------------------------------------------

UNITS = st.tuples(
    st.sampled_from([1e-200, 1e-9, 0.01, 100.0, 3e5, 1e200]), st.sampled_from([0.0, -7.0, 40.0])
)


def moved(data, units):
    """The same confidences in another unit and with another zero, each model its own."""
    scale = np.array([units[0], 1.0, *[units[0] * 2] * 9])[: len(data.models)]
    return replace(data, confidence=data.confidence * scale + units[1] * scale)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
@given(units=UNITS)
@settings(max_examples=12, deadline=None)
def test_calibration_gives_the_same_chances_in_any_unit(method, units):
    fit, shown = table(n=200).split()
    plain = lab.Calibration(method).fit(fit).apply(shown).confidence
    other = lab.Calibration(method).fit(moved(fit, units)).apply(moved(shown, units)).confidence
    np.testing.assert_allclose(other, plain, atol=1e-6)
    assert 0 <= plain.min() and plain.max() <= 1 and plain.std() > 0.1


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e308])
@pytest.mark.filterwarnings("error")
def test_calibration_takes_the_smallest_and_the_largest_numbers(method, scale):
    fit, shown = table(n=200).split()
    fitted = lab.Calibration(method).fit(moved(fit, (scale / 2, 0)))
    plain = lab.Calibration(method).fit(fit).apply(shown).confidence
    other = fitted.apply(moved(shown, (scale / 2, 0))).confidence
    np.testing.assert_allclose(other, plain, atol=1e-6)
    beyond = np.full((100, 3), 1.7e308)  # far from all that was learned from
    beyond[0] = -1.7e308
    chances = fitted.apply(replace(shown, confidence=beyond)).confidence
    assert (chances[0] < 0.5).all() and (chances[1] > 0.5).all()


def test_isotonic_calibration_tells_values_apart_that_differ_by_any_factor():
    sure = np.array([[-1e308], [1e-320], [1e-200], [1.0], [1e200], [1.7e308]])
    right = np.array([[0.0], [0.2], [0.4], [0.6], [0.8], [1.0]])
    data = Outcomes(models=("a",), items=range(6), correct=right, confidence=sure)
    np.testing.assert_array_equal(lab.Calibration().fit(data).apply(data).confidence, right)


@settings(max_examples=30, deadline=None)
@given(
    outcomes(min_items=12, max_items=20, min_models=2, max_models=3, labels=3),
    UNITS,
)
def test_stacked_answers_are_the_same_in_any_unit(data, units):
    """With missing confidences too, which are not 0 on whatever scale."""
    data = replace(data, probability=None)
    try:
        fitted = lab.StackedAnswers().fit(data)
    except ValueError as error:
        assert "fewer than two different ones" in str(error)
        return
    other = moved(data, units)
    again = lab.StackedAnswers().fit(other)
    assert again.decide(other).answers == fitted.decide(data).answers


def test_a_missing_confidence_is_neither_the_lowest_nor_the_highest():
    """On log-probabilities 0 would be the surest of all."""
    rng = np.random.default_rng(3)
    n = 900
    truth = rng.integers(0, 2, n)
    kind = rng.integers(0, 3, n)  # sure and right, unsure and at random, silent and wrong
    said = np.choose(kind, [truth, rng.integers(0, 2, n), 1 - truth])
    sure = np.choose(kind, [0.9, 0.4, nan])
    other = rng.integers(0, 2, n)
    for scale, shift in ((1, 0), (100, 0), (1, -1), (-1, 0)):
        data = Outcomes(
            models=("a", "b"),
            items=range(n),
            labels=("x", "y"),
            truth=truth,
            answer=np.column_stack([said, other]),
            correct=np.column_stack([said == truth, other == truth]) * 1.0,
            confidence=np.column_stack([scale * sure + shift, np.full(n, 0.5)]),
        )
        fit, shown = data.split()
        decision = lab.StackedAnswers().fit(fit).decide(shown)
        assert decision.correct[np.isin(shown.items, np.flatnonzero(kind == 2))].mean() == 1.0
        assert decision.correct[np.isin(shown.items, np.flatnonzero(kind == 0))].mean() == 1.0


def test_what_no_curve_can_be_fitted_to_is_named():
    infinite = table().confidence.copy()
    infinite[3, 1] = -np.inf
    data = replace(table(), confidence=infinite)
    for fit in (lab.Calibration().fit, lab.StackedAnswers().fit):
        with pytest.raises(ValueError, match="model 'b' has a confidence of -inf"):
            fit(data)
    lab.StackedAnswers(("a", "c")).fit(data)  # nobody reads it
    with pytest.raises(ValueError, match="'b' has a confidence of -inf"):
        lab.Calibration().fit(table()).apply(data)
    always = replace(table(), correct=np.ones((60, 3)))
    with pytest.raises(ValueError, match="a sigmoid needs right and wrong answers, and 'a'"):
        lab.Calibration("sigmoid").fit(always)


def test_calibration_goes_by_name():
    fitted = lab.Calibration().fit(table())
    turned = table().select(models=["c", "a"])
    np.testing.assert_array_equal(
        fitted.apply(turned).confidence, fitted.apply(table()).confidence[:, [2, 0]]
    )


@pytest.mark.parametrize("factor", [1e-12, 0.5, 1e9])
def test_the_unit_of_weights_does_not_matter_in_ties_either(factor):
    data = table()
    weights = {"a": 1.0, "b": 2.0, "c": 3.0 - 1e-6}
    other = {name: factor * weight for name, weight in weights.items()}
    probabilities = np.random.default_rng(0).dirichlet([1, 1], (60, 3))
    for vote in (lab.WeightedVote, lab.MeanVote):
        for seen in (data, replace(data, probability=probabilities)):
            plain, scaled = vote(weights=weights), vote(weights=other)
            assert plain.decide(seen).answers == scaled.decide(seen).answers


def test_a_share_in_per_cent_is_no_share():
    with pytest.raises(ValueError, match=r"mean=55 is outside \[0, 1\]"):
        lab.core.intervals.wilson(55, 100)
