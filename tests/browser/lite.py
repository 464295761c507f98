"""The site without a server, in Chromium: steps of its test, and the whole visit for a network.

``python -m tests.browser.lite`` opens notebook 00 of the site in ``lite/`` as on a reader's first
visit, runs it, and prints the seconds until the first slider and the bytes from each host. With
``--url`` it visits a published site.
"""

import argparse
import json
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.browser import jupyter
from tests.browser.steps import HANDLE, panels

GOAL = 45  # seconds from an empty cache to the first slider
FIRST = "00_start_here.ipynb"
OUTPUT = ".jp-OutputArea-output"


@contextmanager
def served(folder):
    """The address of a folder, served as a static host does it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def listening(page):
    """Two dicts that fill while the page is used: host to addresses asked for, and to bytes."""
    asked, sizes = defaultdict(list), defaultdict(int)

    def count(response):
        if response.from_service_worker:
            return  # which has asked for it, and counts itself
        sizes[urlsplit(response.url).hostname] += int(response.headers.get("content-length", 0))

    # Python runs in a worker, whose requests only the context sees.
    page.context.on("request", lambda one: asked[urlsplit(one.url).hostname].append(one.url))
    page.context.on("response", count)
    return asked, sizes


def open_first(page, address):
    """Open notebook 00 and wait for its cells."""
    page.goto(f"{address}/lab/index.html?path={FIRST}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()


def run_new_cell(page, code, expected):
    """Run `code` in a new cell above all others; its output, once that has the `expected` text."""
    page.locator(".jp-Notebook .jp-CodeCell").first.click()
    for key in ("Escape", "a", "Enter"):
        page.keyboard.press(key)
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    output = page.locator(".jp-Notebook .jp-CodeCell").first.locator(OUTPUT)
    output.filter(has_text=expected).first.wait_for()
    return output


def run_to_slider(page):
    """Run all cells, and wait until the first explorer has its slider."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("#jp-mainmenu-run").get_by_text("Run All Cells", exact=True).click()
    panels(page).first.locator(HANDLE).first.wait_for()


def first_visit(browser, address, patience):
    """The whole visit with a network and an empty cache.

    Returns
    -------
    dict
        ``seconds`` to the first slider, ``bytes`` by host, ``requests`` by host, and what ran.
    """
    with jupyter.page_of(browser, 1280, 800) as page:
        page.set_default_timeout(1000 * patience)
        asked, sizes = listening(page)
        start = time.perf_counter()
        open_first(page, address)
        run_to_slider(page)
        return {
            "seconds": round(time.perf_counter() - start, 1),
            "bytes": dict(sizes),
            "requests": {host: len(urls) for host, urls in asked.items()},
            "browser": browser.version,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
        }


def main():
    """Visit, print, and fail where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", default=jupyter.ROOT / "lite", help="the folder that was built")
    parser.add_argument("--url", help="a published site instead, such as https://…/lite")
    told = parser.parse_args()
    with jupyter.chromium() as browser:
        if told.url:
            facts = first_visit(browser, told.url.rstrip("/"), 600)
        else:
            with served(told.site) as address:
                facts = first_visit(browser, address, 600)
    print(json.dumps(facts, indent=1))
    if facts["seconds"] > GOAL:
        sys.exit(f"the first slider took {facts['seconds']} s; the goal is {GOAL} s")


if __name__ == "__main__":
    main()
