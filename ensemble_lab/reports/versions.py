"""Versions of a notebook for a course, all from the one source: solved, for instructors, nbgrader.

The student version is that of `student`. nbgrader's source version has the solution between its
marks, and each check in a locked cell of its own: ``nbgrader generate_assignment`` makes the
students' copies from it, and ``nbgrader autograde`` runs the checks.

References
----------
Hamrick et al., nbgrader: a tool for creating and grading assignments, JOSE 2019.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import check_known
from ensemble_lab.reports.grading.asked import call_of
from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.student import without_solutions, written

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDED = re.compile(r"<details><summary>Solution.*?</details>", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SCHEMA = 3  # nbgrader's, since 0.6


def _solved(notebook: NotebookNode, name: str) -> NotebookNode:
    exercises = _exercises(notebook, name)
    for cell, call, solution in exercises:
        before, _, after = _around(cell.source, call.args[0].id, name)
        parts = (before.strip(), solution.strip() + "\n", after.strip())
        cell.source = "\n\n".join(filter(None, parts))
    return without_solutions(notebook, name)


def _unfolded(notebook: NotebookNode, name: str) -> NotebookNode:
    notebook = _solved(notebook, name)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("<details>", "<details open>")
    return notebook


def _for_nbgrader(notebook: NotebookNode, name: str) -> NotebookNode:
    import nbformat

    exercises = _exercises(notebook, name)
    notebook = without_solutions(notebook, name)
    for cell, call, solution in exercises:
        function = call.args[0].id
        before, stub, _ = _around(cell.source, function, name)
        marked = _marked(stub, solution, function, name)
        cell.source = "\n\n\n".join(filter(None, (before.strip(), marked)))
        cell.metadata["nbgrader"] = _about(function, solution=True)
        judged = nbformat.v4.new_code_cell(
            f"verdict = {ast.unparse(call)}\nassert verdict, verdict", id=f"{cell.id}-judged"
        )
        judged.metadata["nbgrader"] = _about(call.func.id, grade=True, locked=True, points=1)
        notebook.cells.insert(notebook.cells.index(cell) + 1, judged)
    return notebook


VERSIONS: dict[str, Callable[[NotebookNode, str], NotebookNode]] = {
    "student": without_solutions,
    "solution": _solved,
    "instructor": _unfolded,
    "nbgrader": _for_nbgrader,
}


def write_version(notebooks: Sequence[str | Path], out: str | Path, version: str) -> list[Path]:
    """Write a version of each notebook into `out`, under the same name.

    Parameters
    ----------
    notebooks : sequence of path
        As for `student`.
    out : path
        Folder, created if it is missing.
    version : {"student", "solution", "instructor", "nbgrader"}
        Without solutions; with each solution in the place of its stub; the same with all answers
        in sight; or the source version of nbgrader.

    Raises
    ------
    RequestError
        As `student`; an exercise without a solution, or one that does not define its function.
    KeyError
        No such version.
    """
    check_known(version, VERSIONS, "version", "write_version")
    return written(notebooks, out, VERSIONS[version])


def _about(name: str, **more) -> dict:
    none = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"schema_version": SCHEMA, "grade_id": name, **none, **more}


def _exercises(notebook: NotebookNode, name: str) -> list[tuple[NotebookNode, ast.Call, str]]:
    """The cell of each exercise, its check, and the code of the solution that follows it."""
    found, waiting = [], []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            waiting += [(cell, call) for call in _checks(cell.source)]
        for folded in FOLDED.findall(cell.source) if cell.cell_type == "markdown" else ():
            solution = "\n".join(CODE.findall(folded))
            found += [(*one, solution) for one in waiting]
            waiting = []
    if waiting:
        raise RequestError(
            f"{name}: no solution follows {ast.unparse(waiting[0][1])}; fold one below its cell"
        )
    return found


def _checks(source: str) -> Iterator[ast.Call]:
    try:
        lines = ast.parse(source).body
    except SyntaxError:  # a magic
        return
    yield from (line.value for line in lines if call_of(line))


def _around(source: str, function: str, name: str) -> tuple[str, str, str]:
    """What stands before a function, the function with the comments in it, and what is after."""
    lines, body = source.split("\n"), ast.parse(source).body
    for at, node in enumerate(body):
        if getattr(node, "name", None) == function:
            start = node.lineno - 1
            end = body[at + 1].lineno - 1 if at + 1 < len(body) else len(lines)
            return tuple("\n".join(lines[a:b]) for a, b in ((0, start), (start, end), (end, None)))
    raise RequestError(f"{name}: no function {function} stands above its check; define it there")


def _marked(stub: str, solution: str, function: str, name: str) -> str:
    """The function with its docstring, and the solution's body between nbgrader's marks."""
    before, solved, after = _around(solution, function, f"{name}, a solution")
    asked, made = (ast.parse(one).body[0] for one in (stub, solved))
    if made.body[0].lineno == made.lineno:  # on one line
        solved = ast.unparse(made)
        made = ast.parse(solved).body[0]
    head = solved.split("\n")[: made.body[0].lineno - 1]
    told = ast.get_docstring(asked, clean=False)
    inside = textwrap.dedent("\n".join(solved.split("\n")[made.body[0].lineno - 1 :])).strip()
    parts = "\n".join(filter(None, (before.strip(), after.strip(), inside)))
    marked = f"### BEGIN SOLUTION\n{parts}\n### END SOLUTION"
    told = f'    """{told}"""\n' if told else ""
    return "\n".join(head) + "\n" + told + textwrap.indent(marked, "    ")
