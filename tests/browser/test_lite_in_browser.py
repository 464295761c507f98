"""The site without a server in Chromium: JupyterLite, Python in the page, who is asked for what.

The compiled packages (numpy and four others) come from Pyodide's server. Where that can be reached,
set ENSEMBLE_LAB_NETWORK=1 to run the first notebook whole. ENSEMBLE_LAB_LITE may name a folder with
a site that `make lite` has built.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

import ensemble_lab
from recipes import lite, lite_list
from tests.browser import jupyter
from tests.browser.lite import GOAL, first_visit, listening, open_first, run_new_cell, served
from tests.support.processes import once

pytestmark = [
    pytest.mark.nightly,  # builds an environment, and fetches Pyodide from npm
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here: install Node.js"),
]

SERVER = "cdn.jsdelivr.net"
COMPILED = {"numpy", "pandas", "pyarrow", "scikit_learn", "scipy"}
LIVE = """import ipywidgets
import plotly.graph_objects as go
from ensemble_lab.widgets.backends import best
figure = go.FigureWidget(go.Bar(y=[1, 2, 3]))
slider = ipywidgets.IntSlider(description="drag me")
slider.observe(lambda change: figure.update_layout(title_text=f"at {slider.value}"), "value")
print("the best backend is", best())
display(slider, figure)"""


@pytest.fixture(scope="module")
def site(shared):
    """The address of the site, built from this checkout by whichever process comes first."""
    folder = os.environ.get("ENSEMBLE_LAB_LITE")
    if not folder:
        folder = once(shared / "lite", lambda place: lite.build(place / "site")) / "site"
    with served(Path(folder)) as address:
        yield address


@pytest.fixture(scope="module")
def visit(browser, site):
    """A page on notebook 00 whose Python runs, and what it asked each host for."""
    with jupyter.page_of(browser, 1280, 800) as page:
        page.set_default_timeout(200_000)
        asked, _ = listening(page)
        page.context.route(re.compile(r"https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        open_first(page, site)
        code = "import sys, ensemble_lab; print(ensemble_lab.__version__, 'on', sys.platform)"
        run_new_cell(page, code, f"{ensemble_lab.__version__} on emscripten")
        yield page, asked


def test_the_list_of_files_has_the_notebooks_that_need_no_pytorch(visit):
    page, _ = visit
    names = page.locator(".jp-DirListing-itemText").all_inner_texts()
    assert names == [path.name for path in lite.notebooks()]


def test_the_site_asks_no_other_host_but_for_compiled_packages(visit):
    _, asked = visit
    assert {*asked} == {"127.0.0.1", SERVER}
    files = {url.rsplit("/", 1)[1] for url in asked[SERVER]}
    assert {name.split("-")[0] for name in files} == COMPILED
    pinned = lite_list.pins(lite_list.IN_BROWSER)
    for name in files:
        assert pinned[name.split("-")[0].replace("_", "-")] == name.split("-")[1]


def test_a_slider_moves_a_live_figure(visit):
    page, _ = visit
    output = run_new_cell(page, LIVE, "the best backend is live")
    expect(output.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    output.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    expect(output.locator(".gtitle")).to_have_text("at 1")


def test_what_needs_a_package_that_did_not_come_names_it(visit):
    page, _ = visit
    output = run_new_cell(page, "ensemble_lab.outcomes_catalogue()", "ModuleNotFoundError")
    expect(output.last).to_contain_text("numpy")


@pytest.mark.skipif(
    not os.environ.get("ENSEMBLE_LAB_NETWORK"),
    reason="needs Pyodide's server: ENSEMBLE_LAB_NETWORK=1 where it can be reached",
)
def test_the_first_slider_is_there_in_time(browser, site):
    assert first_visit(browser, site, 600)["seconds"] <= GOAL
