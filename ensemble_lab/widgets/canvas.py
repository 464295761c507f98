"""The canvas of a picture in a notebook: a live figure that changes, or a new one each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.widgets.backends import PLOTLY
from ensemble_lab.widgets.plain import unescaped
from ensemble_lab.widgets.still import full_layout, page, plain, plain_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ensemble_lab.widgets.picture import Picture


class LiveCanvas:
    """Plotly's figure widget; only the changes since the last picture are sent to the browser."""

    def __init__(self, picture: Picture):
        import plotly.graph_objects as go

        self._shown = picture.traces, full_layout(picture)
        self.widget = live_figure()(go.Figure(*self._shown))

    def show(self, picture: Picture) -> None:
        """Change the figure into `picture`, in one message.

        Raises
        ------
        ValueError
            Other traces than before: an explorer draws the same ones for every state.
        """
        from plotly.basedatatypes import Undefined

        before, now = self._shown, (picture.traces, full_layout(picture))
        kinds = [[trace["type"] for trace in traces] for traces in (before[0], now[0])]
        if kinds[0] != kinds[1]:
            changed = f"the traces changed from {shown(kinds[0])} to {shown(kinds[1])}"
            raise ValueError(f"{changed}; draw the same ones")
        traces = [dict(changes(*pair)) for pair in zip(before[0], now[0], strict=True)]
        layout = dict(changes(before[1], now[1]))
        if any(_like(value, value) for value in layout.values()):
            # More notes than before, or fewer: plotly must make its objects of them anew.
            with self.widget.batch_update():
                for part, found in zip((*self.widget.data, self.widget.layout), (*traces, layout),
                                       strict=True):  # fmt: skip
                    for path, value in found.items():
                        part[path] = value
        else:  # without a check of every value
            moving = [i for i, found in enumerate(traces) if found]
            paths = dict.fromkeys(path for found in traces for path in found)
            restyle = {path: [traces[i].get(path, Undefined) for i in moving] for path in paths}
            self.widget.plotly_update(restyle, layout, moving)
        self._shown = now


def live_figure() -> type[go.FigureWidget]:
    """The figure widget that is small when saved: plotly 5's code comes from the front end."""
    import plotly.graph_objects as go

    if not hasattr(go.FigureWidget, "_esm"):
        return go.FigureWidget
    from ensemble_lab.widgets.shared_figure import SharedFigure

    return SharedFigure


class RedrawCanvas:
    """An output area that gets a complete new figure, where there is no live figure widget."""

    def __init__(self, picture: Picture):
        import ipywidgets

        self.widget = ipywidgets.Output()
        self.show(picture)

    def show(self, picture: Picture) -> None:
        """Replace the figure by that of `picture`."""
        self.widget.outputs = (figure_output(plain_figure(picture)),)


def figure_output(figure: Mapping) -> dict[str, Any]:
    """An output entry that shows a figure, in Jupyter and where only HTML is supported."""
    figure = plain(figure)
    words = unescaped(figure["layout"]["title"]["text"])
    data = {PLOTLY: figure, "text/html": page(figure, ""), "text/plain": words}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def changes(before: Mapping, now: Mapping, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths at which two nested dicts differ, with the new values (None if removed).

    Places in lists have dots too: the page of a figure widget does not read brackets.
    """
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if old is new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from changes(old, new, f"{path}{key}.")
        elif _like(old, new):  # plotly checks a whole list of notes as slowly as it is long
            for i, pair in enumerate(zip(old, new, strict=True)):
                yield from changes(*pair, f"{path}{key}.{i}.")
        elif not same(old, new):
            yield f"{path}{key}", new


def _like(old: Any, new: Any) -> bool:
    """Whether both are lists of equally many dicts, such as annotations."""
    lists = isinstance(old, list) and isinstance(new, list) and len(old) == len(new) > 0
    return lists and isinstance(old[0], dict) and all(isinstance(o, dict) for o in (*old, *new))


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal; arrays are compared as a whole."""
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return np.array_equal(old, new)
    return type(old) is type(new) and bool(old == new)
