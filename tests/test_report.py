"""`ensemble-lab report` runs notebooks and writes pages that need no network."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main

ROOT = Path(__file__).parents[1]
START = ROOT / "notebooks/00_start_here.ipynb"
BROKEN = [
    "print('this much ran')",
    "import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1, level]))",
    "go.Figure(go.Bar(y=[3, 4]))",
    "# what fails\n1 / 0",
    "print('never reached')",
]


def write(path, *sources, **parameters):
    """A notebook with a parameters cell, a badge and the given code cells."""
    literals = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cells = [
        new_markdown_cell("# A page\n\n[![a badge](https://example.org/badge.svg)](https://x.org)"),
        new_code_cell(literals, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, sources),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One report of three notebooks, of which the second fails: (status, stderr, folder)."""
    folder = tmp_path_factory.mktemp("run")
    broken = write(folder / "broken.ipynb", *BROKEN, seed=0, level=1)
    where = "import sys; print('kernel', sys.executable, 'seed', seed)"
    last = write(folder / "last.ipynb", where, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # a kernel of the checkout, installed or not
        written = []
        patch.setattr(sys.stderr, "write", written.append)
        status = main(
            ["report", str(START), broken, last, "--out", f"{folder}/out", "-p", "seed", "3"]
        )
    return status, "".join(written), folder / "out"


def test_a_failure_names_notebook_and_cell_and_fails_the_run(run):
    status, said, _ = run
    assert status == 1
    failures = [line for line in said.splitlines() if line.startswith("ensemble-lab report:")]
    assert len(failures) == 1
    # As the page numbers it: the cell with the given parameters counts.
    assert "broken.ipynb stopped at cell [6] (# what fails)" in failures[0]
    assert "ZeroDivisionError" in failures[0]


def test_the_page_of_a_failure_keeps_what_ran(run):
    page = (run[2] / "broken.html").read_text()
    assert "this much ran" in page and "ZeroDivisionError" in page
    assert page.count("Plotly.newPlot(") >= 2


def test_the_other_notebooks_run_with_the_given_parameter_in_this_python(run):
    page = (run[2] / "last.html").read_text()
    printed = re.search(r"kernel (\S+) seed (\d+)", page)
    assert Path(printed.group(1)).samefile(sys.executable)
    assert Path(printed.group(1)).parent == Path(sys.executable).parent
    assert printed.group(2) == "3"


def test_the_index_links_every_page_and_marks_the_failure(run):
    index = (run[2] / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index)
    assert links == ["00_start_here.html", "broken.html", "last.html"]
    assert all((run[2] / link).exists() for link in links)
    assert index.count("ZeroDivisionError") == 1
    assert "seed = 3" in index


@pytest.mark.parametrize("name", ["00_start_here", "broken", "last"])
def test_pages_load_nothing_from_the_network(run, name):
    page = (run[2] / f"{name}.html").read_text()
    assert not re.findall(
        r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//", page
    )
    assert not re.findall(r"@import\s+url|<script[^>]*type=\"module\"", page)
    # A banner starts each copy of plotly.js: one where there are figures, none where not.
    copies = len(re.findall(r"plotly\.js v\d", page))
    assert copies == (0 if name == "last" else 1)


def test_the_first_notebook_states_its_finding(run):
    page = (run[2] / "00_start_here.html").read_text()
    assert re.search(r"\d+% escalated: \d\d\.\d% right", page)
    assert "points against Microsoft" in page
    assert "Traceback" not in page
    assert "<summary>code</summary>" in page  # what is folded in the notebook is folded here


# -- what cannot be done is refused before anything runs ----------------------------------------


def refused(capsys, *words):
    """What is said when the report is refused."""
    assert main(["report", *map(str, words)]) == 1
    return capsys.readouterr().err


def test_an_unknown_parameter_is_named_with_those_there_are(tmp_path, capsys):
    said = refused(capsys, START, "--out", tmp_path / "out", "-p", "treshold", "0.5")
    assert "'treshold'" in said and "threshold = None" in said and START.name in said
    assert not (tmp_path / "out").exists()


def test_a_missing_notebook_is_named_with_the_nearest(tmp_path, capsys):
    said = refused(capsys, START.with_name("00_start_hare.ipynb"), "--out", tmp_path)
    assert "00_start_hare.ipynb" in said and "did you mean '00_start_here.ipynb'" in said


def test_no_notebooks_at_all(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no notebooks in" in refused(capsys, "--out", tmp_path)


def test_a_file_that_is_no_notebook(tmp_path, capsys):
    (tmp_path / "a.ipynb").write_text("not a notebook")
    said = refused(capsys, tmp_path / "a.ipynb", "--out", tmp_path / "out")
    assert "a.ipynb cannot be read as a notebook" in said


def test_an_output_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    said = refused(capsys, START, "--out", tmp_path / "file/out")
    assert f"cannot write into {tmp_path / 'file/out'}" in said and "--out" in said


def test_the_notebooks_own_folder_is_no_output_folder(tmp_path, capsys):
    notebook = write(tmp_path / "a.ipynb", "1", seed=0)
    before = Path(notebook).read_bytes()
    assert "holds the notebooks" in refused(capsys, notebook, "--out", tmp_path)
    assert Path(notebook).read_bytes() == before


def test_two_notebooks_of_one_name(tmp_path, capsys):
    (tmp_path / "b").mkdir()
    paths = write(tmp_path / "a.ipynb", "1", seed=0), write(tmp_path / "b/a.ipynb", "1", seed=0)
    assert "two notebooks named 'a.ipynb'" in refused(capsys, *paths, "--out", tmp_path / "out")
