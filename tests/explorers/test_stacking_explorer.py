"""The stacking explorer: weights, leak and shares as they are."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.answers.voting import ProductVote
from ensemble_lab.explorers.training import stacking_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

OUTSIDE, INSIDE = range(2)


def test_a_tree_cut_at_a_depth_gives_the_shares_of_its_nodes():
    X, y = load_digits(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    for depth, said in zip(replay.DEPTHS, replay.cut(tree.tree_, X), strict=True):
        kinds, node = np.unique(said.round(9), axis=0, return_inverse=True)
        assert len(kinds) <= 2**depth
        for i, kind in enumerate(kinds):  # nodes that say the same, put together, still do
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
    np.testing.assert_allclose(weights, [[0] * 3, [1] * 3], atol=0.05)
    # By the model itself: a member's word goes from the other classes, alike, to one class.
    model = Ridge().fit(features.reshape(300, 6), np.eye(3)[y])
    for j, c in np.ndindex(2, 3):
        said = np.zeros((2, 2, 3))
        said[0, j], said[1, j, c] = np.where(np.arange(3) == c, 0, 0.5), 1
        before, after = model.predict(said.reshape(2, 6))[:, c]
        assert weights[j, c] == pytest.approx(after - before)


def test_no_out_of_fold_answer_knows_its_own_target():
    """Labels at random: out-of-fold nobody is better than chance, in-fold the tree is."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 4))
    made = replay.Problem(X, rng.permutation(np.arange(200) % 2), ("a", "b"), {"all": slice(0, 4)})
    seen, _, _, stack, average, *_ = replay._split(made, 120, 0)
    outside, inside = seen[-1]
    assert inside[-1] > 0.85 and abs(outside - 0.5).max() < 0.15
    assert abs(stack - 0.5).max() < 0.25 and average.shape == (12,)


def test_the_product_is_that_of_the_package(shown):
    from sklearn.model_selection import train_test_split

    found, where = shown.found(shown.state(rows=60)), replay.problem("digits")
    X, new, y, truth = train_test_split(
        where.X, where.y, train_size=60, random_state=0, stratify=where.y
    )
    said = replay.asked(where.views, X, y, new)[-1]  # (n, m, k), the deepest tree
    for members, share in ((3, found.product[0, -1]), (2, found.views[0])):
        voted = ProductVote()._combine({str(j): said[:, j] for j in range(members)})
        assert share == pytest.approx((voted.argmax(-1) == truth).mean())


def test_the_leak_is_seen_and_costs(shown):
    found = shown.found(shown.state())
    assert (found.seen[:, -1, INSIDE, -1] > 0.99).all()
    assert found.trust(11, INSIDE)[-1] > 2 * found.trust(11, OUTSIDE)[-1]
    assert (found.stack[:, -1, INSIDE] < found.stack[:, -1, OUTSIDE]).all()  # on each split
    assert found.trust(11, INSIDE).sum() == pytest.approx(1)
    lost = 100 * (found.stack[:, -1, INSIDE] - found.stack[:, -1, OUTSIDE]).mean()
    assert f"{lost:+.1f} on out-of-fold" in shown.picture(features="in-fold").finding


@pytest.mark.parametrize(
    "view", [{}, {"features": "in-fold", "rows": 60}, {"data": "breast cancer", "depth": 3}]
)
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture = shown.drawn(state)
    table, trace = picture.table(), named(picture)
    held = table["on held-out examples"]
    assert trace["the stack"]["x"][0] == pytest.approx(held["the stack"], abs=1e-5)
    assert trace["learn nothing"]["x"][0] == pytest.approx(held["plain average"], abs=1e-5)
    curve = trace[f"stack, {state['features']}"]["y"]
    assert curve[state["depth"] - 1] == pytest.approx(held["the stack"], abs=1e-5)
    assert trace["here"]["y"] == trace["the stack"]["x"]
    assert f"{held['the stack']:.1%}" in picture.finding
    assert f"{table.loc['tree', 'share of trust']:.0%} of the trust<br>" in picture.finding
    drawn = np.array(trace["weights"]["z"])
    columns = [c for c in table if c.startswith("weight, ")]
    np.testing.assert_allclose(drawn, table[columns].dropna(), atol=6e-4)
    members = table.index[: len(drawn)]
    assert members[-1] == "tree"
    assert trace["held out"]["y"] == list(range(len(members)))
    np.testing.assert_allclose(trace["held out"]["x"], held[members], atol=1e-5)
    seen = table.loc[members, "as the final model saw it"]
    np.testing.assert_allclose(trace["as the final model saw it"]["x"], seen, atol=1e-5)


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found = shown.found(state)
        at = replay.DEPTHS.index(state["depth"]), replay.KINDS.index(state["features"])
        gain = found.stack[:, at[0], at[1]] - np.maximum(found.best, found.average)[:, at[0]]
        if isinstance(view, Failing):
            assert gain.mean() < 0.002, title  # two in a thousand are not worth the trouble
        else:
            assert gain.mean() > 0 or state["depth"] == 1, title
