"""The notebooks in JupyterLab in a real browser: run all, move every slider, press what fails."""

import re
import shutil
from base64 import b64encode

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.jupyter import ROOT
from tests.browser.pictures import SCENES, take
from tests.browser.steps import HANDLE, TITLE, finished, move, panels, run_all

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
FAILS = re.compile("does not pay|pays least|film reviews")  # how presets that fail are called
FEWEST_COLOURS = 50  # letters' smoothed edges alone give as many
COUNT_COLOURS = """async (address) => {
  const image = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = canvas.getImageData(0, 0, image.width, image.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_a_cell_that_fails_is_seen(serve, page, tmp_path):
    """The check can fail: it sees a planted error."""
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


@pytest.mark.parametrize("environment", ["live"], indirect=True)
@pytest.mark.parametrize("name", NOTEBOOKS)
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
        for i, panel in enumerate(panels(page).all()):
            for j, handle in enumerate(panel.locator(HANDLE).all()):
                # The title tells what the first slider does; others may move a reference only.
                assert move(page, panel, handle, title=j == 0), f"panel {i}, slider {j}"
        first = panels(page).first
        title = first.locator(TITLE).first
        before = title.text_content()
        first.get_by_role("button", name=FAILS).first.click()
        expect(title).not_to_have_text(before, timeout=15_000)


def looks_like_a_picture(page, path):
    """Small enough for a README, and not blank."""
    assert path.stat().st_size < 150_000
    address = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"
    assert page.evaluate(COUNT_COLOURS, address) > FEWEST_COLOURS
