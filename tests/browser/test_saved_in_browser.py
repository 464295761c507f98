"""Explorers that share plotly's code, as pages and notebooks come back: by reload, from a file."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.steps import run_all

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SHOW = "from tests.support.toy_explorer import toy\n\ntoy()"
LIBRARIES = "[...globalThis.ensembleLabFigures.keys()].length"


@pytest.fixture
def notebook(tmp_path):
    cells = [new_code_cell(SHOW), new_code_cell(SHOW)]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_page_loaded_again_shows_what_was_set(serve, page, notebook, tmp_path, environment):
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    with serve(tmp_path, "toy.ipynb") as address:
        outputs = run_all(page, address)
        titles = page.locator(".gtitle")
        expect(titles).to_have_count(2)
        assert page.evaluate(LIBRARIES) == 1
        drawn = outputs.first.locator(".js-plotly-plot .main-svg").first
        full = outputs.first.bounding_box()["width"]
        page.wait_for_timeout(500)
        assert drawn.bounding_box()["width"] > full - 100, "as wide as there is room"
        press(page, outputs.nth(1))
        expect(titles.nth(1)).to_contain_text("power 3", timeout=15_000)
        with page.expect_response(saved):
            page.keyboard.press("Control+s")
        page.reload()
        expect(titles.nth(1)).to_contain_text("power 3", timeout=60_000)
        expect(page.locator(".noUi-handle").first).to_be_visible(timeout=30_000)
        press(page, outputs.nth(0))
        expect(titles.nth(0)).to_contain_text("power 3", timeout=15_000)


def saved(response):
    """Whether this answers that the notebook is on the disk."""
    put = response.request.method == "PUT" and "/api/contents/" in response.url
    return put and "/toy.ipynb" in response.url


def press(page, output):
    """Move an explorer's first slider one step on."""
    output.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_saved_notebook_shows_its_figures_before_anything_runs(
    serve, page, notebook, tmp_path, environment
):
    NotebookClient(notebook, store_widget_state=True, kernel_name="python3").execute(
        env=environment
    )
    data = tmp_path / "jupyter"  # where trust in notebooks is kept
    data.mkdir()
    environment["JUPYTER_DATA_DIR"] = str(data)
    NotebookNotary(data_dir=str(data)).sign(notebook)
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    with serve(tmp_path, "toy.ipynb") as address:
        page.goto(address)
        expect(page.locator(".noUi-handle").first).to_be_visible(timeout=60_000)
        expect(page.locator(".js-plotly-plot .gtitle")).to_have_count(2, timeout=30_000)
        assert page.evaluate(LIBRARIES) == 1


# Whatever unpacks plotly's code takes three seconds more, as on a small machine.
SLOW = """
const Quick = globalThis.DecompressionStream;
globalThis.DecompressionStream = class {
  constructor(kind) {
    const stream = new Quick(kind);
    this.writable = stream.writable;
    const late = new TransformStream({
      start: () => new Promise((done) => setTimeout(done, 3000)),
    });
    this.readable = stream.readable.pipeThrough(late);
  }
};
"""
CHANGED = """
import plotly.graph_objects as go
from IPython.display import display
from ensemble_lab.widgets.shared_figure import SharedFigure

figure = SharedFigure(go.Figure(go.Scatter(y=[1, 2]), {"title": {"text": "before"}}))
display(figure)
with figure.batch_update():
    figure.layout.title.text = "after"
    figure.data[0].y = [3, 4, 5]
"""


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_figure_follows_whose_code_came_late(serve, page, notebook, tmp_path, environment):
    """Anywidget forgets a widget that takes two seconds to begin; changes before it are kept."""
    notebook.cells = [new_code_cell(CHANGED), new_code_cell(SHOW)]
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    page.add_init_script(SLOW)
    with serve(tmp_path, "toy.ipynb") as address:
        outputs = run_all(page, address)
        titles = page.locator(".gtitle")
        expect(titles).to_have_count(2, timeout=30_000)
        expect(titles.nth(0)).to_have_text("after", timeout=15_000)
        points = "e => e.data[0].y.length"
        assert outputs.nth(0).locator(".js-plotly-plot").evaluate(points) == 3
        press(page, outputs.nth(1))
        expect(titles.nth(1)).to_contain_text("power 3", timeout=15_000)
