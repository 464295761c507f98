"""Whole notebooks in JupyterLab in a real browser: run all, move every slider, press what fails.

The first one on each change, all of them nightly; test_explorers_in_browser has every explorer.
"""

import shutil
from base64 import b64encode

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.jupyter import ROOT
from tests.browser.pictures import DRAWN, SCENES, draw, take
from tests.browser.steps import (
    every_slider_moves,
    finished,
    has_failing_preset,
    panels,
    preset_fails,
    run_all,
)
from tests.notebooks.minutes import parts
from tests.notebooks.solved import NOTEBOOKS

FIRST, *OTHERS = (path.stem for path in NOTEBOOKS if parts(path)["explorers"])
NO_SCALE = """from tests.support.toy_explorer import draw, toy

toy(draw=lambda state: draw({**state, "scale": 1.0}))"""
FEWEST_COLOURS = 50  # letters' smoothed edges alone give as many
COUNT_COLOURS = """async (address) => {
  const image = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = canvas.getImageData(0, 0, image.width, image.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_cell_that_fails_and_a_slider_that_moves_nothing_are_seen(serve, page, tmp_path):
    """The checks can fail: they see a planted error and a figure that leaves its scale out."""
    cells = [new_code_cell(NO_SCALE), new_code_cell("1 / 0")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "planted.ipynb")
    with serve(tmp_path, "planted.ipynb") as address:
        run_all(page, address)
        expect(page.locator(".jp-OutputArea-output").nth(1)).to_contain_text("ZeroDivisionError")
        with pytest.raises(AssertionError):
            finished(page)
        with pytest.raises(AssertionError, match="slider 1 moves nothing"):
            every_slider_moves(page, panels(page).first, seconds=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["live"], indirect=True)
@pytest.mark.parametrize(
    "name", [FIRST, *(pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS)]
)
def test_every_slider_moves_its_figure_and_a_preset_fails(serve, page, tmp_path, name):
    """The README's pictures are taken on the way."""
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
    with serve(tmp_path, f"{name}.ipynb") as address:
        run_all(page, address)
        finished(page)
        assert panels(page).count() >= 1
        for picture in [picture for picture, scene in SCENES.items() if scene.notebook == name]:
            take(page, SCENES[picture], tmp_path / f"{picture}.png")
            looks_like_a_picture(page, tmp_path / f"{picture}.png")
        for panel in panels(page).all():
            every_slider_moves(page, panel)
        failing = [panel for panel in panels(page).all() if has_failing_preset(panel)]
        preset_fails(failing[0])  # not every table has something that fails, each notebook does


@pytest.mark.parametrize("name", DRAWN)
def test_the_readmes_figures_are_drawn(page, tmp_path, name):
    draw(page, name, tmp_path / f"{name}.png")
    looks_like_a_picture(page, tmp_path / f"{name}.png")


def looks_like_a_picture(page, path):
    """Small enough for a README, and not blank."""
    assert path.stat().st_size < 150_000
    address = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"
    assert page.evaluate(COUNT_COLOURS, address) > FEWEST_COLOURS
