"""What several test files share: the built wheel, installed once in an empty environment."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, cwd, env=None):
    """Run to the end; stderr is the failure message. Returns stdout."""
    command = list(map(str, command))
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
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
