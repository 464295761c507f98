"""A notebook that is saved with its widgets carries plotly's code once, packed."""

import json
from pathlib import Path
from typing import ClassVar

import ipywidgets
import nbformat
import plotly.graph_objects as go
import pytest
from ipywidgets.embed import dependency_state
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from ensemble_lab.widgets import backends, shared_figure
from ensemble_lab.widgets.panel import Panel
from ensemble_lab.widgets.shared_figure import SharedFigure
from tests.support.toy_explorer import toy

ROOT = Path(__file__).parents[2]
SHOW = "from tests.support.toy_explorer import toy\n\ntoy()"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
STATE = "application/vnd.jupyter.widget-state+json"
MOST = 4_000_000  # bytes


@pytest.fixture
def saved(monkeypatch):
    """A notebook of two explorers as it is saved with its widgets."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(backends.VARIABLE, "live")
    cells = [new_code_cell(SHOW), new_code_cell(SHOW)]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    NotebookClient(notebook, store_widget_state=True, kernel_name="python3").execute()
    return notebook


@pytest.mark.slow
def test_a_saved_notebook_carries_the_code_once(saved):
    state = saved.metadata.widgets[STATE]["state"]
    figures = [one["state"] for one in state.values() if "_widget_data" in one["state"]]
    assert len(figures) == 2 and all(len(figure["_esm"]) < 5000 for figure in figures)
    (library,) = {figure["_library"] for figure in figures}
    holder = state[library.removeprefix("IPY_MODEL_")]["state"]
    assert holder["code"] == shared_figure.packed()
    assert len(json.dumps(state)) < MOST
    views = [out.data for cell in saved.cells for out in cell.outputs]
    pages = sum(len(data.pop("text/html")) for data in views)
    assert len(nbformat.writes(saved)) < MOST and pages > 0, "beyond the pages for other readers"


def test_an_embedded_view_takes_the_code_along():
    panel = Panel(toy())
    panel.set(power=5)
    state = dependency_state([panel.widget])
    figure = state[panel.canvas.widget.model_id]["state"]
    assert figure["_widget_layout"]["title"]["text"].startswith("power 5")
    assert figure["_library"].removeprefix("IPY_MODEL_") in state


def test_a_page_that_is_loaded_again_is_told_the_figure_as_it_is_now():
    figure = Panel(toy()).canvas.widget
    figure.layout.title.text = "later"
    figure.data[0].y = [7] * 11
    told = figure.get_state()
    assert told["_widget_layout"]["title"]["text"] == "later"
    assert list(told["_widget_data"][0]["y"]) == [7] * 11
    assert set(figure.get_state("_version")) == {"_version"}


def test_a_closed_library_is_replaced(monkeypatch):
    monkeypatch.setattr(shared_figure, "_libraries", [])
    first = shared_figure.library()
    assert shared_figure.library() is first
    first.close()
    again = shared_figure.library()
    assert again is not first and isinstance(again, ipywidgets.Widget) and again.comm is not None


class Listening:
    """A comm that keeps what it was opened with."""

    opened: ClassVar[list] = []

    def __init__(self, **message):
        self.comm_id, self.kernel = f"comm {len(self.opened)}", None
        self.opened.append(message["data"]["state"])

    def _nothing(self, *arguments, **more):
        pass

    send = on_msg = on_close = close = _nothing


@pytest.mark.parametrize("kind", [SharedFigure, go.FigureWidget])
def test_a_figure_is_complete_when_the_browser_hears_of_it(kind, monkeypatch):
    """A busy page may draw at once. Plotly's own widget sends data and layout afterwards."""
    monkeypatch.setattr("comm.create_comm", Listening)
    monkeypatch.setattr(Listening, "opened", [])
    kind({"data": [{"type": "scatter", "y": [1, 2]}], "layout": {"height": 300}})
    state = next(state for state in Listening.opened if "_widget_data" in state)
    complete = len(state["_widget_data"]) == 1 and state["_widget_layout"].get("height") == 300
    assert complete is (kind is SharedFigure)
