"""The boosting explorer: scikit-learn's rounds, and a picture that says what they are."""

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.explorers.training import boosting_replay as replay
from ensemble_lab.explorers.training.moons import CELLS, LEFT, RIGHT, moons
from tests.support.any_state import named


@pytest.mark.parametrize(("depth", "noise", "rate"), [(1, 0.0, 1.0), (3, 0.2, 0.5)])
def test_the_rounds_are_those_of_scikit_learn(shown, depth, noise, rate):
    found = replay.rounds(depth, noise, rate)
    for seed in replay.DRAWS:
        X, label, turned = replay._draw(seed, noise)
        assert turned.sum() == round(noise * len(X))
        assert np.array_equal(label[~turned], moons(len(X), seed, replay.NOISE)[1][~turned])
        tree = DecisionTreeClassifier(max_depth=depth)
        theirs = AdaBoostClassifier(tree, n_estimators=60, learning_rate=rate, random_state=seed)
        theirs.fit(X, label)
        error = 1 - np.array(list(theirs.staged_score(X, label)))
        np.testing.assert_allclose(found.train[seed], error, atol=1e-12)
        np.testing.assert_allclose(found.stage_error[seed], theirs.estimator_errors_, atol=1e-9)
        new, truth = moons(replay.HELD_OUT, 5, replay.NOISE)
        held = 1 - np.array(list(theirs.staged_score(new, truth)))
        np.testing.assert_allclose(found.held[seed], held, atol=1e-12)


def test_rows_are_drawn_as_large_as_their_weights(shown):
    found, at = replay.rounds(1, 0.0, 1.0), 9
    marks = named(shown.picture(round=at + 1))
    sizes = [np.array(marks[f"class {one}"]["marker"]["size"]) for one in (0, 1)]
    assert sum(map(len, sizes)) == replay.ROWS
    for one, size in enumerate(sizes):
        within = (size > 3) & (size < 34)
        share = found.weights[at][found.label == one][within]
        np.testing.assert_allclose(size[within] ** 2 / share, 49 * replay.ROWS, rtol=1e-3)
    assert len(marks["stage errs"]["x"]) == found.wrong[at].sum()
    assert marks["wrong label"]["x"] == []


def test_weights_grow_where_the_stage_before_erred():
    found = replay.rounds(3, 0.2, 1.0)
    for at in range(20):
        grown = found.weights[at + 1] / found.weights[at]
        assert grown[found.wrong[at]].min() > 1 > grown[~found.wrong[at]].max()


def test_the_map_is_what_the_trees_say(shown):
    """A stump's border is one line, right across, on the very threshold but for a cell."""
    found = replay.rounds(1, 0.0, 1.0)
    X, label, _ = replay._draw(0, 0.0)
    stump = DecisionTreeClassifier(max_depth=1).fit(X, label).tree_
    border = named(shown.picture(round=1))["stage"]
    along = border["x" if stump.feature[0] == 0 else "y"]
    assert len(along) == 3 and along[0] == along[1]
    assert abs(along[0] - stump.threshold[0]) <= (RIGHT - LEFT) / CELLS
    assert np.array_equal(found.stage[0], found.whole[0])
    assert np.array_equal(named(shown.picture())["ground"]["z"], found.whole[0])


def test_boosting_that_stops_is_held_and_said(shown):
    found = replay.rounds(8, 0.0, 1.0)
    assert found.stages.tolist() == [1] * 5
    assert (found.train == 0).all() and (found.margins == 1).all()
    assert "it stopped: stage 1 has no error" in shown.picture(depth=8, round=20).finding
    assert "stopped" not in shown.picture(depth=8, round=1).finding


def test_the_picture_says_what_the_table_says(shown):
    for view in ({"round": 7}, {"depth": 3, "noise": 0.2, "round": 33}, {"depth": 8, "noise": 0.2}):
        picture, state = shown.picture(**view), shown.state(**view)
        row, marks = picture.table().loc[state["round"]], named(picture)
        held, train = marks["new examples, here"], marks["training examples, here"]
        assert held["x"] == train["x"] == [state["round"]]
        assert held["y"][0] == pytest.approx(row["held-out error"], abs=1e-5)
        assert train["y"][0] == pytest.approx(row["training error"], abs=1e-5)
        assert marks["new examples"]["y"][state["round"] - 1] == held["y"][0]
        spread = held["error_y"]["array"][0]
        assert spread == pytest.approx(row["its spread over 5 draws"], abs=1e-5)
        start = f"Round {state['round']}: {row['training error']:.1%} of the training examples"
        assert picture.finding.startswith(start)
        assert f"{row['held-out error']:.1%} of new ones" in picture.finding
        now = marks["at this round"]
        assert now["x"] == sorted(now["x"]) and now["y"][-1] == 1
        assert now["x"][0] == pytest.approx(row["least margin"], abs=1e-5)
        assert len(marks["wrong labels"]["x"]) == round(state["noise"] * replay.ROWS)
        if state["noise"] and state["round"] <= replay.rounds(8, 0.2, 1.0).stages[0]:
            assert f"{row['weight on wrong labels']:.0%} of the weight" in picture.finding


def test_margins_grow_when_no_error_is_left(shown):
    found = replay.rounds(3, 0.0, 1.0)
    assert found.train[0, found.settled] == 0 and found.train[0, : found.settled].min() > 0
    assert found.margins[49].min() > found.margins[found.settled].min() > 0
    finding = shown.picture(**shown.presets["no errors left"]).finding
    assert f"since round {found.settled + 1}" in finding


def test_presets_show_what_they_promise(shown):
    def held(title):
        state = shown.state(**shown.presets[title])
        found = replay.rounds(state["depth"], state["noise"], state["learning_rate"])
        return found, found.held[:, state["round"] - 1].mean()

    found, chased = held("wrong labels")
    assert chased > found.held[:, 0].mean() and found.train[:, -1].mean() < 0.01
    assert found.burden[:, -1].mean() > 1.5 * 0.2  # a fifth of the rows, far more of the weight
    small, less = held("smaller steps")
    assert less < small.held[:, 0].mean() < chased
    known, end = held("trees too deep")
    assert end == known.held[:, 0].mean()
    stumps = replay.rounds(1, 0.0, 1.0)
    assert stumps.held[:, -1].mean() < stumps.held[:, 0].mean() - 0.05
