"""What every explorer promises: one picture for a state, presets that are whole, a small screen."""

from inspect import signature

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.explorers import explore
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import any_setting, promises_kept, shown, views

MOST_HIGH, MOST_PANELS = 470, 3
MOST_LABEL, MOST_TITLE, MOST_LINE = 34, 30, 110  # characters; titles of presets name their models
WITHOUT = ("condorcet", "ranking", "bagging", "boosting", "stacking", "negative-correlation",
           "distillation", "submodels", "experts", "gan", "engine", "queues", "serving", "split",
           "drafts", "together", "stopping", "bandits", "verifier", "lesions",
           "retrieval")  # fmt: skip


def computing(explorer):
    """The controls that something slow is computed for."""
    return set() if explorer.compute is None else set(signature(explorer.compute).parameters)


def test_presets_are_whole_and_one_of_them_fails(explorer):
    assert any(isinstance(state, Failing) for state in explorer.presets.values())
    for state in views(explorer):
        assert set(state) == {control.name for control in explorer.controls}
        keeps_its_promises(explorer, state)


def keeps_its_promises(explorer, state):
    # The lines of escalate have the names of the task's models.
    promises_kept(explorer, state, named_alike=explorer.name != "escalate")


@settings(max_examples=30, deadline=None)  # the first look at a setting works it out
@given(st.data())
def test_any_state_has_the_same_traces(explorer, data):
    """What is slow is computed for the settings of the start and of the presets only."""
    state, slow = data.draw(st.sampled_from(views(explorer))), computing(explorer)
    free = data.draw(any_setting(c for c in explorer.controls if c.name not in slow))
    keeps_its_promises(explorer, explorer.state(**{**state, **free}))


def test_it_fits_a_small_screen(explorer):
    assert all(len(control.label) <= MOST_LABEL for control in explorer.controls)
    assert all(len(title) <= MOST_TITLE for title in explorer.presets)
    for state in views(explorer):
        picture = explorer.drawn(state)
        assert picture.layout["height"] <= MOST_HIGH
        assert sum(name.startswith("xaxis") for name in picture.layout) <= MOST_PANELS
        assert picture.layout["showlegend"] is False
        lines = picture.finding.split("<br>")
        assert len(lines) <= 2 and max(map(len, lines)) <= MOST_LINE, lines


def states(explorer):
    """The presets, then every option of each control beside the start and beside the presets."""
    ways = views(explorer)
    yield from ways
    for state in ways:
        for control in explorer.controls:
            if control.kind != "many" and control.name not in explorer.missing:
                for option in control.options:
                    yield {**state, control.name: option}


def test_every_task_can_be_done_and_is_not_done_at_the_start(explorer):
    start = explorer.state()
    for task in explorer.tasks:
        assert not task.done(start, explorer.drawn(start)), task.text
        assert any(task.done(state, explorer.drawn(state)) for state in states(explorer)), task.text


def test_other_controls_compute_nothing(explorer):
    if explorer.compute is None:
        pytest.skip("it computes nothing that takes long")
    known = explorer.found(explorer.state())
    others = [c for c in explorer.controls if c.name not in computing(explorer)]
    assert others
    for control in others:
        for option in control.options[:5]:
            assert explorer.found(explorer.state(**{control.name: option})) is known


def test_a_start_that_does_not_fit_is_refused(explorer):
    for wrong in ("colour", "nothing"):
        with pytest.raises(ValueError, match="is not a control of"):
            shown(explorer.name, **{wrong: None})
    with pytest.raises(ValueError, match="is not an option"):
        shown(explorer.name, **{explorer.along: None})
    for control in explorer.controls:
        with pytest.raises(ValueError, match="not an option|give a list|is empty"):
            explorer.state(**{control.name: object()})


@pytest.mark.parametrize("name", WITHOUT)
def test_one_that_shows_a_problem_of_its_own_takes_no_outcomes(name):
    with pytest.raises(ValueError, match="takes no outcomes"):
        explore(name, "mine")
