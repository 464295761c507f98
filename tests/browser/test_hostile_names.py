"""Names that are scripts, links, styles or templates, in a real browser: text, and no request."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from ensemble_lab.cli import main
from ensemble_lab.widgets import still
from tests.browser.jupyter import ROOT
from tests.browser.steps import finished, run_all
from tests.support.hostile_names import aimed, explorers

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
NAMING = ("votes", "cascade", "escalate", "routing", "speedup", "rounds")
# What came out of a name: elements that it writes, inside figures and beside them.
MADE = """() => [...document.querySelectorAll(
  "[href*='evil'], [src*='evil'], [style*='evil'], [style*='cursor'], .js-plotly-plot img")]
  .filter((found) => /evil|127\\.0\\.0\\.1/.test(found.outerHTML))
  .filter((found) => !found.closest("[data-mime-type], .jp-CodeMirrorEditor"))
  .map((found) => found.outerHTML.slice(0, 200))"""
# Some points of every trace with names are hovered; what the labels say. Plotly leaves out what
# comes within 50 ms.
HOVERED = """async () => {
  const said = [];
  for (const view of document.querySelectorAll(".js-plotly-plot")) {
    for (const [curveNumber, trace] of view.data.entries()) {
      for (const at of [0, 1, 4, 5]) {
        if (!Array.isArray(trace.customdata ?? trace.text)) continue;
        const pointNumber = trace.type === "heatmap" ? [at, 2] : at;
        const subplot = `${trace.xaxis ?? "x"}${trace.yaxis ?? "y"}`;
        try { Plotly.Fx.hover(view, [{ curveNumber, pointNumber }], subplot); } catch { continue; }
        await new Promise((done) => setTimeout(done, 70));
        const labels = view.querySelectorAll(".hoverlayer text");
        said.push(...[...labels].map((text) => text.textContent));
      }
    }
  }
  return said.join("\\n");
}"""


def only_text(page, asked):
    """Nothing of a name ran, became an element or was fetched."""
    page.wait_for_timeout(300)
    assert page.evaluate("window.evil") is None
    assert page.evaluate(MADE) == []
    assert not page.locator(".js-plotly-plot svg a[*|href]:not([href='#'])").count()
    assert asked == []


def drawn_text(page):
    """What can be read in the figures."""
    return "\n".join(page.locator(".js-plotly-plot .main-svg text").all_text_contents())


def written(text):
    """Names are there as they are written, cut in the middle at most."""
    assert '<img src="ht' in text and '<a href="ht' in text and "<span style=" in text
    assert "%{y} ev" in text


def test_still_pages_and_their_hover_ask_nothing(page, tmp_path, loopback, monkeypatch):
    monkeypatch.setattr(still, "_carrier", [])
    port, asked = loopback
    figures = [still.still(explorers(what, aimed(port))[0]) for what in NAMING]
    parts = [still.page(figure, figure["layout"]["meta"]["text"]) for figure in figures]
    place = tmp_path / "still.html"
    place.write_text("<!DOCTYPE html><meta charset='utf-8'>" + "\n".join(parts), encoding="utf-8")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(place.as_uri())
    expect(page.locator(".js-plotly-plot .gtitle")).to_have_count(len(NAMING), timeout=30_000)
    written(drawn_text(page))
    hovered = page.evaluate(HOVERED)
    assert "<img src=" in hovered and "<a href=" in hovered
    assert not re.search(r"&(lt;(img|a |span)|#)", hovered + drawn_text(page))
    for rail in page.locator(".slider-rail-touch-rect").all():
        rail.click(position={"x": 0.3 * rail.bounding_box()["width"], "y": 5}, force=True)
    only_text(page, asked)
    assert requests == [place.as_uri()]


def test_a_page_that_lost_its_library_fetches_it_when_asked(page, tmp_path, monkeypatch):
    monkeypatch.setattr(still, "carries_library", lambda: False)
    figure = still.still(explorers("escalate")[0])
    place = tmp_path / "still.html"
    place.write_text("<!DOCTYPE html><meta charset='utf-8'>" + still.page(figure, ""), "utf-8")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(place.as_uri())
    button = page.get_by_role("button", name="Fetch plotly.js")
    expect(button).to_be_visible()
    assert requests == [place.as_uri()]
    button.click()
    page.wait_for_timeout(200)
    assert re.fullmatch(r"https://cdn\.plot\.ly/plotly-[\d.]+\.min\.js", requests[1])


def test_a_report_asks_nothing(page, tmp_path, loopback, monkeypatch):
    port, asked = loopback
    figure = (
        "import plotly.graph_objects as go\nfrom tests.support.hostile_names import aimed\n"
        f"go.Figure(go.Bar(x=aimed({port}), y=[1] * 10), {{'title': {{'text': aimed({port})[2]}}}})"
    )
    shown = f"from tests.support.hostile_names import show\n\nshow({port})"
    notebook = new_notebook(
        cells=[new_code_cell(shown), new_code_cell(figure)], metadata={"kernelspec": KERNEL}
    )
    nbformat.write(notebook, tmp_path / "names.ipynb")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["report", str(tmp_path / "names.ipynb"), "--out", str(tmp_path / "out")]) == 0
    answered = []
    page.on("response", lambda response: answered.append(response.url))
    for name in ("names", "index"):
        answered.clear()
        address = (tmp_path / f"out/{name}.html").as_uri()
        page.goto(address)
        if name == "names":
            count = len(NAMING) + 1
            expect(page.locator(".js-plotly-plot .gtitle")).to_have_count(count, timeout=30_000)
            written(drawn_text(page))
        assert page.evaluate("window.evil") is None
        # Not even the reader's own figure, whose markup plotly obeys, reaches the network.
        assert asked == [] and answered in ([], [address])


@pytest.mark.parametrize("environment", ["live"], indirect=True)
def test_the_live_panels_show_names_as_text(page, tmp_path, loopback, serve, environment):
    port, asked = loopback
    cells = [new_code_cell(f"from tests.support.hostile_names import show\n\nshow({port})")]
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), tmp_path / "names.ipynb"
    )
    with serve(tmp_path, "names.ipynb") as address:
        live_panels(page, address, asked)


def live_panels(page, address, asked):
    """Run the notebook of all panels, unfold what they hold, and look."""
    output = run_all(page, address).first
    finished(page)
    expect(output.locator(".gtitle")).to_have_count(len(NAMING), timeout=60_000)
    for title in ("Data table", "Item card"):
        for button in output.get_by_role("button", name=title).all():
            button.click()
    item = output.get_by_placeholder("name of an item").first
    item.fill("nobody")
    item.press("Enter")
    expect(output.get_by_role("alert").first).to_contain_text("no item")
    written(drawn_text(page))
    boxes = output.locator(".widget-checkbox").all_text_contents()
    assert any(box.strip("\u200b ").startswith('<img src="ht') for box in boxes), boxes
    assert not any("&lt;im" in box for box in boxes)
    page.wait_for_timeout(1000)  # formulas would be set a moment later
    assert output.locator("mjx-container, .MathJax").count() == 0
    only_text(page, asked)
