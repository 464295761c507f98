"""Arguments of the commands: notebooks, parameters, a state, a folder; checked beforehand."""

from __future__ import annotations

import ast
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_lab.core import errors
from ensemble_lab.core.errors import MOST_SHOWN, nearest, shown

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOT_LITERAL = object()  # a computed default: its type is unknown
TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
TYPES |= {list: "a list", tuple: "a list", dict: "a dictionary"}
FITS = {float: (float, int), list: (list, tuple), tuple: (list, tuple)}
ANNOTATED = {kind.__name__: kind for kind in TYPES}
TEXTS = (".py", ".md", ".Rmd", ".qmd")  # files that jupytext turns into notebooks
KEYS = ("explorer", "version", "state")  # of a copied state
NO_PARAMETERS = "none; tag the cell of its defaults 'parameters'"
LONGEST_PATH = 120  # characters of a path in a message
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Control characters except tab and end of line, and those that change the direction of writing.
STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class RequestError(Exception):
    """Nothing was run or written: the request cannot be done; the message gives the reason."""


def plain(text: str) -> str:
    r"""A text for a terminal: without colours, with other control characters written out.

    >>> plain("\x1b[31mred\x1b[0m \x1b]0;a title\x07") == r"red \x1b]0;a title\x07"
    True
    """
    text = COLOUR.sub("", text)
    return STEERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def excerpt(text: str, most: int = MOST_SHOWN) -> str:
    """A text for a message without quotes: plain, on one line, cut to `most` characters."""
    return errors.excerpt(plain(text[: 8 * most].replace("\r", " ")), most)


def named(path: Path) -> str:
    """A path for a message: only its end if it is long."""
    text = plain(" ".join(str(path).split()))
    return text if len(text) <= LONGEST_PATH else "…" + text[1 - LONGEST_PATH :]


def find_notebooks(notebooks: Sequence[str | Path]) -> list[Path]:
    """The notebooks as absolute paths: a folder means all notebooks in it.

    All of ``notebooks/`` where none is named. A link keeps its own name and place. Files of systems
    and editors in a folder are ignored: names that begin with a dot (``._01.ipynb`` of a Mac,
    ``.#01.ipynb`` of Emacs), folders called ``x.ipynb`` and links to nothing.

    Raises
    ------
    RequestError
        No notebook, two that would have the same page, or a name that starts with a dot.
    """
    if isinstance(notebooks, str | Path):
        raise RequestError(f"notebooks is one path, {shown(str(notebooks))}; give a list of it")
    paths = []
    asked = list(notebooks)
    for path in [Path(os.path.abspath(notebook)) for notebook in asked or ["notebooks"]]:
        is_folder = _is(path.is_dir)
        inside = _notebooks_in(path) if is_folder else []
        if not inside and (is_folder or not asked):
            raise RequestError(f"no notebooks in {named(path)}; name one")
        paths += inside or [path]
    for path in paths:
        if not _is(path.is_file):
            known = [p.name for p in _notebooks_in(path.parent)]
            near = nearest(path.name, known) if known else "; give the path of a notebook"
            raise RequestError(f"no notebook '{named(path)}'{excerpt(near, 150)}")
        if path.name.startswith("."):  # its page would be hidden too
            raise RequestError(
                f"{excerpt(path.name)} begins with a dot, as files of systems and editors do;"
                " rename it if it is a notebook"
            )
    pages = [path.with_suffix("").name for path in paths]
    twice = [path.name for path in paths if pages.count(path.with_suffix("").name) > 1]
    if twice:
        named_both = f"two notebooks named {shown(twice[0])}"
        if len(set(twice)) > 1:
            named_both = f"{shown(twice[0], 40)} and {shown(sorted(set(twice))[-1], 40)}"
        raise RequestError(f"{named_both} would share a page; run them separately")
    return paths


def _notebooks_in(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.glob("*.ipynb"))
    except (OSError, ValueError):  # a name that is too long for the system
        return []
    return [path for path in found if not path.name.startswith(".") and _is(path.is_file)]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except (OSError, ValueError):
        return False


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in the file.

    Raises
    ------
    RequestError
        It is not a notebook.
    """
    import nbformat
    from nbformat.validator import normalize

    try:
        text = path.read_bytes().decode("utf-8-sig")  # some editors write a byte order mark
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells without ids, which get some here
            notebook = nbformat.reads(text, as_version=4)
            notebook = normalize(notebook)[1]
            nbformat.validate(notebook)
    except OSError as error:
        raise RequestError(
            f"{named(path)} cannot be read: {error.strerror}; make it readable, or leave it out"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{named(path)} cannot be read as a notebook: save it as UTF-8"
        ) from error
    except Exception as error:  # nbformat may raise any error of its readers
        why = excerpt(" ".join(str(error).split()), 100)  # a failed validation has many lines
        fix = (
            f"; jupytext --to ipynb {excerpt(path.name)} makes one"
            if path.suffix in TEXTS
            else "; give an .ipynb"
        )
        raise RequestError(f"{named(path)} cannot be read as a notebook: {why}{fix}") from error
    return notebook


def output_folder(out: str | Path, notebooks: Sequence[Path]) -> Path:
    """The folder `out`, created if it is missing and tested before anything is run.

    Raises
    ------
    RequestError
        It cannot be written, has no name, or holds the notebooks themselves.
    """
    if not str(out):  # as from a shell variable that is not set; Path("") is the current folder
        raise RequestError("--out '' names no folder; write . for this one")
    try:
        out = Path(out).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null character, links in a circle
        raise RequestError(f"--out {shown(str(out))} is not a path; choose another") from error
    if out in {
        place for path in notebooks for place in (path.parent.resolve(), path.resolve().parent)
    }:
        raise RequestError(f"{named(out)} holds the notebooks themselves; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise RequestError(
            f"cannot write into {named(out)}: {error.strerror}; choose another --out"
        ) from error
    return out


# -- parameters ---------------------------------------------------------------------------------


def check_parameters(path: Path, parameters: Mapping[str, Any]) -> None:
    """Raise `RequestError` if the notebook lacks one of `parameters` or takes another type."""
    notebook = read_notebook(path)
    check_python(notebook, path.name)
    defaults = defaults_in(notebook, path.name)
    if parameters and len(tagged(notebook)) > 1:
        raise RequestError(
            f"{excerpt(path.name)} has {len(tagged(notebook))} cells tagged 'parameters', and the"
            " last would overwrite the given values; keep the tag on one"
        )
    for name, value in parameters.items():
        if name not in defaults:
            all_of_them = (
                f"{known} = {_written(default)}" for known, (default, _) in defaults.items()
            )
            has = excerpt(", ".join(all_of_them), 120)
            raise RequestError(
                f"{excerpt(path.name)} has no parameter {shown(name, 40)};"
                f" it has: {has or NO_PARAMETERS}"
            )
        _check_type(path, name, value, *defaults[name])


def _check_type(path: Path, name: str, value, default, wanted: type | None) -> None:
    """Raise `RequestError` where a parameter with that default cannot be `value`."""
    if wanted is None:
        return
    right = isinstance(value, FITS.get(wanted, wanted))
    if right and not (isinstance(value, bool) and wanted is not bool):
        return
    quote = ""
    if wanted is str and not isinstance(value, str):
        quote = f"; to give it as text, write \"'{shown(value, 40)}'\""
    elif wanted is int and isinstance(value, float) and value.is_integer():
        quote = f"; write {int(value)}"
    words = excerpt(TYPES.get(wanted, wanted.__name__))
    raise RequestError(
        f"{excerpt(path.name)}: {excerpt(name, 40)} = {shown(value)} should be {words},"
        f" as its default {shown(default, 40)} is{quote}"
    )


def check_python(notebook: NotebookNode, name: str) -> None:
    """Raise `RequestError` for a notebook in another language; one without any is Python."""
    known = (
        notebook.metadata.get("language_info", {}).get("name"),
        notebook.metadata.get("kernelspec", {}).get("language"),
    )
    for language in filter(None, known):
        if "python" not in str(language).lower():
            raise RequestError(
                f"{excerpt(name)} is written in {excerpt(str(language), 20)}; reports run"
                " Python notebooks only"
            )


def tagged(notebook: NotebookNode) -> list:
    """The cells tagged ``parameters``."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]


def parameters_of(path: Path) -> dict[str, Any]:
    """Name and default of each parameter: the assignments in the cell tagged ``parameters``."""
    found = defaults_in(read_notebook(path), path.name)
    return {name: default for name, (default, _) in found.items()}


def defaults_in(notebook: NotebookNode, name: str) -> dict[str, tuple[Any, type | None]]:
    """Each parameter's default and required type, None for any type."""
    try:
        body = [line for cell in tagged(notebook) for line in ast.parse(_python(cell.source)).body]
    except (SyntaxError, ValueError) as error:
        why = getattr(error, "msg", error)
        raise RequestError(
            f"{excerpt(name)}: its parameters cell is not Python: {excerpt(str(why), 100)}; fix"
            " that cell"
        ) from error
    found = {}
    for line in body:
        if isinstance(line, ast.Assign):
            pairs = [pair for target in line.targets for pair in _pairs(target, line.value)]
        elif isinstance(line, ast.AnnAssign):
            pairs = [(line.target, line.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Name):
                default = _literal(value)
                found[target.id] = default, _type_of(default, getattr(line, "annotation", None))
    return found


def _python(source: str) -> str:
    """A cell as plain Python: its magics and shell lines become calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr | None]]:
    """Each name of ``a, b = 1, 2`` with its value; None where it cannot be separated."""
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    values = getattr(value, "elts", [])
    starred = any(isinstance(part, ast.Starred) for part in (*target.elts, *values))
    if starred or len(values) != len(target.elts):
        values = [None] * len(target.elts)
    return [pair for parts in zip(target.elts, values, strict=True) for pair in _pairs(*parts)]


def _type_of(default, annotation: ast.expr | None) -> type | None:
    """The type in an annotation, if it is a plain type; else the type of the default."""
    if annotation is not None:
        name = getattr(annotation, "id", getattr(annotation, "value", None))
        return ANNOTATED.get(name) if isinstance(name, str) else None
    return None if default is None or default is NOT_LITERAL else type(default)


def _literal(node: ast.expr | None):
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return NOT_LITERAL


def _written(default) -> str:
    return "…" if default is NOT_LITERAL else shown(default, 30)


def read_state(path: str | Path, notebooks: Sequence[Path] = ()) -> dict[str, Any]:
    """The state in a file with the text of an explorer's "copy state".

    Raises
    ------
    RequestError
        No such file, no state in it, one of another version, or one of an explorer whose state one
        of `notebooks` does not take.
    """
    from ensemble_lab.widgets.explorer import VERSION

    where = f"'{named(Path(path))}'"
    try:
        found = json.loads(
            Path(path).read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
        )
    except OSError as error:
        raise RequestError(
            f"cannot read the state {where}: {error.strerror}; save it there"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not text in UTF-8; copy the state again") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"{where} is not JSON: {excerpt(str(error), 90)}; copy the state again"
        ) from error
    if not (isinstance(found, dict) and found.keys() >= set(KEYS)):
        raise RequestError(
            f"{where} is not a state of an explorer, which has {', '.join(KEYS)}; copy it again"
        )
    version = found["version"]
    if type(version) is not int or version != VERSION:  # True is 1
        raise RequestError(
            f"{where} has version {shown(version, 20)}, this package reads {VERSION}; copy it"
            " again from an explorer of this version"
        )
    if not isinstance(found["state"], dict):
        raise RequestError(
            f"{where}: its state is {shown(found['state'], 60)}, not a dictionary; copy it again"
        )
    for notebook in notebooks:
        shows = explorers_in(read_notebook(notebook))
        if shows and found["explorer"] not in shows:
            raise RequestError(
                f"{where} is a state of {shown(found['explorer'], 30)}, and"
                f" {excerpt(notebook.name, 40)} takes one of {shown(sorted(shows)[0], 30)}; give it"
                " to a notebook that takes it"
            )
    return found["state"]


def explorers_in(notebook: NotebookNode) -> set[str]:
    """The explorers that start at the parameter `state`, or all where none names it.

    That is the name in ``explore("name", **state)``. Nothing where a name is computed: it may be
    any.
    """
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            parts = list(ast.walk(ast.parse(_python(cell.source))))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return set()
        for call in (part for part in parts if isinstance(part, ast.Call)):
            called = getattr(call.func, "id", getattr(call.func, "attr", ""))
            name = call.args[0] if call.args else None
            is_text = isinstance(name, ast.Constant) and isinstance(name.value, str)
            if called == "Explorer" or (called == "explore" and not is_text):  # one of their own
                return set()
            if called == "explore":
                names[_uses_state(call)].add(name.value)
    return names[True] or names[False]


def _uses_state(call: ast.Call) -> bool:
    """Whether a keyword of the call reads the variable `state`."""
    read = (part for keyword in call.keywords for part in ast.walk(keyword.value))
    return any(isinstance(part, ast.Name) and part.id == "state" for part in read)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice, 40)} occurs twice")
    return found


def _no_constant(name: str):
    raise ValueError(f"{excerpt(name)} is not a number of JSON")
