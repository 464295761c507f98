"""Explorers over a reader's own outcomes of any shape: drawn, said in words, never broken."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.explorers import explore
from ensemble_lab.widgets.panel import Panel
from ensemble_lab.widgets.still import still
from tests.support.any_state import any_setting, promises_kept
from tests.support.strategies import outcomes

pytestmark = pytest.mark.filterwarnings("error")

UNSAID = re.compile(r"(?<![^\W_])(nan|inf|None(?! of these))(?![^\W_])")
MEASURED = ("confidence", "cost", "latency")
BARE = dict.fromkeys((*MEASURED, "answer", "truth"), None) | {"labels": (), "features": {}}
EVIL = ("<b>x</b>", "<!--<script>window.evil=1</script>", '</script><img src=x onerror="evil()">')


def parts(n=40, m=3, k=3, **over):
    """Fields of a table whose models grow more accurate and dearer."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, n)
    right = rng.random((n, m)) < np.linspace(0.5, 0.9, m)
    answer = np.where(right, truth[:, None], (truth[:, None] + 1) % k)
    return {
        "models": [f"model {j}" for j in range(m)],
        "items": np.arange(n),
        "correct": (answer == truth[:, None]) * 1.0,
        "answer": answer,
        "labels": tuple(f"label {code}" for code in range(k)),
        "truth": truth,
        "confidence": np.clip(rng.normal(0.5 + 0.2 * right, 0.2), 0, 1),
        "cost": np.geomspace(0.001, 0.1, m) * np.ones((n, m)),
        "latency": rng.uniform(0.1, 0.2, (n, m)),
        "features": {
            "length": rng.normal(size=n) + right[:, 0],
            "subject": np.array(["a", "b"] * n)[:n],
        },
    } | over


def absent(where, **over):
    """`parts` in which nothing is recorded where the mask `where` holds."""
    found = parts(**over)
    for name in ("correct", *MEASURED):
        found[name] = np.where(where, np.nan, found[name])
    return found | {"answer": np.where(where, ABSENT, found["answer"])}


def changed(name, rows, columns, value):
    """`parts` with another value in some places of one field."""
    values = np.array(parts()[name], float)
    values[rows, columns] = value
    return parts(**{name: values})


EVERY, ODD = slice(None), slice(None, None, 2)
SHAPES = {
    "everything known": parts(),
    "correctness only": parts(**BARE),
    "no confidence": parts(confidence=None),
    "nothing to go by": parts(confidence=None, features={}),
    "latency, no cost": parts(cost=None),
    "neither cost nor latency": parts(cost=None, latency=None),
    "no truth": parts(truth=None),
    "some confidences missing": changed("confidence", ODD, EVERY, np.nan),
    "one model without confidence": changed("confidence", EVERY, 0, np.nan),
    "no confidence after all": changed("confidence", EVERY, EVERY, np.nan),
    "one model without cost": changed("cost", EVERY, 2, np.nan),
    "one model with one cost": changed("cost", slice(1, None), 2, np.nan),
    "no cost after all": changed("cost", EVERY, EVERY, np.nan),
    "free": changed("cost", EVERY, EVERY, 0.0),
    "one ungraded model": changed("correct", EVERY, 1, np.nan),
    "two ungraded models": changed("correct", EVERY, slice(1, None), np.nan),
    "one absent model": absent(np.arange(3) == 1),
    "no item in common": absent(np.arange(40)[:, None] % 2 == np.arange(2), m=2),
    "one graded answer": parts(**BARE)
    | {"correct": np.where(np.arange(120).reshape(40, 3), np.nan, 1.0)},
    "nothing readable": parts(answer=np.full((40, 3), UNPARSED), correct=np.zeros((40, 3))),
    "one model": parts(m=1),
    "two models": parts(m=2),
    "one item": parts(n=1),
    "two items": parts(n=2),
    "one item of one model": parts(n=1, m=1, **BARE),
    "confidences all equal": changed("confidence", EVERY, EVERY, 0.5),
    "logits": parts(confidence=9 * parts()["confidence"] - 3),
    "identical models": {
        name: np.repeat(values[:, :1], 3, axis=1) if np.ndim(values) == 2 else values
        for name, values in parts().items()
    },
    "always right": parts(answer=np.tile(parts()["truth"][:, None], 3), correct=np.ones((40, 3))),
    "always wrong": parts(**BARE) | {"correct": np.zeros((40, 3))},
    "partly right": parts(**BARE) | {"correct": np.linspace(0, 1, 120).reshape(40, 3)},
    "markup": parts(models=EVIL, labels=EVIL, items=[f"{EVIL[2]}{i}" for i in range(40)]),
    "names that controls use": parts(models=["none", "(none)", "oracle"]),
    "odd names": parts(models=["", "模型 %{x}", "x" * 300], labels=(1, 2, 3)),
    "truth values for items": parts(n=2, items=np.array([True, False])),
    "infinite feature": parts(features={"length": np.r_[np.inf, np.arange(39.0)]}),
    "constant feature": parts(features={"length": np.ones(40)}, confidence=None),
    "3,000 labels": parts(n=100, k=3000),
    "groups and samples": parts(m=4, group=np.array([*"ab"] * 20), model_group=[*"aabb"]),
    "a hundred models": parts(m=100),
}  # fmt: skip


def states(explorer):
    """The start, every preset, and each control at its first and last option."""
    found = [{}, *explorer.presets.values()]
    for control in explorer.controls:
        ends = control.options[0], control.options[-1]
        found += [{control.name: (end,) if control.kind == "many" else end} for end in ends]
    return found


def drawn(explorer, changes):
    """The picture of a state, looked through."""
    picture = explorer.picture(**changes)
    json.dumps([picture.traces, picture.layout], allow_nan=False)
    for words in (picture.finding, picture.text):
        assert not UNSAID.search(words), words
    assert len(picture.table())
    return [(trace["type"], trace.get("mode")) for trace in picture.traces]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["votes", "cascade"])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_drawn_and_said_in_every_state(shape, what):
    explorer = explore(what, lab.Outcomes(**SHAPES[shape]))
    forms = [drawn(explorer, changes) for changes in states(explorer)]
    assert all(form == forms[0] for form in forms)
    assert not any(UNSAID.search(why) for why in explorer.missing.values())
    for item in explorer.items[:2]:
        assert len(explorer.card(explorer.state(), item))
    figure = still(explorer)
    json.dumps(figure, allow_nan=False)


@pytest.mark.parametrize("live", [True, False], ids=["live", "redraw"])
@pytest.mark.parametrize("what", ["votes", "cascade"])
@pytest.mark.parametrize("shape", ["correctness only", "one item", "one ungraded model", "markup"])
def test_the_panel_shows_them_too(shape, what, live):
    explorer = explore(what, lab.Outcomes(**SHAPES[shape]))
    panel = Panel(explorer, live)
    panel.below.selected_index = 0
    for changes in states(explorer):
        panel.set(**changes)
    panel.below.selected_index = 2
    panel.item.value = str(explorer.items[-1])
    assert panel.note.value == "" and "<table" in panel.card.value


@pytest.mark.slow
@pytest.mark.parametrize("what", ["votes", "cascade"])
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_table_keeps_the_promises_and_is_said_without_gaps(what, data):
    table = data.draw(outcomes(max_items=30, with_cost=None, with_confidence=None))
    if np.isnan(table.correct).all():
        with pytest.raises(ValueError, match="give correct, or truth"):
            explore(what, table)
        return
    explorer = explore(what, table)
    for changes in states(explorer):
        drawn(explorer, changes)
    for _ in range(3):
        state = explorer.state(**data.draw(any_setting(explorer.controls)))
        promises_kept(explorer, state)
        drawn(explorer, state)
        card = explorer.card(state, data.draw(st.sampled_from(table.items.tolist())))
        if what == "cascade":
            assert list(card.index) == list(table.models)
        else:
            many = -(-len(state["members"]) * state.get("voters", 100) // 100)
            assert len(set(state["members"]) & set(card.index)) == many


# -- what is said -------------------------------------------------------------------------------


def finding(shape, what="cascade", **changes):
    return explore(what, lab.Outcomes(**SHAPES[shape])).picture(**changes).finding


def test_what_is_not_known_is_said():
    ungraded = finding("one ungraded model", small="model 0", big="model 1", threshold=0.0)
    assert "while model 1 alone is not graded" in ungraded
    alone = finding("one ungraded model", small="model 1", big="model 1")
    assert alone.startswith("model 1 alone: none of its answers is graded")
    assert "0.0% right, as right as" in finding("nothing readable")  # unreadable is wrong
    both = {"small": "model 1", "big": "model 2", "threshold": 0.5}
    assert "no answer that is graded" in finding("two ungraded models", **both)
    apart = {"small": "model 0", "big": "model 1", "threshold": 1.01}
    assert "For a price that is not known" in finding("no item in common", **apart)
    assert "too few to keep some" in explore("cascade", lab.Outcomes(**parts(n=1))).picture().text


@pytest.mark.parametrize("what", ["votes", "cascade", "escalate"])
def test_copies_of_a_model_that_mumbles_gain_nothing(what):
    """Three copies of one model of which six replies in ten cannot be read."""
    n, rng = 400, np.random.default_rng(0)
    answer = np.where(rng.random(n) < 0.6, UNPARSED, rng.random(n) >= 0.9)[:, None]
    table = lab.Outcomes(
        models=[*"abc"],
        items=np.arange(n),
        correct=np.tile(answer == 0, 3) * 1.0,
        answer=np.tile(answer, 3),
        labels=("right", "wrong"),
        confidence=rng.random((n, 3)),
        cost=np.tile([1.0, 2.0, 3.0], (n, 1)),
    )
    table = table.select(models=["a", "b"]) if what == "escalate" else table
    finding = explore(what, table).picture().finding
    assert ("0 items rescued, 0 ruined (+0.0" if what == "votes" else "as right as") in finding
    assert " answered" not in finding  # unreadable is wrong


def test_policies_are_compared_with_a_model_on_the_items_that_both_have():
    """The big model lacks the hard items: alone it looks perfect, on its items it gains nothing."""
    hard = np.arange(240) % 12 == 0
    gone = np.c_[hard, hard, hard] & [False, False, True]
    table = lab.Outcomes(
        models=["small", "middle", "big"],
        items=np.arange(240),
        correct=np.where(gone, np.nan, ~hard[:, None]),
        answer=np.where(gone, ABSENT, hard[:, None]),
        labels=("right", "wrong"),
        confidence=np.where(gone, np.nan, 0.5),
        cost=np.where(gone, np.nan, [1.0, 2.0, 3.0]),
    )
    share = table.split(0.5, 0)[1].coverage()[2]
    on_both = f"on the {share:.0%} that both answer"
    chain = {"small": "small", "big": "big", "threshold": 0.0}
    cascade = explore("cascade", table).picture(**chain).finding
    assert f"as right as big {on_both}" in cascade
    pair = explore("escalate", table.select(models=["small", "big"])).picture().finding
    assert f"as right as big alone {on_both}" in pair
    said = explore("votes", table).picture(members=table.models).finding
    assert "majority: 100.0%" in said and "big (100.0%)" in said and on_both in said


def test_escalate_says_where_the_expensive_model_is_not_graded():
    table = lab.Outcomes(**parts(m=2))
    table = replace(table, correct=np.where([True, False], table.correct, np.nan))
    said = explore("escalate", table).picture().finding
    assert "no answer can be graded beside model 1's" in said and "nan" not in said


def test_shares_are_of_what_was_answered():
    gone = np.arange(40)[:, None] % 4 == np.array([[0, 0, 9]])
    table = lab.Outcomes(**absent(gone))
    said = explore("cascade", table, small="model 0", big="model 1", threshold=1.01)
    _, shown = table.split()
    given_ = 1 - shown.absent[:, 1].mean()
    assert f"right of the {given_:.0%} answered" in said.picture().finding


def test_the_first_view_has_two_models_even_where_the_cheapest_is_the_best():
    free = parts()
    table = lab.Outcomes(**free | {"cost": free["cost"][:, ::-1]})
    state = explore("cascade", table).state()
    assert (state["small"], state["big"]) == ("model 1", "model 2")


def test_a_model_called_none_can_be_asked_between():
    explorer = explore("cascade", lab.Outcomes(**SHAPES["names that controls use"]))
    assert explorer.state()["middle"] == "((none))"
    picture = explorer.picture(small="(none)", middle="none", big="oracle", threshold=1.01)
    answered = [name for name in picture.table() if name.endswith(" answers")]
    assert answered == ["(none) answers", "none answers", "oracle answers"]


# -- policies that do not fit -------------------------------------------------------------------


def test_a_cascade_without_confidence_is_refused_not_shown_as_something_else():
    table = lab.Outcomes(**SHAPES["no confidence"])
    with pytest.raises(ValueError, match="2 stages cannot be shown: .* no confidence"):
        explore(lab.Cascade(("model 0", "model 1"), (0.5,)), table)
    one = explore(lab.Cascade(("model 0",)), lab.Outcomes(**SHAPES["one model"]))
    assert one.state() == {"small": "model 0"}
