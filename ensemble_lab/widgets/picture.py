"""The picture of one state, and the layout that all figures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ensemble_lab.widgets.plain import drawable, escaped, legible
from ensemble_lab.widgets.style import LAYOUT

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Picture:
    """The picture of one state as plain dicts: building a figure costs more than drawing it.

    Texts are given unescaped, also with ``<``, ``%{`` and ``$`` in names, and with line breaks; a
    picture escapes them so that plotly shows them unchanged. Only templates are in plotly's own
    language, so they must not contain names: put these into ``text`` or ``customdata``.

    Parameters
    ----------
    traces : list of dict
        Plotly traces with their ``type``: the same number, types and order for every state.
    layout : dict
        Plotly layout, merged over the series' own.
    finding : str
        The title: one sentence about what this state shows.
    table : callable
        () to the data frame behind the picture.
    text : str
        The picture in words, for readers who cannot see it.
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


def table_of(columns: Mapping[str, Any] | Sequence[Mapping], index: Sequence, name: str):
    """The data frame behind a picture: of columns, or of one mapping a row, with a named index."""
    import pandas as pd

    return pd.DataFrame(columns, index=pd.Index(index, name=name))
