"""The first look at a cascade: its numbers are those of `Cascade`, and it fails where it should."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers.answers.escalated import LEVEL, TASKS, pair_of, recorded_task
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.still import still
from tests.support.any_state import named, promises_kept
from tests.support.strategies import outcomes


def recorded(name):
    """The two models of a task, as they were recorded."""
    table, *models = TASKS[name]
    return lab.load_outcomes(table).select(models=models)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("share", [0, 17, 63, 100])
def test_the_numbers_are_those_of_a_cascade(shown, name, share):
    table = shown.table(share=share, task=name)
    models = recorded(name).models
    fit, half = recorded(name).split(0.5, seed=0)
    level = {0: 0.0, 100: 1.01}.get(share, float(np.quantile(fit.confidence[:, 0], share / 100)))
    decision = lab.Cascade(models, (level,)).decide(half)
    row = table.loc[share]
    assert row["accuracy"] == pytest.approx(decision.accuracy)
    assert row["USD per 10,000"] == pytest.approx(1e4 * decision.mean_cost)
    assert row["sent on (%)"] == pytest.approx(100 * decision.called[:, 1].mean())
    gain = 100 * (decision.accuracy - half.accuracy()[1])
    assert row["points"] == pytest.approx(gain)
    assert f"{decision.accuracy:.1%}" in shown.picture(share=share, task=name).text


def test_the_slider_sends_on_about_as_many_as_it_says(shown):
    table = shown.table()
    assert (table["sent on (%)"] - table.index).abs().max() < 1.5  # thresholds are of other rows


def test_two_tasks_pay_and_one_does_not(shown):
    """What the notebook tells, from the recordings themselves."""
    alone = {name: recorded_task(name).accuracy[1] for name in TASKS}
    digits, faces, reviews = (shown.table(task=name) for name in TASKS)
    assert digits.loc[20, "accuracy"] > alone["spoken digits"]
    assert faces.loc[65, "points"] > 0.5 and faces.loc[65, "USD per 10,000"] < 7
    assert reviews.loc[90, "accuracy"] < alone["film reviews"]
    assert "points short of Google alone" in shown.picture(share=90, task="film reviews").finding
    assert "better than Microsoft alone" in shown.picture(share=65, task="faces").finding
    failing = [name for name, state in shown.presets.items() if isinstance(state, Failing)]
    assert failing == ["film reviews"] and list(shown.presets) == list(TASKS)
    assert shown.preset("faces", shown.state(share=40))["share"] == 40  # the slider stays


def test_no_other_model_of_the_table_beats_a_pair_that_is_shown_to_pay(shown):
    """As right for less would be a better buy than the pair; each is drawn or named."""
    for name, state in shown.presets.items():
        table, small, big = TASKS[name]
        _, half = lab.load_outcomes(table).split(0.5, seed=0)
        rows = shown.table(task=name)
        pair = rows.loc[rows["points"].gt(-LEVEL).idxmax()]
        others = [j for j, model in enumerate(half.models) if model not in (small, big)]
        better = [
            j for j in others
            if half.accuracy()[j] >= pair["accuracy"]
            and 1e4 * half.cost[:, j].mean() <= pair["USD per 10,000"]
        ]  # fmt: skip
        assert not better or isinstance(state, Failing)
        text = shown.picture(task=name).text
        assert all(f"{half.models[j]} alone {half.accuracy()[j]:.1%}" in text for j in others)


def test_single_models_stand_where_the_pair_costs_as_much(shown):
    """By hand: IBM's 25 USD are what the pair costs at (25 - 0.02) / 41 = 60.9 %."""
    drawn = named(shown.picture())
    assert drawn["other models by their price"]["x"] == [pytest.approx(60.93, abs=0.01)]
    notes = [note["text"] for note in shown.picture().layout["annotations"]]
    assert "IBM alone 98.3%, 25 USD" in notes  # Google is more expensive than all that can be drawn
    assert "Face++ alone" in str(shown.picture(task="faces").layout["annotations"])


def test_everything_sent_on_costs_more_than_the_expensive_model(shown):
    for name in TASKS:
        price = recorded_task(name).price
        assert shown.table(task=name).loc[100, "USD per 10,000"] == pytest.approx(price.sum())
        assert "100% of" not in shown.picture(task=name, share=100).finding


def test_the_way_is_drawn_as_far_as_it_was_dragged(shown):
    assert named(shown.picture(share=30))["so far"]["x"] == list(range(31))
    assert len({shown.picture(share=share).finding for share in range(101)}) == 101
    assert "drag" in shown.picture().finding and "drag" not in shown.picture(share=1).finding


def test_a_report_opens_where_it_is_as_right(shown):
    share = shown.opens["share"]
    points = shown.table()["points"]
    assert 10 < share < 20 and points[share] > -LEVEL >= points[: share - 1].max()
    assert "short of" in shown.picture(share=share - 1).finding
    assert "as right as Microsoft alone" in shown.picture(**shown.opens).finding
    assert still(shown)["layout"]["sliders"][0]["active"] > 0
    assert not lab.explore("escalate", share=50).opens  # the reader has chosen


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_two_models_can_be_shown(data):
    own = data.draw(outcomes(min_items=4, max_items=40, min_models=2, max_models=2))
    if np.isnan(own.confidence[:, 0]).all() or np.isnan(own.cost[:, 0]).all():
        with pytest.raises(ValueError, match="needs the cheap model's"):
            lab.explore("escalate", own)
        return
    view = lab.explore("escalate", own)
    assert len(view.controls[1].options) == 1 and not view.presets
    for share in (0, 50, 100):
        assert "nan" not in promises_kept(view, view.state(share=share)).text
    assert view.table().loc[100, "sent on (%)"] == 100


def test_what_cannot_be_shown_is_refused_with_the_fix():
    three = lab.load_outcomes("imdb-services")
    with pytest.raises(ValueError, match=r"two models.*not 4: outcomes.select"):
        lab.explore("escalate", three)
    with pytest.raises(ValueError, match="3 items are too few"):
        lab.explore("escalate", recorded("faces").select(items=recorded("faces").items[:3]))
    both = three.select(models=["Vader", "Google"])
    for name in ("confidence", "cost"):
        parts = {"models": both.models, "items": both.items, "correct": both.correct}
        kept = {k: getattr(both, k) for k in ("confidence", "cost") if k != name}
        with pytest.raises(ValueError, match=f"needs the cheap model's {name}"):
            lab.explore("escalate", lab.Outcomes(**parts, **kept))
    assert pair_of(three, lab.Cascade(("Vader", "Google"), (0.5,))).models == ("Vader", "Google")


def test_the_first_figure_needs_nothing_heavy():
    """Neither torch nor transformers nor scikit-learn stand between a reader and the figure."""
    code = (
        "import sys, ensemble_lab as lab; lab.explore('escalate')._repr_mimebundle_();"
        "print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
