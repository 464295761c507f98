"""The workflows follow GitHub's schema, pin their actions and call what there is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCHEMA = ("--builtin-schema", "vendor.github-workflows")  # it travels with the checker

each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def checked(*paths):
    """The finished check of these files; nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", *SCHEMA, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


def steps(path):
    """The steps of all jobs."""
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_there_are_four_and_they_follow_the_schema():
    assert [path.stem for path in WORKFLOWS] == ["pages", "release", "tests", "weekly"]
    done = checked(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_planted_fault_is_found(tmp_path):
    text = (ROOT / ".github/workflows/tests.yml").read_text()
    (tmp_path / "a.yml").write_text(text.replace("runs-on:", "run-on:"))
    assert checked(tmp_path / "a.yml").returncode == 1


@each
def test_actions_are_pinned_by_major_version(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used), used


@each
def test_what_it_calls_is_there(path):
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    told = "\n".join(step.get("run", "") for step in steps(path))
    called = re.findall(r"^(?:make|\.ci/run) ?(.*)$", told, re.MULTILINE)
    for words in called:
        for word in words.split(" TEST_ARGS=")[0].split():
            assert word in {*targets, ".venv/.installed"}, word
    for test in re.findall(r"tests/\S+::\w+", told):
        place, name = test.split("::")
        assert f"def {name}(" in (ROOT / place).read_text()


def test_every_python_that_the_package_names_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python :: 3." in line}
    (job,) = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"].values()
    assert named and named <= set(job["strategy"]["matrix"]["python"])
