"""The student version of a notebook: the same without the folded solutions.

One source gives both versions, so that they cannot drift apart. A solution is a
``<details>`` block whose summary says so; the stub above it stays, and runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.requested import RequestError, find_notebooks, output_folder, read_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

SUMMARY = r"<summary[^>]*>(?:(?!</summary>).)*?\bsolution.*?</summary>"
SOLUTION = re.compile(rf"<details[^>]*>\s*{SUMMARY}.*?</details>", re.DOTALL | re.IGNORECASE)
LEFT_OPEN = re.compile(SUMMARY, re.DOTALL | re.IGNORECASE)


def student(notebooks: Sequence[str | Path], out: str | Path) -> list[Path]:
    """Write the student version of each notebook into `out`, under the same name.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, made where it is missing.

    Returns
    -------
    list of path
        What was written.

    Raises
    ------
    RequestError
        No notebook, a folder that cannot be written or holds the sources, or a solution that does
        not end.
    """
    paths = find_notebooks(notebooks)
    stripped = [without_solutions(read_notebook(path), path.name) for path in paths]
    out = output_folder(out, paths)
    return [_write(book, out / path.name) for book, path in zip(stripped, paths, strict=True)]


def without_solutions(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook less its solutions, in place; a cell that held nothing else goes with them."""
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and LEFT_OPEN.search(cell.source):
            cell.source = SOLUTION.sub("", cell.source).strip()
            if LEFT_OPEN.search(cell.source):
                where = f"{name}, cell {cell.get('id', len(kept) + 1)!r}"
                raise RequestError(f"{where}: a solution lacks its <details> or its </details>")
            if not cell.source:
                continue
        kept.append(cell)
    notebook.cells = kept
    return notebook


def _write(notebook: NotebookNode, path: Path) -> Path:
    """Written beside its place and moved there: a link to the source is replaced, not followed."""
    import nbformat

    part = path.with_name(path.name + ".part")
    try:
        nbformat.write(notebook, part)
        os.replace(part, path)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}") from error
    return path
