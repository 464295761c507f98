"""One notebook of a report: run by papermill in its own kernel, with other parameters."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ensemble_lab.reports.request import excerpt, plain, read_notebook, tagged
from ensemble_lab.reports.stops import PIPE, Stop
from ensemble_lab.widgets.backends import HEADLESS

INJECTED = "injected-parameters"  # papermill's tag
MOST_MESSAGE = 120  # characters of an error in the notebook
QUIET = logging.NullHandler()  # papermill's log is replaced by one message here


@contextmanager
def kernel_environment() -> Iterator[None]:
    """Kernels started inside are this Python's, and their figures stay data until the page.

    A figure that renders itself would contain its own plotly.js or a link to one, differently in
    every version of plotly. As data, one copy is enough for the page.
    """
    kernels = os.path.join(sys.prefix, "share", "jupyter")
    path = os.pathsep.join(filter(None, [kernels, os.environ.get("JUPYTER_PATH")]))
    before = dict(os.environ)
    os.environ.update(PLOTLY_RENDERER="plotly_mimetype", JUPYTER_PATH=path)
    os.environ.setdefault("ENSEMBLE_LAB_BACKEND", "still")  # a page has no kernel to drag with
    os.environ.setdefault(HEADLESS, "1")  # and no reader who could guess first
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def execute(
    path: Path, executed: Path, parameters: Mapping[str, Any], stop: Stop, seconds: float | None
) -> str:
    """Run one notebook; returns the error as text, or nothing.

    It is run under another name, and moved to `executed` when the kernel has ended: with the cells
    that ran before an error, or not at all if the kernel did not reach a first cell.

    Parameters
    ----------
    path : Path
        The notebook.
    executed : Path
        The path of the executed copy; its folder exists.
    parameters : mapping of str to value
    stop : Stop
        Entered; it may kill the kernel.
    seconds : float, optional
        The time limit of the notebook.
    """
    hidden = TemporaryDirectory(
        prefix=".ensemble-lab-", dir=executed.parent, ignore_cleanup_errors=True
    )
    with hidden as folder:
        draft = Path(folder) / "notebook.ipynb"
        prepare(path, draft, parameters)
        failure = _run(path, draft, stop, seconds)
        if draft.exists():
            _leave_out_paths(draft, path)
            os.replace(draft, executed)
    return failure


def _run(path: Path, draft: Path, stop: Stop, seconds: float | None) -> str:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").addHandler(QUIET)
    manager = watched(stop)
    there = str(draft).replace("{", "{{").replace("}", "}}")  # papermill replaces braces
    try:
        with stop.kernel(seconds), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="papermill")  # of names that hold a "?"
            papermill.execute_notebook(
                there,
                there,
                kernel_name="python3",
                cwd=path.parent,
                progress_bar={"desc": plain(path.stem)},
                store_widget_state=False,
                extra_arguments=["--log-level=ERROR"],  # no warnings of the kernel between the bars
                kernel_manager_class=manager,
            )
    except PapermillExecutionError as error:
        where = f"{excerpt(path.name)} stopped at cell [{error.exec_count}]"
        message = f"{error.ename}: {excerpt(error.evalue, MOST_MESSAGE)}"
        return f"{where} ({_first_line(error.source)}): {message}"
    except Exception as error:  # a kernel that dies: the next notebook still runs
        if isinstance(error, BrokenPipeError) and stop.number is None:  # of the progress bar
            stop.number = PIPE
        kind, why = _reason(error, stop, seconds, manager.process)
        return f"{excerpt(path.name)} stopped{mark_stop(draft, kind, why)}: {why}"
    return ""


def watched(stop: Stop) -> type:
    """A kernel manager for nbclient that registers the running kernel with `stop`."""
    from jupyter_client.manager import AsyncKernelManager

    class Watched(AsyncKernelManager):
        process = None

        async def start_kernel(self, **how) -> None:
            await super().start_kernel(**how)
            type(self).process = self.provisioner.process
            stop.began(self.provisioner.process.pid)

    return Watched


def _reason(error: Exception, stop: Stop, seconds: float | None, process) -> tuple[str, str]:
    """The kind and the text of an end other than an error in the notebook."""
    code = process and process.poll()
    if stop.number is not None:
        return "KeyboardInterrupt", f"the report was stopped ({signal.Signals(stop.number).name})"
    if stop.late:
        return "TimeoutError", f"it ran for more than {seconds:g} s; give it a longer --timeout"
    if isinstance(error, OSError):  # the original message would name a temporary file
        return type(error).__name__, f"it could not be saved: {error.strerror or error}"
    why = excerpt(str(error), MOST_MESSAGE)
    if code is not None and code < 0:
        lack = "perhaps because memory ran out" if -code == getattr(signal, "SIGKILL", 9) else ""
        why += f", {lack or f'by {signal.Signals(-code).name}'}"
    elif code is not None:
        why += f", ended by its own code with exit status {code}"
    return type(error).__name__, why


def prepare(path: Path, executed: Path, parameters: Mapping[str, Any]) -> None:
    """Write the notebook that will be run: the given parameters in a cell after the defaults.

    papermill's own way converts tuples and the keys of dictionaries to text, and needs a language
    in the metadata, which notebooks by nbformat or jupytext do not have.
    """
    import nbformat

    notebook = read_notebook(path)
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)  # the time of an earlier run
    if parameters:
        lines = [f"{name} = {literal(value)}" for name, value in parameters.items()]
        cell = nbformat.v4.new_code_cell("\n".join(["# Parameters", *lines]))
        cell.metadata["tags"] = [INJECTED]
        cells = [c for c in notebook.cells if INJECTED not in c.metadata.get("tags", [])]
        at = cells.index(tagged(notebook)[0]) + 1
        notebook.cells = [*cells[:at], cell, *cells[at:]]
    nbformat.write(nbformat.v4.upgrade(notebook), executed)


def literal(value) -> str:
    """Python code for a value from `ast.literal_eval` or JSON.

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


def mark_stop(draft: Path, kind: str, why: str) -> str:
    """Add the error to the cell that was running, as the kernel could not; returns its place."""
    import nbformat

    try:
        notebook = nbformat.read(draft, as_version=4)
    except Exception:  # a full disk cut it
        draft.unlink(missing_ok=True)
        return ""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [
        i for i, cell in enumerate(code) if cell.metadata.get("papermill", {}).get("start_time")
    ]
    if not started:  # it stopped before the first cell: there is nothing to show
        draft.unlink()
        return ""
    number, cell = started[-1] + 1, code[started[-1]]
    cell.outputs.append(
        nbformat.v4.new_output("error", ename=kind, evalue=why, traceback=[f"{kind}: {why}"])
    )
    nbformat.write(notebook, draft)
    return f" at cell [{number}] ({_first_line(cell.source)})"


def _leave_out_paths(draft: Path, path: Path) -> None:
    """Remove the paths of papermill's files: folders of this machine in a file for others."""
    import nbformat

    notebook = nbformat.read(draft, as_version=4)
    noted = notebook.metadata.get("papermill", {})
    noted |= {name: path.name for name in ("input_path", "output_path") if name in noted}
    nbformat.write(notebook, draft)
