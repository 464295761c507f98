"""On Colab: its metadata for widgets, its versions on its Python, and a doctor that knows it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter
from packaging.requirements import Requirement

import ensemble_lab as lab
from ensemble_lab import doctor
from ensemble_lab.widgets import Predict, PredictCurve
from ensemble_lab.widgets.backends import VIEW
from tests.conftest import run
from tests.notebooks.run import beside
from tests.support.colab import ROOT, environment, execute, on_colab, uv_pip
from tests.support.processes import COMPILED_ONCE

MANAGER = "https://colab.example/manager.js"
SHOWN = {
    "explorer": lambda: lab.explore("escalate"),
    "number": lambda: Predict("How many?"),
    "curve": lambda: PredictCurve("How high?", [1, 2]),
}


@pytest.fixture
def colab(monkeypatch):
    """Colab's modules, as far as widgets ask them."""
    output = ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: None  # which anywidget calls
    output._widgets = SimpleNamespace(_installed_url=MANAGER)
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    return output


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_names_the_widget_manager_to_colab(name, colab):
    data, metadata = DisplayFormatter().format(SHOWN[name]())
    assert VIEW in data and "text/html" in data
    assert metadata == {VIEW: {"colab": {"custom_widget_manager": {"url": MANAGER}}}}


@pytest.mark.parametrize("name", SHOWN)
def test_elsewhere_and_where_the_figure_is_still_there_is_no_metadata(name, colab, monkeypatch):
    colab._widgets._installed_url = None  # nobody has enabled it
    data, metadata = DisplayFormatter().format(SHOWN[name]())
    assert VIEW in data and not metadata
    colab._widgets._installed_url = MANAGER
    monkeypatch.setenv("ENSEMBLE_LAB_BACKEND", "still")
    data, metadata = DisplayFormatter().format(SHOWN[name]())
    assert VIEW not in data and not metadata


# -- the doctor ---------------------------------------------------------------------------------


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """Colab's own package, as it is found installed there."""
    about = tmp_path / "google_colab-1.0.0.dist-info"
    about.mkdir()
    pins = ["ipykernel==6.17.1", "ipython==7.34.0", "pandas==2.2.3", "no-such-package==1"]
    lines = ["Metadata-Version: 2.1", "Name: google-colab", "Version: 1.0.0"]
    (about / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {p}" for p in pins)]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ENSEMBLE_LAB_BACKEND", raising=False)


@pytest.mark.parametrize("wanted", ["ipykernel>=999", "no-such-package>=1", "jupyterlab>=999"])
def test_on_colab_the_doctor_touches_nothing_that_colab_stands_on(wanted, pinned):
    found = doctor.dependency(Requirement(wanted), needed=False)
    assert found.ok is None and not found.fix
    assert "do not change it" in found.value
    assert doctor.kernel().ok is None and not doctor.kernel().fix


def test_on_colab_what_only_lacks_can_be_installed(pinned):
    found = doctor.dependency(Requirement("no-such-other-package>=1"), needed=False)
    assert found.ok is False and "pip install" in found.fix


def test_on_colab_the_doctor_claims_no_display_that_it_has_not_seen(pinned, monkeypatch):
    found = doctor.display()
    assert found.ok is None and "cannot be checked" in found.value
    assert "%env ENSEMBLE_LAB_BACKEND=still" in found.fix
    table = doctor.to_table([found, doctor.kernel()])
    assert table.startswith("?") and "optional and missing: 0" in table
    monkeypatch.setenv("ENSEMBLE_LAB_BACKEND", "still")
    assert doctor.display().ok and "still" in doctor.display().value


def test_elsewhere_the_doctor_keeps_its_advice():
    assert doctor.colab_keeps() == set()
    assert "pip install" in doctor.dependency(Requirement("ipykernel>=999"), False).fix


# -- Colab's versions on its Python -------------------------------------------------------------

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITHOUT_TORCH = [path for path in NOTEBOOKS if "torch" not in beside(path)]
# What needs more installs it there, and this environment is never changed.
ALONE = [path for path in NOTEBOOKS if not beside(path)]
BROUGHT = {"ensemble-lab", "lazy-loader"}  # all that the package installs on Colab

PUBLIC = """import contextlib, importlib, pkgutil, types
import ensemble_lab as lab
for module in pkgutil.walk_packages(lab.__path__, "ensemble_lab."):
    with contextlib.suppress(ImportError):  # what needs torch, or nbconvert
        importlib.import_module(module.name)
print([name for name in lab.__all__ if isinstance(getattr(lab, name), types.ModuleType)])"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_that_needs_torch_says_so_before_it_imports_any(path):
    cells = nbformat.read(path, as_version=4).cells
    needs = [i for i, cell in enumerate(cells) if re.search(r"[Nn]eeds PyTorch", cell.source)]
    uses = [
        i for i, cell in enumerate(cells) if re.search(r"import torch|lab\.load\(", cell.source)
    ]
    if path in WITHOUT_TORCH:  # what it uses of it, it can do without, and says so
        told = 'except ModuleNotFoundError as error:\n    print(f"Needs PyTorch'
        assert all(told in cells[i].source for i in uses) and (uses or not needs)
    else:
        assert needs and (not uses or min(needs) < min(uses))


@pytest.fixture(scope="module")
def there(installed, tmp_path_factory):
    """Colab's Python, and the folder beside it that holds the wheel and what it brings."""
    python, wheel = environment(), next(installed.parents[2].glob("*.whl"))
    told = uv_pip("install", "--dry-run", wheel, python=python)
    brought = [line.split()[1:2] for line in told.splitlines() if line.startswith(" + ")]
    replaced = [line for line in told.splitlines() if line.startswith(" - ")]
    assert {name.partition("==")[0] for [name] in brought} == BROUGHT, told
    assert len(replaced) == 1 and "lazy-loader" in replaced[0], told
    site = tmp_path_factory.mktemp("site")
    newer = next(name for [name] in brought if name.startswith("lazy-loader"))
    uv_pip("install", "--quiet", "--no-deps", "--target", site, wheel, newer, python=python)
    return python, site


def test_every_public_name_is_there_whatever_was_imported_before(there):
    python, site = there
    environment = os.environ | COMPILED_ONCE | {"PYTHONPATH": str(site)}
    # `lab.metrics` is a module; no other name is one, such as `decode` after its module was loaded.
    assert run(python, "-c", PUBLIC, cwd=site, env=environment).strip() == "['metrics']"


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_a_notebook_without_torch_runs_there_and_names_the_widget_manager(path, there):
    notebook = on_colab(path)
    left = execute(notebook, *there)
    assert not left
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    widgets = [o for o in outputs if VIEW in o.get("data", ())]
    assert {o.output_type for o in widgets} == {"display_data", "execute_result"}
    assert all(o.metadata.get(VIEW, {}).get("colab") for o in widgets)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_the_gateways_notebook_runs_there_with_what_it_installs(there, tmp_path):
    """Its packages lie beside it, and none asks for another version of what Colab has."""
    python, site = there
    notebook = on_colab(ROOT / "notebooks/20_serving_an_ensemble.ipynb")
    [packages] = {
        found[1]
        for cell in notebook.cells
        if (found := re.search(r'packages = "(.+)"', cell.source))
    }
    words = shlex.split(packages)
    told = uv_pip("install", "--dry-run", *words, python=python)
    assert not [line for line in told.splitlines() if line.startswith(" - ")], told
    uv_pip("install", "--quiet", "--target", tmp_path, *words, python=python)
    assert not execute(notebook, python, os.pathsep.join(map(str, (site, tmp_path))))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_tests_that_need_no_torch_pass_there(there, tmp_path):
    python, site = there
    for name in ("tests", "notebooks", "data", "recipes", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [python, "-m", "pytest", "-q", "-p", "tests.support.without_torch"]
    command += ["tests/core", "tests/answers", "tests/explorers"]
    folders = os.pathsep.join(map(str, (site, tmp_path)))
    done = subprocess.run(
        list(map(str, command)),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": folders},
        capture_output=True,
        text=True,
    )
    print(done.stdout[-2000:])  # `make colab` shows what was run
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
