"""The stacking explorer: one picture for every state, with weights, leak and shares as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.explorers.training import stacking_replay as replay
from ensemble_lab.explorers.training.stacking import explorer
from ensemble_lab.widgets.still import still
from tests.support.any_state import promises_kept

HEAT, SEEN, ALONE, AVERAGE, STACK, OUTSIDE, INSIDE = range(7)


@pytest.fixture(scope="module")
def shown():
    return explorer()


def states(controls):
    """Random states, on two settings of the data only: each is worked out when first asked for."""
    few = {"rows": (60,), "data": replay.PROBLEMS}
    return st.fixed_dictionaries(
        {c.name: st.sampled_from(few.get(c.name, c.options)) for c in controls}
    )


@settings(max_examples=25, deadline=None)  # the first look at a table works it out
@given(st.data())
def test_any_state_has_the_same_traces(shown, data):
    state = shown.state(**data.draw(states(shown.controls)))
    picture = promises_kept(shown, state)
    assert picture.finding.count("<br>") == 1 and str(state["depth"]) in picture.finding


def test_dragging_works_nothing_out_again(shown):
    shown.picture(rows=60)
    before = replay.stacks.cache_info().misses
    for depth in replay.DEPTHS:
        shown.picture(rows=60, depth=depth, features="in-fold")
    assert replay.stacks.cache_info().misses == before
    assert len(still(explorer(start={"rows": 60}))["layout"]["sliders"][0]["steps"]) == 12


def test_a_tree_cut_at_a_depth_gives_the_shares_of_its_nodes():
    X, y = load_digits(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    laws = replay.cut(tree.tree_, X)
    for depth, law in zip(replay.DEPTHS, laws, strict=True):
        kinds, node = np.unique(law.round(9), axis=0, return_inverse=True)
        assert len(kinds) <= 2**depth
        for i, kind in enumerate(kinds):  # nodes of one law, put together, still have it
            share = np.bincount(y[node.ravel() == i], minlength=10) / (node.ravel() == i).sum()
            np.testing.assert_allclose(share, kind, atol=1e-8)
    short = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    np.testing.assert_allclose(replay.cut(short.tree_, X)[-1], short.predict_proba(X))


def test_the_final_model_trusts_who_is_right():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    right, noise = np.eye(3)[y], rng.dirichlet(np.ones(3), 300)
    features = np.stack([noise, right], axis=1)  # (n, m, k)
    weights, accuracy = replay.final(features, y, features, y)
    assert accuracy == 1.0
    np.testing.assert_allclose(weights[1], 1, atol=0.05)
    np.testing.assert_allclose(weights[0], 0, atol=0.05)
    # By the model itself: a member's law goes from the other classes, alike, to one class.
    model = Ridge().fit(features.reshape(300, 6), np.eye(3)[y])
    for j in range(2):
        for c in range(3):
            law = np.zeros((2, 2, 3))
            law[0, j], law[1, j, c] = np.where(np.arange(3) == c, 0, 0.5), 1
            before, after = model.predict(law.reshape(2, 6))[:, c]
            assert weights[j, c] == pytest.approx(after - before)


def test_no_out_of_fold_law_knows_its_own_target():
    """Labels by lot: out-of-fold nobody is right more often than by chance, in-fold the tree is."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 4))
    made = replay.Problem(X, rng.permutation(np.arange(200) % 2), ("a", "b"), {"all": slice(0, 4)})
    seen, *_, stack, average = replay._split(made, 120, 0)
    outside, inside = seen[-1]
    assert inside[-1] > 0.85 and abs(outside - 0.5).max() < 0.15
    assert abs(stack - 0.5).max() < 0.25 and average.shape == (12,)


def test_the_leak_is_seen_and_costs(shown):
    found = replay.stacks("digits", 400)
    honest, leak = (replay.KINDS.index(kind) for kind in ("out-of-fold", "in-fold"))
    assert (found.seen[:, -1, leak, -1] > 0.99).all()
    assert found.trust(11, leak)[-1] > 2 * found.trust(11, honest)[-1]
    assert (found.stack[:, -1, leak] < found.stack[:, -1, honest]).all()  # on each of five splits
    assert found.trust(11, leak).sum() == pytest.approx(1)
    lost = 100 * (found.stack[:, -1, leak] - found.stack[:, -1, honest]).mean()
    assert f"{lost:+.1f} on out-of-fold" in shown.picture(features="in-fold").finding


def test_the_picture_says_what_the_table_says(shown):
    for view in ({}, {"features": "in-fold", "rows": 60}, {"data": "breast cancer", "depth": 3}):
        picture, state = shown.picture(**view), shown.state(**view)
        table, kind = picture.table(), replay.KINDS.index(state["features"])
        held = table["on held-out rows"]
        assert picture.traces[STACK]["x"][0] == pytest.approx(held["the stack"], abs=1e-5)
        assert picture.traces[AVERAGE]["x"][0] == pytest.approx(held["plain average"], abs=1e-5)
        curve = picture.traces[INSIDE if kind else OUTSIDE]["y"]
        assert curve[state["depth"] - 1] == pytest.approx(held["the stack"], abs=1e-5)
        assert f"{held['the stack']:.1%}" in picture.finding
        assert f"{table.loc['tree', 'share of trust']:.0%} of the trust<br>" in picture.finding
        drawn = np.array(picture.traces[HEAT]["z"])
        columns = [c for c in table if c.startswith("weight, ")]
        np.testing.assert_allclose(drawn, table[columns].dropna(), atol=1e-5)
        names = picture.traces[HEAT]["y"]
        assert picture.traces[SEEN]["y"] == picture.traces[ALONE]["y"] == names
        assert names[-1] == "tree"


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.state(**view)
        found = replay.stacks(state["data"], state["rows"])
        at = replay.DEPTHS.index(state["depth"]), replay.KINDS.index(state["features"])
        gain = found.stack[:, at[0], at[1]] - np.maximum(found.best, found.average)[:, at[0]]
        if "fail" in title or "not pay" in title:
            assert gain.mean() < 0.002, title  # two in a thousand are not worth the trouble
        else:
            assert gain.mean() > 0 or state["depth"] == 1, title


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"features": "all"}, {"colour": 1}])
def test_a_start_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match="no option|no control"):
        explorer(start=wrong)
