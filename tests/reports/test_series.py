"""Pages of the series' notebooks, from the one run of each: whole, and without any network."""

import re
import shutil
from pathlib import Path

import pytest

from ensemble_lab.reports.page import Run, write_index, write_page
from tests.notebooks.solved import NOTEBOOKS
from tests.support.pages import check_loads_nothing, copies_of_plotly, figures_in
from tests.support.processes import once

PLOTLY = "application/vnd.plotly.v1+json"

pytestmark = [
    pytest.mark.slow,  # the notebook may have to run first
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem),
]


@pytest.fixture
def written(path, executed, shared):
    """The executed notebook, its page and the index of it alone, as text."""
    ran = executed(path)
    place = once(shared / f"page of {path.stem}", lambda place: write(path, ran, place))
    pages = [(place / f"{name}.html").read_text() for name in (path.stem, "index")]
    return ran.notebook, *pages


def write(path, ran, place):
    """Write both pages into the folder."""
    copy = Path(shutil.copy(ran.path, place / path.name))
    assert write_page(copy) == []
    write_index(place, [Run(path, copy, 7.0, "")], {})


def test_a_page_shows_every_figure_and_loads_nothing(written):
    notebook, page, _ = written
    check_loads_nothing(page)
    assert copies_of_plotly(page) == 1
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = [output.data[PLOTLY] for output in outputs if PLOTLY in output.get("data", {})]
    drawn = list(figures_in(page))
    assert len(drawn) == len(figures) > 0
    assert [len(traces) for traces, _ in drawn] == [len(figure["data"]) for figure in figures]


def test_a_page_has_the_explorer_in_words_and_no_failure(written):
    notebook, page, _ = written
    shows = "explore(" in "".join(cell.source for cell in notebook.cells)
    title = re.match(r"# (.*)", notebook.cells[0].source)[1]
    assert f"<title>{title}" in page.replace("&#39;", "'")
    assert "Traceback (most recent call last)" not in page
    hidden = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("jupyter", {}).get("source_hidden")
        and "live" not in cell.metadata.get("tags", ())  # a page leaves these out
    ]
    assert page.count("<summary>code</summary>") == len(hidden)
    told = [layout["meta"]["text"] for _, layout in figures_in(page) if "meta" in layout]
    assert bool(told) is shows and all(words.split(".")[0] in page for words in told)


def test_the_index_says_what_it_asks_and_found(path, written):
    *_, index = written
    assert f'href="{path.stem}.html"' in index and f"{path.name}, 7 s" in index
    entry = re.search(r"<li>.*?</li>", index, re.DOTALL).group()
    assert "?</p>" in entry and entry.count("<p") == 3 and 'class="failed"' not in entry
