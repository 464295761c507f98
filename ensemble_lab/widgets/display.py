"""The mime bundle with which an explorer is displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ensemble_lab.core.missing import require
from ensemble_lab.widgets.backends import PLOTLY, backend, before
from ensemble_lab.widgets.still import page, still

if TYPE_CHECKING:
    from ensemble_lab.widgets.explorer import Explorer


def bundle(explorer: Explorer) -> dict[str, Any] | tuple[dict, dict]:
    """One display of an explorer: a widget if there are any, with its still figure as fallback.

    Frontends take the first kind that they can show. A page that has no widget state, such as
    an exported report, shows the still figure.

    Returns
    -------
    dict of mime type to data, or (data, metadata)
        As `before` gives it.
    """
    chosen = backend()
    figure = still(explorer)
    shown = {
        "text/plain": explorer.picture().text,
        "text/html": page(figure, figure["layout"]["meta"]["text"]),
        PLOTLY: figure,
    }
    if chosen == "still":
        return shown
    require(f"the backend {chosen!r}", "ipywidgets")
    import ipywidgets

    from ensemble_lab.widgets.panel import Panel

    if int(ipywidgets.__version__.partition(".")[0]) < 8:
        del shown[PLOTLY]  # the JupyterLab of that time would show it instead of the widget

    return before(shown, Panel(explorer, live=chosen == "live").widget)
