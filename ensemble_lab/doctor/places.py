"""Where this runs, and what was run there before: the Python, the system, the host of notebooks."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ensemble_lab.doctor.finding import Finding, gib, in_browser

SYSTEMS = {"Linux": "Linux", "Darwin": "macOS", "Windows": "Windows", "Emscripten": "a browser"}
# Host of notebooks to a variable that it sets, the most special first.
HOSTS = {
    "Binder": "BINDER_SERVICE_HOST",
    "Kaggle": "KAGGLE_KERNEL_RUN_TYPE",
    "VS Code": "VSCODE_PID",
    "JupyterHub": "JUPYTERHUB_USER",
}
NOTES = {
    "Colab": "nobody has opened it; its published versions are tried",
    "Binder": "nobody has opened it; its limits of memory are tried",
    "JupyterLite": "no threads, no PyTorch, no packages that are compiled for a machine",
}
UNSEEN = "nobody has tried it"
REPORT = "tell what fails: https://github.com/ensemble-lab/ensemble_lab/issues"


@cache
def tried() -> dict:
    """What was run before this release.

    Returns
    -------
    dict
        ``pythons``, version to date and what was left out; ``memory``, bytes of a limit to the
        notebooks that fit, those that do not, and how many there are.
        `recipes.write_platforms` writes it.
    """
    file = Path(__file__).with_name("tried.json")
    return json.loads(file.read_text(encoding="utf-8"))


def host(environ: Mapping[str, str] = os.environ) -> str:
    """The name of what shows notebooks here; "" where nothing tells it."""
    if in_browser():
        return "JupyterLite"
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in environ:
        return "Colab"
    return next((name for name, variable in HOSTS.items() if environ.get(variable)), "")


def place() -> Finding:
    """The system and the host of notebooks, and whether anybody has run this package there."""
    system = SYSTEMS.get(platform.system(), platform.system() or sys.platform)
    value, here = f"{system}, {platform.machine()}", host()
    if here:
        value += f", {here}"
    if note := NOTES.get(here):
        return Finding("place", f"{value}: {note}", None, REPORT)
    if here in HOSTS or system != "Linux":
        return Finding("place", f"{value}: {UNSEEN}", None, REPORT)
    return Finding("place", f"{value}: tried before this release")


def this_python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Whether this version of Python was tried, when, and without what."""
    name, known = "{}.{}".format(*version), tried()["pythons"]
    if name in known:
        of = known[name]
        left_out = f", without {of['without']}" if of["without"] else ""
        return Finding("tried on this Python", f"{name}: run {of['date']}{left_out}")
    fix = f"if something fails, take one of {', '.join(known)}"
    return Finding("tried on this Python", f"{name}: {UNSEEN}", None, fix)


def fitting(limit: int) -> Finding:
    """Which notebooks were seen to fit into `limit` bytes, each with no other kernel open.

    Parameters
    ----------
    limit : int
        The memory of the machine or of its container.
    """
    name, sizes = "notebooks in this memory", sorted(map(int, tried()["memory"]))
    # A container of 2 GB may mean 10^9 bytes twice, or lack what the system keeps.
    below = [size for size in sizes if size * 0.9 <= limit]
    if not sizes:
        return Finding(name, "not measured before this release", None, "close other kernels")
    if not below:
        value = f"{gib(limit)} is less than any that was tried ({gib(sizes[0])})"
        return Finding(name, value, None, "start with 00 and 01, and close other kernels")
    if limit > 2 * sizes[-1]:
        return Finding(name, "enough for each: a test holds them below 1.5 GB")
    of = tried()["memory"][str(below[-1])]
    fit, large = of["fit"], of["too large"]
    value = f"in {gib(below[-1])}, one at a time, fit {', '.join(fit) or 'none'}"
    value += f"; not {', '.join(large)}" if large else ""
    if left := of["in all"] - len(fit) - len(large):
        value += f"; {left} others were not tried"
    if large or left:
        return Finding(name, value, None, "open others on a larger machine; close other kernels")
    return Finding(name, value)
