"""`ensemble-lab site`: pages that share one plotly.js, an index, search, and what it refuses."""

import csv
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ensemble_lab.cli import main
from ensemble_lab.explorers import explore
from ensemble_lab.reports.page import PLOTLY, Run
from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.site import build, write
from ensemble_lab.reports.site.build import RAN, site
from ensemble_lab.reports.site.documents import REPOSITORY, slug
from ensemble_lab.reports.site.front import COLUMNS
from ensemble_lab.reports.site.pages import compact, has_points
from ensemble_lab.reports.site.write import dead_links, write_site
from ensemble_lab.widgets.still import still
from tests.support.pages import check_loads_nothing, copies_of_plotly

ROOT = Path(__file__).parents[2]
HOSTILE = "<svg onload=alert(1)>"
TOP = """# {name}

[![Open in Colab]({colab}/assets/badge.svg)]({colab}/github/a/b/blob/main/{name}.ipynb) \
[![Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/a/b/main)

**What is it?** 12 minutes."""
COLAB = "https://colab.research.google.com"
README = """
|  | notebook | level | open |
|---|---|---|---|
| 00 | [first](notebooks/first.ipynb): a beginning | all | x |
| 01 | [second](notebooks/second.ipynb): an end | answers | x |
"""
FAMILIES = """# Families

[back](../notebooks/first.ipynb#show), [table](papers.csv), [contribute](../CONTRIBUTING.md)

## Answers

Whole answers are combined.

### Model's votes

Begin with `lab.vote` in notebook [01](../notebooks/second.ipynb).
"""
FIGURE = {"data": [{"type": "scatter", "y": [1.0, 2.5]}], "layout": {"title": {"text": "It grows"}}}


def shows(figure):
    return new_output("display_data", {PLOTLY: figure, "text/html": "a fallback"})


def notebook(name, *cells):
    return new_notebook(
        cells=[new_markdown_cell(TOP.format(name=name, colab=COLAB), id="title"), *cells]
    )


@pytest.fixture(scope="module")
def condorcet():
    return still(explore("condorcet"))


@pytest.fixture
def home(tmp_path, condorcet):
    """A small project: two notebooks that were run, a README and documents."""
    first = notebook(
        "first",
        new_code_cell("lab.explore('condorcet')", id="show", outputs=[shows(condorcet)]),
        new_markdown_cell(
            "## Build it\n\nGrößer is déjà vu. [next](second.ipynb#show),"
            " [all](../docs/families.md)",
            id="a",
        ),
        new_markdown_cell("## Build it\n\nAgain.", id="b"),
    )
    second = notebook(
        "second",
        new_code_cell("draw()", id="show", outputs=[shows(FIGURE)]),
        new_markdown_cell(f"## {HOSTILE}\n\nhostile heading, `a < b`", id="evil"),
        new_markdown_cell("[gone](../CITATION.cff)"),
    )
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "ran").mkdir()
    for name, one in (("first", first), ("second", second)):
        nbformat.write(one, tmp_path / f"notebooks/{name}.ipynb")
        nbformat.write(one, tmp_path / f"ran/{name}.ipynb")
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "README.md").write_text(README)
    (docs / "families.md").write_text(FAMILIES)
    (docs / "papers.csv").write_text("key\na\n")
    rows = [
        ["It is slow.", "helps", "Wait & see.", "Votes <help>", "second", "show"],
        ["It is far.", "not", "Walk.", "It is far.", "missing", "show"],
    ]
    with open(docs / "troubles.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (tmp_path / "site").mkdir()
    return tmp_path


def runs_in(home):
    return [Run(p, home / "ran" / p.name, 1.0, "") for p in sorted(home.glob("notebooks/*.ipynb"))]


def written(home):
    """Faults, and the text of each file."""
    faults = write_site(runs_in(home), home / "site")
    files = [*home.glob("site/*.html"), *home.glob("site/*.js")]
    return faults, {path.name: path.read_text() for path in files}


def test_no_link_is_dead_and_plotly_is_there_once(home):
    faults, files = written(home)
    assert faults == []
    assert set(files) == {"index.html", "first.html", "second.html", "families.html",
                          "plotly.min.js", "figures.js", "search.js", "sections.js"}  # fmt: skip
    assert sum(copies_of_plotly(text) for text in files.values()) == 1
    for name in ("first.html", "second.html", "families.html", "index.html"):
        check_loads_nothing(files[name])
        assert copies_of_plotly(files[name]) == 0
        assert files[name].count("plotly.min.js") == (name in ("first.html", "second.html"))
        assert not re.findall(r'(?:src|href)="/', files[name])  # a sub-path would break it
    assert (home / "site/papers.csv").read_text() == "key\na\n"


def test_a_page_has_its_place_and_its_neighbours(home):
    _, files = written(home)
    first, second = files["first.html"], files["second.html"]
    assert "00 · all · 12 minutes" in first and "01 · answers · 12 minutes" in second
    assert first.count("Open in Colab") == 1 and "blob/main/first.ipynb" in first
    assert 'href="second.html">second →' in first and "←" not in first
    assert 'href="first.html">← first' in second and "→" not in second
    assert first.count('href="index.html#search"') == 2
    assert 'href="second.html#show"' in first and 'href="families.html"' in first
    assert f'href="{REPOSITORY}/blob/main/CITATION.cff"' in second


def test_places_are_the_cells_and_each_is_there_once(home):
    _, files = written(home)
    for name, text in files.items():
        if name.endswith(".html"):
            ids = re.findall(r'\sid="([^"]+)"', text)
            assert len(ids) == len(set(ids)), name
    assert {"show", "a", "b", "Build-it", "Build-it-1"} <= set(
        re.findall(r'\sid="([^"]+)"', files["first.html"])
    )


def test_the_picture_is_in_the_page_and_the_data_beside_it(home, condorcet):
    _, files = written(home)
    first = files["first.html"]
    assert first.count('<figure class="picture"><svg ') == 1 and "<noscript" not in first
    stored = re.search(r'<script type="application/json">(.*?)</script>', first)[1]
    assert json.loads(stored)["data"] == compact(condorcet["data"])
    assert len(json.loads(stored)["layout"]["sliders"][0]["steps"]) > 2
    assert '<p class="words">As first shown' in first and 'aria-label="As first shown' in first
    assert "a fallback" not in first and "viewBox" in first
    picture = (home / "site/pictures/condorcet.svg").read_text()
    assert picture.startswith("<svg ") and picture.strip() in first


def test_the_index_has_troubles_pictures_series_families_and_documents(home):
    _, files = written(home)
    index = files["index.html"]
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", index)
    assert heads == ["By trouble", "Explorers", "The series, in order", "By family", "Documents"]
    assert "<b>Helps:</b> Wait &amp; see. <q>Votes &lt;help&gt;</q>" in index and "far" not in index
    assert 'href="second.html#show">01 second</a>' in index
    assert 'href="first.html#show"><img src="pictures/condorcet.svg"' in index
    assert re.search(r'<img [^>]*alt="As first shown[^"]+"', index)
    assert "families.html#models-votes" in index and 'id="models-votes"' in files["families.html"]
    for place in ("by-trouble", "explorers", "the-series", "by-family", "documents"):
        assert index.count(f'href="#{place}"') == 2 and index.count(f'id="{place}"') == 1
    assert "Search needs JavaScript" in index  # and no field without it


def test_search_has_each_section_as_text(home):
    _, files = written(home)
    script = files["sections.js"]
    assert script.isascii() and "<" not in script
    rows = json.loads(script.partition("=")[2].strip().rstrip(";"))
    by_heading = {(row[0], row[3]): row for row in rows}
    assert by_heading["first.html", "Build it"][1] in ("a", "b")
    texts = " ".join(row[4] for row in rows)
    assert "Größer is déjà vu. next, all" in texts and "draw()" in texts
    assert any(row[1] == "evil" for row in rows)
    for page, anchor, *_ in rows:
        assert not anchor or f'id="{anchor}"' in files[page]


def test_a_hostile_heading_or_code_runs_nothing(home):
    first = nbformat.read(home / "ran/first.ipynb", as_version=4)
    first.cells.append(new_code_cell(f"a = '</pre></div><script>1</script>{HOSTILE}'"))
    first.cells.append(
        new_code_cell(f"# @title {HOSTILE}", metadata={"jupyter": {"source_hidden": True}})
    )
    nbformat.write(first, home / "ran/first.ipynb")
    _, files = written(home)
    assert "<script>1" not in files["first.html"] and HOSTILE not in files["first.html"]
    assert "<summary>code: &lt;svg onload" in files["first.html"]
    assert "script-src 'nonce-" in files["second.html"]
    for name in ("index.html", "families.html"):
        assert "onload" not in files[name]


EMPTY = [
    {"data": []},
    {"data": [{"type": "scatter", "x": [], "y": []}]},
    {"data": [{"type": "scatter", "y": [None, None]}]},
    {"data": [{"type": "bar", "y": [1], "visible": False}]},
]


@pytest.mark.parametrize("figure", EMPTY)
def test_an_empty_figure_is_named_and_said_on_its_page(home, figure):
    cell = new_code_cell("draw()", id="show", outputs=[shows(FIGURE), shows(figure)])
    nbformat.write(notebook("second", cell), home / "ran/second.ipynb")
    faults, files = written(home)
    assert faults == ["second.ipynb: figure 2 is empty; give it points, or remove its cell"]
    assert files["second.html"].count("figure 2 is empty") == 1
    assert files["second.html"].count("<svg ") == 1


def test_a_figure_without_a_still_picture_is_named(home):
    figure = {"data": [{"type": "surface", "z": [[1, 2], [3, 4]]}]}
    cell = new_code_cell("draw()", id="show", outputs=[shows(figure)])
    nbformat.write(notebook("second", cell), home / "ran/second.ipynb")
    faults, _ = written(home)
    assert len(faults) == 1 and faults[0].startswith("second.ipynb: figure 1 cannot be drawn")
    assert "surface" in faults[0]


def test_points_are_found_in_any_kind_of_trace():
    assert not any(has_points(figure) for one in EMPTY for figure in one["data"])
    for trace in ({"y": [0]}, {"z": {"bdata": "AA==", "dtype": "i1"}}, {"values": [1]},
                  {"x": ["a"]}):  # fmt: skip
        assert has_points({"type": "any", **trace})


def test_a_page_above_the_limit_is_refused_by_its_name(home, monkeypatch):
    written(home)
    sizes = {p.name: len(p.read_bytes()) for p in home.glob("site/*.html")}
    assert max(sizes, key=sizes.get) == "first.html"
    monkeypatch.setattr(write, "LARGEST", sizes["first.html"] - 1)
    faults, files = written(home)
    assert len(faults) == 1 and faults[0].startswith("first.html has ")
    assert "not shown" in faults[0] and "fewer points" in faults[0]
    assert len(files["first.html"]) < 20_000 and "is not shown" in files["first.html"]
    assert "→" in files["first.html"]  # its neighbours are still found
    monkeypatch.setattr(write, "LARGEST", sizes["first.html"])
    assert written(home)[0] == []


def test_a_notebook_without_an_explorer_is_a_page_without_a_picture(home):
    nbformat.write(notebook("first", new_code_cell("1", id="show")), home / "ran/first.ipynb")
    faults, files = written(home)
    assert faults == [] and "plotly.min.js" not in files["first.html"]
    assert '<h2 id="explorers">' not in files["index.html"]
    assert list(home.glob("site/pictures/*")) == []  # of the build before, too


def test_dead_links_are_named(home):
    cell = new_markdown_cell("[a](first.ipynb#nowhere) [b](#here) [c](../../x.md) [d](#title)")
    nbformat.write(notebook("second", cell), home / "ran/second.ipynb")
    faults, _ = written(home)
    dead = [fault for fault in faults if fault.startswith("second.html has a dead link")]
    assert [fault.partition(", ")[2] for fault in dead] == ["first.html#nowhere", "#here",
                                                            "../../x.md"]  # fmt: skip
    # Troubles and documents that led to its cell are named, too.
    assert {fault.split()[0] for fault in faults} == {"second.html", "first.html", "index.html"}
    assert dead_links(home / "site", ["missing.html"]) == []


def test_two_pages_of_one_name_are_refused(home):
    (home / "docs/first.md").write_text("# Another first")
    with pytest.raises(RequestError, match=r"two pages would be called first\.html"):
        written(home)


def test_a_file_that_cannot_be_written_is_refused_by_its_folder(home):
    (home / "site/figures.js").mkdir()
    with pytest.raises(RequestError, match="cannot write into .*site: .*; choose another --out"):
        written(home)


def test_whole_numbers_lose_their_point_and_nothing_else():
    given = {"a": [1.0, 2.5, None, True, "1.0"], "b": {"c": (0.0, -3.0)}}
    made = compact(given)
    assert made == {"a": [1, 2.5, None, True, "1.0"], "b": {"c": [0, -3]}}
    assert json.dumps(made) == '{"a": [1, 2.5, null, true, "1.0"], "b": {"c": [0, -3]}}'


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("What needs what", "what-needs-what"),
        ("Big-little decoding", "big-little-decoding"),
        ("<code>a</code> &amp; b", "a--b"),
        ("Été, größer?", "été-größer"),
    ],
)
def test_headings_of_documents_have_githubs_ids(words, place):
    assert slug(words) == place


def test_the_repository_is_the_projects():
    assert f'Repository = "{REPOSITORY}"' in (ROOT / "pyproject.toml").read_text()


# -- the command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project of two notebooks, of which one fails; the folder and two builds' messages."""
    home = tmp_path_factory.mktemp("built")
    (home / "notebooks").mkdir()
    count = "from pathlib import Path\nwith open('runs.txt', 'a') as file:\n    file.write('{0} ')"
    draws = "import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[1, 2]))"
    parameters = new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
    for name, last in (("a", draws), ("b", "1 / 0")):
        cells = [parameters, new_code_cell(count.format(name)), new_code_cell(last)]
        nbformat.write(notebook(name, *cells), home / f"notebooks/{name}.ipynb")
    outcomes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for _ in range(2):
            said = []
            patch.setattr(sys.stderr, "write", said.append)
            status = main(["site", f"{home}/notebooks", "--out", f"{home}/site"])
            ran = (home / "notebooks/runs.txt").read_text()
            outcomes.append((status, "".join(said), ran))
    return home, outcomes


def test_what_ran_is_not_run_again_and_what_failed_is(built):
    _, ((_, _, first), (_, _, second)) = built
    assert first == "a b " and second == "a b b "


def test_a_failure_is_named_and_its_page_keeps_what_ran(built):
    home, outcomes = built
    for status, said, _ in outcomes:
        told = [line for line in said.splitlines() if line.startswith("ensemble-lab site:")]
        assert status == 1 and len(told) == 1
        assert "b.ipynb stopped at cell [3]" in told[0] and "ZeroDivisionError" in told[0]
    assert "ZeroDivisionError" in (home / "site/b.html").read_text()
    assert (home / "site/a.html").read_text().count("<svg ") == 1
    assert 'class="failed">b.ipynb: ' in (home / "site/index.html").read_text()


def test_another_source_or_code_or_a_cut_file_is_run_again(built, monkeypatch):
    home, _ = built
    path, ran = home / "notebooks/a.ipynb", home / "site" / RAN
    assert build._known(path, ran).failure == ""
    assert "text/html" not in (ran / "a.ipynb").read_text()  # the fallback is not kept
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert build._known(path, ran) is None
    path.write_bytes(before)
    assert build._known(path, ran) is not None
    with monkeypatch.context() as patch:
        patch.setattr(build, "_code", lambda: b"another package")
        assert build._known(path, ran) is None
    whole = (ran / "a.ipynb").read_bytes()
    (ran / "a.ipynb").write_bytes(whole[: len(whole) // 2])
    assert build._known(path, ran) is None
    (ran / "a.ipynb").write_bytes(whole)


def test_a_stopped_build_goes_on(home, monkeypatch):
    asked = []

    def execute(path, executed, parameters, stop, timeout):
        asked.append(path.stem)
        nbformat.write(nbformat.read(home / "ran" / path.name, 4), executed)
        if asked == ["first", "second"]:  # Ctrl-C in the second
            stop.number = 2
            return "second.ipynb stopped"
        return ""

    monkeypatch.setattr(build, "execute", execute)
    for cell in ("first", "second"):
        (home / f"ran/{cell}.ipynb").touch()
    with pytest.raises(KeyboardInterrupt, match="1 of 2 notebooks are not run yet") as stopped:
        site([home / "notebooks"], home / "site")
    assert stopped.value.number == 2 and not (home / "site/index.html").exists()
    assert site([home / "notebooks"], home / "site") == []
    assert asked == ["first", "second", "second"] and (home / "site/index.html").exists()


@pytest.mark.parametrize(
    ("out", "told"),
    [("file/site", "cannot write into"), ("notebooks", "holds the notebooks"), ("", "no folder")],
)
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(home, capsys, out, told):
    (home / "file").write_text("not a folder")
    there = str(home / out) if out else ""
    assert main(["site", str(home / "notebooks"), "--out", there]) == 1
    assert told in capsys.readouterr().err
    assert not (home / "notebooks/runs.txt").exists()
