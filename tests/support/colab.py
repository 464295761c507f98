"""Colab's own versions on its Python: an environment that is made once, kept, and never changed.

The wheel is put beside it, so that what is kept depends on nothing but the list of versions.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ensemble_lab.models.weights.gguf_file import cache_folder
from tests.conftest import run
from tests.packaging.test_resolve import uv_environment
from tests.support.processes import COMPILED_ONCE

ROOT = Path(__file__).parents[2]
LIST = ROOT / "constraints-colab.txt"
UV = [sys.executable, "-m", "uv"]
OURS = "import sys; sys.exit(sys.version_info[:2] != (3, 13))"


@functools.cache
def python313():
    """A Python 3.13 of this machine, or None. A version manager's shim may exist and not run."""
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in ["python3.13", *sorted(managed.glob("3.13*/bin/python3.13"))]:
        if path := shutil.which(python):
            if subprocess.run([path, "-c", OURS], capture_output=True).returncode == 0:
                return path
    return None


def environment():
    """The Python of the environment; the test is skipped where this machine has no Python 3.13."""
    if python313() is None:
        pytest.skip("no Python 3.13 on this machine, which is Colab's: install one to run this")
    name = f"colab-{hashlib.sha256(LIST.read_bytes()).hexdigest()[:12]}"
    kept = cache_folder() / name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=name) as work:
            made = Path(work) / "env"
            run(*UV, "venv", "--quiet", "--relocatable", "--python", python313(), made, cwd=work)
            uv_pip("install", "--quiet", "-r", LIST, python=made / "bin/python")
            if not kept.exists():  # another process was quicker
                made.rename(kept)
    return kept / "bin/python"


def uv_pip(command, *words, python):
    """What uv says when it installs for a Python."""
    command = [*UV, "pip", command, "--python", python, *words]
    done = subprocess.run(
        list(map(str, command)), env=uv_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def execute(notebook, python, site):
    """Run a notebook in an empty folder by a kernel of `python`; returns what it left there."""
    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        kernel = Path(work) / "jupyter/kernels/colab"
        kernel.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Colab", "language": "python"}
        spec["env"] = COMPILED_ONCE | {"PYTHONPATH": str(site)}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        patch.setenv("JUPYTER_PATH", str(kernel.parents[1]))
        folder = Path(work) / "content"
        folder.mkdir()
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, kernel_name="colab", resources=resources, timeout=300).execute()
        return os.listdir(folder)


# Colab's module, as far as widgets meet it: a hook on what `display` publishes, and on no result.
STAND_IN = """import sys, types
from IPython import get_ipython
from ipywidgets import IntSlider

VIEW = "application/vnd.jupyter.widget-view+json"
output = types.ModuleType("google.colab.output")
output._widgets = types.SimpleNamespace(_installed_url="https://colab.example/manager.js")

def named(message):
    content = message["content"]
    if VIEW in content.get("data", {}):
        manager = {"custom_widget_manager": {"url": output._widgets._installed_url}}
        content.setdefault("metadata", {})[VIEW] = {"colab": manager}
    return message

output.enable_custom_widget_manager = lambda: None
get_ipython().display_pub.register_hook(named)
sys.modules |= {"google.colab": types.ModuleType("google.colab"), "google.colab.output": output}
display(IntSlider())"""


def on_colab(path):
    """A notebook with Colab's module loaded behind its bootstrap, which would install from git."""
    notebook = nbformat.read(path, as_version=4)
    first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(STAND_IN))
    return notebook
