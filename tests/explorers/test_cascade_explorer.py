"""The cascade explorer: its numbers are the policies', its traces the same in every state."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

import ensemble_lab as lab
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.answers.cascades.cascade_replay import (
    CHOOSE,
    LEVELS,
    TRY,
    Replay,
    ranking,
)
from ensemble_lab.widgets.explorer import Failing
from tests.explorers.test_explorers_own_outcomes import parts
from tests.support.any_state import named
from tests.support.strategies import outcomes


def table(n=400, **over):
    """Models that grow more accurate and more expensive, and know when they are wrong."""
    return lab.Outcomes(**parts(n, **over))


def here(picture):
    """Price and accuracy of the current point, as drawn, and its share passed on."""
    marks = named(picture)
    (paid, right), share = (marks["here, by price"][a][0] for a in "xy"), marks["cut"]["x"][0]
    assert (marks["you are here"]["x"], marks["you are here"]["y"]) == ([share], [right])
    return paid, right, share


def matches(picture, decision, big):
    """The point is the decision's, in price, accuracy and who was asked."""
    told = 1e4 * decision.mean_cost, decision.accuracy, decision.called[:, big].mean()
    assert here(picture) == pytest.approx(told, rel=1e-5, abs=1e-6)


# -- the numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.37, 0.5, 1.0, 1.01])
def test_a_point_is_what_the_policy_gives_on_the_other_half(level):
    _, shown = (data := table()).split()
    picture = explore("cascade", data, small="model 0", big="model 2", threshold=level).picture()
    decision = lab.Cascade(("model 0", "model 2"), (level,)).decide(shown)
    matches(picture, decision, 2)
    error, (low, high) = named(picture)["you are here"]["error_y"], decision.interval()
    assert error["array"][0] == pytest.approx(high - decision.accuracy, abs=1e-6)
    assert error["arrayminus"][0] == pytest.approx(decision.accuracy - low, abs=1e-6)


def test_three_stages_and_who_answered():
    _, shown = (data := table()).split()
    chain = {"small": "model 0", "middle": "model 1", "big": "model 2", "threshold": 0.6}
    picture = explore("cascade", data).picture(**chain, threshold_2=0.5)
    decision = lab.Cascade(data.models, (0.6, 0.5)).decide(shown)
    matches(picture, decision, 1)
    row = picture.table().query("here").iloc[0]
    for j, name in enumerate(data.models):
        assert row[f"{name} answers"] == pytest.approx((decision.chosen == j).mean())
        assert f"{name} answers {(decision.chosen == j).mean():.0%}" in picture.text
    line = named(picture)["least sure first"]  # for other first thresholds, the second as it is
    for level in (0.3, 0.8):
        other = lab.Cascade(data.models, (level, 0.5)).decide(shown)
        at = np.interp(other.called[:, 1].mean(), line["x"], line["y"])
        assert at == pytest.approx(other.accuracy, abs=1e-5)


def test_choosing_first_is_the_fitted_selector():
    fit, shown = (data := table()).split()
    start = {"small": "model 0", "big": "model 2", "mode": CHOOSE, "threshold": 0.6}
    picture = explore("cascade", data, **start).picture()
    selector = lab.LearnedSelector("model 0", "model 2", threshold=0.6).fit(fit)
    matches(picture, selector.decide(shown), 2)
    assert "sent straight to" in picture.finding


def test_thresholds_by_label_are_fitted_on_the_other_half_for_no_more_money():
    data = lab.load_outcomes("rafdb-services")
    pair = {"small": "CNN", "big": "Microsoft", "threshold": 0.98}
    explorer = explore("cascade", data, **pair)
    plain, by_label = explorer.picture(), explorer.picture(per_label=True)
    assert here(by_label)[1] > here(plain)[1]
    assert here(by_label)[0] < 1.05 * here(plain)[0]  # the budget was kept on the fitting half
    # The labels of the shown half may be scrambled: what was fitted does not move.
    seen = np.isin(data.items, data.split()[1].items)
    wrong = np.where(seen[:, None], 1 - data.correct, data.correct)
    moved = explore("cascade", replace(data, correct=wrong, truth=None), **pair)
    assert here(moved.picture(per_label=True))[::2] == here(by_label)[::2]


@pytest.mark.parametrize("level", [0.0, 0.5, 0.99, 1.0, 1.01])
@pytest.mark.parametrize("per_label", [False, True])
def test_the_bars_break_at_the_cut_and_hide_no_item(level, per_label):
    """What is drawn before the cut is what is passed on, right and wrong apart."""
    data = lab.load_outcomes("rafdb-services")
    _, shown = data.split()
    chain = {"small": "CNN", "big": "Microsoft", "threshold": level, "per_label": per_label}
    picture = explore("cascade", data).picture(**chain)
    column = shown.models.index("CNN")
    own, sure, share = shown.correct[:, column], shown.confidence[:, column], here(picture)[2]
    for name in ("right", "wrong"):
        middle, up, width = (np.array(named(picture)[name][key]) for key in ("x", "y", "width"))
        area, mine = np.abs(up) * width, own == (name == "right")
        before = middle + width / 2 <= share + 1e-5
        assert (before | (middle - width / 2 >= share - 1e-5)).all()
        assert area.sum() == pytest.approx(mine.mean(), abs=1e-4)
        if not per_label:
            assert area[~before].sum() == pytest.approx((mine & (sure >= level)).mean(), abs=1e-4)
    (ground,) = picture.layout["shapes"]
    assert (ground["x0"], ground["x1"]) == (0, pytest.approx(share, abs=1e-6))
    assert picture.layout["xaxis"]["range"] == picture.layout["xaxis3"]["range"]
    assert picture.layout["xaxis"]["domain"] == picture.layout["xaxis3"]["domain"]


@settings(max_examples=25)
@given(outcomes(min_models=2, max_models=2))
def test_the_line_goes_through_every_setting(found):
    """The items in a row and the sums over all levels are two ways to the same numbers."""
    replay, order = Replay(found), found.models
    line, sweep = replay.queue(order, TRY, (0,), False), replay.sweep(order, TRY)
    for at, level in enumerate(LEVELS):
        cut = np.searchsorted(line.score, level)
        assert cut in line.cuts and cut / len(line.own) == pytest.approx(sweep.passed[at])
        right = np.r_[line.passed[:cut], line.kept[cut:]]
        right = right[~np.isnan(right)].mean() if (~np.isnan(right)).any() else np.nan
        assert right == pytest.approx(sweep.accuracy[at], nan_ok=True)
        paid = np.r_[line.paid[:cut], line.spent[cut:]].mean()
        assert paid == pytest.approx(sweep.price[at], nan_ok=True)


def test_bounds_are_those_of_the_outcomes():
    _, shown = (data := table()).split()
    picture = explore("cascade", data, small="model 0", big="model 2").picture()
    pair, marks = shown.select(models=["model 0", "model 2"]), named(picture)
    assert marks["oracle"]["y"] == [pytest.approx(pair.oracle())]
    assert f"oracle over guessers {pair.chance_oracle(3):.1%}" in picture.text
    assert marks["at random"]["y"] == pytest.approx(pair.accuracy().tolist())
    alone = [marks[f"{which} alone"]["y"][0] for which in ("small", "big")]
    assert alone == pytest.approx(pair.accuracy().tolist())


def test_ranking_is_the_area_under_the_curve():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    right, score = rng.random(500) < 0.7, rng.integers(0, 6, 500) / 5
    assert ranking(score, right * 1.0) == pytest.approx(roc_auc_score(right, score))
    assert np.isnan(ranking(score, np.ones(500)))


# -- any table ---------------------------------------------------------------------------------


def test_one_model_is_told_that_it_takes_two():
    explorer = explore("cascade", table(m=1))
    assert [c.name for c in explorer.controls] == ["small"]
    assert "needs two" in explorer.missing["big"]
    assert "takes two" in explorer.picture().finding
    with pytest.raises(ValueError, match="needs two"):
        explorer.picture(threshold=0.5)


@pytest.mark.parametrize(
    ("over", "left", "reason"),
    [
        ({"confidence": None}, "threshold", "no confidence"),
        ({"confidence": None, "features": {}}, "small", "nothing says which items are hard"),
        ({"answer": None, "labels": (), "truth": None}, "threshold", "answers of 2 to"),
        ({"confidence": 9 * table().confidence, "features": {}}, "small", "Calibration"),
        ({"n": 1}, "threshold", "1 items are too few"),
    ],
)
def test_what_is_not_known_is_explained_away(over, left, reason):
    explorer = explore("cascade", table(**over))
    assert explorer.controls[0].name == left
    assert any(reason in why for why in explorer.missing.values())
    explorer.figure()
    explorer.table()


def test_without_cost_it_is_time_and_without_time_it_is_calls():
    start = {"small": "model 0", "big": "model 2", "threshold": 0.5}
    _, shown = (data := table(cost=None)).split()
    decision = lab.Cascade(("model 0", "model 2"), (0.5,)).decide(shown)
    timed = explore("cascade", data, **start).picture()
    assert here(timed)[0] == pytest.approx(1e3 * decision.mean_latency)
    assert "of its time" in timed.finding
    called = explore("cascade", table(cost=None, latency=None), **start).picture()
    assert here(called)[0] == pytest.approx(decision.calls["model 2"])
    assert "calls an item" in called.finding


def test_what_another_model_does_for_less_is_said_and_drawn():
    faces = lab.load_outcomes("rafdb-services")
    picture = explore("cascade", faces, small="Google", big="Microsoft", threshold=1.01).picture()
    assert "Microsoft alone is cheaper and no worse" in picture.finding
    beaten = explore("cascade", faces).picture(small="Google", big="Face++", threshold=0.9)
    _, shown = faces.split()
    right = dict(zip(faces.models, shown.accuracy(), strict=True))
    assert f"; Microsoft alone: {right['Microsoft']:.1%} for less" in beaten.finding
    marks = [named(beaten)[which] for which in ("other models", "between", "small", "big")]
    dots = {name: at for mark in marks
            for name, *at in zip(mark["text"], mark["x"], mark["y"], strict=True)}  # fmt: skip
    for name, paid in zip(faces.models, 1e4 * shown.cost.mean(0), strict=True):
        assert dots[name] == pytest.approx([paid, right[name]], abs=1e-5)
        low, high = beaten.layout["yaxis2"]["range"]
        assert low < right[name] < high


# -- presets, policies, cards -------------------------------------------------------------------


def test_presets_have_one_that_pays_and_one_that_fails():
    speech = explore("cascade", lab.load_outcomes("audiomnist-services"))
    assert list(speech.presets) == ["as right for less", "most right", "does not pay"]
    first = speech.preset("as right for less", speech.state(middle="Google", per_label=True))
    assert (first["small"], first["middle"], first["big"]) == ("DeepSpeech", "none", "Microsoft")
    assert not first["per_label"] and "For 17% of its price" in speech.picture(**first).finding
    meals = explore("cascade", lab.load_outcomes("waimai-services"))
    assert "as right for less" not in meals.presets
    failing = meals.presets["does not pay"]
    assert failing == Failing(small="Bixin", big="Baidu", threshold=1.0)
    faces = explore("cascade", lab.load_outcomes("rafdb-services"))
    states = [faces.preset(title) for title in faces.presets]
    assert all(states.count(state) == 1 for state in states)


def test_a_policy_starts_the_explorer_at_its_own_setting():
    data = table()
    fit, _ = data.split()
    two = explore(lab.Cascade(("model 1", "model 2"), (0.42,)), data).state()
    assert (two["small"], two["big"], two["threshold"]) == ("model 1", "model 2", 0.42)
    three = explore(lab.Cascade(data.models, (0.3, 0.8)), data).state()
    assert (three["middle"], three["threshold_2"]) == ("model 1", 0.8)
    by_label = dict.fromkeys(data.labels, 0.6)
    assert explore(lab.Cascade(data.models[:2], (by_label,)), data).state()["per_label"]
    budget = lab.BudgetCascade(0.02)
    learned = budget.fit(fit).order
    assert explore(budget, data).state()["small"] == learned[0]
    selector = explore(lab.LearnedSelector("model 0", "model 2", threshold=0.4), data).state()
    assert (selector["mode"], selector["threshold"]) == (CHOOSE, 0.4)


@pytest.mark.parametrize(
    "policy",
    [
        lab.Cascade(("model 0", "model 1"), (0.5,), abstain=(0.1, 0.1)),
        lab.Cascade(tuple(f"model {j}" for j in range(4)), (0.5, 0.5, 0.5)),
        lab.HeuristicSelector("model 0", "model 1", "length", 0.0),
    ],
)
def test_policies_that_it_cannot_show_are_refused(policy):
    with pytest.raises(ValueError, match="the cascade explorer shows"):
        explore(policy, table(m=4))


def test_a_card_says_who_was_asked_and_who_answered():
    data = table()
    explorer = explore("cascade", data, small="model 0", big="model 2")
    for level, item in product((0.0, 0.6, 1.01), (0, 7, 9)):
        card = explorer.card(explorer.state(threshold=level), item)
        decision = lab.Cascade(("model 0", "model 2"), (level,)).decide(data.select(items=[item]))
        assert card["asked"].tolist() == decision.called[0].tolist()
        assert card.index[card["answered"]].tolist() == [data.models[decision.chosen[0]]]


def test_levels_are_fine_enough_to_end_above_every_confidence():
    assert LEVELS[0] == 0 and LEVELS[-1] > 1 and np.allclose(np.diff(LEVELS), 0.01)
