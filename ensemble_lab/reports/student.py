"""The student version of a notebook: the same without the folded solutions.

One source gives both versions, so they cannot differ. A solution is a ``<details>`` element whose
summary names it; the stub above it is kept, and runs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.markdown import code_spans, is_inside
from ensemble_lab.reports.request import (
    RequestError,
    find_notebooks,
    named,
    output_folder,
    read_notebook,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

# A tag ends at the first > outside quotes. Each pattern stops at the next <, so that its time grows
# with the text and not with the square of it.
TAG = re.compile(
    r"<(?P<close>/?)(?P<name>details|summary)\b(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>", re.IGNORECASE
)
SAYS_SOLUTION = re.compile(r"(?<!\bno )(?<!\bwithout )(?<!\bwithout a )\bsolution", re.IGNORECASE)
# Those of nbgrader and otter.
OTHERS_MARKS = re.compile(r"^[ \t]*#+[ \t]*(?:BEGIN|END) SOLUTION", re.MULTILINE)
ATTACHED = "attachment:"


def student(notebooks: Sequence[str | Path], out: str | Path) -> list[Path]:
    """Write the student version of each notebook into `out`, under the same name.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, created if it is missing.

    Returns
    -------
    list of path
        The written files.

    Raises
    ------
    RequestError
        No notebook, a folder that cannot be written or holds the sources, a solution that does
        not end, or one in a code cell.
    """
    return written(notebooks, out, without_solutions)


def written(
    notebooks: Sequence[str | Path],
    out: str | Path,
    made: Callable[[NotebookNode, str], NotebookNode],
) -> list[Path]:
    """Write what `made` makes of each notebook and its name; nothing where one is refused."""
    paths = find_notebooks(notebooks)
    books = [made(read_notebook(path), path.name) for path in paths]
    out = output_folder(out, paths)
    return [_write(book, out / path.name) for book, path in zip(books, paths, strict=True)]


def without_solutions(notebook: NotebookNode, name: str) -> NotebookNode:
    """Remove a notebook's solutions, in place; a cell with nothing else is removed too."""
    kept = []
    for number, cell in enumerate(notebook.cells, 1):
        where = f"{name}, cell {cell.get('id', number)!r}"
        if cell.cell_type == "code":
            _refuse_in_code(cell.source, where)
        else:
            left = without_folded(cell.source, where)
            if left != cell.source:
                cell.source = left.strip()
                _drop_attachments(cell)
                if not cell.source:
                    continue
        kept.append(cell)
    notebook.cells = kept
    return notebook


def without_folded(text: str, where: str) -> str:
    """A markdown text without its folded solutions and all that is folded inside them.

    Tags in code are text. A solution without a start or an end is refused, and so is one in a place
    that may be code: it could be left in.

    Raises
    ------
    RequestError
        A solution lacks one of its tags, or may be in code.
    """
    left = _less_solutions(text, code_spans(text), where)
    if left != _less_solutions(text, code_spans(text, certain=True), where):
        raise RequestError(
            f"{where}: a solution is where a fence of code may be open; write a blank line"
            " before the fence, and close it"
        )
    return left


def _less_solutions(text: str, code: Sequence[tuple[int, int]], where: str) -> str:
    """`without_folded`, given the places of code."""
    tags = [tag for tag in TAG.finditer(text) if not is_inside(tag.start(), code)]
    opened, cut, summary = [], [], None  # opened: [start of the element, its summary or None]
    for tag in tags:
        kind, closes = tag["name"].lower(), bool(tag["close"])
        if kind == "summary" and not closes:
            summary = tag.end()
        elif kind == "summary" and summary is not None:
            texts, summary = text[summary : tag.start()], None
            if _says_solution(texts) and (not opened or opened[-1][1] is not None):
                raise _lacks(where)  # of no element, or the second of one
            if opened and opened[-1][1] is None:
                opened[-1][1] = texts
        elif kind == "details" and not closes:
            opened.append([tag.start(), None])
        elif kind == "details" and opened:
            start, texts = opened.pop()
            if _says_solution(texts or ""):
                cut.append((start, tag.end()))
        elif kind == "details" and cut:  # a solution ended too early
            raise _lacks(where)
    half = text[summary:] if summary is not None else ""
    if any(_says_solution(texts or "") for texts in (half, *(texts for _, texts in opened))):
        raise _lacks(where)
    parts, at = [], 0
    for start, end in sorted(cut):
        if start >= at:  # a nested one is removed with it
            parts.append(text[at:start])
            at = end
    return "".join([*parts, text[at:]])


def _says_solution(summary: str) -> bool:
    words = html.unescape(re.sub(r"<[^<>]*>", "", summary))
    return bool(SAYS_SOLUTION.search(" ".join(words.split())))


def _lacks(where: str) -> RequestError:
    return RequestError(
        f"{where}: a solution lacks its <details>, its </details> or its </summary>; write all"
        " of them, outside of code"
    )


def _refuse_in_code(source: str, where: str) -> None:
    """Raise `RequestError` for a code cell with a solution, which is not removed here."""
    if OTHERS_MARKS.search(source):
        fault = "has BEGIN SOLUTION, which is for another tool"
    elif any(map(_says_solution, _summaries(source))):
        fault = "has a folded solution in code"
    else:
        return
    raise RequestError(f"{where}: {fault}; fold the solution into <details> in a markdown cell")


def _summaries(text: str) -> list[str]:
    """The text between each start of a summary and the next end of one."""
    texts, start = [], None
    for tag in TAG.finditer(text):
        if tag["name"].lower() == "summary":
            if not tag["close"]:
                start = tag.end() if start is None else start
            elif start is not None:
                texts.append(text[start : tag.start()])
                start = None
    return texts


def _drop_attachments(cell: NotebookNode) -> None:
    """Remove the images that only the solution showed."""
    kept = {
        name: data
        for name, data in cell.get("attachments", {}).items()
        if ATTACHED + name in cell.source
    }
    if kept:
        cell.attachments = kept
    else:
        cell.pop("attachments", None)


def _write(notebook: NotebookNode, path: Path) -> Path:
    import nbformat

    try:
        return write_whole(path, nbformat.writes(notebook) + "\n")
    except OSError as error:
        raise RequestError(f"cannot write {named(path)}: {error.strerror}") from error
