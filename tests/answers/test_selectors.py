"""Choose first, run one; and calibration."""

from dataclasses import replace

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes


@pytest.fixture(scope="module")
def hard_when_long():
    """The small model fails on long items and there alone; a second feature is noise."""
    rng = np.random.default_rng(0)
    length = rng.integers(1, 100, 2000)
    small = np.where(rng.random(2000) < 0.05, length >= 60, length < 60)
    return Outcomes(
        models=("small", "big"),
        items=np.arange(2000),
        correct=np.stack([small, np.ones(2000)], axis=1),
        cost=np.broadcast_to([1.0, 10.0], (2000, 2)),
        features={"length": length, "noise": rng.random(2000), "name": length.astype(str)},
    )


def test_heuristic_selector_runs_one_model(hard_when_long):
    decision = lab.HeuristicSelector("small", "big", "length", 59).decide(hard_when_long)
    assert (decision.called.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(decision.called[:, 1], hard_when_long.features["length"] > 59)
    assert decision.mean_cost == pytest.approx(1 + 9 * decision.calls["big"])


def test_learned_selector_finds_the_hard_items(hard_when_long):
    train, test = hard_when_long.split(0.5, seed=0)
    fitted = lab.LearnedSelector("small", "big").fit(train)
    learned = fitted.decide(test)
    rule = lab.HeuristicSelector("small", "big", "length", 59).decide(test)
    assert (learned.chosen == rule.chosen).mean() > 0.95
    front = lab.frontier(fitted, test, threshold=[0.0, 0.5, 1.0])
    assert front["cost"].is_monotonic_increasing
    assert front["calls"].tolist() == [1.0, 1.0, 1.0]


def test_any_classifier_can_be_the_selector(hard_when_long):
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    fitted = lab.LearnedSelector("small", "big", estimator=tree).fit(hard_when_long)
    assert fitted.decide(hard_when_long).accuracy > 0.9
    assert not hasattr(tree, "tree_")  # the caller's own stays unfitted


def test_bad_input_is_named(hard_when_long):
    with pytest.raises(
        KeyError, match="no feature 'lenght' in the outcomes; did you mean 'length'"
    ):
        lab.HeuristicSelector("small", "big", "lenght").decide(hard_when_long)
    with pytest.raises(ValueError, match="not fitted"):
        lab.LearnedSelector("small", "big").decide(hard_when_long)
    with pytest.raises(ValueError, match="'big' is never wrong"):
        lab.LearnedSelector("big", "small").fit(hard_when_long)
    with pytest.raises(ValueError, match="no numeric features"):
        lab.LearnedSelector("Google", "Amazon").fit(lab.load_outcomes("imdb-services"))


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_calibration_makes_confidence_mean_accuracy(method):
    train, test = lab.load_outcomes("audiomnist-services").split(0.5, seed=0)
    calibrated = lab.Calibration(method).fit(train).apply(test)

    def gap(table):
        """Mean distance of confidence and accuracy over ten bins, weighted by items."""
        total = 0.0
        for j in range(len(table.models)):
            order = np.array_split(np.argsort(table.confidence[:, j]), 10)
            pairs = [(table.confidence[i, j].mean(), table.correct[i, j].mean()) for i in order]
            total += np.mean([abs(c - a) for c, a in pairs])
        return total / len(table.models)

    assert gap(calibrated) < 0.4 * gap(test)
    assert gap(calibrated) < 0.04
    np.testing.assert_array_equal(calibrated.correct, test.correct)


def test_a_sigmoid_learns_grades_between_right_and_wrong():
    """An item of grade 0.4 is as two right and three wrong ones."""
    sure = np.array([0.1, 0.2, 0.8, 0.9])
    grades = np.array([0.4, 0.4, 0.6, 0.6])
    table = lab.Outcomes(
        models=["s"], items=range(4), correct=grades[:, None], confidence=sure[:, None]
    )
    found = lab.Calibration("sigmoid").fit(table).apply(table).confidence.ravel()
    assert np.abs(found - grades).max() < 0.05
    rights = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]])
    five = lab.Outcomes(
        models=["s"],
        items=range(20),
        correct=rights.reshape(-1, 1),
        confidence=np.repeat(sure, 5)[:, None],
    )
    same = lab.Calibration("sigmoid").fit(five).apply(table).confidence.ravel()
    np.testing.assert_allclose(found, same, atol=1e-4)
    with pytest.raises(ValueError, match="needs right and wrong answers"):
        lab.Calibration("sigmoid").fit(replace(table, correct=np.ones((4, 1))))


def test_bad_calibration_is_named(hard_when_long):
    with pytest.raises(ValueError, match="method='platt'"):
        lab.Calibration("platt")
    with pytest.raises(ValueError, match="Calibration needs 'confidence'"):
        lab.Calibration().fit(hard_when_long)
    speech = lab.load_outcomes("audiomnist-services")
    fitted = lab.Calibration().fit(speech.select(models=["IBM"]))
    with pytest.raises(ValueError, match="no curve was fitted for model 'Google'"):
        fitted.apply(speech)
