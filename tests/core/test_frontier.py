"""The frontier table, its Pareto set and its intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import ensemble_lab as lab
from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.intervals import bootstrap, mean_interval, wilson

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30)


@given(POINTS)
def test_pareto_equals_its_definition(points):
    spent, accuracy = np.array(points, float).T
    kept = pareto(spent, accuracy)
    for i in range(len(points)):
        beaten = ((spent < spent[i]) & (accuracy >= accuracy[i])) | (
            (spent <= spent[i]) & (accuracy > accuracy[i])
        )
        twin = (spent == spent[i]) & (accuracy == accuracy[i])
        first = twin.argmax() == i  # of equal settings the first is shown
        assert kept[i] == (first and not beaten.any())


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_only_who_answers_as_many_keeps_another_out_of_pareto(points):
    spent, accuracy, coverage = np.array(points, float).T
    kept = pareto(spent, accuracy, coverage)
    for i in range(len(points)):
        no_worse = (spent <= spent[i]) & (accuracy >= accuracy[i]) & (coverage >= coverage[i])
        twin = (spent == spent[i]) & (accuracy == accuracy[i]) & (coverage == coverage[i])
        assert kept[i] == (twin.argmax() == i and not (no_worse & ~twin).any())


def test_of_equal_settings_the_first_is_marked():
    table = lab.load_outcomes("audiomnist-services")
    cascade = lab.Cascade(("DeepSpeech", "Microsoft"), (0.5,))
    front = lab.frontier(cascade, table, thresholds=[1.01, 0.5, 1.01, 0.5, 0.0])
    assert front["pareto"].tolist() == [True, True, False, False, True]


def test_a_setting_of_unknown_cost_is_not_on_the_frontier():
    assert pareto(np.array([1.0, np.nan]), np.array([0.5, 0.9])).tolist() == [True, False]


def test_frontier_of_a_real_cascade():
    table = lab.load_outcomes("audiomnist-services")
    cascade = lab.Cascade(("DeepSpeech", "Microsoft"), (0.5,))
    result = lab.frontier(cascade, table, thresholds=np.linspace(0, 1.01, 102), intervals=True)
    assert len(result) == 102
    single = table.select(models=["DeepSpeech"]).accuracy()[0]
    assert result["accuracy"].iloc[0] == pytest.approx(single)
    assert result["cost"].is_monotonic_increasing
    front = result[result["pareto"]].sort_values("cost")
    assert front["accuracy"].is_monotonic_increasing
    assert ((result["low"] < result["accuracy"]) & (result["accuracy"] < result["high"])).all()


def test_frontier_over_any_field_of_any_policy():
    table = lab.load_outcomes("routellm-gsm8k")
    small, big = table.models
    chars = [0, 200, 400, 10_000]
    selector = lab.HeuristicSelector(small, big, "prompt_chars", 0.0)
    result = lab.frontier(selector, table, threshold=chars, against="calls")
    assert result["threshold"].tolist() == chars
    single = table.accuracy()
    assert result["accuracy"].iloc[0] == pytest.approx(single[1])
    assert result["accuracy"].iloc[-1] == pytest.approx(single[0])


def test_bad_grids_are_named():
    table = lab.load_outcomes("audiomnist-services").take(range(5))
    cascade = lab.Cascade(("DeepSpeech", "Microsoft"), (0.5,))
    with pytest.raises(KeyError, match="no field 'threshold' in the Cascade; did you mean"):
        lab.frontier(cascade, table, threshold=[0.5])
    with pytest.raises(ValueError, match="thresholds has no values"):
        lab.frontier(cascade, table, thresholds=[])
    with pytest.raises(ValueError, match="against='latency'"):
        lab.frontier(cascade, table, against="latency", thresholds=[0.5])


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (870, 1000)])
def test_wilson_equals_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(right / n, n), expected, atol=1e-12)


def test_intervals_cover_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = rng.exponential(2.0, (400, 60))
    for interval in (mean_interval, bootstrap):
        settings = {"resamples": 300} if interval is bootstrap else {}
        ends = np.array([interval(values, **settings) for values in samples])
        covered = ((ends[:, 0] < 2.0) & (2.0 < ends[:, 1])).mean()
        assert 0.88 < covered < 0.98


def test_intervals_of_a_decision():
    table = lab.load_outcomes("audiomnist-services")
    decision = lab.Cascade(("DeepSpeech", "Microsoft"), (0.6,)).decide(table)
    for of, value in (("accuracy", decision.accuracy), ("cost", decision.mean_cost)):
        for seed in (None, 0):
            low, high = decision.interval(of, seed=seed)
            assert low < value < high
    with pytest.raises(ValueError, match="no latency"):
        decision.interval("latency")
    with pytest.raises(ValueError, match="'price'"):
        decision.interval("price")
    with pytest.raises(ValueError, match="level=95"):
        decision.interval(level=95)
