"""What notebooks cost in fresh kernels: seconds to the first figure, seconds and memory of all."""

import os
import threading
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import nbformat
import psutil

from benchmarks.parts.compare import record
from tests.browser.jupyter import ROOT, kernel_environment

NOTEBOOKS = ROOT / "notebooks"
PLOTLY = "application/vnd.plotly.v1+json"
HEAVY = ("torch", "transformers", "sklearn")
LOADED = f"[name for name in {HEAVY} if name in __import__('sys').modules]"
PEER = """import plotly.express as px
from sklearn.datasets import load_iris

iris = load_iris(as_frame=True).frame
px.scatter(iris, x="petal length (cm)", y="petal width (cm)", color="target")"""
BUDGET = 240  # seconds for all notebooks together
LOOK_EVERY = 0.1  # seconds between two looks at the memory


def first_figure(quick):
    """From the first cell of the first notebook to its first figure, in fresh kernels."""
    notebook = nbformat.read(NOTEBOOKS / "00_start_here.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    rounds = 1 if quick else 5
    ours, peer, starts = [], [], []
    for _ in range(rounds):
        with kernel() as (client, started):
            ours.append(until_figure(client, cells))
            starts.append(started)
            if heavy := loaded(client):
                raise RuntimeError(f"the first figure needs none of {HEAVY}, but loaded {heavy}")
        with kernel() as (client, _):
            peer.append(until_figure(client, [PEER]))
    return record(
        "first-figure",
        median(ours),
        median(peer),
        "s",
        goal="under 5 s on two cores, with neither torch, transformers nor scikit-learn loaded",
        peer_is="importing scikit-learn and plotly.express for one scatter of the irises",
        spread=[min(ours), max(ours)],
        kernel_start_seconds=round(median(starts), 2),
        rounds=rounds,
    )


@contextmanager
def kernel():
    """A fresh kernel: its client, and the seconds until it was ready."""
    from jupyter_client.manager import KernelManager

    manager, start = KernelManager(kernel_name="python3"), perf_counter()
    manager.start_kernel(cwd=str(NOTEBOOKS), env=kernel_environment())
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client, perf_counter() - start
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def until_figure(client, cells):
    """Seconds from sending the first cell until a figure has come.

    Raises
    ------
    RuntimeError
        A cell failed, or none shows a figure.
    """
    start = perf_counter()
    for cell in cells:
        asked, state = client.execute(cell), "busy"
        while state != "idle":
            message = client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            if PLOTLY in content.get("data", {}):
                return perf_counter() - start
            if message["msg_type"] == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}, in\n{cell}")
            state = content.get("execution_state", state)
    raise RuntimeError(f"none of {len(cells)} cells shows a figure")


def loaded(client):
    """Which of the heavy packages the kernel has imported."""
    answered = client.execute("", user_expressions={"heavy": LOADED}, reply=True, timeout=60)
    found = answered["content"]["user_expressions"]["heavy"]
    if found["status"] != "ok":
        raise RuntimeError(f"cannot ask what is loaded: {found['ename']}: {found['evalue']}")
    return [name for name in HEAVY if repr(name) in found["data"]["text/plain"]]


def notebooks(quick):
    """Every notebook from its kernel's start to its last cell, and the most memory it held."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    by_notebook = {path.stem: executed(path) for path in (paths[:1] if quick else paths)}
    return record(
        "notebooks",
        sum(one["seconds"] for one in by_notebook.values()),
        BUDGET,
        "s",
        goal="all under 4 minutes, each under 60 s and 1.5 GB",
        peer_is="the 4 minutes that they may take",
        by_notebook=by_notebook,
        load_average=round(os.getloadavg()[0], 1),
    )


def executed(path):
    """Seconds, and GB (10^9 bytes) resident at most in the kernel and what it starts."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=600, store_widget_state=False, resources=where
    )
    with peak_memory() as peak:
        start = perf_counter()
        client.execute(env=kernel_environment())
        seconds = perf_counter() - start
    return {"seconds": round(seconds, 1), "peak_gb": round(peak["bytes"] / 1e9, 2)}


@contextmanager
def peak_memory():
    """The most bytes resident in processes that this one starts, looked at ten times a second."""
    process, peak, over = psutil.Process(), {"bytes": 0}, threading.Event()
    there_before, own = set(process.children(recursive=True)), process.cmdline()

    def watch():
        while not over.wait(LOOK_EVERY):
            new = set(process.children(recursive=True)) - there_before
            peak["bytes"] = max(peak["bytes"], sum(resident(child, own) for child in new))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def resident(process, own):
    """Bytes; none of a process that has just ended, or that has not yet started its program.

    Between fork and exec a child has the command line `own` of this process, and shares its memory.
    """
    try:
        return 0 if process.cmdline() == own else process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
