"""The way of showing an explorer that works here."""

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
    """How explorers are shown: as the environment variable says, else the best way that works.

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
        raise ValueError(f"{VARIABLE}={shown(forced)} is not a backend{nearest(forced, BACKENDS)}")
    return forced


@cache
def best() -> str:
    """The best backend that the installed packages allow."""
    try:
        import ipywidgets
    except ImportError:
        return "still"
    import plotly.graph_objects as go

    # Without anywidget, plotly 6 and later use a placeholder that is not a widget. Checking is
    # better than making one, whose 5 MB of code would remain in a saved notebook.
    return "live" if issubclass(go.FigureWidget, ipywidgets.Widget) else "redraw"


def attended() -> bool:
    """Whether a reader may sit before this session.

    This holds in a Jupyter kernel, unless the environment variable ``ENSEMBLE_LAB_HEADLESS`` is
    set. Reports and tests set it.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") and not os.environ.get(HEADLESS)


def before(fallback: dict[str, Any], widget) -> dict[str, Any] | tuple[dict, dict]:
    """A mime bundle that shows an ipywidget, and `fallback` where there are no widgets.

    Returns
    -------
    dict of mime type to data, or (data, metadata)
        With metadata on Colab, whose page finds there the script that fetches the code of widgets
        like plotly's. Colab writes it itself for ``display(widget)``, but not for the last value of
        a cell.
    """
    # In a form that versions 7 and 8 of ipywidgets share.
    data = fallback | {VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
    colab = getattr(sys.modules.get("google.colab.output"), "_widgets", None)
    url = getattr(colab, "_installed_url", None)
    return (data, {VIEW: {"colab": {"custom_widget_manager": {"url": url}}}}) if url else data
