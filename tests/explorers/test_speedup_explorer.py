"""The speedup map: its numbers are the formula's, and measured pairs stand where they belong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.speedup import ALPHAS, COSTS, GAMMAS, TARGET_COSTS, recorded
from ensemble_lab.tokens.lengths import best_gamma, speedup
from ensemble_lab.tokens.measure import measure_pair
from ensemble_lab.tokens.pairs import Pair, pair_of
from tests.support.tiny_llama import save_tiny_llama

OWN = {"quick": {"alpha": 0.8, "c": 0.1}, "slow": {"alpha": 0.1, "c": 0.4, "gamma": 3}}


def point(draw_from):
    return st.sampled_from([float(value) for value in draw_from])


@given(point(ALPHAS), point(COSTS), st.sampled_from(list(GAMMAS)), point(TARGET_COSTS))
def test_the_numbers_are_the_formulas(alpha, c, gamma, v):
    explorer = lab.explore("speedup", OWN)
    picture = explorer.picture(alpha=alpha, c=c, gamma=gamma, v=v)
    worth = sum(alpha**i for i in range(gamma + 1)) / (gamma * c + v)
    assert f"{worth:.2f} ×" in picture.finding
    assert ("does not pay" in picture.finding) == (worth <= 1 + 1e-12)
    lengths = next(t for t in picture.traces if t["name"].startswith("formula"))
    brute = [1.0] + [sum(alpha**i for i in range(k + 1)) / (k * c + v) for k in GAMMAS]
    assert np.allclose(lengths["y"], brute, atol=1e-4)
    star = next(t for t in picture.traces if t["name"] == "best gamma")
    assert star["y"][0] == pytest.approx(max(brute))


@pytest.mark.parametrize(("gamma", "v"), [(1, 1.0), (4, 1.2), (16, 1.5)])
def test_the_line_is_where_the_map_is_one(gamma, v):
    explorer = lab.explore("speedup", OWN)
    heat, even = explorer.picture(gamma=gamma, v=v).traces[:2]
    for alpha, c in zip(even["x"], even["y"]):
        assert speedup(alpha, gamma, c, v) == pytest.approx(1)
    z, x, y = (np.array(heat[key]) for key in ("z", "x", "y"))
    assert z.shape == (len(y), len(x))
    i, j = len(y) // 3, 2 * len(x) // 3
    assert z[i, j] == pytest.approx(float(speedup(x[j], gamma, y[i], v)), abs=1e-3)


def test_pairs_are_presets_and_failures_are_named():
    explorer = lab.explore("speedup", OWN)
    assert list(explorer.presets) == ["quick", "does not pay: slow"]
    assert "slower than plain" in explorer.picture(**explorer.presets["does not pay: slow"]).finding
    table = explorer.table()
    assert table.loc["quick", "formula (×)"] == pytest.approx(float(speedup(0.8, 4, 0.1)))
    assert table.loc["quick", "best gamma"] == best_gamma(0.8, 0.1, most=16)


def test_a_measurement_stands_beside_the_formula():
    pair = Pair(gamma=4, alpha=0.71, c=0.1, v=1.1, speedup=1.6, low=1.4, high=1.9)
    explorer = lab.explore("speedup", pair)
    measured = explorer.picture().traces[-1]
    assert (measured["x"], measured["y"]) == ([4], [1.6])
    assert measured["error_y"]["array"] == [pytest.approx(0.3)]
    assert explorer.picture(gamma=5).traces[-1]["x"] == []  # measured at 4 only
    assert "measured 1.60 ×" in explorer.picture().text


def test_the_recorded_pairs_have_a_gain_and_two_losses():
    found = recorded()
    titles = list(lab.explore("speedup").presets)
    lost = [title for title in titles if title.startswith("does not pay")]
    assert any("early exit" in title for title in lost)
    assert any("chat, prompt lookup" in title for title in lost)
    assert max(pair.speedup for pair in found.values()) > 1.2
    for pair in found.values():
        assert pair.low <= pair.speedup <= pair.high and 0 <= pair.alpha <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": 1.2, "c": 0.1}, {"alpha": 0.5}, {"alpha": 0.5, "c": -1}, {"alpha": 0.5, "c": 0.1,
     "gamma": 0}, {"alpha": 0.5, "c": 0.1, "beta": 2}, {"alpha": float("nan"), "c": 0.1}],
)  # fmt: skip
def test_what_is_no_pair_is_refused(wrong):
    with pytest.raises(ValueError, match="no pair"):
        pair_of(wrong)


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        lab.explore("speedup", {})


def test_a_pair_is_measured(tmp_path):
    target = lab.load(save_tiny_llama(tmp_path, None), device="cpu")
    prompts = ("the small model", "the big model answers")
    pair = measure_pair(target, prompts, target, 3, max_new_tokens=24, temperature=1.0, seed=0)
    assert pair.alpha == 1.0 and pair.gamma == 3  # its own draft: all stays
    assert pair.low <= pair.speedup <= pair.high
    assert pair.c > 0 and pair.v > 0 and pair.formula == pytest.approx(4 / (3 * pair.c + pair.v))
    lab.explore("speedup", pair)
