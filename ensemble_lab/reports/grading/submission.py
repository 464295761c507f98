"""One submission: read without its outputs, recognised, and run with its checks."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.reports.grading.asked import Exercise, resemblance
from ensemble_lab.reports.grading.judging import KIND
from ensemble_lab.reports.kernel import watched
from ensemble_lab.reports.request import excerpt
from ensemble_lab.reports.stops import Stop

if TYPE_CHECKING:
    from nbformat import NotebookNode

WHOLE = 5  # times the limit of a cell that a notebook may take


def opened(content: bytes) -> NotebookNode:
    """The submission without its outputs, which may be large and are made anew."""
    import nbformat

    book = json.loads(content.decode("utf-8-sig"))
    if not isinstance(book, dict):
        raise ValueError("it is no JSON object")
    for cell in book.get("cells", ()):
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook = nbformat.v4.new_notebook()
    for cell in nbformat.reads(json.dumps(book), as_version=4).cells:
        if cell.cell_type == "code":
            notebook.cells.append(nbformat.v4.new_code_cell(cell.source))
    if not notebook.cells:
        raise ValueError("it has no code")
    return notebook


def lesson_of(
    name: str, notebook: NotebookNode, lessons: Mapping[str, tuple[Exercise, ...]]
) -> str:
    """The lesson whose checks the copy mentions; without them, the one whose name it has."""
    alike = {one: resemblance(notebook, exercises) for one, exercises in lessons.items()}
    best = max(alike, key=lambda one: (alike[one], one in name))
    return best if alike[best] or best in name else ""


def student_of(name: str, lesson: str) -> str:
    """The first folder; of a file without one, what its name has beside the lesson's."""
    first, _, rest = name.partition("/")
    if rest:
        return first
    stem = first[: -len(".ipynb")]  # in any case
    return stem.replace(lesson, "").strip("_- ") or stem if lesson else stem


def run(notebook: NotebookNode, exercises: Sequence[Exercise], student: str, stop: Stop, *,
        seed: int | None, checks: str | Path | None, timeout: float
        ) -> tuple[list[dict | None], str]:  # fmt: skip
    """The verdict of each exercise, None where it was not reached, and why not.

    The notebook runs in an empty folder, its errors end their own cell only, and a check runs in a
    cell of its own: what hangs costs one exercise.
    """
    import nbformat
    from nbclient import NotebookClient

    if seed is not None:  # each student has cases of their own
        seed = int.from_bytes(hashlib.sha256(f"{seed} {student}".encode()).digest()[:4], "big")
    more = (seed, None if checks is None else os.path.abspath(checks))
    own = len(notebook.cells)
    for one in exercises:
        given = ", ".join(map(repr, (one.module, one.check, one.function, *more)))
        notebook.cells.append(
            nbformat.v4.new_code_cell(
                f"__import__('ensemble_lab.reports.grading.judging', fromlist=['judge'])"
                f".judge(globals(), {given})"
            )
        )
    manager, why = watched(stop), ""
    with tempfile.TemporaryDirectory(prefix="ensemble-lab-") as place, stop.kernel(WHOLE * timeout):
        client = NotebookClient(
            notebook, timeout=timeout, interrupt_on_timeout=True, allow_errors=True,
            kernel_name="python3", kernel_manager_class=manager,
            resources={"metadata": {"path": place}}, extra_arguments=["--log-level=CRITICAL"],
        )  # fmt: skip
        client.log.disabled = True
        try:
            client.execute()
        except Exception as error:  # a kernel that ends, for whatever reason
            late = f"the notebook ran for more than {WHOLE * timeout:g} s"
            why = late if stop.late else f"its kernel ended: {excerpt(str(error), 100)}"
    verdicts = [_verdict(cell) for cell in notebook.cells[own:]]
    return verdicts, why or f"its check ran for more than {timeout:g} s, or its cell failed"


def _verdict(cell: NotebookNode) -> dict | None:
    shown_there = (out.get("data", {}).get(KIND) for out in cell.outputs)
    return next((one for one in shown_there if isinstance(one, dict)), None)
