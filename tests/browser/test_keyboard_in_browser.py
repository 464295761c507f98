"""Every control of an explorer is reached by Tab alone, in JupyterLab in a real browser."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.steps import run_all

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SHOW = "from tests.support.toy_explorer import toy\n\ntoy()"
CONTROLS = "button, input, select, textarea, .noUi-handle, [class*=Collapse-header]"
MOST_TABS = 80
NUMBER = """(found) => found.map((one, i) => {
  one.dataset.control = i;
  const around = one.closest("label") ?? one.closest(".noUi-handle") ?.closest(".widget-vbox")
    ?? one.closest("select")?.closest(".widget-vbox") ?? one.closest(".widget-inline-hbox");
  return around?.textContent.trim() || one.textContent.trim() || one.className;
})"""
FOCUSED = "() => document.activeElement.dataset.control ?? null"


def numbered(panel):
    """Give each control in sight a number; their names, in that order."""
    return panel.locator(CONTROLS).locator("visible=true").evaluate_all(NUMBER)


def missed(page, panel):
    """Names of the controls in sight, and of those that Tab from the first preset does not reach.

    Focus goes round the page, so what stands above the preset would be found, too.
    """
    names = numbered(panel)
    panel.get_by_role("button", name="Cubes").focus()
    start = page.evaluate(FOCUSED)
    reached, now = {start}, None
    for _ in range(MOST_TABS):
        if now == start:
            break  # once round
        page.keyboard.press("Tab")
        reached.add(now := page.evaluate(FOCUSED))
    return names, [name for i, name in enumerate(names) if str(i) not in reached]


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_tab_reaches_every_control(serve, page, tmp_path, environment):
    notebook = new_notebook(cells=[new_code_cell(SHOW)], metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    with serve(tmp_path, "toy.ipynb") as address:
        panel = run_all(page, address).first
        names, lost = missed(page, panel)
        folds = "More controls", "Data table", "State", "Item card"
        for control in ("Fails", "Reset", "Copy state", "Power", "Dash", "b", *folds):
            assert any(name.startswith(control) for name in names), control
        assert not lost
        # What is folded away is unfolded by keyboard, and reached then.
        for fold, inside in zip(folds, (".widget-select-multiple select", "table", "textarea",
                                        "input[placeholder]"), strict=True):  # fmt: skip
            panel.locator("button[title]", has_text=re.compile(rf"^{fold}$")).press("Enter")
            expect(panel.locator(inside).first).to_be_visible()
            assert not missed(page, panel)[1]
        # The check can fail: it sees a control that was taken out of the order.
        panel.get_by_role("button", name="Fails").evaluate("(button) => button.tabIndex = -1")
        assert missed(page, panel)[1] == ["Fails"]
