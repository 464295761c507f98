"""What to draw for one state, and the layout that all figures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.widgets.plain import drawable, escaped, legible
from ensemble_lab.widgets.style import LAYOUT

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Picture:
    """What to draw for one state: plain dicts, since building a figure costs more than drawing it.

    Texts are given as they are, a name's ``<``, ``%{`` and ``$`` included, with a line break where
    a line ends; a picture keeps them as plotly shows them letter by letter. Only templates are
    plotly's own language, so no name may stand in one: it goes into ``text`` or ``customdata``.

    Parameters
    ----------
    traces : list of dict
        Plotly traces with their ``type``: the same number, types and order for every state.
    layout : dict
        Plotly layout, laid over the series' own.
    finding : str
        The title: one sentence that says what this state shows.
    table : callable
        () to the data frame behind the picture.
    text : str
        The picture in words, for those who cannot see it.
    """

    traces: list[dict]
    layout: dict
    finding: str
    table: Callable[[], pd.DataFrame]
    text: str

    def __post_init__(self):
        object.__setattr__(self, "traces", drawable(self.traces))
        object.__setattr__(self, "layout", drawable(self.layout))
        object.__setattr__(self, "finding", escaped(self.finding))
        object.__setattr__(self, "text", legible(self.text))


def layout(picture: Picture) -> dict:
    """The series' layout with the picture's own over it and its finding as the title."""
    own = {**LAYOUT, **picture.layout}
    own["title"] = {**LAYOUT["title"], **picture.layout.get("title", {}), "text": picture.finding}
    return own
