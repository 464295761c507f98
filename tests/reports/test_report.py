"""`ensemble-lab report` runs notebooks and writes pages that need no network."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import ensemble_lab as lab
from ensemble_lab.cli import main
from ensemble_lab.explorers import explore
from ensemble_lab.reports.page import write_page
from tests.support.pages import check_loads_nothing, copies_of_plotly, figures_in

ROOT = Path(__file__).parents[2]
START = ROOT / "notebooks/00_start_here.ipynb"
TOP = """# A page

[![a](https://example.org/a.svg)](https://x.org) [![b](https://example.org/b.svg)](https://y.org)

Some **words** before. **What is it?**"""
BROKEN = [
    "print('this much ran')",
    "import plotly.graph_objects as go\ntitle = '<b>1 of 2</b>,<br>and more'\n"
    "go.Figure(go.Bar(y=[1, level]), {'title': title})",
    "go.Figure(go.Bar(y=[3, 4]))",
    "# what fails\n1 / 0",
    "print('never reached')",
]


def write(path, *sources, **parameters):
    """A notebook with a parameters cell, a badge and the given code cells."""
    literals = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cells = [
        new_markdown_cell(TOP),
        new_code_cell(literals, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, sources),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return str(path)


def up_to(name, cell_id, folder):
    """One of the series' notebooks as far as that cell."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if cell.id == cell_id)
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, folder / name)
    return str(folder / name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One report of three notebooks, of which the second fails: (status, stderr, folder).

    The first is the series' first one up to its first figure; tests/reports/test_series.py has
    the pages of all of them.
    """
    folder = tmp_path_factory.mktemp("run")
    first = up_to(START.name, "show", folder)
    broken = write(folder / "broken.ipynb", *BROKEN, seed=0, level=1)
    where = "import sys; print('kernel', sys.executable, 'seed', seed)"
    last = write(folder / "last.ipynb", where, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # a kernel of the checkout, installed or not
        written = []
        patch.setattr(sys.stderr, "write", written.append)
        status = main(["report", first, broken, last, "--out", f"{folder}/out", "-p", "seed", "3"])
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
    check_loads_nothing(page)
    assert copies_of_plotly(page) == (0 if name == "last" else 1)


def test_the_first_notebook_states_its_finding(run):
    page = (run[2] / "00_start_here.html").read_text()
    assert "Microsoft alone" in next(figures_in(page))[1]["title"]["text"]
    assert "Traceback" not in page
    assert "<summary>code</summary>" in page  # what is folded in the notebook is folded here


def test_the_index_says_what_a_notebook_asks_and_what_it_found(run):
    index = (run[2] / "index.html").read_text()
    first, broken, last = re.findall(r"<li>.*?</li>", index, re.DOTALL)
    assert ">When can a cheap model" in first and "?</p>" in first
    assert "Microsoft alone" in first and re.search(r"00_start_here\.ipynb, \d+ s<", first)
    for told in (">A page</a>", ">What is it?<", ">1 of 2<", 'class="failed">broken.ipynb stopped'):
        assert told in broken
    assert 'class="failed"' not in first + last


def test_badges_become_links_of_their_own(run):
    page = (run[2] / "last.html").read_text()
    assert '<a href="https://x.org">a</a> · <a href="https://y.org">b</a>' in page


@pytest.mark.parametrize(
    ("name", "title"), [("00_start_here", "When can a cheap model"), ("broken", "A page<")]
)
def test_a_page_has_the_notebooks_title(run, name, title):
    assert f"<title>{title}" in (run[2] / f"{name}.html").read_text()


# -- what cannot be done is refused before anything runs ----------------------------------------


def refused(capsys, *words):
    """What is said, in one line, when the report is refused."""
    assert main(["report", *map(str, words)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ensemble-lab report: ") and said.count("\n") == 1
    return said


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


@pytest.mark.parametrize("text", ["not a notebook", "", "[]", '{"a": 1}', '{"cells": 1}'])
def test_a_file_that_is_no_notebook(text, tmp_path, capsys):
    (tmp_path / "a.ipynb").write_text(text)
    said = refused(capsys, tmp_path / "a.ipynb", "--out", tmp_path / "out")
    assert "a.ipynb cannot be read as a notebook" in said


def test_an_output_folder_without_a_name(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--out '' names no folder" in refused(capsys, START, "--out", "")
    assert not list(tmp_path.iterdir())


def test_a_parameter_given_twice(tmp_path, capsys):
    twice = ["-p", "seed", "1", "-p", "seed", "2"]
    said = refused(capsys, START, "--out", tmp_path / "out", *twice)
    assert "-p seed is given twice: '1' and '2'; give one" in said


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
    said = refused(capsys, START, "--out", tmp_path / out)
    assert f"cannot write into {tmp_path / out}" in said and "choose another --out" in said


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
    assert reported(notebook, *words) == "[0, 1, '5', (3, 4), False, [0.5]]\n"


def test_an_error_of_several_lines_is_told_in_one(tmp_path, capfd):
    notebook = write(tmp_path / "a.ipynb", "raise ValueError('one\\n  two')", seed=0)
    assert main(["report", notebook, "--out", str(tmp_path / "out")]) == 1
    assert capfd.readouterr().err.endswith(": ValueError: one two\n")


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
    assert said.endswith("perhaps because memory ran out")
    page = (out / "killed.html").read_text()
    assert "this much ran" in page and "about to die" in page and "DeadKernelError" in page
    assert "whole" in (out / "whole.html").read_text()
    index = (out / "index.html").read_text()
    assert index.count("stopped at cell [3]") == 1
    assert re.findall(r'href="([^"]+)"', index) == ["killed.html", "whole.html"]


# -- a state copied from an explorer ------------------------------------------------------------

EXPLORED = """from ensemble_lab.explorers import explore
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


def leaves(value, path=""):
    """(path, leaf) of nested JSON, less the colour scales, which `go.Figure` spells out."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        found = [leaf for k, v in pairs if k != "colorscale" for leaf in leaves(v, f"{path}/{k}")]
        return found or [(path, value)]
    return [(path, value)]


def assert_same_traces(drawn, expected):
    """All the same but for the digits that a page leaves out."""
    drawn, expected = dict(leaves(drawn)), dict(leaves(expected))
    assert drawn.keys() == expected.keys()
    for path, value in expected.items():
        same = pytest.approx(value, rel=1e-4, abs=1e-5) if isinstance(value, float) else value
        assert drawn[path] == same, path


@pytest.mark.parametrize(
    ("name", "what", "table", "changes"),
    [
        ("01_voting.ipynb", "votes", "gsm8k-44-llms", {"rule": "right or wrong only"}),
        ("02_cascades.ipynb", "cascade", "rafdb-services", {"big": "Google", "threshold": 0.62}),
    ],
)
def test_the_page_of_a_notebook_draws_the_copied_view(name, what, table, changes, tmp_path):
    explorer = explore(what, lab.load_outcomes(table))
    (tmp_path / "view.json").write_text(explorer.to_json(**changes))
    notebook, out = up_to(name, "explorer", tmp_path), tmp_path / "out"
    assert main(["report", notebook, "--out", str(out), "--state", f"{tmp_path}/view.json"]) == 0
    *_, (traces, layout) = figures_in((out / name).with_suffix(".html").read_text())
    expected = json.loads(explorer.figure(**changes).to_json())
    assert layout["title"]["text"] == expected["layout"]["title"]["text"]
    assert_same_traces(traces, expected["data"])
    assert layout["title"] != json.loads(explorer.figure().to_json())["layout"]["title"]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"membres": ["Google"]}, "'membres' is not a control of 'votes'; did you mean 'members'?"),
        ({"members": ["Gogle"]}, "'Gogle'"),
    ],
)
def test_a_state_that_does_not_fit_stops_at_the_explorers_cell(state, why, tmp_path, capfd):
    source = """from ensemble_lab import explore, load_outcomes
explore("votes", load_outcomes("imdb-services"), **state)"""
    (tmp_path / "view.json").write_text(json.dumps(VIEW | {"state": state}))
    notebook = write(tmp_path / "a.ipynb", source, state={})
    words = ["--out", f"{tmp_path}/out", "--state", f"{tmp_path}/view.json"]
    assert main(["report", notebook, *words]) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert "a.ipynb stopped at cell [3]" in said and why in said


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
        ("[1]", "is not a state of an explorer, which has explorer, version, state"),
        ("", "is not JSON"),
        ('{"members": ["a"]}', "is not a state of an explorer"),
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


def test_a_state_given_in_two_ways(tmp_path, capsys):
    view, out = tmp_path / "view.json", tmp_path / "out"
    view.write_text(json.dumps(VIEW))
    notebook = write(tmp_path / "a.ipynb", "1", state={})
    said = refused(capsys, notebook, "--out", out, "--state", view, "-p", "state", "{}")
    assert f"--state '{view}' and -p state '{{}}' both set the parameter 'state'" in said


# -- formulas -----------------------------------------------------------------------------------

FORMULAS = r"""# Weights $w_i$

Of $k$ answers: $w = \log\frac{p\,(k-1)}{1-p}$, where $p<1$ and `$HOME` or ``a ` $b$`` is code.

$$
\begin{aligned} a &= b \\ c &= d \end{aligned}
$$

\begin{equation} E = m c^2 \end{equation}

```bash
echo "$PATH" $HOME `\n`
```

~~~
$$x$$ and \begin{y} z \end{y}
~~~

An escaped \$5, \$6; a code span `x $$a$$ y`; ${\rm KL}(p \,\|\, q)$ and $\text{a <b id=no> c}$.

<details><summary>Folded</summary>

$\sum_{i=1}^n x_i$
</details>
"""


def page_of(markdown, folder):
    """What a notebook of one markdown cell looks like as a page."""
    nbformat.write(new_notebook(cells=[new_markdown_cell(markdown)]), folder / "a.ipynb")
    write_page(folder / "a.ipynb")
    return BeautifulSoup((folder / "a.html").read_text(), "html.parser").main


def test_formulas_are_mathml_and_code_keeps_its_dollars(tmp_path):
    page = page_of(FORMULAS, tmp_path)
    kinds = [formula["display"] for formula in page("math")]
    assert kinds == ["inline"] * 4 + ["block"] * 2 + ["inline"] * 3
    assert page.h1.math.msub and page.find("math", alttext=r"k").mi.text == "k"
    assert page("math")[2].mfrac and len(page("math")[4]("mtr")) == 2
    assert page("math")[3].text == "p<1" and not page.find(id="no")
    assert page.details.math["alttext"] == r"\sum_{i=1}^n x_i"
    code = [part.extract().text.strip() for part in page(["code", "pre"])]
    assert code[:2] == ["$HOME", "a ` $b$"] and 'echo "$PATH" $HOME `\\n`' in code
    assert "x $$a$$ y" in code and "$$x$$ and \\begin{y} z \\end{y}" in code
    for formula in page("math"):
        formula.extract()
    assert page.text.count("$") == 2 and "escaped $5, $6" in page.text


@pytest.mark.parametrize(
    "latex",
    [r"$\unheardof{x}$", r"$x_$", r"$\left( x$", "$a & b$"],
)
def test_a_formula_that_cannot_be_done_stays_as_it_is_written(latex, tmp_path):
    page = page_of(f"Before {latex} after $x$.", tmp_path)
    assert latex in page.text and len(page("math")) == 1


def test_every_formula_of_the_series_is_done(tmp_path):
    done = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
        page = page_of("\n\n".join(cells), tmp_path)
        done += len(page("math"))
        for part in page(["math", "code", "pre"]):
            part.extract()
        assert "$" not in page.text, path.name
    assert done > 3
