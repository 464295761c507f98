"""A curve drawn by keyboard in JupyterLab, and revealed only to those who drew one."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.steps import run_all

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
FIGURE = "import plotly.graph_objects as go\n\ngo.Figure(layout_title='a figure')"
CURVE = """from ensemble_lab.widgets import PredictCurve

guess = PredictCurve("How high?", (0, 25, 50), [60.0, 99.0, 90.0], low=50, high=100, x_label="km")
guess"""


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_curve_is_drawn_by_keyboard_before_it_is_revealed(serve, page, tmp_path, environment):
    cells = [new_code_cell(FIGURE), new_code_cell(CURVE)]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, tmp_path / "curve.ipynb")
    with serve(tmp_path, "curve.ipynb") as address:
        shown = run_all(page, address).nth(1)
        handles = shown.locator(".noUi-handle")
        expect(handles).to_have_count(3)
        reveal = shown.get_by_role("button", name="Reveal")
        reveal.press("Enter")
        expect(shown).to_contain_text("Drag your curve first")
        assert shown.locator(".js-plotly-plot").count() == 0
        for at, key in ((0, "ArrowDown"), (2, "ArrowUp")):  # from 75, a step of 1
            handles.nth(at).focus()
            for _ in range(5):
                page.keyboard.press(key)
        expect(shown.locator(".widget-readout").first).to_have_text("70")
        expect(shown.locator(".widget-readout").last).to_have_text("80")
        reveal.press("Enter")
        title = shown.locator(".js-plotly-plot .gtitle")
        expect(title).to_contain_text("furthest off at 25: 24 too low", timeout=15_000)
        expect(shown.locator(".legendtext")).to_have_text(["the truth", "your guess"])
        shown.get_by_text("The same in numbers").click()
        expect(shown.locator("table")).to_contain_text("80")
