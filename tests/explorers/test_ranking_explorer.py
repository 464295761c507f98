"""The ranking explorer: its curve by hand, at its limits and against simulated items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ensemble_lab.explorers.answers.ranking import SHARES, density, mixture, parts_of, predicted
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import any_setting, named, promises_kept

ITEMS = 40_000


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_state_says_what_its_table_says(shown, data):
    state = data.draw(any_setting(shown.controls))
    picture = promises_kept(shown, state)
    row = picture.table().loc[state["share"]]
    traces = named(picture)
    assert traces["here"]["x"] == [pytest.approx(state["share"])]
    assert traces["here"]["y"] == [pytest.approx(row["right"], abs=1e-6)]
    assert f"{row['right']:.1%} right" in picture.finding
    assert f"for {row.iloc[-1]:.0%} of the price<br>" in picture.finding
    assert max(map(len, picture.finding.split("<br>"))) <= 105
    found = shown.found(state)
    assert sum(parts_of(found, 50).values()) == pytest.approx(1)
    assert min(parts_of(found, 50).values()) > -1e-12
    kept = found.accuracy - found.big * SHARES  # right answers that are kept: ever fewer
    assert (np.diff(kept) < 1e-12).all() and (np.diff(found.threshold[1:-1]) > 0).all()
    assert (found.accuracy > mixture(found) - 1e-9).all()


def test_by_hand():
    """Right on half, an AUC of Φ(1): means √2 apart, and half of the items below their middle."""
    found = predicted(auc=norm.cdf(1), small=0.5, big=0.8)
    assert found.apart == pytest.approx(2**0.5)
    assert found.threshold[50] == pytest.approx(2**0.5 / 2)
    assert found.accuracy[50] == pytest.approx(0.5 * norm.cdf(2**0.5 / 2) + 0.5 * 0.8)
    assert found.accuracy[[0, -1]] == pytest.approx([0.5, 0.8])


def test_without_a_ranking_it_is_the_random_mixture(shown):
    found = predicted(auc=0.5, small=0.6, big=0.9)
    np.testing.assert_allclose(found.accuracy, np.linspace(0.6, 0.9, 101), atol=1e-9)
    assert found.enough == pytest.approx(1)
    assert "Never as right as the big model" in shown.picture(auc=0.5).finding


def test_a_perfect_ranking_sends_every_wrong_answer_first():
    found = predicted(auc=1 - 1e-12, small=0.6, big=0.9)
    kept_right = np.minimum(0.6, 1 - SHARES)
    np.testing.assert_allclose(found.accuracy, kept_right + 0.9 * SHARES, atol=1e-5)
    assert found.enough == pytest.approx(1 / 3, abs=1e-6)  # 0.6 + 0.9 s = 0.9


@pytest.mark.parametrize("setting", [(0.8, 0.6, 0.9), (0.97, 0.6, 0.9), (0.6, 0.85, 0.7)])
def test_it_is_what_simulated_items_do(setting):
    """Notebook 02's items, within four standard errors of each of five shares."""
    auc, small, big = setting
    rng = np.random.default_rng(0)
    right = rng.random(ITEMS) < small
    confidence = rng.normal(size=ITEMS) + right * 2**0.5 * norm.ppf(auc)
    assert roc_auc_score(right, confidence) == pytest.approx(auc, abs=0.02)
    found, order = predicted(auc, small, big), np.argsort(confidence)
    rescued = rng.random(ITEMS) < big
    for at in (10, 25, 50, 75, 90):
        sent = ITEMS * at // 100
        accuracy = (rescued[order[:sent]].sum() + right[order[sent:]].sum()) / ITEMS
        assert accuracy == pytest.approx(found.accuracy[at], abs=4 * 0.5 / ITEMS**0.5)
        assert confidence[order[sent]] == pytest.approx(found.threshold[at], abs=0.05)


@pytest.mark.parametrize("setting", [(0.8, 0.6, 0.9), (0.97, 0.6, 0.9), (0.6, 0.85, 0.9)])
def test_enough_is_where_the_curve_meets_the_big_model(setting):
    found = predicted(*setting)
    assert np.interp(found.enough, SHARES, found.accuracy) == pytest.approx(found.big, abs=1e-4)
    assert (found.accuracy[SHARES < found.enough] < found.big).all()
    assert (found.accuracy[SHARES > found.enough] > found.big - 1e-12).all()


def test_at_its_edges(shown):
    assert predicted(auc=0.8, small=0.9, big=0.9).enough == 0
    assert "alone is as right as the big one" in shown.picture(small=0.95).finding
    assert predicted(auc=0.99, small=0.6, big=1.0).enough == pytest.approx(1)
    for share in (0.0, 1.0):
        assert len(shown.table(share=share)) == 101


def test_the_areas_are_the_parts(shown):
    found = shown.found(shown.state())
    x = np.linspace(-12, 12, 24_001)
    line = found.threshold[50]
    for name, sign in (("right", 1), ("wrong", -1)):
        y = sign * density(found, name, x)
        for sent, inside in (("escalated", x < line), ("kept", x >= line)):
            part = parts_of(found, 50)[f"{name}, {sent}"]
            assert y[inside].sum() * (x[1] - x[0]) == pytest.approx(part, abs=1e-3)
    traces = named(shown.picture())
    assert traces["threshold"]["x"] == [pytest.approx(line, abs=1e-5)] * 2
    assert min(traces["right, kept"]["y"]) >= 0 >= max(traces["wrong, kept"]["y"])


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found = shown.found(state)
        assert isinstance(view, Failing) == (found.enough + state["price"] >= 1), title
    state = shown.preset("overshoots")
    found = shown.found(state)
    assert found.accuracy.max() > found.big + 0.03
    assert SHARES[found.accuracy.argmax()] == pytest.approx(state["share"])
