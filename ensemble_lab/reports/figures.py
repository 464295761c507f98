"""The figures of notebooks that were run, a file each, for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.page import PLOTLY
from ensemble_lab.reports.request import (
    RequestError,
    excerpt,
    find_notebooks,
    named,
    output_folder,
    read_notebook,
)
from ensemble_lab.reports.vector import svg

GROUND = '<rect width="100%" height="100%" fill="white"/>'  # text is dark, slides may be too


def write_figures(notebooks: Sequence[str | Path], out: str | Path) -> tuple[list[Path], list[str]]:
    """Write each figure in the outputs of `notebooks` into `out` as SVG, 840 pixels wide.

    Files are called ``NOTEBOOK_01.svg``, ``NOTEBOOK_02.svg``, … in the order of the notebook. The
    figure of an explorer is drawn in the state that was saved.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks that were run and saved, or folders of them, such as that of a report.
    out : path
        Folder, created if it is missing.

    Returns
    -------
    written : list of path
    faults : list of str
        A sentence for each figure that cannot be drawn.

    Raises
    ------
    RequestError
        No notebook, one without figures, or a folder that cannot be written.
    """
    paths = find_notebooks(notebooks)
    figures = {path: _figures_in(path) for path in paths}
    out = output_folder(out, paths)
    written, faults = [], []
    for path, found in figures.items():
        for number, figure in enumerate(found, 1):
            file = out / f"{path.stem}_{number:02d}.svg"
            try:
                drawing = svg(figure)
            except Exception:  # an untrusted figure may contain anything
                faults.append(
                    f"{excerpt(path.name)}: figure {number} has parts that are not drawn here;"
                    " save it from its own tool bar"
                )
                continue
            try:
                written.append(write_whole(file, drawing.replace(">", f">{GROUND}", 1) + "\n"))
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise RequestError(f"{named(file)} cannot be written: {why}") from error
    return written, faults


def _figures_in(path: Path) -> list:
    """Plotly's data of each figure; refused where there is none."""
    outputs = [o for cell in read_notebook(path).cells for o in cell.get("outputs", [])]
    found = [o.data[PLOTLY] for o in outputs if PLOTLY in o.get("data", {})]
    if not found:
        name = excerpt(path.name, 60)
        raise RequestError(
            f"{name} has no figures; run it first: `ensemble-lab report {name} --out ran`, then"
            f" give ran/{name}"
        )
    return found
