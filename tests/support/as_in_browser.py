"""Run a notebook as Pyodide does: without threads, processes and connections.

``python as_in_browser.py NOTEBOOK`` runs its cells in this process, by IPython alone: a kernel of
Jupyter is made of threads. What WebAssembly has not fails here, with Pyodide's own errors. The last
line that it prints is JSON: what was tried in vain, and the warnings.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
import warnings

# Packages that ask for the platform while they are imported would look for files of Pyodide.
import ipywidgets  # noqa: F401
import pandas  # noqa: F401
import plotly.graph_objects  # noqa: F401
import pyarrow.parquet  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn.ensemble  # noqa: F401
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

ABSENT = ("psutil", "resource", "torch", "transformers")
tried = []


class NotThere:
    """A finder of modules that finds none of those that Pyodide has not."""

    def find_spec(self, name, *_):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def refusing(what, error):
    """A function that notes who called it and raises `error`."""

    def refuse(*_, **__):
        frame = sys._getframe(1)
        while frame and "ensemble_lab" not in frame.f_code.co_filename:
            frame = frame.f_back
        tried.append(f"{what}: {frame.f_code.co_filename if frame else 'another package'}")
        raise error

    return refuse


def become_a_browser():
    """Take away what Pyodide has not."""
    no_thread = refusing("thread", RuntimeError("can't start new thread"))
    threading.Thread.start = no_thread
    no_process = refusing("process", OSError(138, "emscripten does not support processes."))
    subprocess.Popen.__init__ = os.fork = os.posix_spawn = no_process
    no_socket = refusing("connection", OSError(23, "Host is unreachable"))
    socket.socket.connect = socket.socket.bind = socket.getaddrinfo = no_socket
    for name in ABSENT:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, NotThere())
    sys.platform, platform.machine = "emscripten", lambda: "wasm32"
    del os.sched_getaffinity
    os.cpu_count = lambda: 1


def run(notebook):
    """Run all code cells; the first error ends it."""
    settings = Config(HistoryManager={"enabled": False})
    shell = InteractiveShell.instance(config=settings)
    shell.kernel = None  # as in Pyodide: a reader sits there
    become_a_browser()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            done = shell.run_cell("".join(cell["source"]))
            done.raise_error()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:
        notebook = json.load(stream)
    os.environ["MPLBACKEND"] = "agg"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        run(notebook)
    told = sorted({f"{one.category.__name__}: {one.message}" for one in warned})
    print("\n" + json.dumps({"tried": tried, "warned": told}))
