"""The one run of a notebook: as its reader gets it, solved, alone, on the wheel.

The student version, with each solution behind its stub, is executed in an empty folder by a kernel
of the environment that holds the wheel, its base dependencies and what the notebook names in its
metadata as ``{"ensemble_lab": {"beside": ["torch"]}}``. The tests of notebooks, exercises, reports
and pages look at what that leaves; nothing runs a notebook again.
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from time import perf_counter

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell
from packaging.requirements import Requirement

from benchmarks.parts.in_kernels import peak_memory
from ensemble_lab.widgets.backends import HEADLESS
from tests.notebooks.solved import solved
from tests.support.processes import COMPILED_ONCE

LONGEST_CELL = 300  # seconds; what is slower hangs
# What a notebook may need beside the wheel, by the names of imports, in the order of metadata.
HEAVY = ("torch", "transformers", "fastapi", "uvicorn", "aiohttp", "prometheus_client", "openai")
WHERE = f"""import importlib.util, json, sys
import ensemble_lab

found = [name for name in {HEAVY} if importlib.util.find_spec(name)]
print(json.dumps({{"package": ensemble_lab.__file__, "prefix": sys.prefix, "heavy": found}}))"""


@dataclass(frozen=True)
class Executed:
    """What the run of a notebook left in a folder."""

    folder: Path

    @property
    def path(self) -> Path:
        """The executed notebook, solutions included."""
        return self.folder / "executed.ipynb"

    @cached_property
    def notebook(self):
        return nbformat.read(self.path, as_version=4)

    @cached_property
    def facts(self) -> dict:
        """What was noted of the run.

        seconds; cpu_seconds, on all cores together; peak_gb (10^9 bytes); left, the files in its
        folder; error, a text or nothing. Where it ran to its end, as the kernel says: package (a
        file), prefix (a folder), heavy (those of `HEAVY` that it finds).
        """
        return json.loads((self.folder / "facts.json").read_text())


def beside(path):
    """The packages that a notebook needs besides the wheel."""
    return nbformat.read(path, as_version=4).metadata.get("ensemble_lab", {}).get("beside", [])


def execute_alone(path, place, python, parts):
    """Run the notebook as said above; what it leaves goes into the folder `place`.

    Parameters
    ----------
    path : Path
    place : Path
        An empty folder.
    python : Path
        That of the environment with the wheel.
    parts : Path
        What `kernel_parts` made.
    """
    alone, linked = place / "alone", place / "beside"
    for folder in (alone, linked):
        folder.mkdir()
    notebook = solved(path, alone)
    for name in beside(path):  # linked, since a copy of torch takes most of a minute and a gigabyte
        link_installed(name, linked)
    notebook.cells.append(new_code_cell(WHERE))
    facts = {"error": ""}
    start, cpu = perf_counter(), cpu_of_children()
    with peak_memory() as peak:
        try:
            execute(notebook, python, [parts, linked], alone)
        except CellExecutionError as error:
            facts["error"] = f"{error.ename}: {error.evalue}\n{error.traceback}"
        except (CellTimeoutError, DeadKernelError) as error:
            facts["error"] = str(error)
    facts |= {"seconds": round(perf_counter() - start, 1), "left": sorted(os.listdir(alone))}
    facts["cpu_seconds"] = round(cpu_of_children() - cpu, 1)
    facts["peak_gb"] = round(peak["bytes"] / 1e9, 2)
    where = notebook.cells.pop()
    if not facts["error"]:
        facts |= json.loads(where.outputs[0].text)
    nbformat.write(notebook, place / "executed.ipynb")
    (place / "facts.json").write_text(json.dumps(facts))


def cpu_of_children():
    """Seconds of all processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def execute(notebook, python, paths, folder, **environment):
    """Run the notebook in `folder` by a kernel of `python`, which imports from `paths` too."""
    kernel = folder.parent / "jupyter/kernels/empty"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "empty",
        "language": "python",
        "env": COMPILED_ONCE
        | {"PYTHONPATH": os.pathsep.join(map(str, paths)), HEADLESS: "1", **environment},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernel.parents[1]))
        there = {"metadata": {"path": str(folder)}}
        NotebookClient(
            notebook, kernel_name="empty", resources=there, timeout=LONGEST_CELL
        ).execute()


def kernel_parts(folder):
    """What Jupyter brings a kernel, in a folder apart, so that the environments stay empty."""
    for name in ("ipykernel", "nbformat"):
        link_installed(name, folder)


def link_installed(name, folder):
    """Link an installed distribution, with all that it requires, into a folder for imports."""
    for line in metadata.requires(name) or []:
        required = Requirement(line)
        if not required.marker or required.marker.evaluate({"extra": ""}):
            link_installed(required.name, folder)
    distribution = metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
        if not (folder / top).exists():
            (folder / top).symlink_to(distribution.locate_file(top))
