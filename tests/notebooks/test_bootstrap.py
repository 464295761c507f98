"""A notebook found alone, on Colab or anywhere, brings the package by its first cell."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.run import execute, kernel_parts
from tests.packaging.test_resolve import uv_environment
from tests.support.processes import ROOT, once, run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START = NOTEBOOKS[0]
# What a stranger's machine has of git: nothing of ours.
NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def bootstrap(path):
    """The code of the notebook's bootstrap cell."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert "ensemble_lab" in cells[0].source, "the first code cell brings the package"
    return cells[0].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_starts_the_same_way(path):
    assert bootstrap(path) == bootstrap(START)


def printed(cell):
    """All that a cell wrote as text."""
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """This checkout as a git repository that stands where the bootstrap's address points."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "docs").mkdir()
    for name in ("pyproject.toml", "docs/pypi.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, folder / name)
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
    published, shared, tmp_path
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
    parts = once(shared / "kernel", kernel_parts)
    execute(notebook, python, [parts], folder, **NO_GIT_SETTINGS, **standing_in)
    package, tables, prefix = printed(notebook.cells[-1]).split()
    assert Path(package).is_relative_to(prefix)
    assert int(tables) > 0  # the data travel along
