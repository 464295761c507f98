"""A figure as SVG: the same words, lines at the places that their axes say, nothing let through."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ensemble_lab.explorers import explore
from ensemble_lab.explorers.explore import EXPLORERS
from ensemble_lab.reports.vector import Axis, nice, svg
from ensemble_lab.widgets.plain import unescaped
from ensemble_lab.widgets.still import plain_figure
from tests.explorers.test_accessible import shown

SPACE = "{http://www.w3.org/2000/svg}"


def parsed(figure):
    return ET.fromstring(svg(figure))


def figure(*traces, **layout):
    margin = {"l": 40, "r": 0, "t": 0, "b": 100}
    axes = {"xaxis": {"range": [0, 10]}, "yaxis": {"range": [0, 1]}}
    return {"data": traces, "layout": {"height": 300, "margin": margin, **axes, **layout}}


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_explorer_is_drawn_with_its_words(name):
    explorer = shown(name)
    for state in (explorer.state(), *map(explorer.preset, list(explorer.presets)[:2])):
        whole = plain_figure(explorer.drawn(state))
        drawing = parsed(whole)
        words = [text.text for text in drawing.iter(f"{SPACE}text")]
        for line in whole["layout"]["title"]["text"].split("<br>"):
            assert unescaped(line) in words
        for note in whole["layout"].get("annotations", ()):
            for line in note["text"].split("<br>"):
                assert unescaped(line) in words
        assert "nan" not in svg(whole).replace("unanswered", "")
        bare = len(svg({**whole, "data": []}))
        for trace in whole["data"]:
            if any(value is not None for value in trace["x"]) and trace.get("y"):
                assert len(svg({**whole, "data": [trace]})) > bare, trace["name"]


def test_lines_and_marks_stand_where_their_axes_say():
    line = {"type": "scatter", "mode": "lines", "x": [0, 10, None, 5], "y": [0, 1, 1, 0.5]}
    point = {"type": "scatter", "mode": "markers", "x": [5], "y": [0.5], "marker": {"size": 8}}
    bars = {"type": "bar", "x": [5], "y": [0.5], "base": 0.25, "width": 2}
    drawing = parsed(figure(line, point, bars))
    points = [shape.get("points") for shape in drawing.iter(f"{SPACE}polyline")]
    assert points == ["40.0,200.0 840.0,0.0", "440.0,100.0"]  # None parts one from the next
    circle = next(drawing.iter(f"{SPACE}circle"))
    assert [circle.get(key) for key in ("cx", "cy", "r")] == ["440", "100", "4"]
    bar = next(drawing.iter(f"{SPACE}rect"))
    assert [bar.get(key) for key in ("x", "y", "width", "height")] == ["360", "50", "160", "100"]


def test_a_figure_of_arrays_and_a_note_without_a_reference():
    values = {"x": np.array([5.0]), "y": np.array([0.5])}
    error = {"array": np.array([0.25])}
    trace = {"type": "scatter", "mode": "markers", **values, "error_y": error}
    note = {"x": 5, "y": 0.5, "text": "here", "showarrow": False}
    drawing = parsed(figure(trace, annotations=[note]))
    line = next(shape for shape in drawing.iter(f"{SPACE}line") if shape.get("y1") == "150")
    assert [line.get(key) for key in ("x1", "x2", "y2")] == ["440", "440", "50"]
    words = next(text for text in drawing.iter(f"{SPACE}text") if text.text == "here")
    assert words.get("x") == "440"


def test_a_label_with_an_arrow_stands_where_its_arrow_begins():
    trace = {"type": "scatter", "mode": "markers", "x": [5.0], "y": [0.5]}  # at (440, 100)
    note = {"x": 5, "y": 0.5, "text": "here", "ax": 40, "ay": -30, "standoff": 5}
    drawing = parsed(figure(trace, annotations=[note | {"bgcolor": "#ABCDEF"}]))
    words = next(text for text in drawing.iter(f"{SPACE}text") if text.text == "here")
    assert words.get("x") == "480" and 70 < float(words.get("y")) < 76
    behind = next(box for box in drawing.iter(f"{SPACE}rect") if box.get("fill") == "#ABCDEF")
    assert float(behind.get("x")) + float(behind.get("width")) / 2 == pytest.approx(480, abs=0.1)
    ends = [[float(line.get(key)) for key in ("x1", "y1", "x2", "y2")]
            for line in drawing.iter(f"{SPACE}line")]  # fmt: skip
    assert [480, 70, 444, 97] in ends  # 5 of its 50 pixels are left out


def test_steps_and_filled_areas():
    steps = {"type": "scatter", "mode": "lines", "x": [0, 5, 10], "y": [0, 0.5, 1]}
    area = {
        **steps,
        "x": [0, 5, None, 10],
        "y": [0, 0.5, 1, 1],
        "fill": "tozeroy",
        "fillcolor": "#D6E8F5",
    }
    drawing = parsed(figure({**steps, "line": {"shape": "hv"}}, area))
    corners = "40.0,200.0 440.0,200.0 440.0,100.0 840.0,100.0 840.0,0.0"
    assert next(drawing.iter(f"{SPACE}polyline")).get("points") == corners
    first, second = drawing.iter(f"{SPACE}polygon")
    assert first.get("points") == "40.0,200.0 40.0,200.0 440.0,100.0 440.0,200.0"
    assert second.get("points") == "840.0,200.0 840.0,0.0 840.0,200.0"
    assert first.get("fill") == "#D6E8F5"


def test_a_logarithmic_axis_and_names_have_their_places():
    log = Axis({"type": "log", "range": [0, 2]}, 0, 100)
    assert log.place(10) == 50 and math.isnan(log.place(0)) and math.isnan(log.place(None))
    names = Axis({"type": "category", "categoryarray": ["a", "b"], "range": [-0.5, 1.5]}, 0, 100)
    assert names.place("b") == 75 and math.isnan(names.place("c"))
    assert nice(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1] and nice(3, 3)


def test_cells_of_one_tone_are_one_box_and_unknown_ones_none():
    heat = {"type": "heatmap", "x": [1, 2, 3, 4], "y": [0.2, 0.4], "zmin": 0, "zmax": 1,
            "colorscale": [[0, "#ffffff"], [1, "#000000"]],
            "z": [[0, 0, 1, 1], [None, 0, 0, 0]]}  # fmt: skip
    boxes = list(parsed(figure(heat)).iter(f"{SPACE}rect"))
    assert [box.get("fill") for box in boxes] == ["rgb(255, 255, 255)", "rgb(0, 0, 0)",
                                                  "rgb(255, 255, 255)"]  # fmt: skip


def test_axes_without_a_range_have_that_of_their_numbers():
    line = {"type": "scatter", "x": [0, 100], "y": [1, 3]}
    drawing = parsed({"data": [line], "layout": {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}}})
    assert next(drawing.iter(f"{SPACE}polyline")) is not None


def test_nothing_of_a_strangers_figure_becomes_markup():
    evil = '"><script>alert(1)</script>'
    line = {"type": "scatter", "mode": "lines+markers+text", "x": [1, 2], "y": [0, 1],
            "text": [evil, evil], "opacity": evil, "line": {"color": evil, "width": evil},
            "marker": {"color": evil, "symbol": evil, "opacity": evil}}  # fmt: skip
    note = {"x": 1, "y": 0, "xref": "x", "yref": "y", "text": evil, "font": {"color": evil}}
    title = {"text": evil}
    drawing = svg(figure(line, annotations=[note], title=title))
    assert "<script" not in drawing
    kinds = {element.tag.removeprefix(SPACE) for element in ET.fromstring(drawing).iter()}
    assert kinds <= {"svg", "text", "line", "polyline", "circle", "rect", "polygon"}


def test_a_page_shows_the_picture_where_no_script_runs(tmp_path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    from ensemble_lab.reports.page import write_page

    whole = plain_figure(explore("condorcet").picture())
    data = {"application/vnd.plotly.v1+json": whole}
    cell = new_code_cell("1", outputs=[new_output("display_data", data)])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    assert write_page(tmp_path / "a.ipynb") == []
    page = (tmp_path / "a.html").read_text()
    still = page[page.index("<noscript>") : page.index("</noscript>")]
    assert "<svg" in still and unescaped(whole["layout"]["title"]["text"].split("<br>")[0]) in still


PLAIN = {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "height": 100}


def boxes_of(*traces, **layout):
    drawing = parsed({"data": list(traces), "layout": {**PLAIN, **layout}})
    boxes = drawing.iter(f"{SPACE}rect")
    return [tuple(float(box.get(side)) for side in ("x", "y", "width", "height")) for box in boxes]


def test_bars_at_the_same_places_stand_side_by_side():
    first = {"type": "bar", "x": ["a", "b"], "y": [1, 2]}
    boxes = boxes_of(first, {**first, "y": [2, 1]})
    # Two names on 840 pixels: 420 each, of which each of two bars takes 0.4.
    assert [x for x, *_ in boxes] == [42, 462, 210, 630]
    assert {width for _, _, width, _ in boxes} == {168}
    over = boxes_of(first, {**first, "y": [2, 1]}, barmode="overlay")
    assert [(x, width) for x, _, width, _ in over] == 2 * [(42, 336), (462, 336)]
    apart = boxes_of({**first, "x": ["a"], "y": [1]}, {**first, "x": ["b"], "y": [1]})
    assert [(x, width) for x, _, width, _ in apart] == [(42, 336), (462, 336)]
    lying = boxes_of({"type": "bar", "orientation": "h", "y": ["a", "b"], "x": [1, 2]})
    assert [height for *_, height in lying] == [40, 40]


def test_an_axis_has_the_ground_and_the_width_of_its_bars():
    (x, y, width, height), *_ = boxes_of({"type": "bar", "x": [1, 2], "y": [10, 12]})
    assert x >= 0 and 0 < width and y >= 0 and y + height <= 100
    assert height > 60  # it begins at 0, not at 10


def test_names_have_their_places_where_no_range_is_given():
    heat = {"type": "heatmap", "x": ["a", "b"], "y": ["c", "d"], "z": [[0, 1], [1, 0]],
            "colorscale": [[0, "white"], [1, "#222222"]]}  # fmt: skip
    assert len(boxes_of(heat)) == 4
    up = boxes_of(heat)[0][1]
    assert boxes_of(heat, yaxis={"autorange": "reversed"})[0][1] != up
    texts = [t.text for t in parsed({"data": [heat], "layout": PLAIN}).iter(f"{SPACE}text")]
    assert set("abcd") <= set(texts)


def test_points_without_places_count_from_zero():
    line = {"type": "scatter", "mode": "lines"}
    layout = {**PLAIN, "xaxis": {"range": [0, 2]}, "yaxis": {"range": [0, 10]}}
    made = [svg({"data": [{**line, **places}], "layout": layout}) for places in
            ({"y": [0, 5, 10]}, {"x": [0, 1, 2], "y": [0, 5, 10]})]  # fmt: skip
    assert made[0] == made[1] and "polyline" in made[0]


def test_ticks_may_be_packed_and_an_unknown_trace_is_not_a_fault():
    packed = {"bdata": "AQACAA==", "dtype": "i2"}  # 1 and 2
    axis = Axis({"range": [0, 4], "tickvals": packed}, 0, 100)
    assert list(axis.ticks()) == [(25, "1"), (50, "2")]
    unknown = {"type": "scatter", "x": [None], "y": [None]}
    assert svg(figure(unknown), strict=True).startswith("<svg")


def test_names_of_traces_are_shown_where_plotly_has_a_legend():
    lines = [{"type": "scatter", "x": [0, 1], "y": [0, 1], "name": name, "line": {"color": colour}}
             for name, colour in (("up", "#111111"), ("<b>&lt;</b>", "#222222"))]  # fmt: skip
    drawing = parsed({"data": lines, "layout": PLAIN})
    assert {"up", "<"} <= {text.text for text in drawing.iter(f"{SPACE}text")}
    assert [box.get("fill") for box in drawing.iter(f"{SPACE}rect")] == ["#111111", "#222222"]
    for data, layout in ((lines[:1], PLAIN), (lines, {**PLAIN, "showlegend": False})):
        assert list(parsed({"data": data, "layout": layout}).iter(f"{SPACE}rect")) == []
    assert boxes_of({**lines[0], "showlegend": False}, lines[1])[0][0] == 0


def test_turned_names_of_an_axis_end_at_their_place():
    bar = {"type": "bar", "x": ["a long name", "b"], "y": [1, 2]}
    drawing = parsed({"data": [bar], "layout": {**PLAIN, "xaxis": {"tickangle": -60}}})
    name = next(text for text in drawing.iter(f"{SPACE}text") if text.text == "a long name")
    assert name.get("transform").startswith("rotate(-60 210.0") and name.get("text-anchor") == "end"
