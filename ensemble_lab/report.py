"""Reports: notebooks run by papermill with other parameters, one HTML file of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from ensemble_lab.pages import Run, write_index, write_page
from ensemble_lab.requested import (
    RequestError,
    check_parameters,
    find_notebooks,
    output_folder,
)


def report(
    notebooks: Sequence[str | Path], out: str | Path, parameters: Mapping[str, Any]
) -> list[str]:
    """Run notebooks and write their pages and an ``index.html`` into `out`.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, made where it is missing. The executed notebooks are kept beside their pages.
    parameters : mapping of str to value
        For every one of the notebooks.

    Returns
    -------
    list of str
        One sentence for every notebook that failed, naming its cell. Its page has what ran.

    Raises
    ------
    RequestError
        A missing notebook, a parameter that one does not have or not of that type, a folder that
        cannot be written, or tools that are not installed.
    """
    check_tools()
    paths = find_notebooks(notebooks)
    for path in paths:
        check_parameters(path, parameters)
    out = output_folder(out, paths)
    runs = []
    with kernel_environment():
        for path in paths:
            start = perf_counter()
            failure = execute(path, out / path.name, parameters)
            runs.append(Run(path, out / path.name, perf_counter() - start, failure))
            write_page(out / path.name)
    write_index(out, runs, parameters)
    return [run.failure for run in runs if run.failure]


def check_tools() -> None:
    """Raise `RequestError` unless papermill, nbconvert and the kernel are installed."""
    try:
        import ipykernel  # noqa: F401
        import latex2mathml  # noqa: F401
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"{error.name} is not installed; {sys.executable} -m pip install"
            " papermill nbconvert ipykernel latex2mathml"
        ) from None


# -- run ----------------------------------------------------------------------------------------


@contextmanager
def kernel_environment() -> Iterator[None]:
    """Kernels started inside are this Python's, and their figures stay data until the page.

    A figure that renders itself would bring its own plotly.js or a link to one, differently in
    every version of plotly; as data, one copy serves the whole page.
    """
    kernels = os.path.join(sys.prefix, "share", "jupyter")
    path = os.pathsep.join(filter(None, [kernels, os.environ.get("JUPYTER_PATH")]))
    before = dict(os.environ)
    os.environ.update(PLOTLY_RENDERER="plotly_mimetype", JUPYTER_PATH=path)
    os.environ.setdefault("ENSEMBLE_LAB_BACKEND", "still")  # a page has no kernel to drag with
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def execute(path: Path, executed: Path, parameters: Mapping[str, Any]) -> str:
    """Run one notebook into the file `executed`; returns what went wrong, or nothing."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for old in (executed, executed.with_suffix(".html")):  # never taken for what this run left
        old.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            executed,
            parameters={name: _plain(value) for name, value in parameters.items()},
            kernel_name="python3",
            cwd=path.parent,
            progress_bar={"desc": path.stem},
            store_widget_state=False,
            extra_arguments=["--log-level=ERROR"],  # no warnings of the kernel between the bars
        )
    except PapermillExecutionError as error:
        first = error.source.strip().partition("\n")[0]
        where = f"{path.name} stopped at cell [{error.exec_count}] ({first})"
        return _one_line(f"{where}: {error.ename}: {error.evalue}")
    except Exception as error:  # a kernel that dies: the next notebook still has its turn
        guess = ", perhaps for lack of memory" if isinstance(error, DeadKernelError) else ""
        return _one_line(f"{path.name} stopped{mark_stop(executed, error)}: {error}{guess}")
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(value):
    """Papermill hands on lists but makes text of a tuple."""
    return list(value) if isinstance(value, tuple) else value


def mark_stop(executed: Path, error: Exception) -> str:
    """Put `error` under the cell that was running, as the kernel could not; returns where it is."""
    import nbformat

    if not executed.exists():  # it stopped before the first cell
        return ""
    notebook = nbformat.read(executed, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [i for i, cell in enumerate(code) if cell.metadata.papermill.get("start_time")]
    if not started:
        return ""
    number, cell = started[-1] + 1, code[started[-1]]
    text = f"{type(error).__name__}: {error}"
    cell.outputs.append(
        nbformat.v4.new_output(
            "error", ename=type(error).__name__, evalue=str(error), traceback=[text]
        )
    )
    nbformat.write(notebook, executed)
    first = cell.source.strip().partition("\n")[0]
    return f" at cell [{number}] ({first})"
