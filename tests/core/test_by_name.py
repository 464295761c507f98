"""Names are read as names: features, members, orders, weights and grids, given in any form."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes

nan = np.nan


def table(n=400, seed=0, **more):
    """The small model fails on long items; the other features are noise."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 100, n)
    small = np.where(rng.random(n) < 0.05, length >= 60, length < 60)
    answer = np.column_stack([~small, np.zeros(n), rng.integers(0, 2, n)]).astype(int)
    features = {"length": length, "noise": rng.random(n), "about": rng.random(n)}
    return Outcomes(
        models=("small", "big", "idle"),
        items=np.arange(n),
        correct=answer == 0,
        answer=answer,
        labels=("right", "wrong"),
        confidence=rng.random((n, 3)),
        cost=np.tile([1.0, 10.0, 5.0], (n, 1)),
        features=features | more,
    )


# -- features -----------------------------------------------------------------------------------


def with_features(data, **features):
    return replace(data, features=features)


def test_a_selector_reads_features_by_name():
    data = table()
    fit, test = data.split()
    fitted = lab.LearnedSelector("small", "big").fit(fit)
    assert fitted.features == ("about", "length", "noise")
    plain, known = fitted.decide(test), test.features
    turned = with_features(test, noise=known["noise"], length=known["length"], about=known["about"])
    np.testing.assert_array_equal(fitted.decide(turned).chosen, plain.chosen)
    # As many others, before, between and behind them in the alphabet.
    more = with_features(
        test, **known, aaa=known["noise"], kind=np.array(["x"] * len(test)), zzz=known["noise"]
    )
    np.testing.assert_array_equal(fitted.decide(more).chosen, plain.chosen)
    live = lab.run(
        fitted,
        {"small": lambda i: "right", "big": lambda i: "right"},
        "?",
        features={"zzz": 1, "noise": 0.5, "length": 99, "about": 0.5},
    )
    assert live.calls == {"small": 0, "big": 1}


def test_a_feature_that_took_anothers_place_is_missed_by_name():
    fitted = lab.LearnedSelector("small", "big").fit(table())
    known = table().features
    other = with_features(
        table(), width=known["length"], noise=known["noise"], about=known["about"]
    )
    with pytest.raises(KeyError, match="no feature 'length' in the outcomes"):
        fitted.decide(other)


def test_a_selector_can_be_told_what_to_read():
    fitted = lab.LearnedSelector("small", "big", features=["length"]).fit(table())
    assert fitted.fitted.n_features_in_ == 1
    assert fitted.decide(with_features(table(), length=table().features["length"])).accuracy > 0.9
    with pytest.raises(KeyError, match="no feature 'lenght'.*did you mean 'length'"):
        lab.LearnedSelector("small", "big", features=["lenght"]).fit(table())
    with pytest.raises(ValueError, match="features='length'"):
        lab.LearnedSelector("small", "big", features="length")


GAPS = {"a float": nan, "None among numbers": None}


@pytest.mark.parametrize("gap", GAPS)
def test_a_gap_is_named_by_both_selectors_and_by_run(gap):
    length = table().features["length"].tolist()
    length[7] = GAPS[gap]
    data = with_features(table(), **table().features | {"length": np.array(length)})
    fitted = lab.LearnedSelector("small", "big").fit(table())
    said = "feature 'length' is not known for item 7.*fill it in"
    for attempt in (
        lambda: lab.HeuristicSelector("small", "big", "length", 59).decide(data),
        lambda: fitted.decide(data),
        lambda: lab.LearnedSelector("small", "big").fit(data),
    ):
        with pytest.raises(ValueError, match=said):
            attempt()
    whole = data.take(np.arange(len(data)) != 7)
    assert len(fitted.decide(whole)) == len(data) - 1


def test_an_estimator_that_takes_gaps_gets_them():
    length = np.where(np.arange(400) % 9, table().features["length"], nan)
    data = with_features(table(), length=length)
    estimator = make_pipeline(SimpleImputer(), LogisticRegression())
    fitted = lab.LearnedSelector("small", "big", estimator=estimator).fit(data)
    assert fitted.decide(data).accuracy > 0.8


def test_an_infinite_feature_is_named_where_it_cannot_be_read():
    length = np.r_[np.inf, table().features["length"][1:]]
    data = with_features(table(), length=length)
    assert lab.HeuristicSelector("small", "big", "length", 59).decide(data).chosen[0] == 1
    with pytest.raises(ValueError, match="feature 'length' is inf for item 0"):
        lab.LearnedSelector("small", "big").fit(data)


def test_text_is_no_number_even_where_it_could_be_read_as_one():
    data = table(kind=np.array(["a"] * 400), digits=np.arange(400).astype(str))
    for name, value in (("kind", "'a'"), ("digits", "'0'")):
        with pytest.raises(ValueError, match=f"feature '{name}' holds {value}"):
            lab.HeuristicSelector("small", "big", name, 5).decide(data)
        with pytest.raises(ValueError, match=f"feature '{name}' holds {value}"):
            lab.LearnedSelector("small", "big", features=[name]).fit(data)
    assert "kind" not in lab.LearnedSelector("small", "big").fit(data).features


# -- several names ------------------------------------------------------------------------------

NAMES = ("small", "big")
FORMS = {
    "tuple": tuple,
    "list": list,
    "generator": lambda names: (name for name in names),
    "array": np.array,
    "object array": lambda names: np.array(names, object),
    "Series": pd.Series,
    "column": lambda names: pd.DataFrame({"name": names})["name"],
    "Index": pd.Index,
    "keys": lambda names: dict.fromkeys(names).keys(),
}
TAKERS = {
    "order": lambda names: lab.Cascade(names, (0.5,)).order,
    "members": lambda names: lab.MajorityVote(names).members,
    "weighted": lambda names: lab.WeightedVote(names, weights={"small": 1, "big": 1}).members,
    "stacked": lambda names: lab.StackedAnswers(names).members,
    "features": lambda names: lab.LearnedSelector("a", "b", features=names).features,
    "tier": lambda names: lab.AgreementCascade((names,)).tiers[0],
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("form", FORMS)
def test_names_in_any_listed_form_are_understood(taker, form):
    found = TAKERS[taker](FORMS[form](NAMES))
    assert found == NAMES and isinstance(found, tuple)
    assert all(type(name) is str for name in found)


ELSE = {
    "string": "small",
    "mapping": {"small": 1, "big": 2},
    "set": {"small", "big"},
    "frame": pd.DataFrame({"small": [1], "big": [2]}),
    "number": 3,
    "nothing": (),
    "two dimensions": np.array([["small", "big"]]),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("what", ELSE)
def test_what_iterates_as_something_else_is_refused(taker, what):
    with pytest.raises(ValueError) as caught:
        TAKERS[taker](ELSE[what])
    said = str(caught.value)
    assert len(said) < 300 and "\n" not in said and "np." not in said and "give" in said


@pytest.mark.parametrize("taker", TAKERS)
def test_a_name_twice_is_refused(taker):
    with pytest.raises(ValueError, match=r"names a model twice|name each model once"):
        TAKERS[taker](["small", "small"])


def test_a_policy_made_of_a_generator_can_be_asked_twice():
    vote = lab.MajorityVote(name for name in ("big", "small"))
    assert vote.decide(table()).answers == vote.decide(table()).answers
    tiers = lab.AgreementCascade((name,) for name in NAMES)
    assert tiers.tiers == (("small",), ("big",)) and len(tiers.decide(table())) == 400


# -- weights and thresholds ---------------------------------------------------------------------


@pytest.mark.parametrize("vote", [lab.WeightedVote, lab.MeanVote])
@pytest.mark.parametrize("weights", [[1, 2, 3], np.ones(3), pd.Series([1, 2, 3]), "abc", {1, 2}])
def test_weights_without_names_are_refused(vote, weights):
    with pytest.raises(ValueError, match=r"weights is a .*; give a mapping"):
        vote(weights=weights)


@pytest.mark.parametrize("weight", ["1", None, nan, np.inf])
def test_a_weight_is_a_finite_number(weight):
    with pytest.raises(ValueError, match="MeanVote.weights is|weight of 'big' is"):
        lab.MeanVote(weights={"small": 1.0, "big": weight, "idle": 1.0}).decide(table())
    with pytest.raises(ValueError, match="the weight of 'big' is"):
        lab.WeightedVote(weights={"small": 1.0, "big": weight, "idle": 1.0}).decide(table())


@pytest.mark.parametrize("form", FORMS)
def test_thresholds_in_any_listed_form_are_understood(form):
    if form == "keys":
        return
    cascade = lab.Cascade(("small", "idle", "big"), FORMS[form]((0.25, 0.5)))
    assert cascade.thresholds == (0.25, 0.5)
    assert all(type(level) is float for level in cascade.thresholds)
    assert lab.Cascade(("small",), abstain=FORMS[form]((0.5,))).abstain == (0.5,)


@pytest.mark.parametrize("one", [0.5, np.float32(0.5), np.float64(0.5), 1, np.int64(1)])
def test_one_threshold_is_one_level(one):
    assert lab.Cascade(NAMES, one).thresholds == (one,)


@pytest.mark.parametrize(
    "thresholds", [{"small": 0.5}, {0.5}, "0.5", ("0.5",), (None,), ([nan],), pd.DataFrame([0.5])]
)
def test_thresholds_that_are_none_are_refused(thresholds):
    with pytest.raises(ValueError, match="thresholds"):
        lab.Cascade(NAMES, thresholds)


@pytest.mark.parametrize("form", FORMS)
def test_a_grid_in_any_listed_form_is_run_through(form):
    if form == "keys":
        return
    data = table()
    levels = (0.75, 0.0, 0.5)
    plain = lab.frontier(lab.Cascade(NAMES, (0.5,)), data, thresholds=list(levels))
    other = lab.frontier(lab.Cascade(NAMES, (0.5,)), data, thresholds=FORMS[form](levels))
    pd.testing.assert_frame_equal(other, plain)
    selector = lab.HeuristicSelector("small", "big", "length", 0.0)
    rows = lab.frontier(selector, data, threshold=FORMS[form]((10.0, 50.0)))
    assert rows["threshold"].tolist() == [10.0, 50.0]


@pytest.mark.parametrize("grid", ["0.5", {0.5: 1}, {0.5}, 0.5, pd.DataFrame({"t": [0.5]}), []])
def test_a_grid_that_iterates_as_something_else_is_refused(grid):
    for policy in (lab.Cascade(NAMES, (0.5,)), lab.AgreementCascade((NAMES,))):
        name = "thresholds" if isinstance(policy, lab.Cascade) else "agreement"
        with pytest.raises(ValueError, match=name):
            lab.frontier(policy, table(), **{name: grid})


def test_a_grid_shows_the_settings_that_were_tried():
    sizes = (np.array(names) for names in (["small"], ["small", "big"]))
    found = lab.frontier(lab.MajorityVote(), table(), members=sizes)
    assert found["members"].tolist() == [("small",), ("small", "big")]


# -- the odd ends -------------------------------------------------------------------------------


def test_condorcet_takes_whole_numbers_of_members_in_any_form():
    plain = lab.condorcet([1, 3, 5], 0.7)
    for members in (np.array([1, 3, 5]), (m for m in (1, 3, 5)), range(1, 6, 2), [1.0, 3.0, 5.0]):
        np.testing.assert_array_equal(lab.condorcet(members, 0.7), plain)
    assert lab.condorcet(np.array([[1, 3]]), 0.7).shape == (1, 2)
    for members in (2.5, nan, [1, nan], "3", {3: 1}, ["3"], None):
        with pytest.raises(ValueError, match="members"):
            lab.condorcet(members, 0.7)
    for accuracy in (70, nan, "0.7", [0.7, 0.8]):
        with pytest.raises(ValueError, match="accuracy=.* is no number in"):
            lab.condorcet(3, accuracy)


def test_measures_of_pairs_take_pairs():
    matrix = lab.disagreement(table())
    assert lab.mean_pairwise(matrix.tolist()) == lab.mean_pairwise(matrix)
    for wrong in (matrix[0], matrix[:2]):
        with pytest.raises(ValueError, match="one number for each pair"):
            lab.mean_pairwise(wrong)


@pytest.mark.filterwarnings("error")
def test_ambiguity_without_a_whole_item_is_said():
    data = replace(
        table(4), probability=np.full((4, 3, 2), nan), truth=np.zeros(4, int), features={}
    )
    with pytest.raises(ValueError, match="no item has a known truth and probabilities"):
        lab.ambiguity(data)


def test_one_value_shows_no_spread():
    for interval in (lab.bootstrap, lab.core.intervals.mean_interval):
        for values in ([0.5], [0.5, nan], []):
            assert np.isnan(interval(values)).all()
        assert interval(v for v in (0.0, 1.0)) == interval([0.0, 1.0])
        with pytest.raises(ValueError, match="level=95"):
            interval([0.5], 95)
