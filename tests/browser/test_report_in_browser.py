"""A report in a real browser: the figure is drawn and its slider moves, without any network."""

import shutil
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from ensemble_lab.cli import main

ROOT = Path(__file__).parents[2]
NAMES = ["chromium", "chromium-browser", "google-chrome"]  # as in the Makefile
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


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


def test_the_slider_moves_and_nothing_is_fetched(page_of_first_figure):
    assert CHROMIUM, "no Chromium here: apt-get install chromium"
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_of_first_figure)
        figure = page.locator(".js-plotly-plot")
        title = figure.locator(".gtitle")
        expect(title).to_contain_text("escalated")
        before = title.text_content()
        figure.locator(".slider-rail-touch-rect").click(position={"x": 1, "y": 5})
        expect(title).to_contain_text("0% escalated")
        assert title.text_content() != before
        browser.close()
    assert asked == [page_of_first_figure]
