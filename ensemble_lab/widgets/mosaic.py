"""A figure of named panels, and the labels of the marks on them.

A family names its panels, the marks on each and their meanings. Sizes and places of panels, titles,
keys and labels follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.widgets.axes import Axes
from ensemble_lab.widgets.labels import apart
from ensemble_lab.widgets.panels import SIZE, Mark, Panel, axis_name
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line
from ensemble_lab.widgets.style import INK, TEXT

if TYPE_CHECKING:
    import pandas as pd

HEIGHT = 440  # pixels; with the controls it fits a cell of JupyterLab at 1280 x 800
WIDTH = 780  # pixels between the margins there; a wider figure has wider gaps
WHOLE = 840  # pixels of a figure there, with its margins
TITLE_LINE, TITLE_ROOM = 20, 14  # pixels
HEAD = 24  # pixels above a panel, for its title and key
LETTER = 6.3  # pixels, the mean width of one at the size of a label
GLYPH = {"circle": "●", "square": "■", "square-open": "□", "diamond": "◆", "x": "✕", "star": "★",
         "circle-open": "○", "triangle-up": "▲", "cross-thin": "+"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Panels by name, each an attribute: ``panels.errors.curve(…)``."""

    panels: Mapping[str, Panel]
    height: int
    margin: Mapping[str, int]

    def __getattr__(self, name: str) -> Panel:
        try:
            return self.panels[name]
        except KeyError:
            known = ", ".join(self.panels)
            raise AttributeError(f"no panel {shown(name)}; there are {known}") from None

    def marks(self, *shown: Any, **drawn: Callable[..., Sequence[Mark]]) -> list[Mark]:
        """What each function draws of `shown` on the panel of its name: ``errors=draw_errors``."""
        return [mark for name, draw in drawn.items() for mark in draw(self.panels[name], *shown)]

    def picture(self, marks: Sequence[Mark], finding: str, table: Callable[[], pd.DataFrame],
                also: str = "", notes: Sequence[Mapping] = (), **more: Any) -> Picture:  # fmt: skip
        """The picture of these marks.

        Parameters
        ----------
        marks : sequence of Mark
            The same ones, in the same order, for every state.
        finding : str
            The title: one or two short lines.
        table : callable
            () to the data frame behind the picture.
        also : str
            The text after the finding.
        notes : sequence of dict, optional
            Text in the panels in addition to the marks' labels, as `Panel.note` makes it.
        **more
            More of plotly's layout.
        """
        layout = {
            "height": self.height,
            "margin": dict(self.margin),
            "showlegend": False,
            "title": {"y": 1 - 20 / self.height, "yanchor": "top", "font": {"size": 15}},
            "annotations": [*self._heads(marks), *self._labels(marks), *notes],
            "barmode": "overlay",
        }
        for panel in self.panels.values():
            layout |= _axes_of(panel)
        words = ". ".join(filter(None, [one_line(finding, ". "), also]))
        traces = [mark.trace for mark in marks if mark.trace is not None]
        return Picture(traces, {**layout, **more}, finding, table, words)

    def _heads(self, marks: Sequence[Mark]) -> list[dict]:
        """Above each panel its title, then its key: entries in their colours, side by side."""
        found = []
        for panel in self.panels.values():
            entries = [(panel.axes.title, TEXT[INK], 700)] if panel.axes.title else []
            for mark in marks:
                if mark.panel is panel and mark.said and mark.at is None:
                    glyph = "━" if mark.symbol == "line" else GLYPH[mark.symbol]
                    entries.append((f"{glyph} {mark.said}", TEXT.get(mark.colour, INK), 400))
            shift = 0.0
            for words, colour, weight in entries:
                place = {"xref": "paper", "yref": "paper", "x": panel.across[0], "y": panel.up[1]}
                place |= {"xanchor": "left", "yanchor": "bottom", "xshift": shift, "yshift": 3}
                font = {"size": SIZE, "color": colour, "weight": weight}
                found.append(place | {"text": words, "showarrow": False, "font": font})
                shift += round(len(words) * LETTER * (1.12 if weight > 400 else 1) + 16)
        return found

    def _labels(self, marks: Sequence[Mark]) -> list[dict]:
        """Direct labels: next to the right end of a panel, or at a place in it, without overlap."""
        found = []
        for mark, y in self._spread([m for m in marks if m.at is not None and m.at[0] is None]):
            found.append(_note(mark, {"x": mark.panel.across[1], "y": y}, "left", 5))
        for mark, y in self._spread([m for m in marks if m.at is not None and m.at[0] is not None]):
            low, high = mark.panel.across
            part = mark.panel.fraction("x", mark.at[0])
            side = ("right", -12) if part > 0.6 else ("left", 12)  # where there is more room
            place = {"x": low + part * (high - low), "y": y}
            found.append(_note(mark, place, *side) | {"yanchor": "bottom"} | dict(mark.look))
        return found

    def _spread(self, marks: Sequence[Mark]) -> Iterator[tuple[Mark, float]]:
        """Each mark with the height of its label, in paper units, without overlap in a panel."""
        by_panel = sorted(marks, key=lambda mark: mark.panel.number)
        for panel, own in groupby(by_panel, lambda mark: mark.panel):
            own = sorted(own, key=lambda mark: "yshift" in mark.look)  # fixed ones come last
            pixels = (panel.up[1] - panel.up[0]) * self._inner
            wanted = [panel.fraction("y", mark.at[1]) * pixels for mark in own]
            free = sum("yshift" not in mark.look for mark in own)
            for mark, y in zip(own, apart(wanted[:free], pixels) + wanted[free:], strict=True):
                yield mark, panel.up[0] + y / self._inner

    @property
    def _inner(self) -> float:
        return self.height - self.margin["t"] - self.margin["b"]


def mosaic(text: str, *, widths: Sequence[float] | None = None,
           heights: Sequence[float] | None = None, height: int = HEIGHT, lines: int = 2,
           **panels: Axes) -> Mosaic:  # fmt: skip
    """Panels by name, as matplotlib's ``subplot_mosaic`` places them.

    Parameters
    ----------
    text : str
        Rows of names, from the top: ``"map errors / map margins"``. A name in several cells is one
        panel over all of them.
    widths, heights : sequences, optional
        Relative sizes of the columns and rows; equal by default.
    height : int
        Of the figure, in pixels.
    lines : int
        Of the finding.
    **panels : Axes
        Each name's axes.

    Raises
    ------
    ValueError
        Names in `text` without axes, axes without a place, or rows of different lengths.

    Examples
    --------
    >>> from ensemble_lab.widgets.axes import axis
    >>> plain = Axes(axis("x", 0, 1), axis("y", 0, 1))
    >>> both = mosaic("left right", left=plain, right=plain)
    >>> both.right.number, [round(end, 2) for end in both.left.across]
    (2, [0.0, 0.46])
    """
    grid = tuple(tuple(row.split()) for row in text.split("/"))
    names = dict.fromkeys(name for row in grid for name in row)
    if set(names) != set(panels) or len({len(row) for row in grid}) != 1:
        raise ValueError(f"the panels {shown(list(panels))} do not fill {shown(text)}")
    spans = {name: _span(grid, name) for name in names}
    columns, rows = len(grid[0]), len(grid)
    top = lines * TITLE_LINE + TITLE_ROOM + HEAD
    beside = [  # pixels left of each column and, last, right of all
        max([panels[n].left for n, (_, c, _, _) in spans.items() if c == at] or [0])
        + max([panels[n].right for n, (_, _, _, c) in spans.items() if c == at] or [0])
        for at in range(columns + 1)
    ]
    between = [  # pixels under each row
        max([_foot(panels[n]) for n, (_, _, r, _) in spans.items() if r == at + 1] or [0])
        for at in range(rows)
    ]
    margin = {"l": beside[0], "r": beside[-1], "t": top, "b": between[-1]}
    inner = height - top - between[-1]
    widths, heights = ([1] * many if sizes is None else sizes
                       for sizes, many in ((widths, columns), (heights, rows)))  # fmt: skip
    lefts = _ends_of(widths, [b / WIDTH for b in beside[1:-1]])
    downs = _ends_of(heights, [(b + HEAD) / inner for b in between[:-1]])
    made = {}
    for number, (name, (r0, c0, r1, c1)) in enumerate(spans.items(), 1):
        across = lefts[c0][0], lefts[c1 - 1][1]
        up = 1 - downs[r1 - 1][1], 1 - downs[r0][0]
        wide = WHOLE - beside[0] - beside[-1]
        pixels = wide * (across[1] - across[0]), inner * (up[1] - up[0])
        made[name] = Panel(name, number, panels[name], across, up, pixels)
    return Mosaic(made, height, margin)


@cache
def _span(grid: tuple[tuple[str, ...], ...], name: str) -> tuple[int, int, int, int]:
    """First row and column, and the ones after the last, of the cells of a name."""
    cells = np.array([[cell == name for cell in row] for row in grid])
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _ends_of(sizes: Sequence[float], gaps: Sequence[float]) -> list[tuple[float, float]]:
    """Start and end of parts of these relative sizes between 0 and 1, with gaps between them."""
    room, ends, at = (1 - sum(gaps)) / sum(sizes), [], 0.0
    for size, gap in zip(sizes, (*gaps, 0.0), strict=True):
        ends.append((at, at + room * size))
        at += room * size + gap
    return ends


def _foot(axes: Axes) -> int:
    """Pixels under a panel: the axis' numbers and its title."""
    numbers = 0 if axes.x.get("showticklabels") is False else 20
    return 8 + numbers + (22 if axes.x["title"]["text"] else 0)


def _axes_of(panel: Panel) -> dict[str, dict]:
    """Plotly's two axes of a panel."""
    x, y = axis_name("x", panel.number), axis_name("y", panel.number)
    ways = (x, panel.axes.x, panel.across, y), (y, panel.axes.y, panel.up, x)
    found = {}
    for name, axis, ends, other in ways:
        own = {"tickfont": {"size": SIZE}, "domain": list(ends), "anchor": other}
        title = {"text": axis["title"]["text"], "font": {"size": SIZE}, "standoff": 6}
        found[f"{name[0]}axis{name[1:]}"] = {**own, **axis, "title": title}
    return found


def _note(mark: Mark, place: Mapping, anchor: str, shift: float) -> dict:
    font = {"size": SIZE, "color": TEXT.get(mark.colour, INK)}
    look = {"showarrow": False, "xanchor": anchor, "yanchor": "middle", "align": anchor}
    refs = {"xref": "paper", "yref": "paper"}
    return {**place, **refs, **look, "xshift": shift, "text": mark.said, "font": font}
