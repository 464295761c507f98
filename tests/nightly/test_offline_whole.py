"""The whole archive, without a network: it installs, passes `make quick`, and serves a class."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recipes import offline
from tests.support.no_network import why_not, without_network

ROOT = Path(__file__).parents[2]
# 45 minutes where two cores are shared with others; each step says what it took.
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(2700),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]
LOADED = """
import time
import ensemble_lab as lab
begun = time.monotonic()
model = lab.load("smollm2", max_new_tokens=20)
told = model("What is the capital of France?").text
print(f"{time.monotonic() - begun:.1f}", model.weights, repr(told))
begun = time.monotonic()
try:
    lab.load("Qwen/Qwen2.5-0.5B-Instruct")
except lab.models.ModelError as error:
    print(f"{time.monotonic() - begun:.1f}", error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `make offline` writes, unpacked and installed for a class."""
    place = tmp_path_factory.mktemp("whole")
    tar_path = offline.build(place / "dist")
    subprocess.run(["tar", "xf", tar_path, "-C", place], check=True)
    shutil.rmtree(place / "dist")
    install = next(place.glob("ensemble-lab-offline-*/install.py"))
    done(sys.executable, install, "--hub", place / "lab", cwd=place)
    shutil.rmtree(install.parent)  # nothing looks for it any more
    yield place / "lab"
    shutil.rmtree(place)  # three gigabytes


def done(*command, **options):
    """Run to the end without a network; what it printed."""
    hidden = ("PIP_", "PYTHON", "HF_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "ENSEMBLE_LAB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    kept |= {"HOME": str(options["cwd"]), **options.pop("variables", {})}
    options |= {"env": kept, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ended = subprocess.run(without_network(*command), **options)
    assert ended.returncode == 0, ended.stdout[-5000:]
    print(ended.stdout[-2000:])
    return ended.stdout


def test_make_quick(folder):
    told = done("make", "quick", cwd=folder)
    assert " passed" in told and "pip" not in told.partition("\n")[0]


def test_models_come_from_the_archive_or_are_refused_at_once(folder):
    own, hub = done(folder / ".venv/bin/python", "-c", LOADED, cwd=folder).splitlines()[-2:]
    assert "4-bit GGUF" in own and "Paris" in own
    assert "the Hub does not answer" in hub
    assert float(hub.split()[0]) < 15


@pytest.mark.parametrize("name", ["00_start_here", "05_speculative_decoding"])
def test_notebooks(folder, name, tmp_path):
    shutil.copy(folder / f"notebooks/{name}.ipynb", tmp_path)
    done(folder / ".venv/bin/jupyter-execute", f"{name}.ipynb", cwd=tmp_path)


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here")
def test_a_class_on_the_hub(folder, tmp_path):
    told = done(
        *[sys.executable, "-m", "tests.support.hub_class", folder, tmp_path],
        cwd=ROOT,
        variables={"HOME": str(tmp_path)},
    )
    assert "all users saw it" in told
