"""A report in a real browser: the figure is drawn and its slider moves, without any network."""

import nbformat
import pytest
from playwright.sync_api import expect

from ensemble_lab.cli import main
from tests.browser.jupyter import ROOT


@pytest.fixture
def page_of_first_figure(tmp_path, monkeypatch):
    """The first notebook up to its first figure, as a report."""
    notebook = nbformat.read(ROOT / "notebooks/00_start_here.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if cell.id == "show")
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, tmp_path / "first.ipynb")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["report", str(tmp_path / "first.ipynb"), "--out", str(tmp_path / "out")]) == 0
    return (tmp_path / "out/first.html").as_uri()


def test_the_slider_moves_and_nothing_is_fetched(page_of_first_figure, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_of_first_figure)
    figure = page.locator(".js-plotly-plot")
    title = figure.locator(".gtitle")
    expect(title).to_contain_text("0% sent to")
    rail = figure.locator(".slider-rail-touch-rect")
    rail.click(position={"x": rail.bounding_box()["width"] - 1, "y": 5})
    expect(title).to_contain_text("100% sent to")
    assert asked == [page_of_first_figure]
