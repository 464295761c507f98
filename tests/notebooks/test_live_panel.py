"""The live panel of notebook 20 is one picture that changes, not a picture a second."""

import pytest

from tests.support.processes import ROOT

# The wheel may have to be built and installed first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FIGURE = "application/vnd.plotly.v1+json"


def test_the_panel_is_drawn_again_in_its_place(executed):
    cells = executed(ROOT / "notebooks/20_serving_an_ensemble.ipynb").notebook.cells
    watched = [cell for cell in cells if "= await watched(" in cell.source]
    for cell in watched:
        assert sum(FIGURE in output.get("data", {}) for output in cell.outputs) == 1
    assert len(watched) == 2
