"""Figures of a run notebook: a file each, drawn as on the page, and refused where there is none."""

import json
import shutil
import struct
import xml.etree.ElementTree as ET

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ensemble_lab.cli import main
from ensemble_lab.explorers import explore
from ensemble_lab.reports import figures
from ensemble_lab.reports.page import PLOTLY
from ensemble_lab.widgets.still import plain_figure

SPACE = "{http://www.w3.org/2000/svg}"
TITLE = "a < b & c"


def shown(figure):
    return new_code_cell("figure", outputs=[new_output("display_data", {PLOTLY: figure})])


def line(**layout):
    margin = {"l": 40, "r": 0, "t": 0, "b": 40}
    data = [{"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1]}]
    return {"data": data, "layout": {"margin": margin, "title": {"text": TITLE}, **layout}}


def saved(path, *cells):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Title"), *cells]), path)
    return str(path)


def test_each_figure_is_a_drawing_of_its_own(tmp_path, capsys):
    explored = plain_figure(explore("condorcet").picture())
    path = saved(tmp_path / "05_two.ipynb", shown(line()), new_code_cell("x"), shown(explored))
    assert main(["figures", path, "--out", str(tmp_path / "out")]) == 0
    names = ["05_two_01.svg", "05_two_02.svg"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]
    first, second = (ET.parse(tmp_path / "out" / name).getroot() for name in names)
    assert first.tag == second.tag == f"{SPACE}svg"
    assert [ground.get("fill") for ground in list(first)[:1]] == ["white"]
    assert TITLE in [text.text for text in first.iter(f"{SPACE}text")]
    assert len(list(first.iter(f"{SPACE}polyline"))) == 1
    assert len(list(second.iter(f"{SPACE}text"))) > 5


def test_a_figure_of_plotly_is_drawn(tmp_path):
    figure = go.Figure(go.Bar(x=[1, 2], y=[3, 4])).update_layout(margin=dict(l=9, r=9, t=9, b=9))
    path = saved(tmp_path / "a.ipynb", shown(figure.to_plotly_json()))
    assert main(["figures", path, "--out", str(tmp_path / "out")]) == 0
    drawing = ET.parse(tmp_path / "out/a_01.svg").getroot()
    assert len(list(drawing.iter(f"{SPACE}rect"))) == 3  # the ground and two bars


@pytest.mark.parametrize("cells", [(), (new_code_cell("lab.explore('votes')"),)])
def test_a_notebook_that_was_not_run_is_refused(tmp_path, capsys, cells):
    path = saved(tmp_path / "a.ipynb", *cells)
    assert main(["figures", path, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "a.ipynb has no figures; run it first: `ensemble-lab report a.ipynb" in said
    assert not (tmp_path / "out").exists() and len(said) < 300


@pytest.mark.parametrize("broken", [{"data": 3, "layout": {}}, {}, "text", {"data": []}])
def test_a_figure_that_cannot_be_drawn_is_named_and_the_others_are_written(
    tmp_path, capsys, broken
):
    path = saved(tmp_path / "a.ipynb", shown(line()), shown(broken), shown(line()))
    assert main(["figures", path, "--out", str(tmp_path / "out")]) == 1
    assert "a.ipynb: figure 2 has parts that are not drawn here" in capsys.readouterr().err
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["a_01.svg", "a_03.svg"]


def test_the_folder_of_the_notebooks_is_refused(tmp_path, capsys):
    path = saved(tmp_path / "a.ipynb", shown(line()))
    assert main(["figures", path, "--out", str(tmp_path)]) == 1
    assert "--out" in capsys.readouterr().err


def test_a_heat_map_without_places_is_drawn_and_other_traces_are_named(tmp_path, capsys):
    margin = dict(l=9, r=9, t=9, b=9)
    heat = go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3), colorscale="Greys"))
    heat.update_layout(margin=margin, yaxis_autorange="reversed")
    empty = go.Figure([go.Scatter(x=[], y=[]), go.Scatter(x=[1], y=[2])])
    empty.update_layout(margin=margin)
    pie = go.Figure(go.Pie(values=[1, 2])).update_layout(margin=margin)
    data = (json.loads(figure.to_json()) for figure in (heat, empty, pie))
    path = saved(tmp_path / "a.ipynb", *map(shown, data))
    assert main(["figures", path, "--out", str(tmp_path / "out")]) == 1
    assert "figure 3 has parts that are not drawn" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 2
    boxes = list(ET.parse(tmp_path / "out/a_01.svg").getroot().iter(f"{SPACE}rect"))[1:]
    assert len(boxes) == 6 and len({box.get("fill") for box in boxes}) == 6
    assert float(boxes[0].get("y")) < float(boxes[3].get("y"))  # the first row is at the top


def test_png_is_drawn_where_there_is_a_browser_and_else_named(tmp_path, capsys, monkeypatch):
    path = saved(tmp_path / "a.ipynb", shown(line(height=200)))
    monkeypatch.setattr(figures, "BROWSERS", ("no-such-browser",))
    assert main(["figures", path, "--out", str(tmp_path / "out"), "--png"]) == 1
    assert "PNG needs Chromium" in capsys.readouterr().err and not (tmp_path / "out").exists()
    quits = tmp_path / "quits"
    quits.write_text("#!/bin/sh\necho 'no display' >&2\n")
    quits.chmod(0o755)
    monkeypatch.setattr(figures, "BROWSERS", (str(quits),))
    assert main(["figures", path, "--out", str(tmp_path / "out"), "--png"]) == 1
    assert "no display" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a_01.svg"]


@pytest.mark.skipif(not any(map(shutil.which, figures.BROWSERS)), reason="needs Chromium")
def test_a_png_has_twice_the_pixels_of_its_drawing(tmp_path):
    path = saved(tmp_path / "a.ipynb", shown(line(height=200)))
    assert main(["figures", path, "--out", str(tmp_path / "out"), "--png"]) == 0
    png = (tmp_path / "out/a_01.png").read_bytes()
    assert png.startswith(b"\x89PNG") and struct.unpack(">2I", png[16:24]) == (1680, 400)
    assert len(png) > 3000  # a blank one has 2 kB
