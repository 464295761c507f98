"""Notebooks use public names only, so that no move inside the package breaks a stored copy."""

import ast
from pathlib import Path

import nbformat
import pytest

import ensemble_lab as lab

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PUBLIC = {"ensemble_lab", "ensemble_lab.widgets", *(f"ensemble_lab.{one}" for one in lab.LEVELS)}


def imported(source):
    """(module, names) of every import of ours in a cell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((one.name, ()) for one in node.names if one.name.startswith("ensemble_lab"))
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("ensemble_lab"):
            yield node.module, tuple(one.name for one in node.names)


def refused(source):
    """The imports of a cell that reach into the package."""
    bad = []
    for module, names in imported(source):
        if module.startswith("ensemble_lab.exercises.") and all(
            n.startswith("check_") for n in names
        ):
            continue
        public = module in PUBLIC and {*names} <= {*dir(__import__(module, fromlist=["x"]))}
        if not public:
            bad.append((module, names))
    return bad


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_public_names_only(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    code = [c.source for c in cells if not c.source.startswith("# @title Get the package\n")]
    assert [bad for source in code for bad in refused(source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import ensemble_lab.core.outcomes",
        "from ensemble_lab.core.votes import first_best",
        "from ensemble_lab.widgets.style import BIG",
        "from ensemble_lab.exercises.voting import _error",
        "from ensemble_lab import no_such_name",
        "def f():\n    from ensemble_lab.training.networks import perceptron",
    ],
)
def test_a_reach_into_the_package_is_seen(source):
    assert refused(source)
