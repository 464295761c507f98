"""Explorers with plotly 5.24.1 and ipywidgets 7.7.1 (Colab's) in their JupyterLab, version 3."""

import os
import subprocess
import sys
import sysconfig

import nbformat
import pytest
import uv
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser import jupyter
from tests.browser.steps import run_all
from tests.browser.test_hostile_names import live_panels
from tests.packaging.test_resolve import uv_environment
from tests.widgets.test_old_widgets import OLD

pytestmark = pytest.mark.nightly  # its environment alone takes minutes
VERSIONS = """import ipywidgets, plotly

print(plotly.__version__, ipywidgets.__version__)"""
SHOW = "from tests.support.toy_explorer import toy\n\ntoy()"


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """An environment with the old versions before all that this one has (numpy and the like)."""
    folder = tmp_path_factory.mktemp("old") / "env"
    scripts, python = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = folder / scripts / python
    command = [uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder)]
    subprocess.run(command, check=True)
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python)]
    wanted = [*OLD, "jupyterlab<4", "ipykernel", "setuptools<80"]  # its Lab needs pkg_resources
    done = subprocess.run([*install, *wanted], env=uv_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.check_output([python, "-c", ask], text=True).strip()
    with open(os.path.join(own, "others.pth"), "w") as later:
        later.write(sysconfig.get_path("purelib"))
    return python


@pytest.fixture
def address(old_python, tmp_path, cells):
    """Its JupyterLab on a folder with a notebook of these cells."""
    cells = [*map(new_code_cell, cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "old.ipynb")
    command = [
        *[old_python, "-m", "jupyterlab", "--no-browser", "--allow-root"],
        *["--ServerApp.port=0", f"--ServerApp.root_dir={tmp_path}"],
        *["--LabApp.default_url=/lab/tree/old.ipynb", f"--LabApp.workspaces_dir={tmp_path}/spaces"],
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    environment |= {"PYTHONPATH": str(jupyter.ROOT), "ENSEMBLE_LAB_BACKEND": "live"}
    environment["JUPYTER_CONFIG_PATH"] = str(jupyter.ROOT / "binder/jupyter")  # nothing asks
    with jupyter.started(command, tmp_path / "lab.log", cwd=tmp_path, env=environment) as address:
        yield address


@pytest.fixture
def cells():
    return [VERSIONS, SHOW, SHOW]


def test_keyboard_presets_and_reset_change_the_figure(address, page):
    outputs = run_all(page, address)
    expect(outputs.first).to_contain_text("5.24.1 7.7.1")
    panel = outputs.nth(1)
    title, line = panel.locator(".gtitle"), panel.locator(".scatterlayer path.js-line")
    expect(title).to_contain_text("power 2")
    before = line.get_attribute("d")
    panel.locator(".ui-slider-handle").first.focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_contain_text("power 3", timeout=15_000)
    expect(line).not_to_have_attribute("d", before)
    panel.get_by_role("button", name="Fails").click()
    expect(title).to_contain_text("power 7 times 1.5", timeout=15_000)
    expect(panel.get_by_role("status")).to_contain_text("117188 <m>")
    panel.get_by_role("button", name="Reset", exact=True).click()
    expect(title).to_contain_text("power 2 times 1", timeout=15_000)
    expect(line).to_have_attribute("d", before)
    panel.get_by_text("Data table").click()
    expect(panel.locator("table")).to_contain_text("25")
    expect(outputs.nth(2).locator(".gtitle")).to_contain_text("power 2 times 1")


class TestHostileNames:
    @pytest.fixture
    def cells(self, loopback):
        return [f"from tests.support.hostile_names import show\n\nshow({loopback[0]})"]

    def test_the_live_panels_show_names_as_text(self, address, page, loopback):
        live_panels(page, address, loopback[1])
