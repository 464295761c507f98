"""A class on a hub: ``python -m tests.support.hub_class FOLDER WORK``, without a network.

FOLDER is an installation with ``--hub``; WORK, an empty folder. Two users log in with Chromium,
open notebook 00 and run all; their sliders move the figure. The passwords and homes are made up,
all else is the recipe's. Prints seconds and the memory of one user.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.browser.jupyter import chromium, page_of
from tests.browser.steps import HANDLE, finished, move, panels, run_all

PORT = 8765
WORD = "one word for all of this class"
ADDRESS = f"http://127.0.0.1:{PORT}"
# The homes are made by the spawner, which starts all as the hub's own user.
CONFIG = """
load_subconfig({recipe!r})
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {word!r}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.JupyterHub.bind_url = {address!r}
c.Spawner.args = [*c.Spawner.args, "--allow-root"]
"""


@contextmanager
def hub(folder, work):
    """The recipe's hub, with made-up users whose homes are in `work`; yields its process."""
    config = work / "config.py"
    config.write_text(
        CONFIG.format(
            recipe=str(folder / "recipes/hub/jupyterhub_config.py"),
            word=WORD,
            homes=f"{work}/{{username}}",
            address=ADDRESS,
        )
    )
    command = [folder / ".venv/bin/jupyterhub", "-f", config]
    with (work / "hub.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=work, stdout=log, stderr=log, process_group=0, env=environment(work)
        )
    try:
        wait_until_it_answers(process, work / "hub.log")
        yield process
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        for one in psutil.wait_procs(family, timeout=10)[1]:  # kernels, which the hub leaves alone
            one.kill()


def environment(work):
    """No Python of the tests, and no settings of this user's."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "JUPYTER", "HF_"))}
    return kept | {"HOME": str(work)}


def wait_until_it_answers(process, log):
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urlopen(f"{ADDRESS}/hub/login", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def a_user(page, name):
    """Log in, open notebook 00, run all, and move the slider."""
    begun = time.monotonic()
    page.goto(f"{ADDRESS}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", WORD)
    page.click("#login_submit")
    page.locator(".jp-Notebook").first.wait_for(timeout=120_000)
    print(f"{name}: JupyterLab after {time.monotonic() - begun:.1f} s")
    run_all(page, f"{ADDRESS}/user/{name}/lab/tree/notebooks/00_start_here.ipynb")
    panel = panels(page).first
    panel.wait_for(timeout=60_000)
    print(f"{name}: the slider after {time.monotonic() - begun:.1f} s")
    finished(page)
    assert move(page, panel, panel.locator(HANDLE).first, seconds=20)


def main(folder, work):
    begun = time.monotonic()
    with hub(folder, work) as process, chromium() as browser:
        print(f"the hub answers after {time.monotonic() - begun:.1f} s")
        for name in ("ada", "grace"):
            with page_of(browser, 1280, 800) as page:
                a_user(page, name)
                page.screenshot(path=work / f"{name}.png")
            assert (work / name / "notebooks/00_start_here.ipynb").exists()
        servers = [p for p in psutil.process_iter(["cmdline"]) if "singleuser" in str(p.info)]
        for server in servers[:1]:
            family = [server, *server.children(recursive=True)]
            held = sum(one.memory_full_info().pss for one in family)
            print(f"one user: {held / 2**20:.0f} MiB in {len(family)} processes")
        assert process.poll() is None
    print("all users saw it")


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:]))
