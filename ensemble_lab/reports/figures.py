"""The figures of notebooks that were run, a file each, for slides and papers."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from ensemble_lab.core.whole import moved_to, write_whole
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

BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # draw PNG
SCALE, SECONDS = 2, 60  # pixels of a PNG for one of the SVG; time limit of one
GROUND = '<rect width="100%" height="100%" fill="white"/>'  # text is dark, slides may be too


def write_figures(
    notebooks: Sequence[str | Path], out: str | Path, png: bool = False
) -> tuple[list[Path], list[str]]:
    """Write each figure in the outputs of `notebooks` into `out` as SVG, 840 pixels wide.

    Files are called ``NOTEBOOK_01.svg``, ``NOTEBOOK_02.svg``, … in the order of the notebook. The
    figure of an explorer is drawn in the state that was saved.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks that were run and saved, or folders of them, such as that of a report.
    out : path
        Folder, created if it is missing.
    png : bool
        Whether to write each as PNG too, of twice as many pixels, by a Chromium that is installed.

    Returns
    -------
    written : list of path
    faults : list of str
        A sentence for each figure that cannot be drawn.

    Raises
    ------
    RequestError
        No notebook, one without figures, a folder that cannot be written, or no Chromium for PNG.
    """
    browser = _browser() if png else ""
    paths = find_notebooks(notebooks)
    figures = {path: _figures_in(path) for path in paths}
    out = output_folder(out, paths)
    written, faults = [], []
    for path, found in figures.items():
        for number, figure in enumerate(found, 1):
            file = out / f"{path.stem}_{number:02d}.svg"
            try:
                drawing = svg(figure, strict=True)
            except Exception:  # an untrusted figure may contain anything
                faults.append(
                    f"{excerpt(path.name)}: figure {number} has parts that are not drawn here;"
                    " save it from its own tool bar"
                )
                continue
            try:
                written.append(write_whole(file, drawing.replace(">", f">{GROUND}", 1) + "\n"))
                if png:
                    written.append(_as_png(file, browser))
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


def _browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise RequestError(
            f"PNG needs Chromium, and there is none here (looked for {', '.join(BROWSERS)}): apt"
            " install chromium, or leave --png out"
        )
    return found


def _as_png(drawing: Path, browser: str) -> Path:
    """The drawing as the browser shows it. Nothing else is opened, and no profile is kept."""
    box = ET.parse(drawing).getroot().get("viewBox").split()
    size = ",".join(str(math.ceil(float(side))) for side in box[2:])
    file = drawing.with_suffix(".png")
    sandbox = [] if getattr(os, "geteuid", lambda: 1)() else ["--no-sandbox"]  # root has none
    with tempfile.TemporaryDirectory(prefix="ensemble-lab-") as profile, moved_to(file) as part:
        command = [
            browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", *sandbox,
            f"--user-data-dir={profile}", f"--window-size={size}",
            f"--force-device-scale-factor={SCALE}", f"--screenshot={part}.png", drawing.as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            said = done.stderr
        except subprocess.TimeoutExpired:
            said = f"it ran for more than {SECONDS} s"
        made = Path(f"{part}.png")
        if not made.exists():
            why = excerpt(said.strip().rpartition("\n")[2], 120)
            raise RequestError(f"{named(file)} was not drawn by {named(Path(browser))}: {why}")
        os.replace(made, part)
    return file
