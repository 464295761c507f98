"""The kit of pictures: panels where they are asked for, meanings drawn alike, labels apart."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_lab.widgets import mosaic as kit
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.labels import BETWEEN, apart
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import borders, listed
from ensemble_lab.widgets.style import BIG, COMBINED, INK, SMALL, TEXT, WRONG
from tests.explorers.test_accessible import TEXT as LEAST
from tests.explorers.test_accessible import contrast

PLAIN = Axes(axis("x", 0, 10), shares("y"))


def drawn(panels, *marks, finding="1 of 2"):
    return panels.picture(marks, finding, lambda: None, "And 3.")


# -- where panels are ---------------------------------------------------------------------------


def test_panels_stand_where_the_text_has_them():
    both = mosaic("map errors / map margins", widths=(2, 1), map=PLAIN, errors=PLAIN, margins=PLAIN)
    tall, upper, lower = both.map, both.errors, both.margins
    assert tall.up == (0, 1) and upper.up[1] == 1 and lower.up[0] == 0
    assert upper.up[0] > lower.up[1] and upper.across == lower.across
    assert tall.across[0] == 0 and upper.across[1] == 1
    wide, narrow = (p.across[1] - p.across[0] for p in (tall, upper))
    assert wide == pytest.approx(2 * narrow)
    gap = both.margins.across[0] - tall.across[1]
    assert gap * kit.WIDTH == pytest.approx(PLAIN.left + PLAIN.right)
    assert [p.number for p in both.panels.values()] == [1, 2, 3]


@pytest.mark.parametrize("text", ["a b / a", "a", "a b c"])
def test_a_text_that_the_panels_do_not_fill_is_refused(text):
    with pytest.raises(ValueError, match=r"\['a', 'b'\] do not fill"):
        mosaic(text, a=PLAIN, b=PLAIN)


def test_a_panel_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="no panel 'eror'; there are error"):
        mosaic("error", error=PLAIN).eror  # noqa: B018


def test_a_picture_has_the_axes_the_finding_and_the_words_once():
    panels = mosaic("a b", a=PLAIN, b=Axes(log_axis("n", [1, 10, 100]), axis("z", -1, 1)))
    picture = drawn(panels, panels.b.curve([1, 10], [0.0, np.nan], SMALL, "c"), finding="a\nb")
    assert picture.layout["xaxis2"]["type"] == "log" and picture.layout["yaxis"]["tickformat"]
    assert picture.layout["height"] == kit.HEIGHT and not picture.layout["showlegend"]
    assert picture.text == "a. b. And 3." and picture.finding == "a<br>b"
    assert picture.traces[0]["xaxis"] == "x2" and picture.traces[0]["y"] == [0.0, None]
    json.dumps([picture.traces, picture.layout], allow_nan=False)


# -- what marks mean ----------------------------------------------------------------------------


def test_colour_dash_and_symbol_follow_from_the_meaning():
    a = mosaic("a", a=PLAIN).a
    for meaning, dash, symbol in ((SMALL, "dot", "circle"), (BIG, "dash", "square")):
        line = a.curve([0, 1], [0, 1], meaning, "line").trace["line"]
        point = a.points([0], [0], meaning, "point").trace["marker"]
        assert (line["color"], line["dash"]) == (meaning, dash)
        assert (point["color"], point["symbol"]) == (meaning, symbol)
    assert all(contrast(words) >= LEAST for words in TEXT.values())


def test_several_runs_are_drawn_as_their_mean_and_spread():
    a = mosaic("a", a=PLAIN).a
    runs = np.array([[0.2, 0.4], [0.4, 0.8]])
    assert a.curve([0, 1], runs, COMBINED, "mean").trace["y"] == pytest.approx([0.3, 0.6])
    here = a.here(1, runs[:, 1], COMBINED).trace
    assert here["y"] == pytest.approx([0.6])
    assert here["error_y"]["array"] == pytest.approx([0.4 / 2**0.5], abs=1e-6)
    assert "error_y" not in a.here(1, 0.6, COMBINED).trace


def test_numbers_are_json():
    odd = [np.float32(0.5), np.int64(3), np.nan, np.inf, "name"]
    assert listed(odd) == [0.5, 3, None, None, "name"]
    assert listed(np.array([[1.0, np.nan]])) == [[1.0, None]]
    assert listed(1 / 3) == pytest.approx(1 / 3) and listed(range(2)) == [0, 1]
    heat = mosaic("a", a=PLAIN).a.heat([[0.5, np.nan]], [0, 1], [0], "h", 0, 1, "Greys").trace
    assert heat["z"] == [[0.5, None]] and json.dumps(heat, allow_nan=False)


def test_borders_part_what_is_in_from_what_is_out():
    inside = np.zeros((3, 4), bool)
    inside[1, 1:3] = True
    x, y = borders(inside, np.arange(5.0), np.arange(4.0))
    lines = set(zip(zip(x[::3], y[::3]), zip(x[1::3], y[1::3])))
    assert set(x[2::3]) == set(y[2::3]) == {None}
    assert lines == {((1, 1), (1, 2)), ((3, 1), (3, 2)), ((1, 1), (3, 1)), ((1, 2), (3, 2))}
    assert borders(np.ones((3, 4), bool), np.arange(5.0), np.arange(4.0)) == ([], [])


# -- the words beside them ----------------------------------------------------------------------


def test_a_line_is_named_at_its_end_in_a_darker_shade():
    panels = mosaic("a", a=PLAIN)
    a = panels.a
    rows = drawn(panels, a.curve([0, 10], [0, 0.5], COMBINED, "new <rows>"))
    (note,) = rows.layout["annotations"]
    assert note["text"] == "new &lt;rows&gt;"
    assert note["x"] == 1 and note["y"] == pytest.approx(0.5)
    assert note["font"]["color"] == TEXT[COMBINED] != COMBINED
    silent = drawn(panels, a.curve([0, 10], [0, 1], SMALL, "c", label=""),
                   a.curve([0, 10], [np.nan, np.nan], BIG, "unknown"))  # fmt: skip
    assert silent.layout["annotations"] == []


def test_a_key_stands_over_its_panel_after_the_title():
    titled = Axes(axis("x", 0, 10), shares("y"), "Errors")
    panels = mosaic("a b", a=titled, b=PLAIN)
    marks = [panels.a.points([1], [0.5], WRONG, "wrong"), panels.b.points([1], [0.5], INK, "seen")]
    title, key, other = drawn(panels, *marks).layout["annotations"]
    assert [title["text"], key["text"], other["text"]] == ["Errors", "✕ wrong", "○ seen"]
    assert title["x"] == key["x"] == 0 < other["x"] and title["xshift"] < key["xshift"]


def test_labels_of_close_ends_do_not_lie_on_each_other():
    panels = mosaic("a", a=PLAIN)
    ends = [0.5, 0.501, 0.502, 0.0, 1.0]
    marks = [panels.a.curve([0, 10], [0, e], SMALL, str(i)) for i, e in enumerate(ends)]
    heights = sorted(note["y"] for note in drawn(panels, *marks).layout["annotations"])
    assert np.diff(heights).min() * panels._inner >= BETWEEN - 1e-6


@given(st.lists(st.floats(-50, 350), max_size=12))
def test_heights_are_apart_in_order_and_within(wanted):
    found = apart(wanted, 300)
    assert len(found) == len(wanted)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(np.array(found)[order]) >= BETWEEN - 1e-6).all()
    assert all(-1e-6 <= height <= 300 + 1e-6 for height in found)
    for i, place in enumerate(wanted):
        others = wanted[:i] + wanted[i + 1 :]
        lonely = all(abs(place - other) > BETWEEN * len(wanted) for other in others)
        if lonely and 20 < place < 280:
            assert found[i] == pytest.approx(place)  # who is in nobody's way stays
