"""What every explorer promises: one picture for a state, presets that are whole, a small screen."""

from inspect import signature

import pytest

from ensemble_lab.explorers.explore import EXPLORERS
from ensemble_lab.widgets.explorer import Failing
from tests.explorers.test_accessible import TABLES, shown
from tests.support.any_state import promises_kept

MOST_HIGH, MOST_PANELS = 470, 3
MOST_LABEL, MOST_TITLE, MOST_LINE = 34, 30, 110  # characters; titles of presets name their models
each = pytest.mark.parametrize("name", EXPLORERS)


@pytest.fixture(scope="module", params=EXPLORERS)
def explorer(request):
    return shown(request.param)


def test_presets_are_whole_and_one_of_them_fails(explorer):
    assert any(isinstance(state, Failing) for state in explorer.presets.values())
    for title in explorer.presets:
        state = explorer.preset(title)
        assert set(state) == {control.name for control in explorer.controls}
        # The lines of escalate have the names of the task's models.
        promises_kept(explorer, state, named_alike=explorer.name != "escalate")


def test_it_fits_a_small_screen(explorer):
    assert all(len(control.label) <= MOST_LABEL for control in explorer.controls)
    assert all(len(title) <= MOST_TITLE for title in explorer.presets)
    for state in (explorer.state(), *map(explorer.preset, explorer.presets)):
        picture = explorer.drawn(state)
        assert picture.layout["height"] <= MOST_HIGH
        assert sum(name.startswith("xaxis") for name in picture.layout) <= MOST_PANELS
        assert picture.layout["showlegend"] is False
        lines = picture.finding.split("<br>")
        assert len(lines) <= 2 and max(map(len, lines)) <= MOST_LINE, lines


def states(explorer):
    """The presets, then every option of each control beside the start and beside the presets."""
    ways = [explorer.state(), *map(explorer.preset, explorer.presets)]
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
    others = {c.name for c in explorer.controls} - set(signature(explorer.compute).parameters)
    assert others
    for control in (c for c in explorer.controls if c.name in others):
        for option in control.options[:5]:
            assert explorer.found(explorer.state(**{control.name: option})) is known


@each
@pytest.mark.parametrize("wrong", [{"colour": 1}, {"nothing": None}])
def test_a_control_that_it_has_not_is_refused(name, wrong):
    import ensemble_lab as lab

    table = (lab.load_outcomes(TABLES[name]),) if name in TABLES else ()
    with pytest.raises(ValueError, match="is not a control of"):
        lab.explore(name, *table, **wrong)


def test_a_value_that_a_control_does_not_take_is_refused(explorer):
    for control in explorer.controls:
        with pytest.raises(ValueError, match="not an option|give a list|is empty"):
            explorer.state(**{control.name: object()})
