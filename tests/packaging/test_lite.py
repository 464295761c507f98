"""The site without a server: its parts fit together, and its notebooks run without threads."""

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile

import nbformat
import pytest
from packaging.requirements import Requirement

from ensemble_lab.models.asking import together as asking
from recipes import lite, lite_list
from tests.notebooks.run import HEAVY
from tests.notebooks.solved import solved
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
THERE = lite_list.pins(lite_list.IN_BROWSER)
HERE = lite_list.pins({"sys_platform": "linux"})
COMPILED = ["numpy", "pandas", "pyarrow", "scipy", "scikit-learn"]
QUICK = ("00_start_here", "01_voting")
AS_IN_BROWSER = ROOT / "tests/support/as_in_browser.py"

# -- which notebooks ----------------------------------------------------------------------------


def test_the_first_notebooks_are_there_and_none_that_imports_pytorch():
    stems = [path.stem for path in lite.notebooks()]
    assert {*QUICK, "own_data"} < {*stems} and "05_speculative_decoding" not in stems
    for path in lite.notebooks():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and "%pip" not in cell.source:
                nodes = ast.walk(ast.parse(cell.source))
                names = {
                    a.name.split(".")[0]
                    for n in nodes
                    if isinstance(n, ast.Import)
                    for a in n.names
                }
                assert not names & {*HEAVY}, (path.stem, names)


def test_the_notebooks_own_metadata_decide(tmp_path):
    for name, beside in (("a", []), ("b", ["torch"]), ("c", None)):
        notebook = nbformat.v4.new_notebook()
        if beside is not None:
            notebook.metadata["ensemble_lab"] = {"beside": beside}
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    assert [path.stem for path in lite.notebooks(tmp_path)] == ["a", "c"]


@pytest.mark.parametrize("path", lite.notebooks(), ids=lambda path: path.stem)
def test_a_notebook_of_the_site_loads_no_badge_and_has_no_dead_link(path):
    there = {one.name for one in lite.notebooks()}
    made = lite.for_the_site(path, there)
    nbformat.validate(nbformat.from_dict(made))
    prose = "".join(c["source"] for c in made["cells"] if c["cell_type"] == "markdown")
    assert "](https://colab.research.google.com" in prose  # the link stays
    assert "![Open in Colab]" not in prose and "badge" not in prose
    for cell in made["cells"]:
        for name in lite.LINK.findall(cell["source"]) if cell["cell_type"] == "markdown" else ():
            assert name in there
    stored = json.loads(path.read_text())["cells"]
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == [cell for cell in stored if cell["cell_type"] == "code"]


# -- the pins -----------------------------------------------------------------------------------


def test_the_browsers_side_meets_every_bound_of_the_package():
    extra = [
        one
        for one in PROJECT["optional-dependencies"]["lab"]
        if Requirement(one).name in lite_list.LIVE
    ]
    assert len(extra) == len(lite_list.LIVE)
    for line in PROJECT["dependencies"] + extra:
        one = Requirement(line)
        assert THERE[one.name] in one.specifier, line


def test_widgets_have_one_version_in_the_page_and_in_python():
    for name in ("ipywidgets", "jupyterlab-widgets", "anywidget", "plotly", "comm"):
        assert THERE[name] == HERE[name]


def test_each_side_pins_a_package_once_and_the_builder_is_pinned():
    lines = [line for line in lite_list.PINS.read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)
    both = [line for line in lines if ";" not in line]
    assert len(lines) + len(both) == len(THERE) + len(HERE)
    assert {*lite.BUILDER} <= HERE.keys()


# -- Pyodide's list with ours put in --------------------------------------------------------------


def wheel(folder, name, version="1.0", requires=(), **files):
    """A small wheel."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    told = "".join(f"Requires-Dist: {one}\n" for one in requires)
    with zipfile.ZipFile(path, "w") as content:
        for place, text in files.items() or [(f"{name}/__init__.py", "")]:
            content.writestr(place, text)
        content.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\n{told}\n")
        rows = "".join(f"{place},,\n" for place in files)
        content.writestr(f"{name}-{version}.dist-info/RECORD", rows)
    return path


LOCK = {
    "info": {"python": "3.14.2"},
    "packages": {
        "numpy": {"file_name": "numpy-2-cp314.whl", "version": "2.0", "depends": []},
        "lazy-loader": {"file_name": "lazy_loader-0.5-py3-none-any.whl", "version": "0.5"},
    },
}


def test_our_wheels_stand_beside_the_list_and_the_rest_comes_from_the_server(tmp_path):
    wheel(
        tmp_path, "ensemble_lab", requires=["numpy>=1", "lazy-loader>=0.6", "torch; extra == 'x'"]
    )
    wheel(tmp_path, "lazy_loader", "0.6")
    wheel(tmp_path, "ipywidgets", requires=["widgetsnbextension~=4.0"])
    wheel(tmp_path, "anywidget", requires=["pexpect>4; sys_platform != 'emscripten'"])
    made = lite_list.with_ours(LOCK, tmp_path, "https://example.org/full/")["packages"]
    assert made["numpy"]["file_name"] == "https://example.org/full/numpy-2-cp314.whl"
    assert made["lazy-loader"]["file_name"] == "lazy_loader-0.6-py3-none-any.whl"
    ours = made["ensemble-lab"]
    assert {*ours["depends"]} == {"ipywidgets", "anywidget", "numpy", "lazy-loader"}
    assert ours["imports"] == ["ensemble_lab"] and len(ours["sha256"]) == 64
    assert made["ipywidgets"]["depends"] == made["anywidget"]["depends"] == []
    assert LOCK["packages"]["numpy"]["file_name"] == "numpy-2-cp314.whl"


@pytest.mark.parametrize("wanted", ["numpy>=3", "nowhere"])
def test_what_a_wheel_requires_and_the_site_lacks_is_refused(wanted, tmp_path):
    wheel(tmp_path, "thing", requires=[wanted])
    with pytest.raises(ValueError, match=f"thing-1.0.*requires {wanted}; the site has"):
        lite_list.with_ours(LOCK, tmp_path, "")


def test_weights_and_parts_of_the_page_stay_out(tmp_path):
    kept, left = "a/data/t.parquet", ["a/data/w.safetensors", "a-1.0.data/data/share/x.js"]
    made = wheel(tmp_path, "a", **dict.fromkeys(["a/__init__.py", kept, *left], "x"))
    (tmp_path / "slim").mkdir()
    with zipfile.ZipFile(lite_list.slim(made, tmp_path / "slim")) as content:
        record = content.read("a-1.0.dist-info/RECORD").decode()
        assert kept in content.namelist() and kept in record
        assert not [name for name in left if name in content.namelist() or name in record]


def test_a_pin_that_is_not_pyodides_is_refused():
    listed = {n: {"file_name": f"{n}-cp314.whl", "version": THERE[n]} for n in COMPILED}
    assert lite_list.needed(listed) == {*COMPILED}
    listed["numpy"]["version"] = "0.1"
    with pytest.raises(ValueError, match=r"has numpy 2.*, Pyodide 0.1: pin that"):
        lite.wheels(listed)


def test_a_program_that_is_missing_or_fails_is_named():
    with pytest.raises(SystemExit, match="no program npm-of-nobody here: install it"):
        lite.run("npm-of-nobody")
    with pytest.raises(SystemExit, match="told on the way"):
        lite.run(sys.executable, "-c", "print('told on the way'); raise SystemExit(3)")


# -- where there are no threads -------------------------------------------------------------------


def as_in_browser(path, folder):
    """The finished run of a notebook without threads, processes and connections."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("ENSEMBLE_LAB_HEADLESS", None)
    command = [sys.executable, str(AS_IN_BROWSER), str(path)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem in QUICK else pytest.mark.nightly, id=path.stem)
        for path in lite.notebooks()
    ],
)
@pytest.mark.slow
def test_a_notebook_runs_without_threads_processes_and_connections(path, tmp_path):
    nbformat.write(solved(path, tmp_path), tmp_path / "solved.ipynb")
    done = as_in_browser(tmp_path / "solved.ipynb", tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["tried"] == []


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("import threading; threading.Thread(target=print).start()", "can't start new thread"),
        ("import subprocess; subprocess.run(['ls'])", "does not support processes"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "unreachable"),
        ("import torch", "torch"),
    ],
)
def test_the_run_notices_what_a_browser_cannot_do(cell, error, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    done = as_in_browser(tmp_path / "a.ipynb", tmp_path)
    assert done.returncode and error in done.stderr


def test_several_models_at_once_are_refused_where_no_thread_can_start(monkeypatch):
    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asking.threading.Thread, "start", no_thread)
    with pytest.raises(RuntimeError, match="can't start new thread"):  # a machine that is full
        asking.together(str, ["a", "b"])
    monkeypatch.setattr(asking.sys, "platform", "emscripten")
    with pytest.raises(RuntimeError, match=r"no threads, so 2 models .* parallel=False"):
        asking.together(str, ["a", "b"])
    assert asking.together(str.upper, ["a"]) == ["A"]
