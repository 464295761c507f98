"""What a release is made of agrees, is small, complete, and can be read on PyPI."""

import json
import re
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata

import ensemble_lab
from tests.packaging.test_resolve import uv_environment
from tests.packaging.test_wheel import quickstart
from tests.support.processes import run

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHANGES = (ROOT / "CHANGELOG.md").read_text()
PAGE = (ROOT / "docs/pypi.md").read_text()
CHECKLIST = (ROOT / "docs/releasing.md").read_text()
LARGEST = 30_000_000  # bytes of the wheel


@pytest.fixture(scope="module")
def wheel(installed):
    return next(installed.parents[2].glob("*.whl"))


# -- versions -----------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    number, day = re.search(r"^## \[([\d.]+)\] - ([\d-]+)$", CHANGES, re.MULTILINE).groups()
    assert PROJECT["version"] == ensemble_lab.__version__ == citation["version"] == number
    assert citation["date-released"] == date.fromisoformat(day)
    assert f"[{number}]: {PROJECT['urls']['Repository']}/releases/tag/v{number}" in CHANGES
    assert f"`{number}`" in CHECKLIST


def test_classifiers_name_the_pythons_that_are_taken():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={named[0]}"


# -- the changelog and the checklist ------------------------------------------------------------

LIMITS = re.findall(r"^\|.*\| ([\d.]+) \| ([\d.]*) ?\| `(\w+)/([\w-]+)` \|$", CHANGES, re.MULTILINE)


def test_the_changelog_has_limits():
    assert len(LIMITS) == CHANGES.count("\n| ") - 1  # less the head


@pytest.mark.parametrize(("ratio", "goal", "file", "name"), LIMITS)
def test_a_limit_is_what_its_record_says(ratio, goal, file, name):
    records = json.loads((ROOT / f"benchmarks/results/{file}.json").read_text())
    [found] = [one for one in records if one["name"] == name]
    assert f"{found['ratio']:.3g}" == ratio
    assert not goal or re.search(rf"at least {re.escape(goal)}(?![\d.])", found["goal"])


def test_plain_decoding_on_a_gpu_is_told_as_it_was_measured():
    records = json.loads((ROOT / "benchmarks/results/gpu.json").read_text())
    found = [
        one["compared"]["plain-vs-generate"]["ratio"]
        for one in records
        if "plain-vs-generate" in one.get("compared", {})
    ]
    assert f"({min(found):.2g} to {max(found):.2g})" in CHANGES


@pytest.mark.parametrize("text", [CHANGES, CHECKLIST], ids=["changelog", "checklist"])
def test_what_they_name_is_there(text):
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"`make (\w+)`", text):
        assert target in targets
    for path in re.findall(r"`((?:tests|docs|benchmarks|ensemble_lab)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((docs/[\w.]+)\)", text):
        assert (ROOT / path).exists(), path


# -- PyPI ---------------------------------------------------------------------------------------


def test_the_page_on_pypi_has_no_link_that_breaks_there():
    assert PROJECT["readme"] == "docs/pypi.md"
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert links and all(link.startswith("https://") for link in links), links
    blob = f"{PROJECT['urls']['Repository']}/blob/main/"
    raw = blob.replace("github.com", "raw.githubusercontent.com").replace("/blob/", "/")
    for link in links:
        for start in (blob, raw):
            assert not link.startswith(start) or (ROOT / link.removeprefix(start)).exists(), link


def test_its_example_is_the_readmes_and_it_names_each_extra():
    assert f"```python\n{quickstart()}```" in PAGE
    public = PROJECT["optional-dependencies"].keys() - {"dev", "peers"}
    assert public == set(re.findall(r"ensemble-lab\[(\w+)\]", PAGE))


def test_the_metadata_are_valid_and_hold_the_page(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("dist-info/METADATA")]
        raw = archive.read(name)
    found = Metadata.from_email(raw, validate=True)  # raises what PyPI would refuse
    assert found.description_content_type == "text/markdown"
    assert found.description.strip() == PAGE.strip()
    assert message_from_bytes(raw)["License-Expression"] == "Apache-2.0"


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < LARGEST


def contents(wheel):
    """Name to checksum of all in a wheel but the list of its own files."""
    with zipfile.ZipFile(wheel) as archive:
        return {i.filename: i.CRC for i in archive.infolist() if not i.filename.endswith("RECORD")}


@pytest.mark.slow
def test_a_wheel_built_from_the_source_archive_is_the_same(wheel, tmp_path):
    how = {"cwd": tmp_path, "env": uv_environment()}
    build = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", tmp_path]
    run(*build, "--sdist", ROOT, **how)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    assert (unpacked / "CHANGELOG.md").exists() and (unpacked / "SECURITY.md").exists()
    run(*build, "--wheel", unpacked, **how)
    [again] = tmp_path.glob("*.whl")
    assert contents(again) == contents(wheel)
