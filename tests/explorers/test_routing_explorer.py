"""Routing: its numbers are those of `lab.metrics` and of routers, and it fails where it should."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab import metrics
from ensemble_lab.explorers.answers import routing
from ensemble_lab.explorers.answers.routing_replay import (
    FIRST,
    GAP,
    GROUP,
    LENGTH,
    NEAREST,
    RANDOM,
    ROUTERS,
    TASKS,
    Pool,
    lacks,
    recorded,
    replay,
    router_of,
)
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.panel import Panel
from tests.explorers.test_explorers_own_outcomes import SHAPES, drawn, states
from tests.support.any_state import named, promises_kept
from tests.support.strategies import outcomes

MMLU, GSM8K, PRO, FACES, REVIEWS = TASKS


@pytest.fixture(scope="module")
def first():
    return lab.explore("routing")


def halves(task, models=None):
    name, ranks = TASKS[task]
    table = lab.load_outcomes(name)
    if ranks:
        order = np.argsort(-table.accuracy(), kind="stable")
        table = table.select(models=[table.models[j] for j in order[ranks[0] - 1 : ranks[1]][::-1]])
    return table.take(~np.isnan(table.correct).any(axis=1)).split(0.5, seed=0)


@pytest.mark.parametrize(
    ("task", "router"),
    [(MMLU, lab.GroupRouter()), (GSM8K, lab.LengthRouter()), (MMLU, lab.GapRouter())],
    ids=["group", "length", "gap"],
)
def test_two_models_have_the_curve_and_the_apgr_of_the_metrics(first, task, router):
    name = {"GroupRouter": GROUP, "LengthRouter": LENGTH, "GapRouter": GAP}[type(router).__name__]
    fit, shown = halves(task)
    weak, strong = shown.correct.T
    scores = router.fit(fit).scores(shown.blinded())
    scores = scores[:, 1] - scores[:, 0]
    share, right = metrics.curve(scores, weak, strong)
    table = first.table(task=task, router=name)
    np.testing.assert_allclose(table["right"], np.interp(np.arange(101) / 100, share, right))
    low, high = metrics.noise_band(weak, strong, table.index / 100)
    np.testing.assert_allclose(table["random, low"], low)
    np.testing.assert_allclose(table["random, high"], high)
    area, floor = metrics.apgr(scores, weak, strong), metrics.noise_floor(weak, strong)
    said = first.picture(task=task, router=name).finding
    assert f"APGR {area:.3f}, {(area - 0.5) / floor:.1f} standard deviations above" in said
    best = metrics.apgr(strong - weak, weak, strong)
    assert f"± {floor:.3f}); the oracle has {best:.3f}" in said


def test_two_models_by_hand():
    """Four questions are shown; the router sends d, c, b, a by their group."""
    fit = lab.Outcomes(
        models=["weak", "strong"],
        items=range(8),
        group=[*"aabbccdd"],
        correct=[[1, 0], [1, 1], [1, 1], [1, 1], [0, 1], [0, 0], [0, 1], [0, 1]],
    )
    shown = lab.Outcomes(
        models=["weak", "strong"],
        items=[*"wxyz"],
        group=[*"abcd"],
        correct=[[1, 0], [0, 1], [0, 0], [0, 1]],
    )
    found = replay(Pool(fit, shown, 0, shown), GROUP)
    assert np.argsort(-found.gain).tolist() == [3, 2, 1, 0] == found.order.tolist()
    assert found.accuracy[[0, 25, 50, 75, 100]].tolist() == [0.25, 0.5, 0.5, 0.75, 0.5]
    assert found.oracle[[0, 25, 50, 75, 100]].tolist() == [0.25, 0.5, 0.75, 0.75, 0.5]
    # PGR is 0, 1, 1, 2, 1 at the five cuts: (1/2 + 1 + 3/2 + 3/2) / 4.
    assert found.apgr == pytest.approx(1.125) and found.best_apgr == pytest.approx(1.375)
    assert found.asked(50).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("task", "router"), [(PRO, GROUP), (FACES, FIRST), (REVIEWS, FIRST)])
def test_of_more_models_its_own_choice_is_what_the_router_decides(first, task, router):
    fit, shown = halves(task)
    pool = Pool.of(shown)  # only for what the router of that name is
    decision = router_of(router, replace(pool, fit=fit)).fit(fit).decide(shown)
    usual = fit.best_single().model
    right = shown.accuracy()[shown.columns((usual,))[0]]
    found = routing.recorded_replay(task, router)
    assert found.pool.shown.models[found.pool.usual] == usual
    assert found.points[0] == pytest.approx(100 * (decision.accuracy - right), abs=0.02)
    sent = (decision.chosen != found.pool.usual).mean()
    assert found.own == pytest.approx(sent, abs=0.01)  # equal scores go to the cheaper model
    at = float(np.interp(100 * found.own, range(101), found.accuracy))
    assert at == pytest.approx(decision.accuracy, abs=0.002)


def test_the_price_is_that_of_the_decision(first):
    """By the first answer every question pays the first model, as `decide` adds up."""
    fit, shown = halves(FACES)
    decision = lab.LabelRouter(first="CNN").fit(fit).decide(shown)
    found = routing.recorded_replay(FACES, FIRST)
    paid = float(np.interp(100 * found.own, range(101), found.cost))
    assert paid == pytest.approx(1e4 * decision.mean_cost, rel=0.03)
    two = first.table(task=MMLU)["USD per 10,000"]
    _, exam = halves(MMLU)
    assert two[[0, 100]].tolist() == pytest.approx(1e4 * exam.cost.mean(axis=0))


def test_the_presets_show_what_they_promise(first):
    failing = [name for name, state in first.presets.items() if isinstance(state, Failing)]
    assert failing == ["film reviews"]
    found = {name: routing.recorded_replay(state["task"], state["router"])
             for name in first.presets for state in [first.preset(name)]}  # fmt: skip
    assert routing.above_chance(found["subjects, two models"]) > 14
    assert routing.above_chance(found["longest questions"]) > 2
    for pays in ("seven models", "faces"):
        assert found[pays].points[1] > 0.2  # the lower end of the interval
    assert abs(found["film reviews"].points[0]) < 0.1
    assert routing.oracle_gain(found["film reviews"]) > 8
    said = first.drawn(first.preset("film reviews")).finding
    assert "gains +0.0 points" in said and "(-" in said  # and sending 10 % loses


def test_a_random_order_is_not_told_from_chance(first):
    for task in (MMLU, GSM8K):
        picture = first.picture(task=task, router=RANDOM)
        assert "not told from a random order (0.5 ± 0.0" in picture.finding
        table = first.table(task=task, router=RANDOM)
        inside = table["right"].between(table["random, low"] - 1e-9, table["random, high"] + 1e-9)
        assert inside.mean() > 0.8


@pytest.mark.parametrize(
    ("task", "router", "said"),
    [(GSM8K, GROUP, "No group"), (FACES, LENGTH, "No length"), (REVIEWS, NEAREST, "No feature"),
     (REVIEWS, GAP, "No feature"), (MMLU, FIRST, "No confidence")],
)  # fmt: skip
def test_what_a_router_cannot_read_is_said(first, task, router, said):
    state = first.state(task=task, router=router)
    picture = promises_kept(first, state)
    assert picture.finding.startswith(f"{said} is known here: a random order, 30% ")
    random = first.picture(task=task, router=RANDOM)
    assert picture.traces == random.traces


def test_every_question_of_the_map_is_drawn_once(first):
    for preset in first.presets:
        for share in (0, 37, 100):
            state = {**first.preset(preset), "share": share}
            marks = named(first.drawn(state))
            slots = [marks[name] for name in routing.SLOTS]
            assert sum(len(slot["x"]) for slot in slots) == 600
            assert share or len(slots[0]["x"]) == 600
            drawn = [marks[f"{name}, share"]["x"] for name in routing.SLOTS]
            assert sum(sum(x) for x in drawn) == pytest.approx(1, abs=1e-4)


def test_a_step_of_the_slider_is_quick(first):
    panel = Panel(first)
    seconds = []
    for share in range(40, 60):
        start = time.process_time()
        panel.inputs["share"].write(share)
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.03


# -- a reader's own outcomes --------------------------------------------------------------------


def own(n=60, **more):
    rng = np.random.default_rng(0)
    hard = rng.random(n)
    right = np.stack([rng.random(n) > hard, rng.random(n) > 0.3 * hard], axis=1)
    return lab.Outcomes(models=["small", "big"], items=range(n), correct=right * 1.0, **more)


def test_own_outcomes_offer_the_routers_that_they_allow():
    rng = np.random.default_rng(0)
    length, group = rng.integers(10, 99, 60), [*"ab"] * 30
    table = own(features={"question_chars": length}, group=group)
    view = lab.explore("routing", table)
    assert view.controls[1].options == (RANDOM, LENGTH, GROUP, NEAREST, GAP)
    assert view.controls[2].options == ("these questions",) and not view.presets
    assert view.picture().finding.startswith("By group, 30% to big: ")
    assert lab.explore("routing", own(group=group)).controls[1].options == (RANDOM, GROUP)
    for state in ({"router": router} for router in view.controls[1].options):
        promises_kept(view, view.state(**state))


def test_a_router_of_the_readers_own_is_shown_beside_the_others():
    table = own(group=[*"abc"] * 20)
    view = lab.explore(lab.GroupRouter(shrinkage=0.0), table)
    assert view.state()["router"] == "your GroupRouter"
    assert "your GroupRouter, 30% to big" in view.picture().finding
    fit, shown = table.split(0.5, seed=0)
    scores = lab.GroupRouter(shrinkage=0.0).fit(fit).scores(shown)
    mine = metrics.apgr(scores[:, 1] - scores[:, 0], *shown.correct.T)
    assert f"APGR {mine:.3f}" in view.picture().finding
    on_exam = lab.explore(lab.ClusterRouter(clusters=3))
    assert "your ClusterRouter, 30% to gpt-4-1106" in on_exam.picture().finding


def test_what_cannot_be_shown_is_refused_with_the_fix():
    with pytest.raises(ValueError, match="feature:NAME columns or a group"):
        lab.explore("routing", own())
    with pytest.raises(ValueError, match="give two or more"):
        lab.explore("routing", own(group=[*"ab"] * 30).select(models=["big"]))
    gone = own(group=[*"ab"] * 30)
    gone = replace(gone, correct=np.where(np.arange(60)[:, None] < [7, 60], gone.correct, np.nan))
    with pytest.raises(ValueError, match=r"7 of 60 questions .* 8 are needed; .*select\(models"):
        lab.explore("routing", gone)
    with pytest.raises(ValueError, match="no group"):
        lab.explore(lab.GroupRouter(), own(features={"question_chars": np.arange(60)}))
    with pytest.raises(ValueError, match="router='group' is not an option"):
        lab.explore("routing", own(features={"length": np.arange(60)}), router=GROUP).picture()


def test_a_strong_model_that_is_not_better_on_the_half_shown_is_said():
    table = own(group=[*"ab"] * 30)
    pool = Pool.of(table)
    worse = replace(pool.shown, correct=pool.shown.correct[:, ::-1])
    found = replay(replace(pool, shown=worse), GROUP)
    assert np.isnan(found.apgr)
    said = routing.finding(found, {"share": 10, "router": GROUP})
    assert "On this half big is not better than small" in said and "nan" not in said


NOTHING_KNOWN = ("correctness only", "nothing to go by", "constant feature", "always wrong",
                 "partly right")  # fmt: skip
TOO_FEW = ("one ungraded model", "two ungraded models", "one absent model", "no item in common",
           "one graded answer", "one item", "two items", "truth values for items")  # fmt: skip
REFUSED = dict.fromkeys(NOTHING_KNOWN, "nothing here is known")
REFUSED |= dict.fromkeys(TOO_FEW, "are needed; leave out models")
REFUSED |= dict.fromkeys(("one model", "one item of one model"), "there is one; give two")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_drawn_in_every_state_or_refused(shape):
    table = lab.Outcomes(**SHAPES[shape])
    if shape in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[shape]):
            lab.explore("routing", table)
        return
    view = lab.explore("routing", table)
    every = [*states(view), *({"router": router} for router in view.controls[1].options)]
    forms = [drawn(view, changes) for changes in every]
    assert all(form == forms[0] for form in forms)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_table_is_shown_or_refused(data):
    table = data.draw(outcomes(min_items=4, max_items=40, min_models=1, max_models=5))
    try:
        view = lab.explore("routing", table)
    except ValueError as error:
        assert ";" in str(error) and len(str(error)) < 300
        return
    for router in view.controls[1].options:
        for share in (0, 50, 100):
            picture = promises_kept(view, view.state(share=share, router=router))
            assert "nan" not in picture.text


def test_the_routers_of_a_task_are_those_that_it_allows():
    allowed = {task: {r for r in ROUTERS if not lacks(r, recorded(task))} for task in TASKS}
    assert allowed == {
        MMLU: {RANDOM, LENGTH, GROUP, NEAREST, GAP},
        GSM8K: {RANDOM, LENGTH, NEAREST, GAP},
        PRO: {RANDOM, LENGTH, GROUP, NEAREST, GAP},
        FACES: {RANDOM, FIRST},
        REVIEWS: {RANDOM, FIRST},
    }
