"""What a notebook asks: its exercises, and whether a copy of it still has them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = "ensemble_lab.exercises."
AROUND = "%%time", "%%capture", "%%prun"  # magics that run the Python below them


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson: ``check(function)``, with the check of that module."""

    module: str
    check: str
    function: str

    @property
    def call(self) -> str:
        """As it stands in the notebook."""
        return f"{self.check}({self.function})"


def exercises_of(notebook: NotebookNode) -> tuple[Exercise, ...]:
    """The exercises of a lesson, in its order."""
    modules, found = {}, []
    for line in _lines(notebook):
        if isinstance(line, ast.ImportFrom) and (line.module or "").startswith(FOLDER):
            modules |= {name.asname or name.name: line.module for name in line.names}
        elif call := call_of(line):
            check, function = call
            if check in modules:
                found.append(Exercise(modules[check], check, function))
    return tuple(found)


def changed(notebook: NotebookNode, exercises: tuple[Exercise, ...]) -> dict[str, str]:
    """What became of the checks that a copy no longer has as they were, by their names."""
    lines = list(_lines(notebook))
    calls = {f"{check}({function})" for check, function in filter(None, map(call_of, lines))}
    said = {one.check: "its check was deleted or edited" for one in exercises
            if one.call not in calls}  # fmt: skip
    own = {name for line in lines for name in _names(line)}
    return said | {one.check: "the notebook has a check of its own by this name"
                   for one in exercises if one.check in own}  # fmt: skip


def resemblance(notebook: NotebookNode, exercises: tuple[Exercise, ...]) -> int:
    """How many of the exercises a copy mentions."""
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return sum(one.check in source or f"def {one.function}(" in source for one in exercises)


def _lines(notebook: NotebookNode) -> Iterator[ast.stmt]:
    """The statements of all cells that IPython reads as Python, magics included.

    What it cannot read was not run either.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = cell.source
            if source.lstrip().startswith(AROUND):
                source = source.lstrip().partition("\n")[2]
            try:
                yield from ast.parse(TransformerManager().transform_cell(source)).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue


def call_of(line: ast.stmt) -> tuple[str, str] | None:
    """The names in a line ``check_…(function)``, None for another one."""
    call = getattr(line, "value", None) if isinstance(line, ast.Expr) else None
    if (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        and call.func.id.startswith("check_") and len(call.args) == 1
        and isinstance(call.args[0], ast.Name)
    ):  # fmt: skip
        return call.func.id, call.args[0].id
    return None


def _names(line: ast.stmt) -> Iterator[str]:
    """What a statement defines."""
    if isinstance(line, ast.FunctionDef | ast.ClassDef):
        yield line.name
    for node in ast.walk(line):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
