"""Solutions that the notebooks fold away."""

import ast
import builtins
import re
from pathlib import Path

import nbformat

import ensemble_lab as lab

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
FOLDED = re.compile(r"<details><summary>Solution.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def solutions(path):
    """The function of each folded solution of a notebook, by the name of the check that it is for.

    What a solution uses is taken from the notebook's own cells: imports, functions and constants.
    """
    cells = nbformat.read(path, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code" and c.id != "bootstrap"]
    folded = [part for c in cells if c.cell_type == "markdown" for part in FOLDED.findall(c.source)]
    statements = [line for source in [*folded, *code] for line in ast.parse(source).body]
    names = {"lab": lab}
    found = {}
    for check, function in re.findall(r"^(check_\w+)\((\w+)\)$", "\n".join(code), re.MULTILINE):
        _define(function, statements, names)
        found[check] = names[function]
    assert len(found) == len(folded), f"{path.stem}: a solution without a check, or a check without"
    return found


def _define(name, statements, names):
    """Run the first statement that defines `name`, and before it what that one uses."""
    line = next(line for line in statements if name in _stored(line))
    used = {n.id for n in ast.walk(line) if isinstance(n, ast.Name)} - {a.arg for a in _args(line)}
    for other in sorted(used - _inside(line) - names.keys() - set(dir(builtins))):
        _define(other, statements, names)
    exec(ast.unparse(line), names)


def _stored(line):
    """What a statement defines."""
    if isinstance(line, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in line.names}
    return {line.name} if isinstance(line, ast.FunctionDef) else _inside(line)


def _inside(line):
    return {n.id for n in ast.walk(line) if isinstance(n, ast.Name) and not _loads(n)}


def _loads(name):
    return isinstance(name.ctx, ast.Load)


def _args(line):
    return (a for a in ast.walk(line) if isinstance(a, ast.arg))
