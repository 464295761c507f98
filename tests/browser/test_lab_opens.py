"""`make lab` in a real browser: JupyterLab opens on the first notebook. Needs Chromium."""

import sys

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import ROOT, started


@pytest.fixture
def lab_address(tmp_path):
    """A server as `make lab` starts it, in the environment that runs this test."""
    stamp = f"{sys.prefix}/.installed"
    options = f"--no-browser --ServerApp.port=0 --LabApp.workspaces_dir={tmp_path}"
    command = ["make", "lab", f"VENV={sys.prefix}", "-o", stamp, f"LAB_ARGS={options}"]
    with started(command, tmp_path / "lab.log", cwd=ROOT) as address:
        yield address


def test_lab_opens_on_the_first_notebook(lab_address, page):
    page.goto(lab_address)
    tab = page.locator(".lm-TabBar-tab.jp-mod-current")
    expect(tab).to_contain_text("00_start_here.ipynb", timeout=60_000)
    heading = page.locator(".jp-Notebook h1").first
    expect(heading).to_be_visible(timeout=60_000)
    assert page.locator(".jp-Dialog").count() == 0, "nothing asks before the first page"
