"""The oldest supported plotly and ipywidgets, as on Colab: the live panel works there too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_lab.widgets import backends

pytestmark = pytest.mark.nightly  # it installs the old versions
ROOT = Path(__file__).parents[2]
OLD = ["plotly==5.24.1", "ipywidgets==7.7.1", "widgetsnbextension<4", "jupyterlab_widgets<2"]
NEEDED = ["ipython_genutils", "tenacity"]  # by these old versions only
DRAG = """
import json
import ipywidgets, plotly
from ensemble_lab.widgets import backends, display
from ensemble_lab.widgets.panel import Panel
from ensemble_lab.widgets.predict import Predict
from tests.support.toy_explorer import toy

said = {"versions": [plotly.__version__, ipywidgets.__version__], "backend": backends.backend()}
said["bundle"] = sorted(display.bundle(toy()))
for live in (True, False):
    panel = Panel(toy(), live=live)
    panel.inputs["power"].sources[0].value = 3
    panel.inputs["parts"].sources[0].value = False
    panel.below.selected_index = 0
    shown = panel.canvas.widget
    figure = shown if live else shown.outputs[0]["data"][backends.PLOTLY]
    curve = list(figure["data"][0]["y"])
    said["live" if live else "redraw"] = [
        figure["layout"]["title"]["text"], curve[-1], "125" in panel.table.value
    ]
slider = panel.inputs["power"].widget
said["help"] = slider.description_tooltip
guess = Predict("How many?", truth=12)
field, reveal = guess.widget().children[1].children
field.value = "10"
reveal.click()
said["guess"] = guess.value
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def old_packages(tmp_path_factory):
    """A folder with the old versions, to stand before this environment's own."""
    folder = tmp_path_factory.mktemp("old")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*pip, *OLD, *NEEDED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_panel_works_with_the_oldest_supported_versions(old_packages):
    path = os.pathsep.join([str(old_packages), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", DRAG], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["versions"] == ["5.24.1", "7.7.1"]
    assert said["backend"] == "live"
    kinds = [backends.VIEW, "text/html", "text/plain"]  # plotly's data would win over the widget
    assert said["bundle"] == kinds
    assert said["live"] == said["redraw"] == ["power 3 times 1<br>over 2 parts", 125, True]
    assert said["help"] == "To which power x is raised" and said["guess"] == 10
