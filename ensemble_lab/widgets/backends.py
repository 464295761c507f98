"""Which way of showing an explorer works here."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from ensemble_lab.core.errors import nearest, shown

VARIABLE = "ENSEMBLE_LAB_BACKEND"
BACKENDS = ("live", "redraw", "still")
HEADLESS = "ENSEMBLE_LAB_HEADLESS"
VIEW = "application/vnd.jupyter.widget-view+json"
PLOTLY = "application/vnd.plotly.v1+json"


def backend() -> str:
    """How explorers are shown: what the environment variable forces, else the best that works.

    Returns
    -------
    {"live", "redraw", "still"}
        A figure widget updated in place, a new figure for every change, or a still figure with
        precomputed steps.

    Raises
    ------
    ValueError
        ``ENSEMBLE_LAB_BACKEND`` names none of them.
    """
    forced = os.environ.get(VARIABLE)
    if not forced:
        return best()
    if forced not in BACKENDS:
        raise ValueError(f"{VARIABLE}={shown(forced)} is no backend{nearest(forced, BACKENDS)}")
    return forced


@cache
def best() -> str:
    """The best backend that the installed packages allow."""
    try:
        import ipywidgets
    except ImportError:
        return "still"
    import plotly.graph_objects as go

    # Without anywidget, plotly 6 and later put something in its place that is no widget. To ask
    # is better than to make one, whose 5 MB of code would stay in a saved notebook.
    return "live" if issubclass(go.FigureWidget, ipywidgets.Widget) else "redraw"


def attended() -> bool:
    """Whether a reader may sit before this session.

    This holds in a Jupyter kernel, unless the environment variable ``ENSEMBLE_LAB_HEADLESS`` is
    set. Reports and tests set it.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") and not os.environ.get(HEADLESS)


def before(told: dict[str, Any], widget) -> dict[str, Any] | tuple[dict, dict]:
    """A mime bundle that shows an ipywidget, and `told` where there are no widgets.

    Returns
    -------
    dict of mime type to data, or (data, metadata)
        With metadata on Colab, whose page asks there which script fetches the code of widgets
        like plotly's. Colab writes it itself for ``display(widget)``, but not for the last value
        of a cell.
    """
    # In a form that versions 7 and 8 of ipywidgets share.
    data = told | {VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
    colab = getattr(sys.modules.get("google.colab.output"), "_widgets", None)
    url = getattr(colab, "_installed_url", None)
    return (data, {VIEW: {"colab": {"custom_widget_manager": {"url": url}}}}) if url else data
