"""`ensemble-lab report` runs notebooks and writes pages that need no network."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main
from ensemble_lab.widgets import explore

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


@pytest.mark.parametrize("out", ["file", "file/out"])
def test_a_file_in_the_way_of_the_output_folder(out, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert f"cannot write into {tmp_path / out}" in refused(capsys, START, "--out", tmp_path / out)


TYPED = {"seed": 0, "share": 0.5, "name": "imdb", "sizes": (1, 2), "fast": True, "free": None}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", "three", "'three' should be a whole number, as its default 0 is"),
        ("seed", "0.5", "0.5 should be a whole number"),
        ("seed", "True", "True should be a whole number"),
        ("seed", "None", "None should be a whole number"),
        ("share", "[1]", "[1] should be a number, as its default 0.5 is"),
        ("share", "False", "False should be a number"),
        (
            "name",
            "5",
            "5 should be text, as its default 'imdb' is; to give it as text, write \"'5'\"",
        ),
        ("sizes", "5", "5 should be a list, as its default (1, 2) is"),
        ("fast", "1", "1 should be True or False, as its default True is"),
    ],
)
def test_a_parameter_of_another_type(name, value, expected, tmp_path, capsys):
    notebook = write(tmp_path / "a.ipynb", "1", **TYPED)
    said = refused(capsys, notebook, "--out", tmp_path / "out", "-p", name, value)
    assert f"a.ipynb: {name} = {expected}" in said
    assert not (tmp_path / "out").exists()


def reported(notebook, *words):
    """Report one notebook; the printed text of its last cell."""
    out = Path(notebook).parent / "out"
    assert main(["report", notebook, "--out", str(out), *map(str, words)]) == 0
    return nbformat.read(out / Path(notebook).name, as_version=4).cells[-1].outputs[0].text


def test_values_of_the_right_type_arrive_as_given(tmp_path):
    notebook = write(tmp_path / "a.ipynb", f"print([{', '.join(TYPED)}])", **TYPED)
    given = {"share": 1, "name": "'5'", "sizes": "(3, 4)", "fast": False, "free": "[0.5]"}
    words = [word for name, value in given.items() for word in ("-p", name, value)]
    assert reported(notebook, *words) == "[0, 1, '5', [3, 4], False, [0.5]]\n"


# -- a kernel that dies -------------------------------------------------------------------------

KILL = (
    "# too much memory\nprint('about to die', flush=True)\nimport os, signal, time; time.sleep(1)"
)


def test_a_killed_kernel_leaves_the_page_and_names_the_cell(tmp_path, capsys):
    fatal = f"{KILL}\nos.kill(os.getpid(), signal.SIGKILL)"
    killed = write(tmp_path / "killed.ipynb", "print('this much ran')", fatal, "'later'", seed=0)
    whole = write(tmp_path / "whole.ipynb", "print('whole')", seed=0)
    out = tmp_path / "out"
    assert main(["report", killed, whole, "--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    (said,) = [line for line in lines if line.startswith("ensemble-lab report:")]
    assert "killed.ipynb stopped at cell [3] (# too much memory): Kernel died" in said
    page = (out / "killed.html").read_text()
    assert "this much ran" in page and "about to die" in page and "DeadKernelError" in page
    assert "whole" in (out / "whole.html").read_text()
    index = (out / "index.html").read_text()
    assert index.count("stopped at cell [3]") == 1
    assert re.findall(r'href="([^"]+)"', index) == ["killed.html", "whole.html"]


# -- a state copied from an explorer ------------------------------------------------------------

EXPLORED = """from ensemble_lab.widgets import explore
explorer = explore("condorcet", **state)
print(explorer.figure().to_json())"""


def test_a_copied_state_gives_the_same_figure(tmp_path):
    explorer = explore("condorcet")
    (name, other), *_ = [(c.name, c.options[-1]) for c in explorer.controls if c.kind == "steps"]
    (tmp_path / "view.json").write_text(explorer.to_json(**{name: other}))
    notebook = write(tmp_path / "a.ipynb", EXPLORED, state={})
    drawn = json.loads(reported(notebook, "--state", tmp_path / "view.json"))
    assert drawn == json.loads(explorer.figure(**{name: other}).to_json())
    assert drawn != json.loads(explorer.figure().to_json())


VIEW = {"explorer": "votes", "version": 1, "state": {"members": ["a", "b"], "by label": True}}


def test_a_state_arrives_whole(tmp_path):
    (tmp_path / "view.json").write_text(json.dumps(VIEW))
    notebook = write(tmp_path / "a.ipynb", "print(state)", state=None)
    assert reported(notebook, "--state", tmp_path / "view.json") == f"{VIEW['state']}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("{'explorer': 1}", "is not JSON"),
        ("[1]", "is no state of an explorer, which has explorer, version, state"),
        ('{"members": ["a"]}', "is no state of an explorer"),
        (json.dumps(VIEW | {"version": 99}), "has version 99, this package reads 1"),
        (json.dumps(VIEW | {"state": [1]}), "its state is [1], not a dictionary"),
    ],
)
def test_a_file_that_holds_no_state_of_this_version(text, why, tmp_path, capsys):
    notebook, view = write(tmp_path / "a.ipynb", "1", state={}), tmp_path / "view.json"
    if text is not None:
        view.write_text(text)
    said = refused(capsys, notebook, "--out", tmp_path / "out", "--state", view)
    assert str(view) in said and why in said
    assert not (tmp_path / "out").exists()


def test_a_state_for_a_notebook_that_takes_none(tmp_path, capsys):
    (tmp_path / "view.json").write_text(json.dumps(VIEW))
    notebook = write(tmp_path / "a.ipynb", "1", seed=0)
    said = refused(capsys, notebook, "--out", tmp_path / "out", "--state", tmp_path / "view.json")
    assert "a.ipynb has no parameter 'state'; it has: seed = 0" in said
