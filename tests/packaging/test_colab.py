"""On Colab: its metadata for widgets, its versions on its Python, and a doctor that knows it."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from IPython.core.formatters import DisplayFormatter
from packaging.requirements import Requirement

import ensemble_lab as lab
from ensemble_lab import doctor
from ensemble_lab.widgets import Predict, PredictCurve
from ensemble_lab.widgets.backends import VIEW

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
    assert found.ok is None and not found.mend
    assert "leave it" in found.value
    assert doctor.kernel().ok is None and not doctor.kernel().mend


def test_on_colab_what_only_lacks_can_be_installed(pinned):
    found = doctor.dependency(Requirement("no-such-other-package>=1"), needed=False)
    assert found.ok is False and "pip install" in found.mend


def test_on_colab_the_doctor_claims_no_display_that_it_has_not_seen(pinned, monkeypatch):
    found = doctor.display()
    assert found.ok is None and "not known" in found.value
    assert "%env ENSEMBLE_LAB_BACKEND=still" in found.mend
    table = doctor.to_table([found, doctor.kernel()])
    assert table.startswith("?") and "optional and lacking: 0" in table
    monkeypatch.setenv("ENSEMBLE_LAB_BACKEND", "still")
    assert doctor.display().ok and "still" in doctor.display().value


def test_elsewhere_the_doctor_keeps_its_advice():
    assert doctor.colab_keeps() == set()
    assert "pip install" in doctor.dependency(Requirement("ipykernel>=999"), False).mend
