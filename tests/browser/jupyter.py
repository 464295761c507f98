"""JupyterLab on a folder and a page in Chromium: for the tests, the pictures, the benchmarks."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from ensemble_lab.widgets.backends import HEADLESS, VARIABLE

ROOT = Path(__file__).parents[2]
NAMES = ["chromium", "chromium-browser", "google-chrome"]  # as in the Makefile
ARGUMENTS = [  # no sandbox (containers have none), and nothing that looks for a network
    *["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
]


def kernel_environment(backend=None):
    """Environment variables of kernels: this checkout, with a forced backend or the default."""
    kernels = os.path.join(sys.prefix, "share", "jupyter")
    settings = str(ROOT / "binder/jupyter")  # as `make lab` has them: nothing asks anything
    own = {"PYTHONPATH": str(ROOT), "JUPYTER_PATH": kernels, "JUPYTER_CONFIG_PATH": settings}
    not_passed_on = (VARIABLE, HEADLESS, "PYTEST_CURRENT_TEST")
    known = {k: v for k, v in os.environ.items() if k not in not_passed_on}
    return known | own | ({VARIABLE: backend} if backend else {})


@contextmanager
def serve(folder, notebook, environment):
    """JupyterLab in `folder`; yields the address that opens the notebook."""
    with lab_server(folder, folder, environment) as address:
        yield opening(address, notebook)


@contextmanager
def lab_server(root, own, environment):
    """JupyterLab on the folder `root`; its log and workspaces go into `own`. Yields its address."""
    command = [
        *[sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"],
        *["--ServerApp.port=0", f"--ServerApp.root_dir={root}"],
        *["--LabApp.default_url=/lab", f"--LabApp.workspaces_dir={own}/spaces"],
    ]
    with started(command, own / "lab.log", cwd=own, env=environment) as address:
        yield address


def opening(address, notebook):
    """The address that opens a notebook alone: in a workspace of its own, which has no tabs yet."""
    parts = urlsplit(address)
    space = re.sub(r"\W+", "-", str(notebook))
    return parts._replace(path=f"/lab/workspaces/{space}/tree/{notebook}").geturl()


def end_kernels(address, folder):
    """End the kernels of the notebooks in a folder of a server, a path from its root."""
    parts = urlsplit(address)
    [token] = parse_qs(parts.query)["token"]

    def ask(path, method):
        where = parts._replace(path=path, query="").geturl()
        request = Request(where, headers={"Authorization": f"token {token}"}, method=method)
        with urlopen(request, timeout=60) as answer:  # a kernel at work is given time
            return answer.read()

    for session in json.loads(ask("/api/sessions", "GET")):
        if session["path"].startswith(f"{folder}/"):
            ask(f"/api/sessions/{session['id']}", "DELETE")


@contextmanager
def started(command, log, **how):
    """A Jupyter server that `command` starts; yields its address, ends all that it started."""
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, process_group=0, **how)
    try:
        yield wait_for_address(log, server)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for_address(log, server, seconds=60):
    """The address in a server's log, as soon as it is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\S+", log.read_text()):
            return found.group()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@contextmanager
def open_page(width=1400, height=1600):
    """A page of a headless Chromium, at one device pixel a CSS pixel.

    Raises
    ------
    RuntimeError
        Playwright or Chromium is not installed.
    """
    with chromium() as browser, page_of(browser, width, height) as page:
        yield page


@contextmanager
def page_of(browser, width=1400, height=1600):
    """A page of a running browser, which shares no cookie and no store with another page."""
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        yield context.new_page()


@contextmanager
def chromium():
    """The browser itself."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("no Playwright here: pip install playwright") from error
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise RuntimeError(
            f"no Chromium here (looked for {', '.join(NAMES)}): apt install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def without_network(page):
    """Let the page reach this machine only."""
    page.route(re.compile(r"https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
    return page
