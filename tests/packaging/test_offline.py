"""The archive that installs without a network: what it refuses, and that it does install.

What people report of such installations, each with a test: a build backend that is not there for an
editable installation, the machine's own pip settings and constraints, another Python, an old C
library, musl, a Python without pip, paths with spaces and letters, a full disk, file:// in
`pip freeze`, an archive that was cut off, an installation that was.
"""

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from recipes import offline
from tests.support.no_network import why_not, without_network
from tests.support.processes import once

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "recipes/offline_install.py"
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
HERE = {
    "python": "{}.{}".format(*sys.version_info),
    "system": platform.system(),
    "machine": platform.machine(),
    "glibc": "2.5",
    "room": 1000,
}


# -- an archive of toys: what is refused before anything is written -------------------------------


@pytest.fixture
def toy(tmp_path):
    """An unpacked archive whose files are whole, and are not what they say."""
    place = tmp_path / "toy"
    (place / "wheels").mkdir(parents=True)
    shutil.copy(INSTALLER, place / "install.py")
    (place / "repository.tar").write_bytes(b"r" * 30_000)
    for name in ("a-1-py3-none-any.whl", "b-2-py3-none-any.whl"):
        (place / "wheels" / name).write_bytes(name.encode() * 1000)
    write_manifest(place)
    return place


def write_manifest(place, **changes):
    files = {
        path.relative_to(place).as_posix(): {
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    manifest = {"name": "toy", "files": files, **HERE, **changes}
    (place / "manifest.json").write_text(json.dumps(manifest))
    return manifest


def refused(place, folder, before=()):
    """What the installer says when it refuses; it says it in words and leaves with 1."""
    command = [*before, sys.executable, place / "install.py", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"python": "3.2"},
            r"for CPython 3\.2, and this is CPython 3\.\d+: run python3\.2",
        ),
        (
            {"system": "Plan9"},
            "for Plan9 on .*, and this machine is .*: make one on a machine",
        ),
        ({"machine": "vax"}, "for .* on vax, and this machine is"),
        (
            {"glibc": "99.1"},
            r"needs the C library glibc 99\.1 or newer, and this machine has",
        ),
        ({"room": 10**18}, "GiB free and 931322574.6 are needed: make room, or name a folder on"),
    ],
)
def test_another_machine_is_refused_by_name(toy, tmp_path, change, words):
    write_manifest(toy, **change)
    assert re.search(words, refused(toy, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("library", [("", ""), ("libc", "1.2")])
def test_musl_is_refused(library, toy, monkeypatch):
    from recipes import offline_install

    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    with pytest.raises(offline_install.Refused, match="glibc 2.5 or newer.*Alpine"):
        offline_install.check_machine(HERE)


@pytest.mark.parametrize("tenths", range(1, 10))
def test_archive_cut_anywhere_is_named_and_nothing_installed(toy, tmp_path, tenths):
    """As `tar` leaves it, which says that the end is missing and keeps what it had."""
    manifest = json.loads((toy / "manifest.json").read_text())
    (toy / "manifest.json").unlink()
    offline.pack(toy, manifest, tmp_path / "whole.tar")
    whole = (tmp_path / "whole.tar").read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        order = [Path(member.name).name for member in tar]
        first = tar.getmember("toy/manifest.json").offset_data
    assert order[:2] == ["install.py", "manifest.json"]
    end = len(whole.rstrip(b"\0"))
    cut = first + 10 + (end - first - 20) * (tenths - 1) // 8
    (tmp_path / "cut.tar").write_bytes(whole[:cut])
    (tmp_path / "unpacked").mkdir()
    unpack = ["tar", "xf", tmp_path / "cut.tar", "-C", tmp_path / "unpacked"]
    assert subprocess.run(unpack, capture_output=True).returncode != 0
    told = refused(tmp_path / "unpacked/toy", tmp_path / "new")
    assert re.search(r"\.(whl|tar) (is missing|has [\d,]+ of [\d,]+ bytes)|manifest.json is", told)
    assert "unpack it again" in told
    assert not (tmp_path / "new").exists()


def test_changed_file_is_named(toy, tmp_path):
    path = toy / "wheels/b-2-py3-none-any.whl"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    told = refused(toy, tmp_path / "new")
    assert "wheels/b-2-py3-none-any.whl is not the file that was packed" in told
    assert not (tmp_path / "new").exists()


def test_same_files_make_the_same_archive(toy, tmp_path):
    manifest = json.loads((toy / "manifest.json").read_text())
    for name in ("one", "two"):
        offline.pack(toy, manifest, tmp_path / name)
        for path in toy.rglob("*"):
            os.utime(path, (1, 1))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def kinds_of_folders():
    def full(path):
        path.mkdir()
        (path / "thesis.txt").touch()

    def newer(path):
        path.mkdir()
        mark = {"name": "ensemble-lab-offline-0.0.9", "archive": "another", "complete": True}
        (path / ".offline.json").write_text(json.dumps(mark))

    def file(path):
        path.touch()

    def under_a_file(path):
        path.parent.rmdir()
        path.parent.touch()

    return {
        full: "holds other files, 'thesis.txt' for one: name a folder that is new or empty",
        newer: 'holds ensemble-lab-offline-0.0.9, perhaps with your own work.*mv ".*-old"',
        file: "is a file: name a folder",
        under_a_file: "cannot be written .*: name a folder of yours, as in",
    }


@pytest.mark.parametrize(("make", "words"), kinds_of_folders().items(), ids=lambda x: str(x)[:25])
def test_folder_that_holds_something_else_stays_as_it_is(toy, tmp_path, make, words):
    folder = tmp_path / "parent/folder"
    folder.parent.mkdir()
    make(folder)
    before = sorted(folder.parent.rglob("*"))
    assert re.search(words, refused(toy, folder))
    assert sorted(folder.parent.rglob("*")) == before


def test_hub_is_not_taken_for_installed(toy, tmp_path):
    from recipes import offline_install

    manifest = json.loads((toy / "manifest.json").read_text())
    (tmp_path / "lab").mkdir()
    offline_install.mark(tmp_path / "lab", manifest, ["wheels"], True)
    assert offline_install.check_folder(tmp_path / "lab", manifest, ["wheels"]) is False
    with pytest.raises(offline_install.Refused, match="was installed without --hub"):
        offline_install.check_folder(tmp_path / "lab", manifest, ["wheels", "hub"])


def test_folder_that_cannot_be_written(toy, tmp_path):
    """Root may write everywhere, unless it gives that right away."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0o555)
    told = refused(toy, tmp_path / "closed/new", before=WITHOUT_RIGHTS if os.geteuid() == 0 else [])
    assert re.search(r"cannot be written \(no right to write in .*closed\): name a folder", told)


def test_second_installation_into_a_folder_waits(toy, tmp_path):
    import fcntl

    folder = tmp_path / "new"
    folder.mkdir()
    with (folder / ".offline.json").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another installation into" in refused(toy, folder)


def test_failed_installation_leaves_nothing(toy, tmp_path):
    """The toy's repository is no archive, which its sum does not tell."""
    command = [sys.executable, toy / "install.py", tmp_path / "a/b/new"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "removing what was installed" in done.stderr
    assert not (tmp_path / "a").exists()


# -- the recipe ------------------------------------------------------------------------------------


def test_the_installer_needs_nothing_and_an_old_python_reads_it():
    """So that Python 3.6 says which one is needed."""
    tree = ast.parse(INSTALLER.read_text(), feature_version=(3, 6))
    imports = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
    }
    assert imports <= sys.stdlib_module_names


def normal(line):
    """A pin as others spell it."""
    name, version = line.split("==")
    return f"{canonicalize_name(name)}=={Version(version).public}"


def test_packed_is_what_is_tested():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {normal(line) for line in lines if not line.startswith("#")}
    packed = {normal(pin) for pin in offline.installed(offline.required(*offline.EXTRAS))}
    packed = {pin for pin in packed if not pin.startswith("setuptools==")}  # `freeze` leaves it out
    assert packed <= tested
    if sys.version_info[:2] == (3, 11) and sys.platform == "linux":  # where the pins were made
        assert tested <= packed


def test_requirements_of_an_extra_are_packed():
    """uvicorn's loop comes with its extra only."""
    assert not [pin for pin in offline.installed(["uvicorn"]) if pin.startswith("uvloop")]
    both = offline.installed(["uvicorn", "uvicorn[standard]"])
    assert [pin for pin in both if pin.startswith("uvloop")]
    assert both == offline.installed(["uvicorn[standard]"])


def test_what_is_not_installed_here_is_named():
    with pytest.raises(SystemExit, match="nothing-of-this-name is not installed here: run make"):
        offline.installed(["nothing-of-this-name>=2"])


@pytest.mark.parametrize(
    ("names", "needed"),
    [
        (["a-1-py3-none-any.whl"], ""),
        (["a-1-cp311-cp311-manylinux_2_28_x86_64.whl"], "2.28"),
        (["a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], "2.17"),
        (["a-1-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.whl"], "2.5"),
        (["a-1-cp39-abi3-manylinux_2_9_x86_64.whl", "b-1-x-y-manylinux_2_12_x86_64.whl"], "2.12"),
        (["a-1-cp311-cp311-linux_x86_64.whl"], platform.libc_ver()[1]),
        (["a-1-cp311-cp311-macosx_11_0_arm64.whl"], ""),
    ],
)
def test_oldest_c_library(names, needed):
    """A wheel runs where any of its tags does; the archive, where all wheels do."""
    assert offline.glibc_of(names) == needed


def test_wheel_of_the_last_archive_is_not_fetched_again(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(offline, "fetch", lambda into, *words: asked.append(words[-1]))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/Ruamel.YAML-0.19.1-py3-none-any.whl").write_text("kept")
    pins = ["ruamel-yaml==0.19.1", "torch==2.13.0+cpu"]
    offline.fetch_exact(tmp_path / "new", tmp_path / "kept", pins)
    assert asked == ["torch==2.13.0+cpu"]
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["kept"]


def test_what_is_not_committed_is_named(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="what is committed, so git is needed"):
        monkeypatch.setattr(offline, "ROOT", tmp_path)
        offline.git("rev-parse", "HEAD")


# -- an installation, without a network ------------------------------------------------------------

SMALL = [*offline.required(), "ipykernel", "nbclient", "ipywidgets", "anywidget", "packaging"]
# What a machine may be set to: each would have pip ask a network, or refuse.
HOSTILE = {
    "PIP_INDEX_URL": "http://192.0.2.1/simple",
    "PIP_CONSTRAINT": "/nowhere/constraints.txt",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_USER": "1",
    "PIP_NO_BINARY": ":all:",
    "PYTHONPATH": "/nowhere",
}


@pytest.fixture(scope="session")
def archive(shared):
    """A small archive, made once a run and unpacked: what notebook 00 needs."""
    made = once(shared / "archive", lambda place: unpack(offline.build(place, SMALL)))
    return next(path for path in made.glob("unpacked/*") if path.is_dir())


def unpack(tar_path):
    """As a reader does it: compared with its sum, then unpacked."""
    subprocess.run(["sha256sum", "-c", f"{tar_path.name}.sha256"], cwd=tar_path.parent, check=True)
    place = tar_path.parent / "unpacked"
    place.mkdir()
    subprocess.run(["tar", "xf", tar_path, "-C", place], check=True)
    tar_path.unlink()


def offline_run(*command, status=0, **options):
    """Run without a network; stdout and stderr."""
    done = subprocess.run(without_network(*command), capture_output=True, text=True, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """An environment whose home cannot be used, and whose pip is set to another index."""
    home = tmp_path_factory.mktemp("home")
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text("[global]\nindex-url = http://192.0.2.1/simple\n")
    home.chmod(0o555)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "ENSEMBLE_LAB_"))}
    return kept | HOSTILE | {"HOME": str(home)}


needs_namespace = pytest.mark.skipif(bool(why_not()), reason=why_not())


@needs_namespace
@pytest.mark.slow
def test_installs_and_works_without_a_network(archive, hostile, tmp_path_factory):
    """Cut off by the worst first: what it left is removed, and all is there in the end."""
    folder = tmp_path_factory.mktemp("Dépôt de données") / "the lab"
    temporary = tmp_path_factory.mktemp("temporary")  # small, and runs no programs
    script = f'umask 077; mount -t tmpfs -o noexec,size=64k tmpfs "{temporary}"; exec "$@"'
    hostile = hostile | {"TMPDIR": str(temporary)}
    install = ["sh", "-c", script, "sh", sys.executable, archive / "install.py"]
    started = subprocess.Popen(without_network(*install, folder), env=hostile, process_group=0)
    wait_for(folder, ".venv/lib/python*/site-packages/*.dist-info", started)
    started.kill()  # but not pip, which it started
    started.wait()
    assert "another installation" in offline_run(*install, folder, env=hostile, status=1)
    os.killpg(started.pid, signal.SIGKILL)
    time.sleep(1)  # until the system has closed its files
    assert json.loads((folder / ".offline.json").read_text())["complete"] is False
    (folder / "left.over").touch()

    told = offline_run(*install, folder, env=hostile)
    assert f"{folder} is installed" in told
    assert not (folder / "left.over").exists()
    assert "was installed already" in offline_run(*install, folder, env=hostile)
    manifest = json.loads((archive / "manifest.json").read_text())
    used = sum(512 * path.lstat().st_blocks for path in folder.rglob("*"))
    assert 0.5 * manifest["room"] < used < manifest["room"]

    # make sees an environment that is up to date.
    assert "pip" not in offline_run("make", "-n", "lab", cwd=folder)
    # pip names versions, not files of the archive, which may be gone tomorrow.
    frozen = offline_run(folder / ".venv/bin/python", "-m", "pip", "freeze", cwd=folder)
    assert "file://" not in frozen.replace(f"file://{folder.parent}", "")
    assert set(manifest["pins"]["wheels"]) >= {
        normal(line) for line in frozen.splitlines() if re.match(r"[\w.-]+==", line)
    }
    works(folder, tmp_path_factory.mktemp("own"))


# As a class shares it: nobody may write there, and each has a home.
READ_ONLY = """
mount --bind "$FOLDER" "$FOLDER" && mount -o remount,ro,bind "$FOLDER" || exit 3
! touch "$FOLDER/written" 2>/dev/null || exit 4
exec "$@"
"""


def works(folder, home):
    """Doctor and notebook 00, where the folder cannot be written and all may read it."""
    modes = {path.lstat().st_mode & 0o077 for path in folder.rglob("*") if not path.is_symlink()}
    assert modes <= {0o044, 0o055}, [oct(mode) for mode in modes]
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "HF_"))}
    how = {"env": kept | {"HOME": str(home), "FOLDER": str(folder)}, "cwd": home}
    begun = time.monotonic()
    doctor = folder / ".venv/bin/ensemble-lab", "doctor", "--json"
    told = offline_run("sh", "-c", READ_ONLY, "sh", *doctor, **how)
    assert json.loads(told)["healthy"], told
    assert time.monotonic() - begun < 30, "the doctor waited for the network"
    shutil.copy(folder / "notebooks/00_start_here.ipynb", home / "00.ipynb")
    notebook = folder / ".venv/bin/jupyter-execute", "--inplace", "00.ipynb"
    offline_run("sh", "-c", READ_ONLY, "sh", *notebook, **how)
    cells = json.loads((home / "00.ipynb").read_text())["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    assert any("application/vnd.jupyter.widget-view+json" in out.get("data", {}) for out in outputs)


def wait_for(folder, pattern, process):
    """Wait until an installation has come so far."""
    for _ in range(1200):
        if any(folder.glob(pattern)):
            return
        assert process.poll() is None, "it ended before it was to be stopped"
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} after two minutes")


@needs_namespace
@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param(signal.SIGHUP, marks=pytest.mark.nightly),
    ],
)
def test_stopped_installation_leaves_nothing(archive, hostile, tmp_path, number):
    command = [sys.executable, archive / "install.py", tmp_path / "a/new"]
    pipe = subprocess.PIPE
    started = subprocess.Popen(without_network(*command), env=hostile, stderr=pipe, text=True)
    wait_for(tmp_path / "a/new", ".venv/lib/python*/site-packages/*.dist-info", started)
    started.send_signal(number)
    told = started.communicate()[1]
    assert started.returncode == 130
    assert "stopped; nothing is left" in told
    assert list(tmp_path.iterdir()) == []


@needs_namespace
@pytest.mark.slow
def test_full_disk_is_named_and_left_empty(archive, hostile, tmp_path):
    """The manifest is made to promise less than is needed, or the installer would not begin."""
    small = shutil.copytree(archive, tmp_path / "archive", copy_function=os.link)
    manifest = json.loads((small / "manifest.json").read_text())
    (small / "manifest.json").unlink()
    (small / "manifest.json").write_text(json.dumps(manifest | {"room": 1000}))
    (tmp_path / "disk").mkdir()
    script = """
        mount -t tmpfs -o size=130m tmpfs disk || exit 3
        "$0" archive/install.py disk/new; status=$?; ls -A disk; exit $status
    """
    told = offline_run("sh", "-c", script, sys.executable, env=hostile, cwd=tmp_path, status=1)
    assert "No space left on device" in told
    assert "nothing is left" in told
    assert told.rstrip().splitlines()[-1] != "new"
