"""A notebook found alone, in an empty folder and an empty environment, brings what it needs."""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

from tests.conftest import ROOT, run
from tests.packaging.test_resolve import uv_environment

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START = NOTEBOOKS[0]
# What a stranger's machine has of git: nothing of ours.
NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

WHERE = """import importlib.util, sys
import ensemble_lab

torch = importlib.util.find_spec("torch") and "installed"
print(ensemble_lab.__file__, sys.prefix, torch)"""


def bootstrap(path):
    """The code of the notebook's bootstrap cell."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert "ensemble_lab" in cells[0].source, "the first code cell brings the package"
    return cells[0].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_starts_the_same_way(path):
    assert bootstrap(path) == bootstrap(START)


@pytest.fixture(scope="module")
def kernel_parts(tmp_path_factory):
    """What Jupyter brings a kernel, in a folder apart, so that the environments stay empty."""
    parts = tmp_path_factory.mktemp("parts")
    constraints = ROOT / "constraints.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", constraints]
    run(*pip, "--target", parts, "ipykernel", "nbformat", cwd=parts)
    return parts


def execute(notebook, python, paths, folder, **environment):
    """Run the notebook in `folder` by a kernel of `python`, which imports from `paths` too."""
    kernel = folder.parent / "jupyter/kernels/empty"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "empty",
        "language": "python",
        "env": {"PYTHONPATH": os.pathsep.join(map(str, paths)), **environment},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernel.parents[1]))
        there = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, kernel_name="empty", resources=there, timeout=300).execute()


def printed(cell):
    """All that a cell wrote as text."""
    return "".join(output.get("text", "") for output in cell.outputs)


def link_installed(name, folder):
    """Link an installed distribution, with all that it requires, into a folder for imports."""
    for line in metadata.requires(name) or []:
        required = Requirement(line)
        if not required.marker or required.marker.evaluate({"extra": ""}):
            link_installed(required.name, folder)
    distribution = metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
        if not (folder / top).exists():
            (folder / top).symlink_to(distribution.locate_file(top))


@pytest.fixture(scope="module")
def beside_the_wheel(tmp_path_factory):
    """Notebook's name to the folder with what it needs besides the wheel: on Colab it is there."""
    needed = {
        "02_cascades.ipynb": ["torch"],
        "05_speculative_decoding.ipynb": ["torch", "transformers"],
        "08_bagging.ipynb": ["torch"],
        "09_boosting.ipynb": ["torch"],
        "10_stacking.ipynb": ["torch"],
    }
    folders = {}
    for notebook, names in needed.items():
        folders[notebook] = tmp_path_factory.mktemp("beside")
        for name in names:  # linked, since a copy of torch takes most of a minute and a gigabyte
            link_installed(name, folders[notebook])
    return folders


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lone_notebook_runs_on_the_wheel(
    path, installed, kernel_parts, beside_the_wheel, tmp_path
):
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(path, folder)
    notebook = nbformat.read(folder / path.name, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(WHERE))
    beside = beside_the_wheel.get(path.name)
    paths = [kernel_parts, beside] if beside else [kernel_parts]
    execute(notebook, installed, paths, folder)
    package, prefix, torch = printed(notebook.cells[-1]).split()
    assert Path(package).is_relative_to(prefix), "not the wheel's package"
    assert torch == ("installed" if beside else "None"), "torch"
    assert os.listdir(folder) == [path.name]  # nothing is left behind


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """This checkout as a git repository that stands where the bootstrap's address points."""
    folder = tmp_path_factory.mktemp("published")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    for name in ("ensemble_lab", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    git = {"cwd": folder, "check": True, "env": os.environ | NO_GIT_SETTINGS}
    subprocess.run(["git", "init", "--quiet"], **git)
    subprocess.run(["git", "add", "--all"], **git)
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "all"], **git)
    return folder


COLAB = """import importlib.metadata, sys, types

def versions():
    names = "numpy", "pandas", "plotly", "ipywidgets", "scipy", "scikit-learn", "pyarrow"
    return {name: importlib.metadata.version(name) for name in names}

before = versions()
# Colab's module, as far as a bootstrap may use it.
colab = types.ModuleType("google.colab")
colab.output = types.ModuleType("google.colab.output")
colab.output.enable_custom_widget_manager = lambda: None
sys.modules |= {"google": types.ModuleType("google"), "google.colab": colab}
sys.modules |= {"google.colab.output": colab.output}"""
AFTER = """assert versions() == before, (before, versions())
print(lab.__file__, len(lab.outcomes_catalogue()), sys.prefix)"""
# What Colab has: older than a fresh installation would bring, and in use by everything there.
THERE = ("numpy==2.0.2", "pandas==2.2.2", "plotly==5.24.1", "ipywidgets==7.7.1")
THERE += ("scipy==1.16.3", "scikit-learn==1.6.1", "pyarrow==18.1.0")


def test_on_colab_one_cell_installs_the_package_and_changes_nothing_else(
    published, kernel_parts, tmp_path
):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    run(*uv, *THERE, cwd=tmp_path, env=uv_environment())
    folder = tmp_path / "content"
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in (COLAB, bootstrap(START), AFTER)]
    )
    standing_in = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{published.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/ensemble-lab/ensemble_lab",
    }
    execute(notebook, python, [kernel_parts], folder, **NO_GIT_SETTINGS, **standing_in)
    package, tables, prefix = printed(notebook.cells[-1]).split()
    assert Path(package).is_relative_to(prefix)
    assert int(tables) > 0  # the data travel along
