"""What tests in a real browser share: JupyterLab on a folder, and a page without other network."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
NAMES = ["chromium", "chromium-browser", "google-chrome"]  # as in the Makefile
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture
def environment(request):
    """Of kernels: this checkout, with the backend that the test asks for."""
    forced = getattr(request, "param", None)
    kernels = os.path.join(sys.prefix, "share", "jupyter")
    settings = str(ROOT / "binder/jupyter")  # as `make lab` has them: nothing asks anything
    own = {"PYTHONPATH": str(ROOT), "JUPYTER_PATH": kernels, "JUPYTER_CONFIG_PATH": settings}
    return os.environ | own | ({"ENSEMBLE_LAB_BACKEND": forced} if forced else {})


@pytest.fixture
def serve(environment):
    """A context manager: (folder, notebook) to the address that opens the notebook in lab."""

    @contextmanager
    def lab(folder, notebook):
        log = folder / "lab.log"
        command = [
            *[sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"],
            *["--ServerApp.port=0", f"--ServerApp.root_dir={folder}"],
            *[f"--LabApp.default_url=/lab/tree/{notebook}"],
            *[f"--LabApp.workspaces_dir={folder}/spaces"],
        ]
        with log.open("w") as stream:
            server = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=stream, stderr=stream, process_group=0
            )
        try:
            yield wait_for_address(log, server)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)

    return lab


def wait_for_address(log, server, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\S+", log.read_text()):
            return found.group()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture
def page(tmp_path):
    """A page without network but for this machine, and a picture of how the test left it."""
    assert CHROMIUM, "no Chromium here: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.route(re.compile(r"https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        yield page
        page.screenshot(path=tmp_path / "last_seen.png", full_page=True)
        browser.close()
