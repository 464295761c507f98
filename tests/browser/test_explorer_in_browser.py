"""An explorer in JupyterLab in a real browser: keyboard and presets change the figure."""

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.steps import run_all

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SHOW = "from tests.support.toy_explorer import toy\n\ntoy()"
GUESS = "from ensemble_lab.widgets import Predict\n\nPredict('How many?', truth=12, unit='%')"


@pytest.fixture
def folder(tmp_path):
    """A folder with a notebook of two explorers and a question."""
    cells = [new_code_cell(SHOW), new_code_cell(GUESS), new_code_cell(SHOW)]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    return tmp_path


@pytest.fixture
def address(folder, serve):
    """JupyterLab in that folder; its address, which opens the notebook."""
    with serve(folder, "toy.ipynb") as address:
        yield address


@pytest.mark.parametrize("environment", [None, "redraw"], indirect=True)
def test_keyboard_and_presets_change_the_figure(address, page, environment):
    outputs = run_all(page, address)
    first = outputs.first
    title = first.locator(".gtitle")
    expect(title).to_contain_text("power 2")
    line = first.locator(".scatterlayer path.js-line")
    before = line.get_attribute("d")
    handle = first.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_contain_text("power 3", timeout=15_000)
    assert first.locator(".scatterlayer path.js-line").get_attribute("d") != before
    first.get_by_role("button", name="Fails").click()
    expect(title).to_contain_text("power 7 times 1.5", timeout=15_000)
    expect(first.get_by_role("status")).to_contain_text("117188 <m>")
    first.get_by_role("button", name="Reset", exact=True).click()
    expect(title).to_contain_text("power 2 times 1", timeout=15_000)
    first.get_by_text("Data table").click()
    expect(first.locator("table")).to_contain_text("25")
    a_guess_is_typed_before_it_is_compared(outputs.nth(1))


def a_guess_is_typed_before_it_is_compared(second):
    second.get_by_role("button", name="Reveal").click()
    expect(second).to_contain_text("Type your guess first")
    second.get_by_role("textbox").fill("50")
    expect(second).to_contain_text("noted: 50 %")
    second.get_by_role("button", name="Reveal").click()
    expect(second).to_contain_text("it is 12 %")


@pytest.mark.parametrize("environment", ["still"], indirect=True)
def test_the_still_figure_moves_in_lab(address, page, environment):
    first = run_all(page, address).first
    first.locator(".slider-rail-touch-rect").click(position={"x": 1, "y": 5})
    expect(first.locator(".gtitle")).to_contain_text("power 1")


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_an_exported_page_shows_still_figures_without_network(page, folder, environment):
    """nbconvert's own HTML of a notebook that displayed widgets, whose state was not saved."""
    from nbclient import NotebookClient

    notebook = nbformat.read(folder / "toy.ipynb", as_version=4)
    client = NotebookClient(notebook, store_widget_state=False, kernel_name="python3")
    client.execute(env=environment)
    exported, _ = HTMLExporter().from_notebook_node(notebook)
    (folder / "toy.html").write_text(exported)
    page.goto((folder / "toy.html").as_uri())
    titles = page.locator(".js-plotly-plot .gtitle")
    expect(titles).to_have_count(2)
    last = page.locator(".js-plotly-plot").last
    last.locator(".slider-rail-touch-rect").click(position={"x": 1, "y": 5})
    expect(titles.last).to_contain_text("power 1")
    expect(titles.first).to_contain_text("power 2")
    assert exported.count('id="ensemble-lab-plotly"') == 1
