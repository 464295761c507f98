"""Readable by everybody: contrast to WCAG 2.1 AA, a shape beside each colour, words and a table.

Only decoration is let off: grid lines repeat what the axes' numbers say, and the white
rim of a marker parts it from what lies under it. A heat map's neighbouring tones cannot all be
3:1 apart; its scale runs from light to dark alone, a frame bounds its pale cells, it carries no
text, and what it shows is in the words and the table. A scale that diverges is light in its middle
and runs to dark on both sides: there contours with their values tell the sides apart.
"""

import re
from itertools import combinations

import numpy as np
import pytest
from ipywidgets import HTML

from ensemble_lab.widgets.folds import Folds
from ensemble_lab.widgets.predict_curve import PredictCurve
from ensemble_lab.widgets.still import flat, still
from tests.support.any_state import applied, shown, views

GRAPHICS, TEXT, LARGE = 3.0, 4.5, 3.0  # 1.4.11, 1.4.3 and its large text
LARGE_PIXELS = 24  # 18 points
NAMED = {"white": (1, 1, 1), "black": (0, 0, 0)}
THREE = {"small": "CNN", "middle": "Face++", "big": "Microsoft", "threshold": 0.9}


# -- WCAG's arithmetic --------------------------------------------------------------------------


def rgb(colour):
    """(red, green, blue) in 0 to 1 of a name or #RRGGBB."""
    if colour in NAMED:
        return NAMED[colour]
    assert re.fullmatch("#[0-9A-Fa-f]{6}", str(colour)), f"no colour set: {colour!r}"
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def luminance(channels):
    """Relative luminance; the constants are WCAG's."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def contrast(colour, ground="white", opacity=1.0):
    """Contrast ratio, 1 to 21, of a colour laid over a ground."""
    above, below = rgb(colour), rgb(ground)
    mixed = [opacity * a + (1 - opacity) * b for a, b in zip(above, below, strict=True)]
    light, dark = sorted((luminance(mixed), luminance(below)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_arithmetic_is_that_of_the_standard():
    assert contrast("black") == pytest.approx(21) and contrast("white") == 1
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)  # the lightest grey for text
    assert contrast("black", opacity=0.0) == 1


# -- what a figure draws ------------------------------------------------------------------------


def visible(fill, outline, opacity=1.0):
    """Contrast of a mark: of its fill or of a rim around it, whichever can be seen better."""
    seen = [contrast(fill, opacity=opacity)]
    if outline.get("width", 0) >= 1 and outline.get("color") is not None:
        seen.append(contrast(outline["color"], opacity=opacity))
    return max(seen)


def marks(trace):
    """(what, contrast to white) of everything that a trace draws."""
    name, opacity = trace.get("name", trace["type"]), trace.get("opacity", 1)
    for error in ("error_x", "error_y"):
        if error in trace:
            yield f"{name}: {error}", contrast(trace[error].get("color"))
    if trace["type"] == "heatmap":
        return
    assert trace["type"] in ("scatter", "bar"), f"say here how {trace['type']} is drawn"
    mode = trace.get("mode", "lines") if trace["type"] == "scatter" else "markers"
    if "lines" in mode:
        yield f"{name}: line", contrast(trace.get("line", {}).get("color"), opacity=opacity)
    if "markers" in mode:
        mark = trace.get("marker", {})
        colour, through = mark.get("color"), opacity * mark.get("opacity", 1)
        yield f"{name}: {colour}", visible(colour, mark.get("line", {}), through)


def texts(figure):
    """(what, contrast, least) of every text, on its ground."""
    layout = figure["layout"]
    yield "text", contrast(layout["font"].get("color")), TEXT
    for part in (layout, *figure["data"]):
        for path, value in flat(part).items():
            if path.startswith("template.data"):
                continue  # defaults for other kinds of traces
            if "font" in path and path.endswith("color"):
                size = flat(part).get(path.replace("color", "size"), 0) or 0
                yield path, contrast(value), LARGE if size >= LARGE_PIXELS else TEXT
    for note in layout.get("annotations", ()):
        ink = note["font"].get("color", layout["font"]["color"])
        yield note["text"], contrast(ink, note.get("bgcolor", "white")), TEXT
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert not any("text" in bar for bar in bars), "say here what ground that text is on"


def pale(figure):
    """What in a figure has too little contrast."""
    found = [f"{what} {ratio:.2f}" for t in figure["data"] for what, ratio in marks(t)
             if ratio < GRAPHICS]  # fmt: skip
    return found + [f"{what} {ratio:.2f}" for what, ratio, least in texts(figure) if ratio < least]


def shape(trace):
    """What tells a trace from another without its colour."""
    if trace["type"] == "bar":
        pattern = trace["marker"].get("pattern", {}).get("shape", "")
        return "bar", str(pattern), trace.get("width")
    if trace["type"] == "heatmap":
        return ("heat map",)
    if "lines" in trace.get("mode", "lines"):
        return "line", trace["line"].get("dash", "solid")
    return "marker", trace["marker"].get("symbol", "circle")


def look_alike(figure):
    """Pairs of traces of one subplot that differ in nothing but their colour."""
    return [
        (one.get("name"), other.get("name"))
        for one, other in combinations(figure["data"], 2)
        if one.get("xaxis") == other.get("xaxis") and shape(one) == shape(other)
    ]


# -- the explorers ------------------------------------------------------------------------------


def states(explorer):
    """The default, every preset and, of a cascade, one of three stages."""
    return [*views(explorer), *([THREE] if explorer.name == "cascade" else [])]


def drawn(explorer, state):
    """The figure of a state as plain dicts."""
    return explorer.figure(**state).to_plotly_json()


@pytest.mark.slow
def test_colours_and_text_can_be_seen(explorer):
    for state in states(explorer):
        figure = drawn(explorer, state)
        template = figure["layout"]["template"]["layout"]
        assert template["paper_bgcolor"] == template["plot_bgcolor"] == "white"
        assert pale(figure) == [], state


def test_a_shape_stands_beside_each_colour(explorer):
    for state in states(explorer):
        assert look_alike(drawn(explorer, state)) == [], state


def test_every_step_of_the_still_figure_can_be_seen(explorer):
    figure = still(explorer)
    (slider,) = figure["layout"]["sliders"]
    assert contrast(slider["bordercolor"]) >= GRAPHICS  # of rail and grip
    assert len(slider["steps"]) >= 10
    for step in slider["steps"]:
        left = applied(figure, step)
        assert pale(left) == [] and look_alike(left) == []


def test_words_and_numbers_stand_beside_each_picture(explorer):
    for state in states(explorer):
        picture = explorer.picture(**state)
        numbers = re.findall(r"\d[\d.,]*\d|\d", picture.finding)
        assert numbers and all(number in picture.text for number in numbers), state
        table = picture.table()
        assert len(table) > 0 and table.select_dtypes("number").notna().any(axis=None)


def test_a_heat_map_works_without_hue_and_carries_no_text():
    figure = shown("votes").figure()
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    light = [luminance(rgb(colour)) for _, colour in heat.colorscale]
    assert all(np.diff(light) < 0)  # from light to dark
    assert heat.text is None and heat.texttemplate is None
    for axis in (figure.layout[f"{letter}axis{heat.xaxis[1:]}"] for letter in "xy"):
        assert axis.showline and axis.mirror and contrast(axis.linecolor) >= GRAPHICS


def test_a_diverging_map_is_light_in_its_middle_and_its_contours_carry_the_values():
    explorer = shown("speedup")
    for state in states(explorer):
        figure = explorer.figure(**state)
        heat, *others = (trace for trace in figure.data if trace.xaxis == "x")
        tones = [colour for _, colour in heat.colorscale]
        light = [luminance(rgb(colour)) for colour in tones]
        middle = light.index(max(light))
        assert heat.zmin == -heat.zmax and heat.colorscale[middle][0] == 0.5
        assert all(np.diff(light[: middle + 1]) > 0) and all(np.diff(light[middle:]) < 0)
        assert heat.text is None and heat.texttemplate is None
        lines = [trace.line for trace in others if trace.mode == "lines"]
        assert lines
        assert all(contrast(line.color, tone) >= GRAPHICS for line in lines for tone in tones)
        notes = [note for note in figure.layout.annotations if note.text.endswith("×")]
        assert "1 ×" in [note.text for note in notes]
        assert all(contrast(note.font.color, tone) >= TEXT for note in notes for tone in tones)
        for axis in (figure.layout.xaxis, figure.layout.yaxis):
            assert axis.showline and axis.mirror and contrast(axis.linecolor) >= GRAPHICS


def test_a_guessed_curve_can_be_seen():
    guess = PredictCurve("How?", (0, 1, 2), truth=[0.1, 0.5, 1.0])
    guess.value = [0.5, 0.5, 0.5]
    figure = guess.compare().to_plotly_json()
    assert len(figure["data"]) == 2 and pale(figure) == [] and look_alike(figure) == []
    assert guess.table()["your guess"].tolist() == [0.5] * 3


def test_one_part_is_unfolded_at_a_time():
    folds = Folds({"Table": HTML(), "State": HTML()})
    table, state = folds.titles
    for pressed, opened in ((table, 0), (state, 1), (state, None)):
        pressed.value = not pressed.value
        assert folds.selected_index == opened
        shown = [part.layout.display == "flex" for part in folds.parts]
        assert shown == [title.value for title in folds.titles] == [opened == 0, opened == 1]


# -- the checks above can fail ------------------------------------------------------------------


def planted(**changes):
    """A figure of two lines and a bar that passes, with `changes` to its parts."""
    parts = {
        "line": {"color": "#0072B2", "dash": "solid"},
        "bar": {"color": "#56B4E9", "line": {"color": "#222222", "width": 1}},
        "note": {"color": "#222222"},
    } | changes
    other = {"color": "#D55E00", "dash": "dash"}
    return {
        "data": [
            {"type": "scatter", "mode": "lines", "name": "one", "line": parts["line"]},
            {"type": "scatter", "mode": "lines", "name": "other", "line": other},
            {"type": "bar", "marker": parts["bar"]},
        ],
        "layout": {
            "font": {"color": "#222222"},
            "annotations": [{"text": "note", "font": parts["note"]}],
        },
    }


def test_planted_faults_are_found():
    assert pale(planted()) == [] and look_alike(planted()) == []
    assert pale(planted(line={"color": "#56B4E9"})) == ["one: line 2.31"]
    assert pale(planted(bar={"color": "#56B4E9"})) == ["bar: #56B4E9 2.31"]
    assert len(pale(planted(bar={"color": "#666666", "opacity": 0.6}))) == 1
    assert pale(planted(note={"color": "#999999"})) == ["note 2.85"]
    same = look_alike(planted(line={"color": "#0072B2", "dash": "dash"}))
    assert same == [("one", "other")]
    with pytest.raises(AssertionError, match="no colour set"):
        pale(planted(line={}))  # plotly's own colours
