"""Which installation answers: copies of the package, other environments, older notebooks."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import ensemble_lab
from ensemble_lab.doctor.finding import Finding, pip_install

COMMAND = "ensemble-lab"


def copies(paths: Iterable[str] = ()) -> Finding:
    """Whether `ensemble_lab` lies in one folder of the path only; the first one answers."""
    own = Path(ensemble_lab.__file__).resolve().parent
    found = [own]
    for folder in paths or sys.path:
        here = Path(folder or ".", "ensemble_lab").resolve()
        if here not in found and (here / "__init__.py").is_file():
            found.append(here)
    if len(found) == 1:
        return Finding("copies of ensemble_lab", f"one, in {own.parent}")
    others = ", ".join(str(folder.parent) for folder in found[1:])
    value = f"{own.parent} answers; there is another in {others}"
    fix = "remove the one that you do not want (pip uninstall ensemble-lab), or start elsewhere"
    return Finding("copies of ensemble_lab", value, False, fix)


def doubled(distributions: Iterable[metadata.Distribution] | None = None) -> Finding:
    """Whether a folder holds two versions of one package, as pip over conda leaves them."""
    if distributions is None:
        distributions = metadata.distributions()
    counted = Counter()
    for one in distributions:
        if one.name:  # half an uninstalled package has none
            folder = str(one.locate_file(""))
            counted[one.name.lower().replace("_", "-"), folder] += 1
    twice = sorted({name for (name, _), count in counted.items() if count > 1})
    if not twice:
        return Finding("packages installed twice", "none")
    value = f"{', '.join(twice[:5])}: parts of two versions lie in one folder"
    fix = f"{pip_install('--force-reinstall', *twice[:5])}, or make a new environment"
    return Finding("packages installed twice", value, False, fix)


def environment(environ: Mapping[str, str] = os.environ) -> Finding:
    """Whether the activated environment and the command on the path are of this Python."""
    name, here = "environment", Path(sys.prefix).resolve()
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        active = environ.get(variable, "")
        if not active or Path(active).resolve() == here:
            continue
        # In a virtual environment inside a conda environment both are set, rightly.
        if variable == "CONDA_PREFIX" and sys.prefix != sys.base_prefix:
            continue
        value = f"{active} is activated ({variable}), but {here} runs"
        return Finding(name, value, False, "choose the kernel of the activated environment")
    command = shutil.which(COMMAND)
    if command and Path(command).parent.resolve() != Path(sys.executable).parent.resolve():
        value = f"{here}; the command {command} is of another Python"
        return Finding(name, value, False, pip_install(COMMAND))
    return Finding(name, str(here))


def series(start: Path | None = None) -> Finding:
    """Whether the notebooks in the folder around are of the version that is installed."""
    name, start = "notebooks' version", start or Path.cwd()
    for folder in (start, *start.parents):
        project = folder / "pyproject.toml"
        if not ((folder / "notebooks").is_dir() and project.is_file()):
            continue
        try:
            about = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        except (OSError, ValueError):
            continue
        if about.get("name") != COMMAND:
            continue
        theirs, ours = about.get("version", "none"), ensemble_lab.__version__
        if theirs == ours:
            return Finding(name, f"{theirs}, as is installed")
        value = f"those in {folder} are of {theirs}, installed is {ours}"
        return Finding(name, value, False, pip_install("-e", str(folder)))
    return Finding(name, "no checkout around this folder")
