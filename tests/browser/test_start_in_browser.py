"""The first minute with notebook 00: a picture before anything runs, then the figure in sight."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.jupyter import ROOT
from tests.browser.steps import HANDLE, finished, panels, run_all

SCREEN = {"width": 1280, "height": 800}
PANE = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
WHERE = f"""(selector) => {{
  const pane = document.querySelector('{PANE}').getBoundingClientRect();
  const one = document.querySelector(selector).getBoundingClientRect();
  return [one.top - pane.top, pane.bottom - one.bottom, one.height];
}}"""
CODE_IN_SIGHT = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputArea-editor")]
  .filter((e) => e.offsetParent && e.getBoundingClientRect().top < innerHeight).length"""
FILLER = 25
FIGURE = """from ensemble_lab.widgets import stay_here
from tests.support.toy_explorer import toy
{}
display(toy())
stay_here()"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("environment", ["live"], indirect=True),
]


def scrolled(page):
    return page.locator(PANE).first.evaluate("(pane) => pane.scrollTop")


def in_sight(page, selector):
    """Whether all of an element is within the notebook's pane."""
    above, below, height = page.evaluate(WHERE, selector)
    return height > 0 and above > -3 and below > -3


def test_a_picture_first_then_the_figure(serve, page, tmp_path):
    page.set_viewport_size(SCREEN)
    shutil.copy(ROOT / "notebooks/00_start_here.ipynb", tmp_path)
    with serve(tmp_path, "00_start_here.ipynb") as address:
        page.goto(address)
        picture = page.locator(".jp-MarkdownOutput img[src^=data]").first
        picture.wait_for(timeout=60_000)
        drawn = picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)")
        assert drawn > 600 and in_sight(page, ".jp-MarkdownOutput img[src^=data]")
        assert page.evaluate(CODE_IN_SIGHT) == 0
        run_all(page, address)
        expect(panels(page).first).to_be_visible(timeout=20_000)
        finished(page)
        page.wait_for_timeout(2000)
        assert in_sight(page, ".js-plotly-plot") and in_sight(page, ".noUi-handle")
        assert panels(page).first.locator(HANDLE).count() == 1
        assert page.evaluate(CODE_IN_SIGHT) == 0


@pytest.mark.parametrize("case", ["untouched", "scrolled", "saved"])
def test_it_comes_back_unless_the_reader_is_elsewhere(serve, page, tmp_path, case):
    """Run All ends at the last cell; a page that is opened again later, too."""
    page.set_viewport_size(SCREEN)
    old = "import time\ntime.time = lambda: 0.0" if case == "saved" else ""
    fill = [new_markdown_cell("\n\n".join(["# More"] * 8)) for _ in range(FILLER)]
    wait = new_code_cell("import time\ntime.sleep(4)\nprint('the end')")
    cells = [new_markdown_cell("# A title"), new_code_cell(FIGURE.format(old)), *fill, wait]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "a.ipynb")
    with serve(tmp_path, "a.ipynb") as address:
        run_all(page, address)
        if case == "scrolled":
            page.mouse.move(700, 500)
            page.mouse.wheel(0, 1500)
            page.wait_for_timeout(500)
        before = scrolled(page)
        finished(page)
        page.wait_for_timeout(1500)
        if case == "untouched":
            assert in_sight(page, ".js-plotly-plot")
        elif case == "scrolled":
            assert scrolled(page) > 500 and abs(scrolled(page) - before) < 400
        else:
            assert scrolled(page) > 1000
