"""Every explorer in a real browser, three a notebook: it fits a small screen, and it moves."""

from collections import defaultdict

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ensemble_lab.explorers.explore import EXPLORERS
from tests.browser.steps import (
    ANSWERS,
    every_slider_moves,
    finished,
    panels,
    preset_fails,
    presets,
    run_all,
    seen,
    settled,
    unfit,
)

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TABLES = {"votes": "mmlu-pro-29-llms", "cascade": "rafdb-services"}  # for those that need one
LEVELS = defaultdict(list)
for explorer, module in EXPLORERS.items():
    LEVELS[module.removeprefix("ensemble_lab.explorers.").split(".")[0]].append(explorer)
MOST = 3  # of a notebook, so that processes share the work
PARTS = {
    f"{level} {i // MOST + 1}": names[i : i + MOST]
    for level, names in LEVELS.items()
    for i in range(0, len(names), MOST)
}


def show(name):
    """A cell that shows the explorer."""
    table = f", lab.load_outcomes({TABLES[name]!r})" if name in TABLES else ""
    return new_code_cell(f"import ensemble_lab as lab\n\nlab.explore({name!r}{table})")


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["live"], indirect=True)
@pytest.mark.parametrize("part", PARTS)
def test_it_fits_a_small_screen_every_slider_moves_and_a_preset_fails(serve, page, tmp_path, part):
    names = PARTS[part]
    notebook = new_notebook(cells=[*map(show, names)], metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, tmp_path / "part.ipynb")
    page.set_viewport_size({"width": 1280, "height": 800})  # a cell of 850 x 640
    with serve(tmp_path, "part.ipynb") as address:
        run_all(page, address)
        finished(page)
        assert panels(page).count() == len(names)
        for name, panel in zip(names, panels(page).all(), strict=True):
            assert unfit(panel) == [], name
            for preset in presets(panel):
                before, answers = seen(panel), ANSWERS[page]
                preset.click()
                settled(page, panel, before, 8.0, answers)
                assert unfit(panel) == [], (name, preset.inner_text())
            panel.get_by_role("button", name="Reset", exact=True).click()
            every_slider_moves(page, panel)
            preset_fails(panel)
