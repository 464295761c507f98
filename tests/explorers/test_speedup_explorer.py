"""The speedup map: its numbers are the formula's, and measured pairs stand where they belong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers.tokens.speedup import ALPHAS, COSTS, GAMMAS, TARGET_COSTS, recorded
from ensemble_lab.tokens.lengths import best_gamma, speedup
from ensemble_lab.tokens.pairs import Pair
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

OWN = {"quick": {"alpha": 0.8, "c": 0.1}, "slow": {"alpha": 0.1, "c": 0.4, "gamma": 3}}


def point(draw_from):
    return st.sampled_from([float(value) for value in draw_from])


@given(point(ALPHAS), point(COSTS), st.sampled_from(list(GAMMAS)), point(TARGET_COSTS))
def test_the_numbers_are_the_formulas(alpha, c, gamma, v):
    picture = lab.explore("speedup", OWN).picture(alpha=alpha, c=c, gamma=gamma, v=v)
    worth = sum(alpha**i for i in range(gamma + 1)) / (gamma * c + v)
    assert f"{worth:.2f} ×" in picture.finding
    assert ("does not pay" in picture.finding) == (worth <= 1 + 1e-12)
    drawn = named(picture)
    brute = [1.0] + [sum(alpha**i for i in range(k + 1)) / (k * c + v) for k in GAMMAS]
    assert np.allclose(drawn["formula"]["y"], brute, atol=1e-4)
    assert drawn["best gamma"]["y"][0] == pytest.approx(max(brute), rel=1e-5)
    assert drawn["by the formula"]["y"][0] == pytest.approx(worth, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("gamma", "v"), [(1, 1.0), (4, 1.2), (16, 1.5)])
def test_the_contours_are_where_the_map_has_their_values(gamma, v):
    picture = lab.explore("speedup", OWN).picture(gamma=gamma, v=v)
    drawn = named(picture)
    even, others = drawn["as fast as plain (1 ×)"], drawn["other speedups"]
    assert even["line"]["width"] > 2 * others["line"]["width"]
    for line, levels in ((even, [1.0]), (others, [0.5, 1.5, 2.0, 3.0])):
        known = [(a, c) for a, c in zip(line["x"], line["y"]) if a is not None]
        found = {round(float(speedup(alpha, gamma, c, v)), 3) for alpha, c in known}
        assert found <= set(levels) and known
        said = {note["text"] for note in picture.layout["annotations"]}
        assert {f"{level:g} ×" for level in found} <= said
    z, x, y, worth = (np.array(drawn["speedup"][key]) for key in ("z", "x", "y", "customdata"))
    i, j = len(y) // 3, 2 * len(x) // 3
    assert worth[i, j] == pytest.approx(float(speedup(x[j], gamma, y[i], v)), abs=1e-3)
    assert z.shape == (len(y), len(x)) and np.allclose(z, np.log2(worth), atol=0.02)


def test_pairs_are_presets_and_failures_are_named():
    explorer = lab.explore("speedup", OWN)
    assert list(explorer.presets) == ["quick", "slow"]
    assert [isinstance(state, Failing) for state in explorer.presets.values()] == [False, True]
    assert "slower than plain" in explorer.picture(**explorer.preset("slow")).finding
    table = explorer.table()
    assert table.loc["quick", "formula (×)"] == pytest.approx(float(speedup(0.8, 4, 0.1)))
    assert table.loc["quick", "best gamma"] == best_gamma(0.8, 0.1, most=16)


def test_a_measurement_stands_beside_the_formula():
    pair = Pair(gamma=4, alpha=0.71, c=0.1, v=1.1, speedup=1.6, low=1.4, high=1.9)
    explorer = lab.explore("speedup", pair)
    measured = named(explorer.picture())["this pair, measured"]
    assert (measured["x"], measured["y"]) == ([4], [1.6])
    assert measured["error_y"]["array"] == [pytest.approx(0.3)]
    there = named(explorer.picture(gamma=5))["this pair, measured"]
    assert there["x"] == []  # measured at 4 only
    assert "measured 1.60 ×" in explorer.picture().text


def test_the_recorded_pairs_have_a_gain_and_two_losses():
    explorer, found = lab.explore("speedup"), recorded()
    lost = [title for title, state in explorer.presets.items() if isinstance(state, Failing)]
    assert lost == ["chat: lookup", "chat: early exit"]
    assert max(pair.speedup for pair in found.values()) > 1.2
    for pair in found.values():
        assert pair.low <= pair.speedup <= pair.high and 0 <= pair.alpha <= 1
    names = [note for note in explorer.picture().layout["annotations"] if note["showarrow"]]
    assert len(names) == len(found)  # each on the map
