"""Wheels resolve for every Python and platform that the README names, at the pinned versions."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[2]
LINUX, MACOS, WINDOWS = "linux", "aarch64-apple-darwin", "windows"


def uv_environment():
    """This environment, with the index that pip is set to (uv does not read pip's settings)."""
    settings = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
    index = dict(re.findall(r"^(\S+)\.index-url='(.+)'$", settings, re.MULTILINE))
    environment = {"MACOSX_DEPLOYMENT_TARGET": "14.0"} | os.environ
    for section in (":env:", "install", "global"):  # pip's own order of precedence
        if section in index:
            return {"UV_DEFAULT_INDEX": index[section]} | environment
    return environment


@pytest.mark.parametrize(
    ("python", "platform"),
    [
        ("3.11", LINUX),
        pytest.param("3.12", LINUX, marks=pytest.mark.nightly),
        pytest.param("3.13", LINUX, marks=pytest.mark.nightly),
        pytest.param("3.11", MACOS, marks=pytest.mark.nightly),
        pytest.param("3.11", WINDOWS, marks=pytest.mark.nightly),
    ],
)
def test_the_pinned_set_has_wheels(python, platform, tmp_path):
    resolved = tmp_path / "resolved.txt"
    command = [uv.find_uv_bin(), "pip", "compile", "pyproject.toml", "--all-extras", "--quiet"]
    command += ["--constraint", "constraints.txt", "--only-binary", ":all:"]
    command += ["--python-version", python, "--python-platform", platform, "-o", str(resolved)]
    done = subprocess.run(command, cwd=ROOT, env=uv_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen = set(re.findall(r"^\S+==\S+", resolved.read_text(), re.MULTILINE))
    pinned = set((ROOT / "constraints.txt").read_text().splitlines())
    assert "numpy" in {line.split("==")[0] for line in chosen & pinned}
