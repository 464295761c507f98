"""Pages of hostile notebooks: no script but our own runs, and nothing leads away."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from ensemble_lab.reports.page import PLOTLY, Run, entry, finding_of, write_index, write_page

AWAY = '<meta http-equiv="refresh" content="0;url=http://x.example/"><LINK rel=prefetch href=//x>'
SCRIPTS = (
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "<a href='javascript:window.ran = 3'>a</a>"
)
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="ran = 4">{SCRIPTS}</svg>'
FIGURE = {"data": [{"type": "bar", "y": [1], "name": "</script><script>window.ran = 5</script>"}]}


def display(**data):
    return new_output("display_data", {kind.replace("_", "/"): v for kind, v in data.items()})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "a.ipynb"
    outputs = [
        display(text_html=SCRIPTS + AWAY),
        new_output("display_data", {"image/svg+xml": SVG}),
        display(text_markdown=SCRIPTS + AWAY + "\n\n[a](javascript:1)"),
        display(application_javascript="window.ran = 6"),
        new_output("display_data", {PLOTLY: FIGURE}),
        new_output("stream", text="\x1b[31m<script>window.ran = 7</script>"),
        new_output("error", ename="<b>", evalue="<script>", traceback=["<script>8</script>"]),
    ]
    cells = [
        new_markdown_cell("# T</title><script>window.ran = 9</script>\n\n" + SCRIPTS + AWAY),
        new_markdown_cell("```\n<meta charset=kept>\n```\n\n[a](javascript:1)"),
        new_code_cell("1", outputs=outputs),
        new_raw_cell(AWAY, metadata={"raw_mimetype": "text/html"}),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    assert write_page(path) == []
    return path.with_suffix(".html").read_text(encoding="utf-8")


def test_only_the_scripts_of_figures_bear_the_pages_nonce(page):
    (nonce,) = re.findall(r"script-src 'nonce-([\w-]{20,})' 'unsafe-eval' blob:;", page)
    signed = BeautifulSoup(page, "html.parser")("script", nonce=nonce)
    assert any("Plotly.newPlot" in script.text for script in signed)
    assert not any("window.ran" in script.text for script in signed if "newPlot" not in script.text)
    assert page.count(f'nonce="{nonce}"') == len(signed)
    assert "</script><script>window.ran = 5" not in page


def test_the_policy_stands_before_anything_of_the_notebook(page):
    assert page.index("Content-Security-Policy") < page.index("<title") < page.index("window.ran")


def test_every_page_has_another_nonce(page, tmp_path):
    found = set(re.findall(r"nonce-([\w-]+)", page))
    for name in "ab":
        nbformat.write(new_notebook(), tmp_path / f"{name}.ipynb")
        write_page(tmp_path / f"{name}.ipynb")
        found |= set(re.findall(r"nonce-([\w-]+)", (tmp_path / f"{name}.html").read_text()))
    assert len(found) == 3


def test_nothing_leads_away_and_code_is_shown_as_it_is(page):
    body = BeautifulSoup(page, "html.parser").body
    for figure in body("script"):
        figure.extract()
    assert not body(["meta", "link", "base"])
    assert "<meta charset=kept>" in body.text
    assert body.text.count("<meta http-equiv") == 4


def test_frames_and_scripts_become_words(tmp_path):
    frame = '<iframe srcdoc="&lt;meta http-equiv=refresh&gt;"></iframe> <object-x>'
    outputs = [display(text_html=frame), display(application_javascript="</script><b>")]
    cells = [new_markdown_cell(frame), new_code_cell("1", outputs=outputs)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    write_page(tmp_path / "a.ipynb")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<iframe" not in page and "</script><b>" not in page and "frame-src" not in page
    assert page.count("[a frame, which a page does not show]") == page.count("<object-x>") == 2
    assert "[application/javascript, which a page does not run]" in page


# -- odd figures --------------------------------------------------------------------------------

ODD = [
    {"data": [], "layout": "x"},
    {"data": [], "layout": {"template": "x"}},
    {"data": [], "config": "abc"},
    {"data": [], "config": [1]},
]
FINE = [
    {},
    {"data": None, "layout": None},
    {"data": [{"y": [1]}]},
    {"data": [], "layout": {"meta": {"text": 5}, "title": 7}},
    {"data": [], "layout": {"title": {"text": ["x"]}, "meta": [1]}},
]


def notebook_with(path, *figures):
    outputs = [new_output("display_data", {PLOTLY: figure}) for figure in figures]
    nbformat.write(new_notebook(cells=[new_code_cell("1", outputs=outputs)]), path)
    return path


@pytest.mark.parametrize("figure", [*ODD, *FINE], ids=str)
def test_an_odd_figure_is_told_and_the_others_are_drawn(figure, tmp_path):
    path = notebook_with(tmp_path / "a.ipynb", figure, {"data": [{"y": [1]}], "layout": {}})
    faults = write_page(path)
    page = path.with_suffix(".html").read_text()
    assert "newPlot" in page and len(re.findall(r"plotly\.js v\d", page)) == 1
    assert len(faults) == (figure in ODD)
    assert ("a figure cannot be drawn" in page) == (figure in ODD)
    entry(Run(path, path, 1.0, ""))


@pytest.mark.parametrize("figure", [[1], "x", 5, [], None])
def test_a_figure_that_is_none_has_no_finding(figure):
    output = new_output("display_data", {PLOTLY: figure})
    assert finding_of(new_notebook(cells=[new_code_cell("1", outputs=[output])])) == ""


def test_the_index_stands_without_a_source_and_links_to_no_folder(tmp_path):
    (tmp_path / "a.html").mkdir()
    (tmp_path / "b.ipynb").write_text("spoiled")
    runs = [Run(tmp_path / f"{n}.ipynb", tmp_path / f"{n}.ipynb", 1.0, "failed") for n in "ab"]
    write_index(tmp_path, runs, {})
    index = (tmp_path / "index.html").read_text()
    assert "href" not in index and index.count(">failed<") == 2
    assert "a.ipynb, 1 s" in index and "b.ipynb, 1 s" in index
