"""Pyodide's list of packages with our wheels put in, and the pins that it must agree with."""

from __future__ import annotations

import email
import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

PINS = Path(__file__).parents[1] / "constraints-lite.txt"
LIVE = ("ipywidgets", "anywidget")  # beside the base packages: live figures and sliders
IN_THE_PAGE = {"widgetsnbextension"}  # ipywidgets names it for the old notebook only
IN_BROWSER = {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix"}
IN_BROWSER |= {"python_version": "3.14", "python_full_version": "3.14.2", "extra": ""}
IN_BROWSER |= {"implementation_name": "cpython", "platform_machine": "wasm32"}
WEIGHTS = ".safetensors"  # read by PyTorch only
FRONTEND = re.compile(r"[^/]+\.data/data/|plotly/labextension/")  # which the site's page has


def pins(where: Mapping[str, str]) -> dict[str, str]:
    """Name to version of what constraints-lite.txt pins for a platform, as markers name it."""
    found = {}
    for line in PINS.read_text().splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate(dict(where)):
                [pin] = one.specifier
                found[canonicalize_name(one.name)] = pin.version
    return found


def needed(listed: Mapping) -> set[str]:
    """The compiled packages that importing ours loads, by name."""
    return {n for n in pins(IN_BROWSER) if n in listed and not is_pure(listed[n])}


def is_pure(one: Mapping) -> bool:
    """Whether an entry of Pyodide's list is the wheel that PyPI has too."""
    return one["file_name"].endswith("-none-any.whl")


def held(path: Path) -> tuple[str, str]:
    """Name and version of a wheel, by its file's name."""
    name, version, *_ = parse_wheel_filename(path.name)
    return name, str(version)


def slim(wheel: Path, into: Path) -> Path:
    """A copy of a wheel without weights, and without what JupyterLab's page has already."""
    target = into / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.infolist():
            name = one.filename
            if name.endswith(WEIGHTS) or FRONTEND.match(name):
                continue
            data = old.read(one)
            if name.endswith(".dist-info/RECORD"):
                rows = data.decode().splitlines(keepends=True)
                kept = (r for r in rows if WEIGHTS not in r and not FRONTEND.match(r))
                data = "".join(kept).encode()
            new.writestr(one, data)
    return target


def entry(wheel: Path, listed: Callable[[str], str | None]) -> dict:
    """What Pyodide's list says of a wheel beside it.

    Parameters
    ----------
    wheel : Path
    listed : callable
        Name to the version that the list has of it, or None.

    Raises
    ------
    ValueError
        The wheel requires what the list has not, or has in another version.
    """
    name, version = held(wheel)
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        [about] = (n for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        told = email.message_from_bytes(content.read(about)).get_all("Requires-Dist", [])
    depends = [*LIVE] if name == "ensemble-lab" else []
    for line in told:
        one = Requirement(line)
        if one.name in IN_THE_PAGE or (one.marker and not one.marker.evaluate(IN_BROWSER)):
            continue
        there = listed(canonicalize_name(one.name))
        if there is None or not one.specifier.contains(there, prereleases=True):
            raise ValueError(f"{wheel.name} requires {line}; the site has {there}: see {PINS.name}")
        depends.append(canonicalize_name(one.name))
    tops = {n.split("/")[0].removesuffix(".py") for n in names}
    return {
        **{"name": name, "version": version, "file_name": wheel.name, "install_dir": "site"},
        **{"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "package_type": "package"},
        **{"imports": sorted(t for t in tops if t.isidentifier()), "unvendored_tests": False},
        "depends": depends,
    }


def with_ours(lock: dict, folder: Path, packages: str) -> dict:
    """Pyodide's list with the wheels in `folder` put in; all others come from `packages`."""
    listed = {canonicalize_name(n): dict(e) for n, e in lock["packages"].items()}
    for one in listed.values():
        if not (folder / one["file_name"]).exists():
            one["file_name"] = packages + one["file_name"]
    ours = {name: version for name, version in map(held, folder.glob("*.whl"))}
    versions = {n: e["version"] for n, e in listed.items()} | ours
    for wheel in sorted(folder.glob("*-none-any.whl")):
        made = entry(wheel, versions.get)
        listed[made["name"]] = made
    return {**lock, "packages": listed}
