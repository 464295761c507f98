"""The bagging explorer: the package's bags, a probability that is true, a formula that holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.explorers import explore
from ensemble_lab.explorers.training import bagging_replay as replay
from ensemble_lab.explorers.training.bagging import formula, pays
from ensemble_lab.explorers.training.moons import MAP, moons
from ensemble_lab.widgets.style import COMBINED, WRONG
from tests.support.any_state import named

FULL = ("tree", 12, 1.0)


def test_errors_are_those_of_scikit_learns_bags():
    """Errors of any m of the members, a tie decided by a coin; the whole bag and its map."""
    found = replay.bags(*FULL)
    places, _ = moons(replay.HELD_OUT, 5, replay.NOISE)
    truth = replay.chance_of_one(places)
    for seed in replay.DRAWS:
        X, y = moons(replay.ROWS, seed, replay.NOISE)
        tree = DecisionTreeClassifier(max_depth=12)
        bag = BaggingClassifier(tree, replay.MOST, oob_score=True, random_state=seed).fit(X, y)
        votes = np.stack([member.predict_proba(places)[:, 1] for member in bag.estimators_])
        for m in (1, 2, 6, 32):
            errors = []
            for first in range(replay.MOST):
                some = [votes[(first + k) % replay.MOST] for k in range(m)]
                wrong = [(0.5, 1 - t, t)[0 if abs(c - 0.5) < 1e-12 else 1 if c > 0.5 else 2]
                         for c, t in zip(sum(some) / m, truth, strict=True)]  # fmt: skip
                errors.append(np.mean(wrong))
            assert found.held[seed, m - 1] == pytest.approx(np.mean(errors))
        assert found.out_of_bag[seed, -1] == pytest.approx(1 - bag.oob_score_, abs=0.01)  # ties
        if seed == 0:
            said = bag.predict_proba(MAP)[:, 1].reshape(found.chance[-1].shape)
            np.testing.assert_allclose(found.chance[-1], said, atol=1e-12)


def test_more_members_are_not_worse_but_for_luck():
    """The first of five draws alone went up from 3 members to 4; any m of them do not."""
    held = replay.bags(*FULL).held.mean(0)
    assert np.diff(held).max() < 0.002 and held[0] == pytest.approx(held[1], abs=0.005)


def test_the_true_chance_is_the_share_of_rows_there():
    places, y = moons(20_000, 9, replay.NOISE)
    chance = replay.chance_of_one(places)
    for low in np.arange(0, 1, 0.1):
        here = (chance >= low) & (chance < low + 0.1)
        assert y[here].mean() == pytest.approx(chance[here].mean(), abs=0.05)


@given(
    arrays(float, (4, 3, 5), elements=st.floats(0, 1)), arrays(float, 5, elements=st.floats(0, 1))
)
def test_parts_add_up_to_what_a_whole_bag_measures(said, truth):
    found = replay.parts(said, truth)
    whole = said.mean(1)
    if found["rho"] > 0:
        predicted = found["bias2"] + found["sigma2"] * (found["rho"] + (1 - found["rho"]) / 3)
        assert predicted == pytest.approx(((whole - truth) ** 2).mean(), abs=1e-9)
    assert 0 <= found["rho"] <= 1 and found["sigma2"] >= 0


def test_parts_are_recovered_where_they_are_known():
    """Chances made of a bias, a part that the members of a draw share and a part of their own."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(20, 1, 3000)), rng.normal(size=(20, 32, 3000))
    found = replay.parts(0.7 + 0.6 * shared + 0.8 * own, np.full(3000, 0.2))
    assert found["bias2"] == pytest.approx(0.25, abs=0.02)
    assert found["sigma2"] == pytest.approx(1.0, abs=0.02)
    assert found["rho"] == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize("learner", replay.LEARNERS)
def test_the_formula_predicts_the_squared_error(learner):
    found = replay.bags(learner, 12 if learner == "tree" else 1, 1.0)
    by_formula = formula(found)
    assert by_formula[-1] == pytest.approx(found.squared[:, -1].mean())
    np.testing.assert_allclose(found.squared.mean(0)[3:], by_formula[3:], rtol=0.25)
    assert (np.diff(by_formula) < 0).all() and by_formula[-1] > found.floor > found.bias2 > 0


def test_a_member_that_never_met_a_class_gives_it_no_chance():
    X, y = np.arange(12.0).reshape(-1, 1), np.r_[0, np.ones(11, int)]
    members = [DecisionTreeClassifier().fit(X[rows], y[rows]) for rows in ([0], [5, 6], [0, 5])]
    bag = type("Bag", (), {"estimators_": members})
    np.testing.assert_array_equal(replay.chances(bag, X[[0, 9]]), [[0, 0], [1, 1], [0, 1]])


def test_running_means_are_those_of_the_first_entries():
    values = np.random.default_rng(0).random((2, 4, 3))
    for m in range(4):
        found = replay.running_mean(values, axis=1)[:, m]
        np.testing.assert_allclose(found, values[:, : m + 1].mean(1))


def test_the_picture_says_what_the_table_says(shown):
    for view in ({"members": 1}, {"learner": "stump", "members": 12}, {"share": 0.1}):
        picture, state = shown.picture(**view), shown.state(**view)
        row, m, marks = picture.table().loc[state["members"]], state["members"], named(picture)
        for here, curve, column in (
            ("new rows, here", "new rows", "held-out error"),
            ("out-of-bag, here", "out-of-bag", "out-of-bag error"),
            ("squared error, here", "measured", "squared error"),
        ):
            assert marks[here]["x"] == [m]
            assert marks[here]["y"][0] == marks[curve]["y"][m - 1]
            assert marks[here]["y"][0] == pytest.approx(row[column], abs=1e-5)
        spread = marks["new rows, here"]["error_y"]["array"][0]
        assert spread == pytest.approx(row["its spread over 5 draws"], abs=1e-5)
        assert f": {row['held-out error']:.1%} errors; one" in picture.finding
        floor = marks["+ shared variance"]["y"][0]
        assert floor == pytest.approx(row["its floor"], abs=1e-5)
        assert marks["bias²"]["y"][0] < floor < marks["+ the rest ÷ members"]["y"][m - 1]
        assert len(marks["class 0"]["x"]) + len(marks["class 1"]["x"]) == replay.ROWS


def test_one_member_is_the_whole(shown):
    one, two, three, all_ = (named(shown.picture(members=m)) for m in (1, 2, 3, 32))
    assert one["members"]["x"] == one["ensemble"]["x"] and len(one["ensemble"]["x"]) > 3
    assert two["members"]["x"] != one["members"]["x"]
    assert three["members"] == all_["members"]


def test_presets_show_what_they_promise(shown):
    def bags(title):
        state = shown.state(**shown.presets[title])
        depth = state["depth"] if state["learner"] == "tree" else 1
        return replay.bags(state["learner"], depth, state["share"])

    trees, fewer = bags("32 trees"), bags("fewer rows")
    assert trees.held[:, -1].mean() < trees.held[:, 0].mean() - 0.03
    assert trees.held[:, -1].mean() < trees.alone.mean()
    assert fewer.rho < trees.rho and fewer.squared[:, 0].mean() > trees.squared[:, 0].mean()
    stumps = bags("stumps")
    assert stumps.bias2 > 0.8 * stumps.squared[:, -1].mean()
    assert stumps.held[:, -1].mean() > trees.held[:, -1].mean()
    near = bags("neighbours")
    gain = [(each.alone - each.held[:, -1]).mean() for each in (near, trees)]
    assert abs(gain[0]) < gain[1] / 10
    assert near.alone.mean() < trees.held[:, -1].mean()
    colour = {title: named(shown.picture(**view))["new rows, here"]["marker"]["color"]
              for title, view in shown.presets.items()}  # fmt: skip
    assert colour["32 trees"] == COMBINED
    assert colour["one tree"] == WRONG


def test_the_title_states_a_finding(shown):
    for view, first, second in (
        ({}, "32 trees of depth 12: ", "is variance that all members share"),
        ({"learner": "stump"}, "32 stumps: ", "is bias: more members do not remove it"),
        ({"members": 1}, "1 tree of depth 12: ", "more members remove it"),
        ({"learner": "nearest neighbours"}, "32 nearest-neighbour models: ", "all members share"),
    ):
        state = shown.state(**{"members": 32, **view})
        one, two = shown.drawn(state).finding.split("<br>")
        assert one.startswith(first) and second in two
        found, m = shown.found(state), state["members"]
        own = (1 - found.rho) * found.sigma2 / m
        parts = found.bias2, found.floor - found.bias2, own
        assert two.startswith(f"{max(parts) / sum(parts):.0%} of the squared error is")
        gain = "averaging pays" if pays(found, m) else "no clear gain"
        assert one.endswith(gain if m > 1 else "nothing is averaged")
    assert pays(replay.bags(*FULL), 32) and not pays(replay.bags(*FULL), 1)
    assert not pays(replay.bags("nearest neighbours", 1, 1.0), 32)
    assert not pays(replay.bags("stump", 1, 1.0), 32)


def test_without_torch_there_are_no_networks(monkeypatch):
    monkeypatch.setattr("ensemble_lab.explorers.training.bagging.installed", lambda name: False)
    fewer = explore("bagging")
    assert "32 networks" not in fewer.presets and len(fewer.presets) == 5
    assert fewer.state(learner="stump")
    with pytest.raises(ValueError, match="not an option"):
        fewer.state(learner="small network")


def test_a_stump_has_no_other_depth(shown):
    one, other = (shown.found(shown.state(learner="stump", depth=depth)) for depth in (1, 3))
    assert one is other
