"""The cascade explorer: its numbers are the policies', its traces the same in every state."""

import json
from itertools import product

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.answers.cascades.cascade_replay import CHOOSE, LEVELS, ranking
from tests.support.strategies import outcomes


def table(n=400, m=3, seed=0, features=True, **without):
    """Models that grow more accurate and dearer, and know when they are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    right = rng.random((n, m)) < np.linspace(0.6, 0.9, m)
    parts = {
        "answer": np.where(right, truth[:, None], (truth[:, None] + 1) % 3),
        "labels": ("cat", "dog", "hen"),
        "truth": truth,
        "confidence": np.clip(rng.normal(0.5 + 0.2 * right, 0.2), 0, 1),
        "cost": np.broadcast_to(10.0 ** -np.arange(m, 0, -1.0), (n, m)),
        "latency": rng.uniform(0.1, 0.2, (n, m)),
    } | without
    known = {"length": rng.normal(size=n) + right[:, 0]} if features else {}
    names = [f"model {j}" for j in range(m)]
    return lab.Outcomes(
        models=names, items=np.arange(n), correct=right * 1.0, features=known, **parts
    )


def shape(picture):
    """What must not change from state to state."""
    return [(t["type"], t.get("mode"), t.get("xaxis"), t.get("yaxis")) for t in picture.traces]


def here(picture):
    """Price and accuracy of the current point, as drawn."""
    mark = next(t for t in picture.traces if t["name"] == "you are here")
    return mark["x"][0], mark["y"][0]


def matches(point, decision, scale=1e4):
    assert point[0] == pytest.approx(scale * decision.mean_cost)
    assert point[1] == pytest.approx(decision.accuracy)


# -- the numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.37, 0.5, 1.0, 1.01])
def test_a_point_is_what_the_policy_gives_on_the_other_half(level):
    data = table()
    _, shown = data.split()
    explorer = explore("cascade", data, small="model 0", big="model 2", threshold=level)
    decision = lab.Cascade(("model 0", "model 2"), (level,)).decide(shown)
    matches(here(explorer.picture()), decision)
    low, high = decision.interval()
    error = next(t for t in explorer.picture().traces if "error_y" in t)["error_y"]
    assert error["array"][0] == pytest.approx(high - decision.accuracy)
    assert error["arrayminus"][0] == pytest.approx(decision.accuracy - low)


def test_three_stages_and_who_answered():
    data = table()
    _, shown = data.split()
    picture = explore("cascade", data).picture(
        small="model 0", middle="model 1", big="model 2", threshold=0.6, threshold_2=0.5
    )
    decision = lab.Cascade(data.models, (0.6, 0.5)).decide(shown)
    matches(here(picture), decision)
    asked, answered = (
        next(t for t in picture.traces if t["name"] == n) for n in ("asked", "answered")
    )
    assert np.allclose(asked["x"], 100 * decision.called.mean(axis=0))
    assert np.allclose(answered["x"], [100 * (decision.chosen == j).mean() for j in range(3)])


def test_choosing_first_is_the_fitted_selector():
    data = table()
    fit, shown = data.split()
    start = {"small": "model 0", "big": "model 2", "mode": CHOOSE, "threshold": 0.6}
    picture = explore("cascade", data, **start).picture()
    selector = lab.LearnedSelector("model 0", "model 2", threshold=0.6).fit(fit)
    matches(here(picture), selector.decide(shown))
    assert "sent straight to" in picture.finding


def test_thresholds_by_label_are_fitted_on_the_other_half_for_no_more_money():
    data = lab.load_outcomes("rafdb-services")
    pair = {"small": "CNN", "big": "Microsoft", "threshold": 0.98}
    explorer = explore("cascade", data, **pair)
    plain, by_label = explorer.picture(), explorer.picture(per_label=True)
    assert here(by_label)[1] > here(plain)[1]
    assert here(by_label)[0] < 1.05 * here(plain)[0]  # the budget was kept on the fitting half
    line = next(t for t in by_label.traces if t["name"] == "threshold")
    assert len(set(line["x"]) - {None}) > 1
    # The labels of the shown half may be scrambled: what was fitted does not move.
    _, shown = data.split()
    seen = np.isin(data.items, shown.items)
    scrambled = np.where(seen[:, None], 1 - data.correct, data.correct)
    parts = {f: getattr(data, f) for f in ("models", "items", "answer", "labels")}
    other = lab.Outcomes(**parts, correct=scrambled, confidence=data.confidence, cost=data.cost)
    moved = explore("cascade", other, **pair).picture(per_label=True)
    assert next(t for t in moved.traces if t["name"] == "threshold")["x"] == line["x"]
    assert here(moved)[0] == pytest.approx(here(by_label)[0])


def test_bounds_are_those_of_the_outcomes():
    data = table()
    _, shown = data.split()
    picture = explore("cascade", data, small="model 0", big="model 2").picture()
    pair = shown.select(models=["model 0", "model 2"])
    traces = {t["name"]: t for t in picture.traces}
    assert traces["oracle"]["y"] == [pytest.approx(pair.oracle())]
    assert traces["oracle over guessers"]["y"][0] == pytest.approx(pair.chance_oracle(3))
    assert traces["random mixture"]["y"] == pytest.approx(pair.accuracy().tolist())


def test_ranking_is_the_area_under_the_curve():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    right, score = rng.random(500) < 0.7, rng.integers(0, 6, 500) / 5
    assert ranking(score, right * 1.0) == pytest.approx(roc_auc_score(right, score))
    assert np.isnan(ranking(score, np.ones(500)))


# -- any state, any table -----------------------------------------------------------------------


@settings(max_examples=25)
@given(st.data())
def test_same_traces_for_every_state_of_any_table(data):
    found = data.draw(outcomes(max_items=30, max_models=4, with_cost=None, with_confidence=None))
    if np.isnan(found.correct).all():
        with pytest.raises(ValueError, match="graded"):
            explore("cascade", found)
        return
    explorer = explore("cascade", found)
    first = shape(explorer.picture())
    for _ in range(3):
        state = {c.name: data.draw(st.sampled_from(c.options)) for c in explorer.controls}
        picture = explorer.picture(**state)
        assert shape(picture) == first
        json.dumps(picture.traces, allow_nan=False)
        assert picture.finding and picture.text
        assert len(picture.table())
        item = found.items[data.draw(st.integers(0, len(found) - 1))]
        assert list(explorer.card(explorer.state(**state), item).index) == list(found.models)
    go.Figure(picture.traces, picture.layout)


def test_the_same_state_gives_the_same_picture():
    explorer = explore("cascade", table())
    state = explorer.state(threshold=0.7, per_label=True)
    before = explorer.drawn(state)
    explorer.drawn(explorer.state(threshold=0.2))
    assert explorer.drawn(state).traces == before.traces
    assert explorer.read(explorer.to_json(threshold=0.7, per_label=True)) == state


def test_one_model_is_told_that_it_takes_two():
    explorer = explore("cascade", table(m=1))
    assert [c.name for c in explorer.controls] == ["small"]
    assert "needs two" in explorer.missing["big"]
    assert "takes two" in explorer.picture().finding
    with pytest.raises(ValueError, match="needs two"):
        explorer.picture(threshold=0.5)


def test_one_item_and_a_hundred_models():
    one = explore("cascade", table(n=1))
    assert "per_label" in one.missing
    one.figure()
    many = explore("cascade", table(n=200, m=100))
    assert len(many.picture().traces) == len(one.picture().traces)
    many.figure(middle="model 50")


@pytest.mark.parametrize(
    ("without", "features", "left", "reason"),
    [
        ({"confidence": None}, True, "threshold", "no confidence"),
        ({"confidence": None}, False, "small", "nothing says which items are hard"),
        ({"answer": None, "labels": (), "truth": None}, False, "threshold", "answers of 2 to"),
    ],
)
def test_what_is_not_known_is_explained_away(without, features, left, reason):
    explorer = explore("cascade", table(features=features, **without))
    assert explorer.controls[0].name == left
    assert any(reason in why for why in explorer.missing.values())
    explorer.figure()
    explorer.table()


def test_confidences_on_another_scale_are_explained_away():
    data = table(features=False)
    logits = lab.Outcomes(
        models=data.models, items=data.items, correct=data.correct, confidence=9 * data.confidence
    )
    explorer = explore("cascade", logits)
    assert "Calibration" in explorer.missing["per_label"]
    explorer.figure()


def test_without_cost_it_is_time_and_without_time_it_is_calls():
    start = {"small": "model 0", "big": "model 2", "threshold": 0.5}
    data = table(cost=None)
    _, shown = data.split()
    decision = lab.Cascade(("model 0", "model 2"), (0.5,)).decide(shown)
    timed = explore("cascade", data, **start).picture()
    assert here(timed)[0] == pytest.approx(1e3 * decision.mean_latency)
    assert "of its time" in timed.finding
    called = explore("cascade", table(cost=None, latency=None), **start).picture()
    assert here(called)[0] == pytest.approx(decision.calls["model 2"])
    assert "calls an item" in called.finding


def test_dearer_than_the_big_model_is_said():
    faces = lab.load_outcomes("rafdb-services")
    picture = explore("cascade", faces, small="Google", big="Microsoft", threshold=1.01).picture()
    assert "Microsoft alone is cheaper and no worse" in picture.finding


# -- presets, policies, cards -------------------------------------------------------------------


def test_presets_have_one_that_pays_and_one_that_fails():
    speech = explore("cascade", lab.load_outcomes("audiomnist-services"))
    titles = list(speech.presets)
    assert titles[0] == "DeepSpeech, then Microsoft: as right for less"
    assert titles[-1].endswith("does not pay")
    meals = explore("cascade", lab.load_outcomes("waimai-services"))
    assert meals.presets["Bixin, then Baidu: does not pay"]["threshold"] == 1.0
    assert not any("for less" in title for title in meals.presets)


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
    with pytest.raises(KeyError, match="no item"):
        explorer.card(explorer.state(), "nobody")


def test_levels_are_fine_enough_to_end_above_every_confidence():
    assert LEVELS[0] == 0 and LEVELS[-1] > 1 and np.allclose(np.diff(LEVELS), 0.01)
