"""The wheel alone, in an empty environment far from the checkout, runs the README's quickstart."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def quickstart():
    """The README's first Python block."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)


def run(*command, cwd):
    """Run to the end; stderr is the failure message. Returns stdout."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of a fresh environment that holds the wheel and its base dependencies only."""
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", place, ROOT, cwd=place)
    venv.create(place / "env", with_pip=True)
    python = place / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    constraints = ROOT / "constraints.txt"
    wheel = next(place.glob("*.whl"))
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wheel, cwd=place)
    return python


def test_quickstart_runs_from_the_wheel_with_its_data(installed, tmp_path):
    where = run(installed, "-c", "import ensemble_lab; print(ensemble_lab.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1]), "not the wheel's package"
    (tmp_path / "quickstart.py").write_text(quickstart())
    printed = run(installed, "quickstart.py", cwd=tmp_path)
    assert re.search(r"\d+\.\d+", printed), printed
    # The checkout computes the same numbers from the same data.
    assert printed == run(sys.executable, "quickstart.py", cwd=tmp_path)


def test_the_wheel_has_the_command(installed, tmp_path):
    assert "doctor" in run(installed.parent / "ensemble-lab", "--help", cwd=tmp_path)
