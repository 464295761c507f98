"""Build the site that runs notebooks without a server: JupyterLite, Python in the reader's browser.

``python -m recipes.lite --out lite`` needs pip, npm and their registries. It takes the notebooks
whose metadata name nothing beside the base packages, the wheel of this checkout, and what
``constraints-lite.txt`` pins. docs/lite.md says what a reader's browser loads, and from where.

Pyodide has a list of packages of its own, ``pyodide-lock.json``, and loads those that a cell
imports. Ours is that list with our wheels put in, so the notebooks' own first cell,
``import ensemble_lab``, brings everything: nothing is resolved in the browser, and no index asked.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from recipes.lite_list import IN_BROWSER, PINS, held, needed, pins, slim, with_ours

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-lite"  # JupyterLite, wheels and Pyodide: kept for the next time
PYODIDE = "314.0.6"  # the version that the pinned jupyterlite-pyodide-kernel is made for
CDN = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
LOCK = "pyodide-lock.json"
BUILDER = ("jupyterlite-core", "jupyterlite-pyodide-kernel", "jupyter-server")
BUILDER += ("plotly", "anywidget")  # for their parts of the page
STORE = "ensemble_lab"  # of the notebooks that a reader changed; a host may have other such sites
BADGE = re.compile(r"\[!\[([^]]*)\]\(https:[^)]*\)\]")
LINK = re.compile(r"\]\(([\w.-]+\.ipynb)\)")
REPOSITORY = "https://github.com/ensemble-lab/ensemble_lab/blob/main/notebooks/"


def notebooks(folder: Path = ROOT / "notebooks") -> list[Path]:
    """The notebooks whose metadata name nothing beside the base packages."""
    found = []
    for path in sorted(folder.glob("*.ipynb")):
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        if not metadata.get("ensemble_lab", {}).get("beside"):
            found.append(path)
    return found


def for_the_site(path: Path, there: set[str]) -> dict:
    """A notebook for the site: its badges are words, which no other host is asked for.

    Links to notebooks that are not `there` lead to the repository.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))

    def link(found: re.Match) -> str:
        name = found.group(1)
        return found.group() if name in there else f"]({REPOSITORY}{name})"

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = BADGE.sub(r"[\1]", "".join(cell["source"]))
            cell["source"] = LINK.sub(link, text)
    return notebook


# -- the parts ----------------------------------------------------------------------------------


def builder() -> Path:
    """The folder of programs of an environment with the pinned JupyterLite."""
    programs = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")
    made = ENVIRONMENT / "made"
    if not made.exists() or made.read_text() != PINS.read_text():
        run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
        run(programs / "python", "-m", "pip", "install", "--quiet", "-c", PINS, *BUILDER)
        made.write_text(PINS.read_text())
    return programs


def core() -> Path:
    """A folder with Pyodide itself from npm: the interpreter and its list, but no package."""
    folder = ENVIRONMENT / f"pyodide-{PYODIDE}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=ENVIRONMENT) as work:
            run("npm", "pack", "--silent", f"pyodide@{PYODIDE}", cwd=work)
            [archive] = Path(work).glob("*.tgz")
            with tarfile.open(archive) as packed:
                packed.extractall(work, filter="data")
            Path(work, "package").rename(folder)
    return folder


def wheels(listed: Mapping) -> Path:
    """A folder with the pure wheels of the browser's side, from PyPI.

    Parameters
    ----------
    listed : mapping of name to entry
        Pyodide's own list, which says what is compiled: that must have the pinned version.
    """
    pinned = pins(IN_BROWSER)
    compiled = needed(listed)
    for name in compiled:
        if listed[name]["version"] != pinned[name]:
            there = listed[name]["version"]
            raise ValueError(f"{PINS.name} has {name} {pinned[name]}, Pyodide {there}: pin that")
    folder = ENVIRONMENT / "wheels"
    wanted = [f"{name}=={version}" for name, version in pinned.items() if name not in compiled]
    have = {
        f"{canonicalize_name(name)}=={version}" for name, version in map(held, folder.glob("*"))
    }
    if have != set(wanted):
        shutil.rmtree(folder, ignore_errors=True)
        pure = ["--python-version", "3.14", "--implementation", "py", "--abi", "none"]
        pure += ["--platform", "any", "--only-binary=:all:", "--no-deps", "--dest", folder]
        run(sys.executable, "-m", "pip", "download", "--quiet", *pure, *wanted)
    return folder


# -- the site -----------------------------------------------------------------------------------


def build(out: Path, pyodide: Path | None = None) -> None:
    """Write the site into the folder `out`, which is made anew.

    Parameters
    ----------
    out : Path
    pyodide : Path, optional
        An unpacked full distribution of Pyodide: its packages go into the site, and a reader's
        browser asks no other host. Without, they come from Pyodide's public server.
    """
    programs = builder()
    source = pyodide or core()
    lock = json.loads((source / LOCK).read_text())
    listed = {canonicalize_name(name): one for name, one in lock["packages"].items()}
    with tempfile.TemporaryDirectory() as work:
        files, static = Path(work, "files"), Path(work, "static/pyodide")
        for folder in (files, static):
            folder.mkdir(parents=True)
        for name in CORE:
            shutil.copy(source / name, static)
        for wheel in wheels(listed).glob("*.whl"):
            slim(wheel, static)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", work, ROOT)
        slim(next(Path(work).glob("ensemble_lab-*.whl")), static)
        for name in needed(listed) if pyodide else ():
            shutil.copy(pyodide / listed[name]["file_name"], static)
        (static / LOCK).write_text(json.dumps(with_ours(lock, static, CDN)))
        there = {path.name for path in notebooks()}
        for path in notebooks():
            (files / path.name).write_text(json.dumps(for_the_site(path, there)), encoding="utf-8")
        settings = {"appName": "ensemble_lab", "contentsStorageName": STORE}
        settings = {"jupyter-lite-schema-version": 0, "jupyter-config-data": settings}
        Path(work, "jupyter-lite.json").write_text(json.dumps(settings))
        shutil.rmtree(out, ignore_errors=True)
        how = ["--contents", files, "--output-dir", out.resolve(), "--apps", "lab"]
        run(programs / "jupyter", "lite", "build", *how, "--no-sourcemaps", cwd=work)


def run(*command, cwd=ROOT) -> None:
    """Run a program to its end; what it says is shown where it fails."""
    command = list(map(str, command))
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(
            f"no program {command[0]} here: install it (npm comes with Node.js)"
        ) from None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "lite", help="the site's folder")
    parser.add_argument("--pyodide", type=Path, help="an unpacked full Pyodide, to be copied in")
    told = parser.parse_args()
    build(told.out, told.pyodide)
    print(f"{told.out}: {len(notebooks())} notebooks; serve it with")
    print(f"  python -m http.server --directory {told.out} --bind 127.0.0.1")


if __name__ == "__main__":
    main()
