"""Metrics of routers: against exact fractions, enumeration, simulation and their sources."""

from fractions import Fraction
from itertools import chain, pairwise, permutations, product
from math import inf

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab import metrics
from tests.support.strategies import outcomes

LEVELS = (0.0, 0.25, 0.5, 1.0)
# RouteLLM's two tables: weak, strong, oracle's APGR, CPT(50%), CPT(80%), largest PGR, peak.
RECORDED = {
    "routellm-mmlu": (0.68081, 0.80580, 1.28512, 0.06249, 0.09999, 1.4228, 0.85864),
    "routellm-gsm8k": (842 / 1319, 1130 / 1319, 1.12491, 0.10917, 0.17468, 1.3299, 0.92873),
}


STEPS = st.sampled_from([-inf, -1, 0, 0.5, 2, inf])


@st.composite
def pairs(draw, most=6, scores=STEPS, distinct=False):
    """Scores and correctness of two models, of which the strong one is better."""
    n = draw(st.integers(1, most))
    score = draw(st.lists(scores, min_size=n, max_size=n, unique=distinct))
    weak, strong = (
        draw(st.lists(st.sampled_from(LEVELS), min_size=n, max_size=n)) for _ in range(2)
    )
    assume(sum(strong) > sum(weak))
    return score, weak, strong


def fractions(values):
    return [Fraction(value) for value in values]


def exact_curve(order, weak, strong):
    """PGR after 0, 1, … n items of one order, in fractions."""
    gain = [s - w for w, s in zip(fractions(weak), fractions(strong))]
    steps = [Fraction(0)]
    for i in order:
        steps.append(steps[-1] + gain[i])
    return [step / sum(gain) for step in steps]


def exact_area(steps):
    n = len(steps) - 1
    return sum((a + b) / 2 for a, b in pairwise(steps)) / n


def orders(score):
    """Every order by falling score: equal ones in all their orders."""
    groups = [[i for i, s in enumerate(score) if s == value] for value in sorted({*score})[::-1]]
    return [[*chain(*way)] for way in product(*(permutations(g) for g in groups))]


def recorded(name):
    table = lab.load_outcomes(name)
    return table, *table.correct.T


# -- between two models -------------------------------------------------------------------------


@given(pairs())
def test_apgr_is_the_mean_area_over_all_orders_of_equal_scores(pair):
    areas = [exact_area(exact_curve(order, *pair[1:])) for order in orders(pair[0])]
    assert metrics.apgr(*pair) == pytest.approx(float(sum(areas) / len(areas)), abs=1e-12)


@given(pairs())
def test_a_curve_is_the_mean_of_all_orders_of_equal_scores(pair):
    score, weak, strong = pair
    n = len(score)
    share, accuracy = metrics.curve(*pair)
    steps = [exact_curve(order, weak, strong) for order in orders(score)]
    mean = [float(sum(step) / len(step)) for step in zip(*steps)]
    gap = np.mean(strong) - np.mean(weak)
    at = np.interp(np.arange(n + 1) / n, share, accuracy)
    np.testing.assert_allclose(at, np.mean(weak) + gap * np.array(mean), atol=1e-12)
    assert len(share) == len({*score}) + 1
    assert share[0] == 0 and share[-1] == 1 and (np.diff(share) > 0).all()


@given(pairs(scores=st.integers(-50, 50)))
def test_only_the_order_of_scores_counts(pair):
    score, weak, strong = pair
    found = metrics.apgr(*pair)
    for moved in ([s**3 - 7 for s in score], [s / 64 for s in score], [2.0**s for s in score]):
        assert metrics.apgr(moved, weak, strong) == found
    assert metrics.apgr([-s for s in score], weak, strong) == pytest.approx(1 - found, abs=1e-12)


@given(pairs(), st.randoms())
def test_the_order_of_items_does_not_count(pair, random):
    rows = list(zip(*pair))
    random.shuffle(rows)
    assert metrics.apgr(*zip(*rows)) == pytest.approx(metrics.apgr(*pair), abs=1e-12)


@given(pairs())
def test_no_order_is_better_than_the_oracles(pair):
    score, weak, strong = pair
    best = [s - w for w, s in zip(weak, strong)]
    assert metrics.apgr(score, weak, strong) <= metrics.apgr(best, weak, strong) + 1e-12
    _, accuracy = metrics.curve(best, weak, strong)
    assert accuracy.max() == pytest.approx(np.maximum(weak, strong).mean())


@given(pairs(most=5))
def test_a_random_order_has_the_stated_mean_and_spread(pair):
    _, weak, strong = pair
    areas = [exact_area(exact_curve(o, weak, strong)) for o in permutations(range(len(weak)))]
    mean = sum(areas) / len(areas)
    variance = sum((area - mean) ** 2 for area in areas) / len(areas)
    assert mean == Fraction(1, 2)
    assert metrics.noise_floor(weak, strong) ** 2 == pytest.approx(float(variance), rel=1e-9)
    gain = np.subtract(strong, weak)
    near = gain.var() / (12 * len(gain) * gain.mean() ** 2)
    assert float(variance) == pytest.approx(near * (1 + 1 / len(gain)), rel=1e-9)


@given(pairs(most=5))
def test_the_band_has_the_spread_of_a_random_order_at_every_cut(pair):
    _, weak, strong = pair
    n = len(weak)
    every = [exact_curve(o, weak, strong) for o in permutations(range(n))]
    accuracy = np.mean(weak) + (np.mean(strong) - np.mean(weak)) * np.array(every, float)
    share = np.arange(n + 1) / n
    low, high = metrics.noise_band(weak, strong, share, level=0.6827)
    np.testing.assert_allclose((low + high) / 2, accuracy.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose((high - low) / 2, accuracy.std(axis=0), atol=1e-4)
    one = metrics.noise_band(weak, strong, share[-1])
    np.testing.assert_allclose(one, np.mean(strong), atol=1e-12)


def test_a_band_holds_as_many_random_orders_as_it_says():
    rng = np.random.default_rng(0)
    _, weak, strong = recorded("routellm-gsm8k")
    share = np.array([0.1, 0.5, 0.9])
    low, high = metrics.noise_band(weak, strong, share)
    cuts = (share * len(weak)).astype(int)
    gain = strong - weak
    found = [weak.mean() + np.cumsum(rng.permutation(gain))[cuts] / len(gain) for _ in range(2000)]
    held = ((low <= found) & (found <= high)).mean(axis=0)
    assert (0.93 < held).all() and (held < 0.97).all()


@given(pairs(), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
def test_cpt_is_where_the_running_maximum_first_recovers_the_share(pair, share):
    found = metrics.cpt(*pair, share)
    x, accuracy = metrics.curve(*pair)
    recovered = (accuracy - accuracy[0]) / (accuracy[-1] - accuracy[0])
    assert np.interp(found, x, recovered) == pytest.approx(share, abs=1e-9)
    before = np.union1d(x[x < found], np.linspace(0, found, 50, endpoint=False))
    before = before[before < found - 1e-9]
    assert (np.interp(before, x, recovered) < share).all()


def test_by_hand():
    # The strong model gains on items 0 and 2 and loses on 3, in this order of scores: 3, 0, 1, 2.
    weak, strong, score = [0, 1, 0, 1], [1, 1, 1, 0], [3, 2, 1, 4]
    share, accuracy = metrics.curve(score, weak, strong)
    assert share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert accuracy.tolist() == [0.5, 0.25, 0.5, 0.5, 0.75]
    # PGR 0, -1, 0, 0, 1: area (-1/2 - 1/2 + 0 + 1/2) / 4
    assert metrics.apgr(score, weak, strong) == -0.125
    assert metrics.cpt(score, weak, strong, 0.5) == 0.875
    assert metrics.cpt([3, 1, 3, 2], weak, strong, 1) == 0.25  # recovers 2 at the second cut
    assert metrics.apgr([7] * 4, weak, strong) == 0.5
    assert metrics.apgr([7], [0], [1]) == metrics.cpt([7], [0], [1], 0.5) == 0.5
    assert metrics.pgr([0.5, 0.75, 1.0, 0.25], 0.5, 0.75).tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize("name", RECORDED)
def test_the_oracle_of_recorded_tables(name):
    _, weak, strong = recorded(name)
    low, high, area, half, most, largest, peak = RECORDED[name]
    oracle = strong - weak
    assert weak.mean() == pytest.approx(low, abs=5e-6)
    assert strong.mean() == pytest.approx(high, abs=5e-6)
    assert metrics.apgr(oracle, weak, strong) == pytest.approx(area, abs=5e-6)
    a, b = (oracle > 0).mean(), (oracle < 0).mean()
    assert metrics.apgr(oracle, weak, strong) == pytest.approx(
        (a - a**2 / 2 - b**2 / 2) / (a - b), abs=1e-12
    )
    assert metrics.cpt(oracle, weak, strong, 0.5) == pytest.approx(half, abs=5e-6)
    assert metrics.cpt(oracle, weak, strong, 0.8) == pytest.approx(most, abs=5e-6)
    _, accuracy = metrics.curve(oracle, weak, strong)
    assert accuracy.max() == pytest.approx(peak, abs=5e-6)
    found = metrics.pgr(accuracy.max(), weak.mean(), strong.mean())
    assert found == pytest.approx(largest, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "longest", "shortest", "floor"),
    [("routellm-gsm8k", 0.601, 0.399, 0.020), ("routellm-mmlu", 0.586, 0.414, 0.009)],
)
def test_the_longest_prompt_first_and_the_noise_floor(name, longest, shortest, floor):
    table, weak, strong = recorded(name)
    length = table.features["prompt_chars"]
    assert metrics.apgr(length, weak, strong) == pytest.approx(longest, abs=5e-4)
    assert metrics.apgr(-length, weak, strong) == pytest.approx(shortest, abs=5e-4)
    assert metrics.noise_floor(weak, strong) == pytest.approx(floor, abs=5e-4)


@pytest.mark.parametrize(("name", "floor"), [("routellm-mmlu", 0.013), ("routellm-gsm8k", 0.029)])
def test_the_noise_floor_of_a_judged_half(name, floor):
    _, half = lab.load_outcomes(name).split(0.5, seed=0)
    assert metrics.noise_floor(*half.correct.T) == pytest.approx(floor, abs=2e-3)


# -- RouteLLM's ten quantiles -------------------------------------------------------------------


def by_quantiles(score, weak, strong, bins):
    """RouteLLM's procedure in pandas: `qcut` gives thresholds, each of them one point, in per cent.

    The last threshold sends only higher scores to the strong model.
    """
    thresholds = pd.qcut(pd.Series(score), bins, retbins=True)[1]
    points = []
    for threshold in thresholds:
        called = score > threshold if threshold == thresholds[-1] else score >= threshold
        points.append((100 * called.mean(), 100 * np.where(called, strong, weak).mean()))
    points = pd.DataFrame(points, columns=["calls", "accuracy"]).sort_values("calls")
    low, high = 100 * np.mean(weak), 100 * np.mean(strong)
    x = points["calls"] / 100
    spent = ((points["accuracy"] + points["accuracy"].shift()) / 2 * x.diff()).sum()
    width = x.iloc[-1] - x.iloc[0]
    return (spent - low * width) / ((high - low) * width)


@given(
    pairs(most=40, scores=st.floats(-1, 1, width=32) | st.integers(-99, 99), distinct=True),
    st.integers(1, 12),
)
def test_ten_quantiles_are_those_of_pandas(pair, bins):
    score, weak, strong = map(np.array, pair)
    try:
        theirs = by_quantiles(score, weak, strong, bins)
    except ValueError:  # two of its thresholds are equal
        assume(False)
    assume(not np.isnan(theirs))  # all of its thresholds are passed by the same items
    assert metrics.apgr(score, weak, strong, quantiles=bins) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("name", "oracle"), [("routellm-mmlu", 1.268), ("routellm-gsm8k", 1.118)])
def test_ten_quantiles_of_recorded_tables(name, oracle):
    table, weak, strong = recorded(name)
    # Equal scores are ordered at random, as qcut refuses equal thresholds.
    score = strong - weak + 0.5 * np.random.default_rng(0).random(len(weak))
    found = metrics.apgr(score, weak, strong, quantiles=10)
    assert found == pytest.approx(oracle, abs=5e-4)
    assert found == pytest.approx(by_quantiles(score, weak, strong, 10), abs=1e-12)
    length = table.features["prompt_chars"].astype(float)
    coarse = metrics.apgr(length, weak, strong, quantiles=10)
    assert coarse == pytest.approx(by_quantiles(length, weak, strong, 10), abs=1e-12)
    assert coarse == pytest.approx(metrics.apgr(length, weak, strong), abs=3e-3)
    assert metrics.apgr(np.zeros(len(weak)), weak, strong, quantiles=10) == 0.5


# -- two routers on the same items --------------------------------------------------------------


def population(seed, n=20_000, ties=False):
    """Two correlated routers on many items, in which the strong model has the lead."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=n)
    weak = (rng.normal(size=n) > hard - 0.4).astype(float)
    strong = (rng.normal(size=n) > hard - 1.2).astype(float)
    first, second = hard + rng.normal(size=n), 0.5 * hard + rng.normal(size=n)
    if ties:
        first, second = np.round(first), np.round(second)
    return first, second, weak, strong


@pytest.mark.parametrize("ties", [False, True])
def test_a_difference_is_that_of_two_apgrs_and_near_its_bootstrap(ties):
    first, second, weak, strong = population(1, 1000, ties)
    found = metrics.apgr_difference(first, second, weak, strong)
    apart = metrics.apgr(first, weak, strong) - metrics.apgr(second, weak, strong)
    assert found.difference == pytest.approx(apart, abs=1e-12)
    assert found.low < found.difference < found.high
    resampled = metrics.apgr_difference(first, second, weak, strong, seed=0)
    assert resampled == metrics.apgr_difference(first, second, weak, strong, seed=0)
    assert resampled.low <= found.low and found.high <= resampled.high
    assert resampled.high - resampled.low < 1.15 * (found.high - found.low)
    back = metrics.apgr_difference(second, first, weak, strong)
    np.testing.assert_allclose(back, (-apart, -found.high, -found.low), atol=1e-12)


def test_a_bootstrap_resamples_items():
    from ensemble_lab.instruments.metrics.chance import _bootstrap

    first, second, weak, strong = population(2, 60, ties=True)
    found = _bootstrap(first, second, strong - weak, seed=3)
    rng = np.random.default_rng(3)
    for one in found[:20]:
        rows = rng.integers(60, size=60)
        w, s = weak[rows], strong[rows]
        if s.sum() > w.sum():
            true = metrics.apgr(first[rows], w, s) - metrics.apgr(second[rows], w, s)
            assert one == pytest.approx(true, abs=1e-12)
        else:
            assert np.isnan(one)


def test_against_chance_and_against_itself():
    first, _, weak, strong = population(3, 2000)
    chance = metrics.apgr_difference(first, np.zeros(2000), weak, strong)
    assert chance.difference == pytest.approx(metrics.apgr(first, weak, strong) - 0.5)
    assert chance.low > 0
    assert metrics.apgr_difference(first, 3 * first, weak, strong) == (0, 0, 0)


def test_no_interval_where_few_items_differ_or_the_lead_is_not_certain():
    rng = np.random.default_rng(0)
    weak, strong = np.zeros(100), np.zeros(100)
    strong[:9] = 1
    found = metrics.apgr_difference(rng.random(100), rng.random(100), weak, strong, seed=0)
    assert np.isnan(found.low) and np.isnan(found.high)
    weak, strong = np.tile([0.0, 1.0], 50), np.tile([1.0, 0.0], 50)
    strong[1] = 1.0
    found = metrics.apgr_difference(rng.random(100), rng.random(100), weak, strong, seed=0)
    assert np.isnan(found.low) and np.isnan(found.high)


@pytest.mark.nightly
@pytest.mark.parametrize("n", [100, 300, 1000])
@pytest.mark.parametrize("ties", [False, True])
def test_an_interval_of_a_difference_holds_as_often_as_it_says(n, ties):
    first, second, weak, strong = population(4, ties=ties)
    true = metrics.apgr_difference(first, second, weak, strong).difference
    rng = np.random.default_rng(n)
    held = []
    for _ in range(2000):
        rows = rng.integers(len(weak), size=n)
        if strong[rows].sum() <= weak[rows].sum():
            continue
        columns = (values[rows] for values in (first, second, weak, strong))
        _, low, high = metrics.apgr_difference(*columns)
        if low == low:
            held.append(low <= true <= high)
    assert len(held) > 1000 and np.mean(held) >= 0.93


# -- among many models --------------------------------------------------------------------------


def cubic(cost, quality):
    """At every cost the best quality of two settings and of a cheaper one, over all of them."""
    cost, quality = np.array(cost, float), np.array(quality, float)
    grid = np.unique(cost)
    best = np.full(len(grid), -np.inf)
    for x0, y0 in zip(cost, quality):
        for x1, y1 in zip(cost, quality):
            for k, x in enumerate(grid):
                if x0 <= x <= x1:
                    at = max(y0, y1) if x0 == x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
                    best[k] = max(best[k], at)
    return grid, np.maximum.accumulate(best)


settings_of_routers = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9) | st.floats(0, 9)), min_size=1, max_size=9
)


@given(settings_of_routers)
def test_aiq_is_the_area_that_a_search_over_all_pairs_finds(points):
    cost, quality = zip(*points)
    grid, best = cubic(cost, quality)
    true = best[0] if len(grid) == 1 else np.trapezoid(best, grid) / (grid[-1] - grid[0])
    assert metrics.aiq(cost, quality) == pytest.approx(true, abs=1e-9)
    x, y = metrics.hull(cost, quality)
    np.testing.assert_allclose(np.interp(grid, x, y), best, atol=1e-9)
    assert x[0] == grid[0] and x[-1] == grid[-1] and (np.diff(y) >= 0).all()
    assert (np.diff(x) > 0).all()


def test_aiq_on_random_points():
    rng = np.random.default_rng(0)
    cost, quality = rng.random((2, 40))
    grid, best = cubic(cost, quality)
    true = np.trapezoid(best, grid) / (grid[-1] - grid[0])
    assert metrics.aiq(cost, quality) == pytest.approx(true, abs=1e-9)


def test_aiq_by_hand():
    assert metrics.aiq([2], [0.7]) == 0.7
    assert metrics.aiq([2, 2, 2], [0.1, 0.7, 0.3]) == 0.7
    assert metrics.aiq([1, 2, 3], [0.9, 0.8, 0.7]) == pytest.approx(0.9)
    assert metrics.aiq([0, 1, 2], [0, 0.2, 1]) == 0.5  # the middle is below the line
    assert metrics.aiq([0, 1, 2], [0, 1, 0]) == 0.75  # flat behind the peak
    assert metrics.aiq([1, 3], [0.4, 0.8], between=(2, 5)) == pytest.approx((0.7 + 0.8 * 2) / 3)
    assert metrics.aiq([1, 3], [0.4, 0.8], between=(2, 2)) == pytest.approx(0.6)
    assert metrics.aiq([1, 3], [0.4, 0.8], between=(7, 9)) == pytest.approx(0.8)


def test_aiq_of_a_frontier():
    table = lab.load_outcomes("audiomnist-services")
    settings = lab.frontier(
        lab.Cascade(("DeepSpeech", "Microsoft"), (0.5,)), table, thresholds=np.linspace(0, 1, 21)
    )
    found = metrics.aiq(settings["cost"], settings["accuracy"])
    assert settings["accuracy"].min() < found < settings["accuracy"].max()


@pytest.mark.parametrize(
    ("accuracy", "usd", "score"),
    [
        (0.7597, 0.11, 0.7538),
        (0.7059, 0.10, 0.7061),
        (0.7969, 0.27, 0.7762),
        (0.7814, 0.27, 0.7628),
        (0.5, 200, 0.0),
        (0.0, 200, 0.0),
    ],
)
def test_the_score_of_the_router_arena(accuracy, usd, score):
    assert float(metrics.arena_score(accuracy, usd)) == pytest.approx(score, abs=6e-5)


def test_a_router_at_the_least_price_has_a_harmonic_mean_with_one():
    assert metrics.arena_score([0.5, 1.0], 0.0044) == pytest.approx([1.1 * 0.5 / 1.05, 1.0])


def test_the_gain_of_an_oracle_by_hand():
    right = [[1, 0], [0, 1], [1, 1], [1, 0]]
    table = lab.Outcomes(models=["a", "b"], items=range(4), correct=right)
    decide = lab.Cascade(("a",)).decide(table)
    found = metrics.oracle_gain(decide, table, options=4)
    assert found == (0.0, 0.75, 0.75, 1.0, 1 - 0.75**2)
    worse = metrics.oracle_gain(lab.Cascade(("b",)).decide(table), table)
    assert worse.share == -1.0 and np.isnan(worse.chance_oracle)
    equal = lab.Outcomes(models=["a"], items=range(2), correct=[[1], [0]])
    assert np.isnan(metrics.oracle_gain(lab.Cascade(("a",)).decide(equal), equal).share)


@given(outcomes(labels=3, complete=True))
def test_the_gain_of_an_oracle_is_what_a_table_says(table):
    decision = lab.MajorityVote().decide(table)
    found = metrics.oracle_gain(decision, table)
    assert found.accuracy == decision.accuracy
    assert found.best_single == table.best_single().accuracy
    assert found.oracle == table.oracle() and found.chance_oracle == table.chance_oracle()
    if found.oracle > found.best_single:
        share = (found.accuracy - found.best_single) / (found.oracle - found.best_single)
        assert found.share == pytest.approx(share)


def test_items_without_a_grade_are_left_out_of_the_gain():
    right = [[1, 0], [0, 1], [np.nan, 1], [1, 1]]
    table = lab.Outcomes(
        models=["a", "b"], items=range(4), correct=right, answer=[[0, 1]] * 4, labels="xy"
    )
    found = metrics.oracle_gain(lab.Cascade(("a",)).decide(table), table)
    assert found == metrics.oracle_gain(lab.Cascade(("a",)).decide(table), table, options=[2] * 4)
    assert found.accuracy == found.best_single == pytest.approx(2 / 3)
    assert found.oracle == 1.0 and found.chance_oracle == 0.75


# -- what is refused ----------------------------------------------------------------------------

GOOD = {"scores": [3.0, 1.0, 2.0], "weak": [0, 1, 0], "strong": [1, 1, 0]}


@pytest.mark.parametrize(
    ("name", "bad", "told"),
    [
        ("scores", [1, np.nan, 3], "scores is NaN at position 1"),
        ("scores", [1, None, 3], "scores is NaN at position 1"),
        ("scores", [1, 2], "scores has 2 items and weak has 3"),
        ("scores", np.ones((3, 2)), "scores has 2 dimensions; give one score an item"),
        ("scores", [[1, 2], [3, 4], [5, 6]], "scores has 2 dimensions"),
        ("scores", ["1", "2", "3"], "scores holds"),
        ("scores", "123", "scores is one string"),
        ("scores", 0.5, "scores is 0.5"),
        ("weak", [0, 1, 2], r"weak has 2.0; give numbers in \[0, 1\]"),
        ("weak", [0, np.nan, 1], "weak is NaN at position 1"),
        ("strong", [1, -0.1, 1], "strong has -0.1"),
        ("strong", [0, 1, 0], "strong has accuracy 0.3333 and weak 0.3333"),
        ("strong", [0, 0, 0], "strong has accuracy 0.0000 and weak 0.3333"),
    ],
)
def test_what_is_wrong_is_named(name, bad, told):
    with pytest.raises(ValueError, match=told):
        metrics.apgr(**GOOD | {name: bad})


def test_other_things_are_refused():
    table = lab.load_outcomes("gsm8k-openai-2021")
    decision = lab.Cascade(table.models[:1]).decide(table)
    with pytest.raises(ValueError, match=r"scores is of type Decision; give one score an item"):
        metrics.apgr(decision, *table.correct.T[:2])
    with pytest.raises(
        ValueError, match=r"weak is of type Outcomes; give .* outcomes.correct\[:, 0\]"
    ):
        metrics.curve(table.correct[:, 0], table, table.correct[:, 1])
    with pytest.raises(ValueError, match="no items"):
        metrics.curve([], [], [])
    column, good = pd.Series(GOOD["scores"]), metrics.apgr(**GOOD)
    for first, second in (([0, 1, 2], [2, 1, 0]), ([7, 8, 9], [8, 9, 7]), ("abc", "abd")):
        weak = pd.Series(GOOD["weak"], index=list(second))
        with pytest.raises(
            ValueError, match="scores and weak have different indexes; put both in the same order"
        ):
            metrics.apgr(column.set_axis(list(first)), weak, GOOD["strong"])
    for first, second in (([0, 1, 2], "abc"), ("abc", "abc"), ([7, 8, 9], [0, 1, 2])):
        weak = pd.Series(GOOD["weak"], index=list(second))
        assert metrics.apgr(column.set_axis(list(first)), weak, GOOD["strong"]) == good
    with pytest.raises(ValueError, match="infinite numbers: they have no quantiles"):
        metrics.apgr([1, 2, inf], [0, 0, 0], [1, 1, 1], quantiles=2)
    with pytest.raises(ValueError, match=r"between=\(0, 3\) starts below the lowest cost, 1"):
        metrics.aiq([1, 2], [0.5, 0.6], between=(0, 3))
    with pytest.raises(ValueError, match="quality has an infinite number"):
        metrics.aiq([1, 2], [0.5, inf])
    with pytest.raises(ValueError, match="usd_per_1000 has 0.0; give USD for a thousand items"):
        metrics.arena_score(0.5, 0)
    with pytest.raises(ValueError, match="give the outcomes that were decided"):
        metrics.oracle_gain(decision, table.take([0, 1]))
