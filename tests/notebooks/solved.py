"""Notebooks as their readers get them, with the folded solutions put where they belong."""

import ast
import re

import nbformat
from nbformat.v4 import new_code_cell

from ensemble_lab.reports.student import student
from tests.support.processes import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOLDED = re.compile(r"<details><summary>Solution.*?</details>", re.DOTALL)
PUT_IN = "solution"  # tag of the cells that are put in
# Runs a solution and its checks where the exercise stands, in a copy of what is known there, so
# that the rest of the notebook still has the stub.
SOLVE = """def _solved(names):
    from ensemble_lab.exercises.draws import drawn_with

    exec({solution!r}, names)
    for check in {checks!r}:
        verdict = eval(check, names)
        assert verdict and repr(verdict).startswith("Right"), verdict
        for seed in (1, 2, 3):  # the hidden cases of a grader
            with drawn_with(seed):
                verdict = eval(check, names)
            assert verdict, (seed, verdict)
    return "solved"

_solved(dict(globals()))"""


def checks_in(source):
    """The calls of ``check_…`` that a cell makes, as source."""
    lines = [line for line in ast.parse(source).body if isinstance(line, ast.Expr)]
    called = [ast.unparse(line) for line in lines if isinstance(line.value, ast.Call)]
    return [call for call in called if call.startswith("check_")]


def exercises(path):
    """For each folded solution: the cells with its checks, the checks and the solution's code."""
    found, tried = [], []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "check_" in cell.source and checks_in(cell.source):
            tried.append(cell)
        for folded in FOLDED.findall(cell.source) if cell.cell_type == "markdown" else []:
            code = "\n".join(re.findall(r"```python\n(.*?)```", folded, re.DOTALL))
            found.append((tried, [c for t in tried for c in checks_in(t.source)], code))
            tried = []
    return found


def solved(path, folder):
    """The student version, written into `folder`, with a cell behind each exercise that solves it.

    Raises
    ------
    ValueError
        No check stands above a solution.
    """
    notebook = nbformat.read(student([path], folder)[0], as_version=4)
    place = {cell.id: i for i, cell in enumerate(notebook.cells)}
    for tried, checks, solution in reversed(exercises(path)):
        if not checks:
            raise ValueError(f"no check stands above the solution\n{solution}")
        cell = new_code_cell(SOLVE.format(solution=solution, checks=checks))
        cell.metadata["tags"] = [PUT_IN]
        notebook.cells.insert(place[tried[-1].id] + 1, cell)
    return notebook


def is_put_in(cell):
    return PUT_IN in cell.metadata.get("tags", [])


def shown(cell):
    """All that a cell wrote as text."""
    return "".join(
        o.get("data", {}).get("text/plain", "") + o.get("text", "") for o in cell.outputs
    )
