"""Build a site: run the notebooks that have changed, then write the pages."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from time import perf_counter

import ensemble_lab
from ensemble_lab.reports.kernel import execute, kernel_environment
from ensemble_lab.reports.page import PLOTLY, WIDGET, Run
from ensemble_lab.reports.report import check_tools
from ensemble_lab.reports.request import (
    RequestError,
    check_parameters,
    excerpt,
    find_notebooks,
    named,
    output_folder,
    read_notebook,
)
from ensemble_lab.reports.site.write import write_site
from ensemble_lab.reports.stops import Stop, Stopped

RAN = ".ran"  # folder of the notebooks that were run, inside that of the site
KEPT = "site"  # of the package's metadata in a notebook that was run


def site(
    notebooks: Sequence[str | Path], out: str | Path, timeout: float | None = None
) -> list[str]:
    """Run notebooks and write a site of their pages into `out`, which needs no server.

    A notebook that ran before with the same source, package and Python is not run again, so a build
    that was stopped goes on where it was.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, created if it is missing. Notebooks that ran are kept in its folder ``.ran``.
    timeout : float, optional
        Time limit of each notebook in seconds; no limit by default.

    Returns
    -------
    list of str
        A sentence for each notebook that failed, and for what `write_site` finds.

    Raises
    ------
    RequestError
        As `report.report` and `write_site`.
    Stopped
        Ctrl-C or another signal. Notebooks that ran are kept for the next build.
    """
    from tqdm import tqdm

    check_tools()
    paths = find_notebooks(notebooks)
    for path in paths:
        check_parameters(path, {})
    out = output_folder(out, paths)
    ran = output_folder(out / RAN, paths)
    runs = []
    with kernel_environment(), Stop() as stop:
        for path in tqdm(paths, desc="notebooks", unit="notebook"):
            runs.append(_known(path, ran) or _run(path, ran, stop, timeout))
            if stop.number is not None:
                left = len(paths) - sum(not run.failure for run in runs)
                raise Stopped(
                    f"stopped; {left} of {len(paths)} notebooks are not run yet: the same command"
                    " goes on from here",
                    number=stop.number,
                )
        with stop.interruptible():
            faults = write_site(runs, out)
    return [run.failure for run in runs if run.failure] + faults


def _known(path: Path, ran: Path) -> Run | None:
    """The run of an earlier build, where nothing has changed since."""
    executed = ran / path.name
    try:
        kept = read_notebook(executed).metadata.get("ensemble_lab", {}).get(KEPT, {})
    except RequestError:  # none, or one that was cut
        return None
    same = kept.get("of") == fingerprint(path)
    return Run(path, executed, float(kept.get("seconds", 0)), "") if same else None


def _run(path: Path, ran: Path, stop: Stop, timeout: float | None) -> Run:
    executed, start = ran / path.name, perf_counter()
    try:
        executed.unlink(missing_ok=True)
        failure = execute(path, executed, {}, stop, timeout)
        seconds = perf_counter() - start
        if executed.exists():
            _keep(executed, {} if failure else {"of": fingerprint(path), "seconds": seconds})
    except Exception as error:  # a full disk; the next notebook may still run
        seconds = perf_counter() - start
        failure = f"{excerpt(path.name)} was not run: {excerpt(str(error))}"
    return Run(path, executed, seconds, failure)


def _keep(executed: Path, about: dict) -> None:
    """Note what was run; a figure's data are enough, without its fallback of several megabytes."""
    import nbformat

    notebook = read_notebook(executed)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if PLOTLY in output.get("data", {}):
                output.data.pop("text/html", None)
                output.data.pop(WIDGET, None)
    notebook.metadata.setdefault("ensemble_lab", {})[KEPT] = about
    nbformat.write(notebook, executed)


def fingerprint(path: Path) -> str:
    """A text that changes with the notebook's source, the package's code and Python."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{named(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(source + _code()).hexdigest()


@cache
def _code() -> bytes:
    """The package's version and the digest of its code."""
    folder = Path(ensemble_lab.__file__).parent
    digest = hashlib.sha256(f"{ensemble_lab.__version__} {sys.version}".encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()
