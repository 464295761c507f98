"""Reports: notebooks run by papermill with other parameters, one HTML file of each."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from ensemble_lab.pages import Run, write_index, write_page
from ensemble_lab.requested import (
    RequestError,
    check_parameters,
    excerpt,
    find_notebooks,
    named,
    output_folder,
    read_notebook,
    tagged,
)

INJECTED = "injected-parameters"  # papermill's tag
MOST_SAID = 120  # characters of an error of the notebook's


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
        if path.stem == "index":
            raise RequestError("the page of index.ipynb would be the index itself; rename it")
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
            f"{excerpt(error.name)} is not installed; {named(Path(sys.executable))} -m pip install"
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
    prepare(path, executed, parameters)
    there = str(executed).replace("{", "{{").replace("}", "}}")  # papermill fills braces in
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="papermill")  # of names that hold a "?"
            papermill.execute_notebook(
                there,
                there,
                kernel_name="python3",
                cwd=path.parent,
                progress_bar={"desc": path.stem},
                store_widget_state=False,
                extra_arguments=["--log-level=ERROR"],  # no warnings of the kernel between the bars
            )
    except PapermillExecutionError as error:
        where = f"{excerpt(path.name)} stopped at cell [{error.exec_count}]"
        said = f"{error.ename}: {excerpt(error.evalue, MOST_SAID)}"
        return f"{where} ({_first_line(error.source)}): {said}"
    except Exception as error:  # a kernel that dies: the next notebook still has its turn
        guess = ", perhaps for lack of memory" if isinstance(error, DeadKernelError) else ""
        where = f"{excerpt(path.name)} stopped{mark_stop(executed, error)}"
        return f"{where}: {excerpt(str(error), MOST_SAID)}{guess}"
    return ""


def prepare(path: Path, executed: Path, parameters: Mapping[str, Any]) -> None:
    """Write the notebook that will be run: the given parameters in a cell behind the defaults.

    papermill's own way makes text of tuples and of the keys of dictionaries, and wants a language
    in the metadata, which notebooks by nbformat or jupytext do not have.
    """
    import nbformat

    notebook = read_notebook(path)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)  # when an earlier run of it was
    if parameters:
        lines = [f"{name} = {literal(value)}" for name, value in parameters.items()]
        cell = nbformat.v4.new_code_cell("\n".join(["# Parameters", *lines]))
        cell.metadata["tags"] = [INJECTED]
        cells = [c for c in notebook.cells if INJECTED not in c.metadata.get("tags", [])]
        at = cells.index(tagged(notebook)[0]) + 1
        notebook.cells = [*cells[:at], cell, *cells[at:]]
    nbformat.write(nbformat.v4.upgrade(notebook), executed)


def literal(value) -> str:
    """Python for a value that `ast.literal_eval` or JSON gave.

    Examples
    --------
    >>> print(literal({1: (float("nan"), "a")}))
    {1: (float('nan'), 'a')}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(k)}: {literal(v)}' for k, v in value.items())}}}"
    if type(value) in (list, tuple):
        inside = ", ".join(map(literal, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return repr(value)


def _first_line(source: str) -> str:
    return excerpt(source.strip().partition("\n")[0], 60)


def mark_stop(executed: Path, error: Exception) -> str:
    """Put `error` under the cell that was running, as the kernel could not; returns where it is."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [
        i for i, cell in enumerate(code) if cell.metadata.get("papermill", {}).get("start_time")
    ]
    if not started:  # it stopped before the first cell: there is nothing to show
        executed.unlink()
        return ""
    number, cell = started[-1] + 1, code[started[-1]]
    text = f"{type(error).__name__}: {error}"
    cell.outputs.append(
        nbformat.v4.new_output(
            "error", ename=type(error).__name__, evalue=str(error), traceback=[text]
        )
    )
    nbformat.write(notebook, executed)
    return f" at cell [{number}] ({_first_line(cell.source)})"
