"""Reports: notebooks run by papermill with other parameters, one HTML file of each."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.reports.kernel import execute, kernel_environment
from ensemble_lab.reports.page import Run, write_index, write_page
from ensemble_lab.reports.request import (
    RequestError,
    check_parameters,
    excerpt,
    find_notebooks,
    named,
    output_folder,
)
from ensemble_lab.reports.stops import Stop, Stopped


def report(
    notebooks: Sequence[str | Path],
    out: str | Path,
    parameters: Mapping[str, Any],
    timeout: float | None = None,
    slides: bool = False,
) -> list[str]:
    """Run notebooks and write their pages and an ``index.html`` into `out`.

    Files of earlier reports of these notebooks in `out` are removed first, so all files there are
    of this run. Files are written under other names and moved, so none is incomplete. After
    SIGKILL, which cannot be handled, there is no index, a hidden folder ``.ensemble-lab-…`` may be
    left, and the kernel ends by itself about a second later.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, created if it is missing. The executed notebooks are kept next to their pages.
    parameters : mapping of str to value
        Parameters for all of the notebooks.
    timeout : float, optional
        Time limit of each notebook in seconds; no limit by default.
    slides : bool
        Whether pages are shown one section at a time, with the arrow keys.

    Returns
    -------
    list of str
        One sentence for every notebook that failed, with its cell, and for an index that cannot be
        written. The notebook's page has the cells that ran.

    Raises
    ------
    RequestError
        A missing notebook, a parameter that one does not have or not of that type, a folder that
        cannot be written, or tools that are not installed.
    Stopped
        SIGINT (Ctrl-C), SIGTERM or SIGHUP. No kernel is left, and the index has the notebooks that
        ran.
    """
    check_tools()
    _check_timeout(timeout)
    paths = find_notebooks(notebooks)
    for path in paths:
        if path.stem == "index":
            raise RequestError("the page of index.ipynb would be the index itself; rename it")
        check_parameters(path, parameters)
    out = output_folder(out, paths)
    _remove_old(out, paths)
    runs = []
    with kernel_environment(), Stop() as stop:
        for path in paths:
            runs.append(_one(path, out / path.name, parameters, stop, timeout, slides))
            if stop.number is not None:
                break
        left = paths[len(runs) :]
        missing = [Run(p, out / p.name, 0.0, "not run: the report was stopped") for p in left]
        failures = [run.failure for run in runs if run.failure]
        try:
            write_index(out, [*runs, *missing], parameters)
        except OSError as error:
            failures.append(f"index.html cannot be written into {named(out)}: {_why(error)}")
    if stop.number is not None:
        fault = _stopped(left, stop.number)
        raise Stopped(excerpt(fault, 280), number=stop.number, failures=failures)
    return failures


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


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not 0 < timeout <= threading.TIMEOUT_MAX:  # NaN is refused too
        raise RequestError(
            f"--timeout {shown(timeout, 20)} is no time that can be waited for; give seconds above"
            " 0, or leave it out"
        )


def _remove_old(out: Path, paths: Sequence[Path]) -> None:
    """Remove the index first, as it would name pages of another run, then those pages."""
    for path in paths:
        for old in (out / "index.html", out / path.name, (out / path.name).with_suffix(".html")):
            with suppress(OSError):  # a file that cannot be removed is a failure of its notebook
                old.unlink(missing_ok=True)


def _one(
    path: Path,
    executed: Path,
    parameters: Mapping[str, Any],
    stop: Stop,
    timeout: float | None,
    slides: bool,
) -> Run:
    """Run one notebook and write its page; any error is a failure of this notebook."""
    start = perf_counter()
    page = executed.with_suffix(".html")
    in_the_way = [place.name for place in (executed, page) if place.exists()]
    if in_the_way:
        failure = (
            f"{excerpt(path.name)} was not run: {excerpt(in_the_way[0])} is in the way in"
            f" {named(executed.parent)}; move it away"
        )
        return Run(path, executed, 0.0, failure)
    try:
        failure = execute(path, executed, parameters, stop, timeout)
    except (
        Exception
    ) as error:  # a disk that is full before the first cell, a source that is missing
        failure = f"{excerpt(path.name)} was not run: {_why(error)}"
    seconds = perf_counter() - start
    try:
        with stop.interruptible():
            faults = write_page(executed, slides)
        if faults:
            more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
            fault = f"in the page of {excerpt(path.name)}, {faults[0]}{more}"
            failure = f"{failure}; {fault}" if failure else fault
    except Stopped:
        failure = failure or f"{excerpt(path.name)} ran, and its page was stopped"
    except Exception as error:  # nbconvert and plotly may raise any error
        fault = f"{excerpt(path.name)} has no page, which cannot be written: {_why(error)}"
        failure = f"{failure}; {fault}" if failure else fault
    return Run(path, executed, seconds, failure)


def _why(error: Exception) -> str:
    if isinstance(error, RequestError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {excerpt(str(error))}"


def _stopped(left: Sequence[Path], number: int) -> str:
    names = ", ".join(excerpt(path.name, 40) for path in left[:3])
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    rest = f"; not run: {names}{more}" if left else ""
    return f"stopped ({signal.Signals(number).name}); index.html has what ran{rest}"
