"""The notebooks in JupyterLab in a real browser: run all, move every slider, press what fails."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.steps import run_all

ROOT = Path(__file__).parents[2]
WITH_EXPLORERS = ["01_voting", "02_cascades"]
FAILS = re.compile("does not pay|pays least")  # how presets that fail are called


def opened(serve, page, tmp_path, name):
    """The notebook alone in a folder, run to its end."""
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
    return serve(tmp_path, f"{name}.ipynb")


def finished(page):
    """Wait until every cell ran; a cell that failed fails the test."""
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=180_000)
    assert "[*]:" not in prompts.all_inner_texts()
    # Lab shows an error as it shows stderr: what tells them apart is the traceback.
    assert page.locator(".jp-OutputArea-output", has_text="Traceback (most recent").count() == 0


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_cell_that_fails_is_seen(serve, page, tmp_path):
    """The check above can fail: it sees a planted error."""
    cells = [new_code_cell("import plotly.graph_objects as go"), new_code_cell("1 / 0")]
    cells[0].source += "\n\ngo.Figure(layout_title='a figure')"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "planted.ipynb")
    with serve(tmp_path, "planted.ipynb") as address:
        run_all(page, address)
        expect(page.locator(".jp-OutputArea-output").nth(1)).to_contain_text("ZeroDivisionError")
        with pytest.raises(AssertionError):
            finished(page)


def picture(panel):
    """What the figure draws, as text."""
    return panel.locator(".js-plotly-plot .main-svg").first.inner_html()


@pytest.mark.parametrize("environment", ["live"], indirect=True)
@pytest.mark.parametrize("name", WITH_EXPLORERS)
def test_every_slider_moves_the_figure_and_a_preset_fails(serve, page, tmp_path, name):
    with opened(serve, page, tmp_path, name) as address:
        run_all(page, address)
        panel = page.locator(".jp-OutputArea-output:has(.noUi-handle)").first
        finished(page)
        title = panel.locator(".gtitle").first
        handles = panel.locator(".noUi-handle:visible")
        assert handles.count() >= 1
        for i in range(handles.count()):
            before = picture(panel)
            handles.nth(i).focus()
            for key in ("ArrowLeft", "ArrowRight"):  # it may start at either end
                for _ in range(6):
                    page.keyboard.press(key)
                page.wait_for_timeout(1500)
                if picture(panel) != before:
                    break
            assert picture(panel) != before, f"slider {i} changes nothing"
        before = title.text_content()
        panel.get_by_role("button", name=FAILS).first.click()
        expect(title).not_to_have_text(before, timeout=15_000)


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_the_first_notebook_moves_its_still_slider(serve, page, tmp_path):
    with opened(serve, page, tmp_path, "00_start_here") as address:
        run_all(page, address)
        finished(page)
        figure = page.locator(".js-plotly-plot").first
        before = figure.locator(".gtitle").text_content()
        figure.locator(".slider-rail-touch-rect").click(position={"x": 1, "y": 5})
        expect(figure.locator(".gtitle")).not_to_have_text(before)
        expect(figure.locator(".gtitle")).to_contain_text("0% escalated")
