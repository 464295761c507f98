"""A report in a real browser: the figure is drawn and its slider moves, without any network."""

import base64
import html
import socket
import threading

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import expect

from ensemble_lab.cli import main
from ensemble_lab.reports.page import WIDGET, write_page
from tests.browser.jupyter import ROOT


@pytest.fixture
def page_of_first_figure(tmp_path, monkeypatch):
    """The first notebook up to its first figure, as a report."""
    notebook = nbformat.read(ROOT / "notebooks/00_start_here.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if cell.id == "show")
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, tmp_path / "first.ipynb")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["report", str(tmp_path / "first.ipynb"), "--out", str(tmp_path / "out")]) == 0
    return (tmp_path / "out/first.html").as_uri()


def test_the_slider_moves_and_nothing_is_fetched(page_of_first_figure, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_of_first_figure)
    figure = page.locator(".js-plotly-plot")
    title = figure.locator(".gtitle")
    expect(title).to_contain_text("0% sent to")
    rail = figure.locator(".slider-rail-touch-rect")
    rail.click(position={"x": rail.bounding_box()["width"] - 1, "y": 5})
    expect(title).to_contain_text("100% sent to")
    assert asked == [page_of_first_figure]


@pytest.fixture
def callers():
    """A port of this machine, and who connected to it: a connection alone tells who reads."""
    server, found = socket.create_server(("127.0.0.1", 0)), []

    def listen():
        while True:
            try:
                peer, caller = server.accept()
            except OSError:
                return
            found.append(caller)
            peer.close()

    threading.Thread(target=listen, daemon=True).start()
    yield server.getsockname()[1], found
    server.close()


def hostile(port):
    """Each way by which a page was led to a server when it was opened."""
    refresh = f"<meta http-equiv=refresh content='0;url=http://127.0.0.1:{port}/'>"
    coded = base64.b64encode(refresh.encode()).decode()
    frames = [
        f'<iframe srcdoc="{html.escape(refresh)}"></iframe>',
        f"<iframe/src=data:text/html;base64,{coded}></iframe>",
        f"<IFRAME\nsrc='data:text/html;base64,{coded}'></IFRAME>",
        f"<object data=data:text/html;base64,{coded}></object>",
        f"<embed src=data:text/html;base64,{coded}>",
        f"<iframe srcdoc=\"<script>'\" title='\">' src=data:text/html;base64,{coded}>",
    ]
    script = f"1</script>{refresh}"
    outputs = [
        new_output("display_data", data)
        for data in (
            {"application/javascript": script},
            {"application/javascript": script, "text/plain": "a script"},
            {WIDGET: {"model_id": script}},
            *({kind: one} for kind in ("text/html", "text/markdown") for one in frames),
            {"image/svg+xml": f"<svg><foreignObject>{frames[0]}</foreignObject></svg>"},
        )
    ]
    cells = [new_code_cell("1", outputs=outputs), *map(new_markdown_cell, frames)]
    return new_notebook(cells=cells)


def test_opening_a_strangers_page_connects_to_nobody(tmp_path, callers, page):
    port, found = callers
    nbformat.write(hostile(port), tmp_path / "a.ipynb")
    write_page(tmp_path / "a.ipynb")
    address = (tmp_path / "a.html").as_uri()
    page.goto(address)
    page.wait_for_timeout(1500)
    assert found == [] and page.url == address
    body = page.locator("body")
    assert body.locator("iframe, frame, object, embed, meta").count() == 0
    expect(body).to_contain_text("[application/javascript, which a page does not run]")
    expect(body).to_contain_text("a script")
