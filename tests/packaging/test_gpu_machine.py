"""What needs a GPU runs on a machine that has PyTorch and transformers, but no pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.parts import in_time, peers
from ensemble_lab.reports.request import RequestError

ROOT = Path(__file__).parents[2]
MISSING = ["plotly", "ipywidgets", "anywidget", "gguf", "polars", "nbconvert", "papermill"]


@pytest.fixture
def bare(tmp_path):
    """Runs Python where packages that a GPU's machine may lack cannot be imported."""
    for name in MISSING:
        (tmp_path / f"{name}.py").write_text(
            f"raise ModuleNotFoundError('no {name}', name='{name}')"
        )

    def run(*words):
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        names = os.environ | {
            "PYTHONPATH": path,
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=names, capture_output=True, text=True
        )

    return run


def test_records_are_measured_without_pictures(bare, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text('[{"name": "host-share", "ours": 1}]')
    done = bare("-m", "benchmarks.gpu", "cost-of-members", "--rehearse", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert [one["name"] for one in found] == ["cost-of-members", "host-share"]
    assert found[0]["ratio"] > 0 and found[0]["wall_seconds"] > 0
    assert "cost-of-members: ours" in done.stdout


def test_the_tests_for_a_gpu_are_found_there_and_skipped_here(bare):
    done = bare("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *gpu.TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()[-1]
    assert "skipped" in said and "passed" not in said


def test_without_a_gpu_nothing_is_measured(bare, tmp_path):
    done = bare("-m", "benchmarks.gpu", "--json", str(tmp_path / "gpu.json"))
    assert done.returncode == 1 and "no GPU here; --rehearse" in done.stdout
    assert not (tmp_path / "gpu.json").exists()


def test_smollm2_is_left_out_by_name_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    with pytest.raises(RequestError, match="SmolLM2 is not here: .* ENSEMBLE_LAB_CACHE"):
        gpu.decoding("smollm2", False)


def test_flashspec_is_left_out_by_name_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(peers.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match="flashspec is not installed: pip install flashspec"):
        gpu.flashspec("smollm2", True)


@pytest.mark.parametrize("seconds", ["0", "60"], ids=["no time", "no SmolLM2"])
def test_what_is_not_measured_keeps_its_older_record(monkeypatch, tmp_path, seconds, capsys):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    path = tmp_path / "gpu.json"
    path.write_text('[{"name": "smollm2-decoding", "ours": 1}]')
    code = gpu.main(["smollm2-decoding", "--json", str(path), "--seconds", seconds])
    assert json.loads(path.read_text()) == [{"name": "smollm2-decoding", "ours": 1}]
    said = capsys.readouterr().out
    assert (code, "no time was left" in said) == ((1, True) if seconds == "0" else (0, False))


SCRIPT = """
import os, time
from ensemble_lab.reports.request import RequestError

def fails(quick):
    raise ValueError("broken")

def absent(quick):
    raise RequestError("not here")

RECORDS = {
    "sound": lambda quick: {"name": "sound", "pid": os.getpid()},
    "fails": fails,
    "absent": absent,
    "dies": lambda quick: os._exit(1),
    "hangs": lambda quick: time.sleep(600),
    "last": lambda quick: {"name": "last", "pid": os.getpid()},
}
"""


def test_what_fails_costs_itself_only(tmp_path):
    """Each later record is measured in a process that met no error."""
    limits = dict.fromkeys(["sound", "fails", "absent", "dies", "hangs", "last"], 120) | {
        "hangs": 1
    }
    (tmp_path / "gpu.py").write_text(SCRIPT)
    found = {one["name"]: one for one in in_time.measured(tmp_path / "gpu.py", limits, True, 600)}
    assert list(found) == list(limits)
    assert found["fails"]["error"] == "ValueError: broken" and "in fails" in found["fails"]["where"]
    assert found["absent"]["skipped"] == "not here"
    assert found["dies"]["error"] == "its process died"
    assert found["hangs"]["error"] == "not done after 1 s"
    assert found["last"]["pid"] != found["sound"]["pid"]


def test_what_no_time_is_left_for_says_so(tmp_path):
    (tmp_path / "gpu.py").write_text(SCRIPT)
    [one] = in_time.measured(tmp_path / "gpu.py", {"sound": 9}, True, 0)
    assert one["error"] == "no time was left for it"
