"""`make lab` in a real browser: JupyterLab opens on the first notebook. Needs Chromium."""

import os
import signal
import subprocess
import sys

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import CHROMIUM, ROOT, wait_for_address


@pytest.fixture
def lab_address(tmp_path):
    """A server as `make lab` starts it, in the environment that runs this test."""
    stamp = f"{sys.prefix}/.installed"
    options = f"--no-browser --ServerApp.port=0 --LabApp.workspaces_dir={tmp_path}"
    command = ["make", "lab", f"VENV={sys.prefix}", "-o", stamp, f"LAB_ARGS={options}"]
    log = tmp_path / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream, process_group=0)
    try:
        yield wait_for_address(log, server)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def test_lab_opens_on_the_first_notebook(lab_address):
    assert CHROMIUM, (
        "no Chromium here: apt-get install chromium (without it, `make test` leaves this out)"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(lab_address)
        tab = page.locator(".lm-TabBar-tab.jp-mod-current")
        expect(tab).to_contain_text("00_start_here.ipynb", timeout=60_000)
        heading = page.locator(".jp-Notebook h1").first
        expect(heading).to_be_visible(timeout=60_000)
        assert page.locator(".jp-Dialog").count() == 0, "nothing asks before the first page"
        browser.close()
