"""Fixtures of the tests in a real browser, and a picture of the page where one of them fails."""

import re
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Error

from tests.browser import jupyter


@pytest.fixture
def environment(request):
    """Of kernels: this checkout, with the backend that the test asks for."""
    return jupyter.kernel_environment(getattr(request, "param", None))


@pytest.fixture(scope="package")
def labs(tmp_path_factory):
    """A function: the environment of kernels to the address of a JupyterLab on the tests' folders.

    Each environment has one server, which its tests share.
    """
    root, running = tmp_path_factory.getbasetemp(), {}
    with ExitStack() as servers:

        def lab(environment):
            key = frozenset(environment.items())
            if key not in running:
                own = tmp_path_factory.mktemp("lab")
                running[key] = servers.enter_context(jupyter.lab_server(root, own, environment))
            return running[key]

        yield lab


@pytest.fixture
def serve(labs, tmp_path_factory, environment):
    """A context manager: (folder, notebook) to the address that opens the notebook in lab.

    Kernels outlive its block, until a test that failed has had its picture taken: a page that
    lost its kernel shows that and little else.
    """
    with ExitStack() as kernels:

        @contextmanager
        def lab(folder, notebook):
            address = labs(environment)
            place = folder.relative_to(tmp_path_factory.getbasetemp())
            kernels.callback(jupyter.end_kernels, address, place)
            yield jupyter.opening(address, place / notebook)

        yield lab


@pytest.fixture(scope="package")
def browser():
    """One Chromium for the tests of this folder."""
    with jupyter.chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A page without network but for this machine."""
    with jupyter.page_of(browser) as page:
        page.set_default_timeout(120_000)  # a machine at work draws several figures in a minute
        yield jupyter.without_network(page)


@pytest.fixture
def loopback():
    """A server on this machine that keeps what it is asked; (port, paths)."""
    asked = []

    class Keep(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keep) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port, asked
        running.shutdown()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where a test with a page fails, keep what was to be seen: before the page is closed."""
    report = (yield).get_result()
    page = item.funcargs.get("page")
    if report.failed and report.when == "call" and page:
        report.sections.append(("the page when it failed", keep_picture(page, item)))


def keep_picture(page, item):
    """Save the whole page under the test's name; where it went, or why it could not."""
    name = re.sub(r"[^\w.-]+", "-", item.name).strip("-")
    path = item.config.rootpath / "screenshots" / f"{name}.png"
    try:
        page.screenshot(path=path, full_page=True)
    except Error as error:  # the test's own failure is what matters
        return f"no screenshot: {error}"
    return str(path)
