"""What the commands are asked for: notebooks, parameters, a state, a folder; checked beforehand."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import nearest

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOT_LITERAL = object()  # a default that is computed: nothing is known about its type
TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
TYPES |= {list: "a list", tuple: "a list", dict: "a dictionary"}
FITS = {float: (float, int), list: (list, tuple), tuple: (list, tuple)}


class RequestError(Exception):
    """Nothing was run or written: what was asked for cannot be done; the message says why."""


def find_notebooks(notebooks: Sequence[str | Path]) -> list[Path]:
    """The notebooks as absolute paths: a folder stands for all of its own.

    All of ``notebooks/`` where none is named.

    Raises
    ------
    RequestError
        None there, or two of one name.
    """
    paths = []
    for path in [Path(notebook).resolve() for notebook in notebooks or ["notebooks"]]:
        inside = sorted(path.glob("*.ipynb"))
        if not inside and (path.is_dir() or not notebooks):
            raise RequestError(f"no notebooks in {path}; name one")
        paths += inside or [path]
    for path in paths:
        if not path.is_file():
            near = nearest(path.name, [p.name for p in path.parent.glob("*.ipynb")])
            raise RequestError(f"no notebook {str(path)!r}{near}")
    names = [path.name for path in paths]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RequestError(f"two notebooks named {twice[0]!r} would share a page; run them apart")
    return paths


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in the file.

    Raises
    ------
    RequestError
        It is none.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat passes on whatever its readers raise
        why = " ".join(str(error).split())  # a failed validation speaks in many lines
        raise RequestError(f"{path} cannot be read as a notebook: {why:.200}") from error
    return notebook


def output_folder(out: str | Path, notebooks: Sequence[Path]) -> Path:
    """The folder `out`, made where it is missing and tried before anything is run.

    Raises
    ------
    RequestError
        It cannot be written, has no name, or holds the notebooks themselves.
    """
    if not str(out):  # as from a shell variable that is not set; Path("") is the folder one is in
        raise RequestError("--out '' names no folder; write . for this one")
    out = Path(out).resolve()
    if out in {path.parent for path in notebooks}:
        raise RequestError(f"{out} holds the notebooks themselves; choose another --out")
    trial = out / ".ensemble-lab-trial"
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise RequestError(
            f"cannot write into {out}: {error.strerror}; choose another --out"
        ) from error
    return out


# -- parameters ---------------------------------------------------------------------------------


def check_parameters(path: Path, parameters: Mapping[str, Any]) -> None:
    """Raise `RequestError` if the notebook lacks one of `parameters` or takes another type."""
    defaults = parameters_of(path)
    for name, value in parameters.items():
        if name not in defaults:
            has = ", ".join(f"{known} = {_written(defaults[known])}" for known in defaults)
            raise RequestError(f"{path.name} has no parameter {name!r}; it has: {has or 'none'}")
        default = defaults[name]
        if default is None or default is NOT_LITERAL:
            continue
        wanted = type(default)
        right = isinstance(value, FITS.get(wanted, wanted))
        if not right or (isinstance(value, bool) and wanted is not bool):
            quote = f"; to give it as text, write \"'{value}'\"" if wanted is str else ""
            raise RequestError(
                f"{path.name}: {name} = {value!r} should be {TYPES.get(wanted, wanted.__name__)},"
                f" as its default {default!r} is{quote}"
            )


def parameters_of(path: Path) -> dict[str, Any]:
    """Name and default of each parameter: the assignments in the cell tagged ``parameters``."""
    cells = read_notebook(path).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    try:
        body = ast.parse(tagged[0].source).body if tagged else []
    except SyntaxError as error:
        raise RequestError(f"{path.name}: its parameters cell is not Python: {error}") from error
    defaults = {}
    for line in body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                defaults[target.id] = _literal(line.value)
    return defaults


def _literal(node: ast.expr | None):
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return NOT_LITERAL


def _written(default) -> str:
    return "…" if default is NOT_LITERAL else repr(default)


def read_state(path: str | Path) -> dict[str, Any]:
    """The state in a file that holds what an explorer's "copy state" gave.

    Raises
    ------
    RequestError
        No such file, no state in it, or one of another version.
    """
    from ensemble_lab.widgets.explorer import VERSION

    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"cannot read the state {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise RequestError(f"{str(path)!r} is not JSON: {error}; copy the state again") from error
    keys = ("explorer", "version", "state")
    if not (isinstance(found, dict) and found.keys() >= set(keys)):
        raise RequestError(
            f"{str(path)!r} is no state of an explorer, which has {', '.join(keys)}; copy it again"
        )
    if found["version"] != VERSION:
        raise RequestError(
            f"{str(path)!r} has version {found['version']!r}, this package reads {VERSION}; copy it"
            " again from an explorer of this version"
        )
    if not isinstance(found["state"], dict):
        raise RequestError(f"{str(path)!r}: its state is {found['state']!r:.60}, not a dictionary")
    return found["state"]
