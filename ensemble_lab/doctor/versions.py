"""The Python, the package and what it requires."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import ensemble_lab
from ensemble_lab.doctor.finding import Finding, pip_install

EXTRAS = ("models", "lab")


def python_version() -> Finding:
    """Check the running Python against the oldest supported version."""
    ok = sys.version_info >= (3, 11)
    fix = "" if ok else "install Python 3.11 or newer, then: make lab PYTHON=python3.11"
    return Finding("python", f"{platform.python_version()} ({sys.executable})", ok, fix, True)


def package_versions() -> list[Finding]:
    """Check the package and all requirements in its metadata."""
    found = Finding("ensemble_lab", ensemble_lab.__version__, needed=True)
    try:
        requirements = metadata.requires("ensemble-lab") or []
    except metadata.PackageNotFoundError:
        folder = Path(ensemble_lab.__file__).parents[1]
        value = f"{found.value}, run from {folder} without being installed"
        return [Finding("ensemble_lab", value, False, pip_install("-e", str(folder)))]
    return [found, *dependencies(requirements)]


def dependencies(requirements: Iterable[str]) -> list[Finding]:
    """One finding a requirement; those of the extras for models and notebooks are optional."""
    from packaging.requirements import Requirement

    findings = {}
    for line in requirements:
        requirement = Requirement(line)
        marker = requirement.marker
        needed = marker is None or marker.evaluate({"extra": ""})
        if needed or any(marker.evaluate({"extra": extra}) for extra in EXTRAS):
            findings.setdefault(requirement.name, dependency(requirement, needed))
    return list(findings.values())


def dependency(requirement, needed: bool) -> Finding:
    """Check the installed version for a `packaging.requirements.Requirement`."""
    name, wanted = requirement.name, f"{requirement.name}{requirement.specifier}"
    try:
        value = metadata.version(name)
        if requirement.specifier.contains(value, prereleases=True):
            return Finding(name, value, needed=needed)
        value = f"{value}, too old: {requirement.specifier} is needed"
    except metadata.PackageNotFoundError:
        value = "not installed"
    if name in colab_keeps():
        return Finding(name, f"{value}; do not change it, Colab needs its own version", None)
    return Finding(name, value, False, pip_install(wanted), needed)


def colab_keeps() -> set[str]:
    """On Colab, the packages that its kernel and page need; empty elsewhere."""
    from packaging.requirements import Requirement

    try:
        pins = metadata.requires("google-colab") or []
    except metadata.PackageNotFoundError:
        return set()
    return {Requirement(line).name for line in pins} | {"jupyterlab"}  # its page is its own
