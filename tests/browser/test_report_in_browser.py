"""A report in a real browser: the figure is drawn and its slider moves, without any network."""

import base64
import html
import shutil
import socket
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import expect

from ensemble_lab.explorers import explore
from ensemble_lab.reports.page import PLOTLY, WIDGET, write_page
from ensemble_lab.widgets.still import plain_figure
from tests.notebooks.solved import NOTEBOOKS


@pytest.fixture
def address(executed, tmp_path):
    """The page of the first notebook's one run."""
    copy = Path(shutil.copy(executed(NOTEBOOKS[0]).path, tmp_path))
    assert write_page(copy) == []
    return copy.with_suffix(".html").as_uri()


@pytest.mark.slow
def test_the_slider_moves_and_nothing_is_fetched(address, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    figure = page.locator(".js-plotly-plot").first
    title = figure.locator(".gtitle")
    expect(title).to_contain_text("as right as")  # it opens at the finding, not at 0 %
    rail = figure.locator(".slider-rail-touch-rect")
    rail.click(position={"x": rail.bounding_box()["width"] - 1, "y": 5})
    expect(title).to_contain_text("100% sent to")
    assert asked == [address]


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


def test_opening_a_strangers_page_connects_to_no_server(tmp_path, callers, page):
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


def test_without_scripts_there_is_a_picture_and_no_hole(tmp_path, browser):
    figure = plain_figure(explore("condorcet").picture())
    data = {"application/vnd.plotly.v1+json": figure}
    cell = new_code_cell("1", outputs=[new_output("display_data", data)])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    write_page(tmp_path / "a.ipynb")
    for scripts in (False, True):
        with browser.new_context(java_script_enabled=scripts) as context:
            page = context.new_page()
            page.goto((tmp_path / "a.html").as_uri())
            assert page.locator("noscript svg").is_visible() is not scripts
            assert page.locator(".plotly-graph-div").is_visible() is scripts


def test_slides_follow_the_arrow_keys_and_are_a_page_without_scripts(tmp_path, page):
    figure = new_output("display_data", {PLOTLY: {"data": [{"y": [1, 2]}]}})
    cells = [
        new_markdown_cell("# First\n\nA few words."),
        new_markdown_cell("## Second"), new_code_cell("1 + 1", outputs=[figure]),
        new_markdown_cell("### Not a slide"), new_markdown_cell("word\n\n" * 100),
        new_markdown_cell("## Third"),
    ]  # fmt: skip
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    write_page(tmp_path / "a.ipynb", slides=True)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto((tmp_path / "a.html").as_uri())
    place, headings = page.locator(".place"), page.locator("main h1, main h2")

    def tops():
        return headings.evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")

    expect(place).to_have_text("1 / 3")
    for at, key in (1, "ArrowRight"), (2, "PageDown"), (2, "ArrowRight"), (1, "ArrowLeft"):
        page.keyboard.press(key)
        expect(place).to_have_text(f"{at + 1} / 3")
        found = tops()
        assert 0 <= found[at] < 100  # at the top of the window, and no other one is in it
        assert not any(0 <= top < 800 for i, top in enumerate(found) if i != at)
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto((tmp_path / "a.html").as_uri())
    expect(plain.locator("main")).to_contain_text("Third")
    assert plain.locator(".place").count() == 0
    context.close()
