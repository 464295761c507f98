"""Named panels on one figure, the marks on them, and the words beside the marks.

A family says which panels there are, what is drawn on each and what that means. Colour, symbol and
dash follow from the meaning; axes, sizes and places of labels follow from the panels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line
from ensemble_lab.widgets.style import INK, ORACLE, TEXT, line, marker

if TYPE_CHECKING:
    import pandas as pd

HEIGHT = 440  # pixels; with the controls it fits a cell of JupyterLab at 1280 x 800
WIDTH = 780  # pixels between the margins there; a wider figure has wider gaps
WHOLE = 840  # pixels of a figure there, with its margins
TITLE_LINE, TITLE_ROOM = 20, 14  # pixels
HEAD = 24  # pixels above a panel, for its title and key
BETWEEN = 15  # pixels from one direct label to the next
LETTER = 6.3  # pixels, the mean width of one at the size of a label
SIZE = 12  # of labels, keys and panel titles
GLYPH = {"circle": "●", "square": "■", "square-open": "□", "diamond": "◆", "x": "✕", "star": "★",
         "circle-open": "○", "triangle-up": "▲", "cross-thin": "+"}  # fmt: skip


# -- axes ---------------------------------------------------------------------------------------


def axis(title: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    """A linear axis from `low` to `high`, which stay while a slider is dragged."""
    return {"title": {"text": title}, "range": [float(low), float(high)], **more}


def shares(title: str, low: float = 0.0, high: float = 1.0, **more: Any) -> dict[str, Any]:
    """An axis of shares, written in per cent."""
    return axis(title, low, high, tickformat=".0%", **more)


def log_axis(title: str, ticks: Sequence[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with these ticks, the first and the last of them its ends."""
    ends = np.log10([ticks[0], ticks[-1]])
    room = 0.03 * (ends[1] - ends[0])
    kind = {"type": "log", "tickvals": list(ticks), "minor": {"ticks": ""}}
    return axis(title, ends[0] - room, ends[1] + room, **kind, **more)


def rows_of(names: Sequence[str], title: str = "", **more: Any) -> dict[str, Any]:
    """An axis with a place 0, 1, … for each name, the first at the top of an upright axis."""
    places = {"tickvals": list(range(len(names))), "ticktext": list(names)}
    return axis(title, len(names) - 0.5, -0.5, **places, showgrid=False, zeroline=False, **more)


FRAMED = {"showline": True, "mirror": True, "linecolor": ORACLE, "showgrid": False,
          "zeroline": False}  # fmt: skip
"""Of an axis of a map: pale cells end somewhere."""


@dataclass(frozen=True)
class Axes:
    """What a panel's two axes are, its title, and the pixels beside it for numbers and labels."""

    x: Mapping[str, Any]
    y: Mapping[str, Any]
    title: str = ""
    left: int = 58
    right: int = 12


# -- marks --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mark:
    """One trace, and how it is called on the picture.

    Parameters
    ----------
    trace : dict or None
        As plotly takes it; None for words alone.
    panel : Panel
    said : str
        The direct label, or the entry in the panel's key; empty for neither.
    at : tuple of two numbers, optional
        Where the direct label stands, in the panel's units; x is None at the panel's right end.
        Without it `said` goes into the key.
    colour : str
    symbol : str
        Of the key.
    look : mapping
        Of the direct label: more of plotly's annotation. One with a ``yshift`` is not moved
        out of the others' way.
    """

    trace: dict[str, Any] | None
    panel: Panel
    said: str = ""
    at: tuple[float | None, float] | None = None
    colour: str = INK
    symbol: str = ""
    look: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Panel:
    """Part of a figure with axes of its own. Each method makes one mark of a meaning.

    A meaning is one of the colours of `style`. Values are arrays; NaN draws nothing. Values of
    shape (runs, n) are drawn as their mean.
    """

    name: str
    number: int
    axes: Axes
    across: tuple[float, float]
    up: tuple[float, float]
    pixels: tuple[float, float]  # in a figure of the usual width

    def curve(self, x, y, meaning: str, name: str, *, width: float = 2, label: str | None = None,
              shape: str = "", **more) -> Mark:  # fmt: skip
        """A line; its label stands at its right end."""
        y = _mean(y)
        own = {"mode": "lines", "line": {**line(meaning, width), **more.pop("line", {})}}
        if shape:
            own["line"]["shape"] = shape
        known = y[~np.isnan(y)]
        said = name if label is None else label
        at = (None, float(known[-1])) if said and len(known) else None
        trace = self._scatter(x, y, name, **own, **more)
        return Mark(trace, self, said if at else "", at, meaning)

    def rule(self, at: float, meaning: str, name: str, *, width: float = 2,
             label: str | None = None, **more) -> Mark:  # fmt: skip
        """A level across the whole panel."""
        ends = self._ends("x")
        return self.curve(ends, [at, at], meaning, name, width=width, label=label, **more)

    def upright(self, at: float, name: str = "here", **more) -> Mark:
        """A thin line from the bottom to the top: where the slider stands."""
        look = {"color": INK, "width": 1, "dash": "3px,2px"}
        trace = self._scatter([at, at], self._ends("y"), name, mode="lines", line=look, **more)
        return Mark({**trace, "hoverinfo": "skip"}, self)

    def points(self, x, y, meaning: str, name: str, *, size=10, key: bool = True,
               look: Mapping | None = None, label: str = "", **more) -> Mark:  # fmt: skip
        """Dots; `size` is one number or one for each."""
        look = {**(look or marker(meaning)), "size": listed(size)}
        trace = self._scatter(x, _mean(y), name, mode="markers", marker=look, **more)
        colour = look["color"]
        if label and len(trace["x"]):
            return Mark(trace, self, label, (trace["x"][-1], trace["y"][-1]), colour)
        return Mark(trace, self, name if key else "", None, colour, look["symbol"])

    def here(self, x: float, y, meaning: str, name: str = "here", *, label: str = "",
             size: float = 15) -> Mark:  # fmt: skip
        """Where the reader stands: the mean of y (runs,) with one standard deviation."""
        y = np.atleast_1d(np.asarray(y, float))
        more = {}
        if len(y) > 1:
            spread = {"type": "data", "color": INK, "thickness": 2}
            more["error_y"] = spread | {"array": listed([y.std(ddof=1)])}
        point = self.points([x], [y.mean()], meaning, name, size=size, key=False, label=label)
        return Mark({**point.trace, **more}, self, point.said, point.at, meaning)

    def estimate(self, x: float, row: float, meaning: str, name: str, *, label: str = "",
                 ends: tuple[float, float] | None = None, size: float = 12,
                 look: Mapping | None = None, **more) -> Mark:  # fmt: skip
        """A dot in a row of `rows_of`, with its interval; its label stands at the right end."""
        if ends is not None:
            reach = {"array": listed([ends[1] - x]), "arrayminus": listed([x - ends[0]])}
            about = {"type": "data", "symmetric": False, "color": meaning, "thickness": 2}
            more["error_x"] = about | {"width": 4} | reach
        point = self.points([x], [row], meaning, name, size=size, key=False, look=look, **more)
        return Mark(point.trace, self, label, (None, row) if label else None, meaning)

    def bars(self, x, y, meaning: str, name: str, *, key: bool = True, **more) -> Mark:
        """Upright bars, or lying ones with ``orientation="h"``."""
        look = {"color": meaning, **more.pop("marker", {})}
        trace = {"type": "bar", "name": name, "x": listed(x), "y": listed(y), "marker": look}
        return Mark({**trace, **self._where, **more}, self, name if key else "", None, meaning,
                    "square")  # fmt: skip

    def heat(self, z, x, y, name: str, low: float, high: float, scale, **more) -> Mark:
        """Cells (rows, columns), from the bottom up; NaN leaves one empty."""
        cells = np.round(np.asarray(z, float), 3)
        z = np.where(np.isnan(cells), None, cells).tolist() if np.isnan(cells).any() else (
            cells.tolist())  # fmt: skip
        trace = {"type": "heatmap", "name": name, "x": listed(x), "y": listed(y), "z": z,
                 "zmin": low, "zmax": high, "colorscale": scale, "showscale": False,
                 **self._where, **more}  # fmt: skip
        return Mark(trace, self)

    def border(self, inside, across, up, meaning: str, name: str, *, width: float = 3,
               key: bool = True) -> Mark:  # fmt: skip
        """The line between cells that are in and cells that are out, as `borders` takes them."""
        x, y = inside if isinstance(inside, tuple) else borders(inside, across, up)
        trace = {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y,
                 "line": line(meaning, width), "hoverinfo": "skip", **self._where}  # fmt: skip
        return Mark(trace, self, name if key else "", None, meaning, "line")

    def label(self, x: float, y: float, words: str, meaning: str = INK, **look) -> Mark:
        """Words beside a place, without a trace, apart from the labels of the other marks."""
        at = (float(x), float(y)) if np.isfinite([x, y]).all() else None
        return Mark(None, self, words if at else "", at, meaning, look=look)

    def note(self, x: float, y: float, text: str, meaning: str = INK, *,
             font: Mapping | None = None, **more) -> dict[str, Any]:  # fmt: skip
        """Words right at a place, for `Mosaic.picture`; `more` is of plotly's annotations."""
        low, high = self.across
        bottom, top = self.up
        place = {"x": low + self.fraction("x", x) * (high - low), "xref": "paper"}
        place |= {"y": bottom + self.fraction("y", y) * (top - bottom), "yref": "paper"}
        look = {"size": SIZE, "color": TEXT.get(meaning, INK), **(font or {})}
        return {**place, "text": text, "showarrow": False, "font": look, **more}

    def names(self, x, y, names: Sequence[str], *, size: int = 11, **more) -> list[dict[str, Any]]:
        """Names of points as notes, each with a thin line to its own; none covers another.

        One for which there is no room is left out, and all after the first thirty: let the point
        say its name when hovered.
        """
        points = [(self.fraction("x", a), self.fraction("y", b)) for a, b in zip(x, y, strict=True)]
        spots = near(tuple(points), tuple(map(len, names[:30])), self.pixels, size)
        look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": ORACLE,
                "standoff": 5, "borderpad": 0, "font": {"size": size}, **more}  # fmt: skip
        return [
            self.note(x[i], y[i], names[i], **{"ax": spot[0], "ay": -spot[1], **look})
            for i, spot in enumerate(spots) if spot
        ]  # fmt: skip

    @property
    def _where(self) -> dict[str, str]:
        return {"xaxis": _axis_name("x", self.number), "yaxis": _axis_name("y", self.number)}

    def _scatter(self, x, y, name: str, **more) -> dict[str, Any]:
        x, y = listed(x), listed(y)
        kind = {"type": "scatter", "name": name, "x": x, "y": y, "hovertemplate": self._hover()}
        return {**kind, **self._where, "showlegend": False, **more}

    def _hover(self) -> str:
        """Both numbers, as their axes write them, with one digit more; a row has none."""
        told = []
        for letter in "xy":
            own = getattr(self.axes, letter)
            if "ticktext" in own:
                continue
            share = own.get("tickformat", "").endswith("%")
            told.append(f"%{{{letter}:{'.1%' if share else '.4~g'}}}")
        return ", ".join(told)

    def _ends(self, letter: str) -> list[float]:
        own = getattr(self.axes, letter)
        ends = own["range"]
        return [10**end for end in ends] if own.get("type") == "log" else list(ends)

    def fraction(self, letter: str, value: float) -> float:
        """How far along the panel's axis a value is, from 0 to 1 within it."""
        own = getattr(self.axes, letter)
        low, high = own["range"]
        value = np.log10(value) if own.get("type") == "log" else value
        return float((value - low) / (high - low))


# -- the figure ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Panels by name, each an attribute: ``panels.errors.curve(…)``."""

    panels: Mapping[str, Panel]
    height: int
    margin: Mapping[str, int]
    layout: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Panel:
        try:
            return self.panels[name]
        except KeyError:
            known = ", ".join(self.panels)
            raise AttributeError(f"no panel {shown(name)}; there are {known}") from None

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
            What the words say beyond the finding.
        notes : sequence of dict, optional
            Words in the panels beside those of the marks, as `Panel.note` makes them.
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
        """Over each panel its title, then its key: entries in their colours, side by side."""
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
        """Direct labels: beside the right end of a panel, or at a place in it; none on another."""
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
        """Each mark with the height of its label, in paper's units, none of a panel on another."""
        by_panel = sorted(marks, key=lambda mark: mark.panel.number)
        for panel, own in groupby(by_panel, lambda mark: mark.panel):
            own = sorted(own, key=lambda mark: "yshift" in mark.look)  # those that stay come last
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
        Rows of names, from the top: ``"map errors / map margins"``. A name that stands in several
        cells is one panel over all of them.
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
    >>> plain = Axes(axis("x", 0, 1), axis("y", 0, 1))
    >>> both = mosaic("left right", left=plain, right=plain)
    >>> both.right.number, [round(end, 2) for end in both.left.across]
    (2, [0.0, 0.46])
    """
    grid = [row.split() for row in text.split("/")]
    names = dict.fromkeys(name for row in grid for name in row)
    if set(names) != set(panels) or len({len(row) for row in grid}) != 1:
        raise ValueError(f"the panels {shown(list(panels))} do not fill {shown(text)}")
    spans = {name: _span(grid, name) for name in names}
    columns, rows = len(grid[0]), len(grid)
    top = lines * TITLE_LINE + TITLE_ROOM
    top += HEAD
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
    lefts = _ends_of(columns, widths, [b / WIDTH for b in beside[1:-1]])
    downs = _ends_of(rows, heights, [(b + HEAD) / inner for b in between[:-1]])
    made = {}
    for number, (name, (r0, c0, r1, c1)) in enumerate(spans.items(), 1):
        across = lefts[c0][0], lefts[c1 - 1][1]
        up = 1 - downs[r1 - 1][1], 1 - downs[r0][0]
        wide = WHOLE - beside[0] - beside[-1]
        pixels = wide * (across[1] - across[0]), inner * (up[1] - up[0])
        made[name] = Panel(name, number, panels[name], across, up, pixels)
    return Mosaic(made, height, margin)


def _span(grid: Sequence[Sequence[str]], name: str) -> tuple[int, int, int, int]:
    """First row and column, and the ones after the last, of the cells of a name."""
    cells = np.array([[cell == name for cell in row] for row in grid])
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _ends_of(count: int, sizes: Sequence[float] | None, gaps: Sequence[float]) -> list[tuple]:
    """Where each of several parts begins and ends between 0 and 1, with gaps between them."""
    sizes = np.ones(count) if sizes is None else np.asarray(sizes, float)
    sizes = sizes / sizes.sum() * (1 - sum(gaps))
    begin = np.r_[0, np.cumsum(sizes[:-1] + np.asarray(gaps, float))]
    return [(float(a), float(a + size)) for a, size in zip(begin, sizes, strict=True)]


def _foot(axes: Axes) -> int:
    """Pixels under a panel: the axis' numbers and its title."""
    numbers = 0 if axes.x.get("showticklabels") is False else 20
    return 8 + numbers + (22 if axes.x["title"]["text"] else 0)


def _axes_of(panel: Panel) -> dict[str, dict]:
    """Plotly's two axes of a panel."""
    x, y = _axis_name("x", panel.number), _axis_name("y", panel.number)
    own = {"x": {"domain": list(panel.across), "anchor": y}}
    own["y"] = {"domain": list(panel.up), "anchor": x}
    small = {"tickfont": {"size": SIZE}}
    found = {}
    for letter, name in zip("xy", (x, y), strict=True):
        axis = getattr(panel.axes, letter)
        title = {"text": axis["title"]["text"], "font": {"size": SIZE}, "standoff": 6}
        found[f"{letter}axis{name[1:]}"] = {**small, **own[letter], **axis, "title": title}
    return found


def _axis_name(letter: str, number: int) -> str:
    return letter if number == 1 else f"{letter}{number}"


def _note(mark: Mark, place: Mapping, anchor: str, shift: float) -> dict:
    font = {"size": SIZE, "color": TEXT.get(mark.colour, INK)}
    look = {"showarrow": False, "xanchor": anchor, "yanchor": "middle", "align": anchor}
    refs = {"xref": "paper", "yref": "paper"}
    return {**place, **refs, **look, "xshift": shift, "text": mark.said, "font": font}


def apart(wanted: Sequence[float], room: float, least: float = BETWEEN) -> list[float]:
    """Heights near the wanted ones, each `least` from the next, within 0 and `room`.

    Those in each other's way stand together around their mean.

    >>> apart([10, 12, 90], 100)
    [3.5, 18.5, 90.0]
    """
    order = np.argsort(wanted, kind="stable")
    groups: list[list[int]] = []

    def first(group: list[int]) -> float:
        high = (len(group) - 1) * least
        mean = float(np.mean([wanted[i] for i in group]))
        return max(0.0, min(mean - high / 2, room - high))

    for i in order.tolist():
        groups.append([i])
        while len(groups) > 1 and first(groups[-1]) < first(groups[-2]) + len(groups[-2]) * least:
            groups[-2:] = [groups[-2] + groups[-1]]
    heights = {i: first(group) + k * least for group in groups for k, i in enumerate(group)}
    return [heights[i] for i in range(len(wanted))]


@lru_cache(256)
def near(points: tuple, letters: tuple[int, ...], room: tuple[float, float], size: int) -> list:
    """How far in pixels the middle of each point's label lies from it; None where nowhere is free.

    Points are fractions of the room, from the lower left; a label is as wide as its letters.

    >>> near(((0.5, 0.5), (0.5, 0.5)), (4, 4), (100, 100), 10)
    [(20.0, 0.0), (-20.0, 0.0)]
    """
    points = [(room[0] * x, room[1] * y) for x, y in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    found = []
    for (x, y), count in zip(points, letters, strict=False):
        half, tall, spot = 0.3 * size * count + 2, 0.6 * size, None
        tries = [(part * (half + 6), 0.5 * size * row) for row in range(-20, 21)
                 for part in (0, 1, -1, 0.3, -0.3, 0.7, -0.7, 1.4, -1.4, 2, -2)]  # fmt: skip
        tries.sort(key=lambda move: 3 * abs(move[1]) + abs(move[0]))
        for a, b in tries:
            box = x + a - half, y + b - tall, x + a + half, y + b + tall
            inside = 0 < box[0] and 0 < box[1] and box[2] < room[0] and box[3] < room[1]
            if inside and not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3]
                                  and t[1] < box[3] for t in taken):  # fmt: skip
                spot = a, b
                taken.append(box)
                break
        found.append(spot)
    return found


# -- numbers ------------------------------------------------------------------------------------


def listed(values: Any) -> Any:
    """Numbers that JSON can hold: NaN as None, six digits; names and single numbers as they are."""
    if isinstance(values, str | int | float | None):
        return values
    if isinstance(values, np.generic):
        return listed(values.item())
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return [listed(row) for row in values]
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":  # most are: as a whole
        found = values.astype(float).round(6).tolist()
        return found if np.isfinite(values).all() else [_short(value) for value in found]
    return [_short(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def _short(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    return round(value, 6) if np.isfinite(value) else None


def _mean(values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind in "OUS":
        return values
    return values.mean(0) if values.ndim == 2 else values.astype(float)


def borders(inside: np.ndarray, across: np.ndarray, up: np.ndarray) -> tuple[list, list]:
    """Lines between cells (rows, columns) that are in and cells that are out.

    `across` and `up` are the edges of the cells; None parts one line from the next.
    """
    x, y = [], []
    for cells, edges, along, first, second in (
        (inside, across, up, x, y),  # upright lines, between columns
        (inside.T, up, across, y, x),
    ):
        for edge, change in zip(edges[1:-1], (cells[:, 1:] != cells[:, :-1]).T, strict=True):
            ends = np.flatnonzero(np.diff(np.r_[0, change, 0]))
            for low, high in along[ends].reshape(-1, 2).round(3).tolist():
                first += [round(float(edge), 3)] * 2 + [None]
                second += [low, high, None]
    return x, y
