"""On Colab: its metadata for widgets, its versions on its Python, and a doctor that knows it."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from IPython.core.formatters import DisplayFormatter

import ensemble_lab as lab
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
