"""Marks on a panel: the meaning of each determines its colour, symbol and dash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble_lab.widgets.axes import Axes
from ensemble_lab.widgets.labels import near
from ensemble_lab.widgets.style import INK, ORACLE, TEXT, line, marker

SIZE, SMALLER = 12, 11  # pixels: of labels, keys and titles of panels; of names of points


@dataclass(frozen=True, eq=False)
class Mark:
    """One trace, and its label on the picture."""

    trace: dict[str, Any] | None  # for plotly; None for a label only
    panel: Panel
    said: str = ""  # the direct label, or the entry in the panel's key; empty for neither
    # Where the direct label is, in the panel's units; x is None at the panel's right end. Without
    # it `said` goes into the key.
    at: tuple[float | None, float] | None = None
    colour: str = INK
    symbol: str = ""  # of the key
    # More of plotly's annotation for the direct label. One with a ``yshift`` is not moved to avoid
    # others.
    look: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Panel:
    """Part of a figure with its own axes. Each method makes one mark with a meaning.

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
        """A line; its label is at its right end."""
        y = _mean(y)
        own = {"mode": "lines", "line": {**line(meaning, width), **more.pop("line", {})}}
        if shape:
            own["line"]["shape"] = shape
        known = y[~np.isnan(y)]
        said = name if label is None else label
        at = (None, float(known[-1])) if said and len(known) else None
        trace = self._scatter(x, y, name, **own, **more)
        return Mark(trace, self, said if at else "", at, meaning)

    def rule(self, at: float, meaning: str, name: str, **more) -> Mark:
        """A level across the whole panel."""
        return self.curve(self._ends("x"), [at, at], meaning, name, **more)

    def upright(self, at: float, name: str = "here") -> Mark:
        """A thin line from the bottom to the top, at the position of the slider."""
        look = {"color": INK, "width": 1, "dash": "3px,2px"}
        trace = self._scatter([at, at], self._ends("y"), name, mode="lines", line=look)
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

    def here(self, x: float, y, meaning: str, name: str = "here", *, size: float = 15,
             ends: tuple[float, float] | None = None) -> Mark:  # fmt: skip
        """The reader's setting: y with its interval, or the mean and spread of y (runs,)."""
        y = np.atleast_1d(np.asarray(y, float))
        more = {}
        if ends is not None:
            more["error_y"] = reach(y, [ends[0]], [ends[1]])
        elif len(y) > 1:
            spread = {"type": "data", "color": INK, "thickness": 2}
            more["error_y"] = spread | {"array": listed([y.std(ddof=1)])}
        return self.points([x], [y.mean()], meaning, name, size=size, key=False, **more)

    def estimate(self, x: float, row: float, meaning: str, name: str, *, label: str = "",
                 ends: tuple[float, float] | None = None, size: float = 12,
                 look: Mapping | None = None, **more) -> Mark:  # fmt: skip
        """A dot in a row of `rows_of`, with its interval; its label is at the right end."""
        if ends is not None:
            more["error_x"] = reach([x], [ends[0]], [ends[1]], meaning) | {"width": 4}
        point = self.points([x], [row], meaning, name, size=size, key=False, look=look, **more)
        return Mark(point.trace, self, label, (None, row) if label else None, meaning)

    def bars(self, x, y, meaning: str, name: str, *, key: bool = True, **more) -> Mark:
        """Vertical bars, or horizontal ones with ``orientation="h"``."""
        look = {"color": meaning, **more.pop("marker", {})}
        trace = {"type": "bar", "name": name, "x": listed(x), "y": listed(y), "marker": look}
        return Mark({**trace, **self._where, **more}, self, name if key else "", None, meaning,
                    "square")  # fmt: skip

    def heat(self, z, x, y, name: str, low: float, high: float, scale, **more) -> Mark:
        """Cells (rows, columns), from the bottom up; NaN leaves one empty."""
        cells = np.round(np.asarray(z, float), 3)
        z = (np.where(np.isnan(cells), None, cells) if np.isnan(cells).any() else cells).tolist()
        trace = {"type": "heatmap", "name": name, "x": listed(x), "y": listed(y), "z": z,
                 "zmin": low, "zmax": high, "colorscale": scale, "showscale": False,
                 **self._where, **more}  # fmt: skip
        return Mark(trace, self)

    def border(self, lines: tuple[list, list], meaning: str, name: str, *, width: float) -> Mark:
        """The lines of `borders`, between cells that are in and cells that are out."""
        x, y = lines
        trace = {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y,
                 "line": line(meaning, width), "hoverinfo": "skip", **self._where}  # fmt: skip
        return Mark(trace, self, name, None, meaning, "line")

    def label(self, x: float, y: float, words: str, meaning: str = INK, **look) -> Mark:
        """Text next to a place, without a trace, kept clear of the labels of other marks."""
        at = (float(x), float(y)) if np.isfinite([x, y]).all() else None
        return Mark(None, self, words if at else "", at, meaning, look=look)

    def note(self, x: float, y: float, text: str, meaning: str = INK, *,
             font: Mapping | None = None, **more) -> dict[str, Any]:  # fmt: skip
        """Text exactly at a place, for `Mosaic.picture`; `more` is for plotly's annotation."""
        low, high = self.across
        bottom, top = self.up
        place = {"x": low + self.fraction("x", x) * (high - low), "xref": "paper"}
        place |= {"y": bottom + self.fraction("y", y) * (top - bottom), "yref": "paper"}
        look = {"size": SIZE, "color": TEXT.get(meaning, INK), **(font or {})}
        return {**place, "text": text, "showarrow": False, "font": look, **more}

    def names(self, x, y, names: Sequence[str], *, size: int = SMALLER, lines: Sequence[Mark] = (),
              meanings: Sequence[str] = (), **more) -> list[dict[str, Any]]:  # fmt: skip
        """Names of points as notes, each with a thin line to its own; none covers another.

        None lies on one of the `lines`, which are curves on this panel. Names without room are left
        out, and so are all after the first thirty: show them when a point is hovered. The text
        is in the colours of `meanings`, one a name.
        """
        drawn = [np.array([mark.trace["x"], mark.trace["y"]], float) for mark in lines]
        drawn = tuple(self._fractions(*way[:, np.isfinite(way).all(0)]) for way in drawn)
        lengths = tuple(map(len, names[:30]))
        spots = near(self._fractions(x, y), lengths, self.pixels, size, drawn)
        look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": ORACLE,
                "standoff": 5, "borderpad": 0, "font": {"size": size}, **more}  # fmt: skip
        return [
            self.note(x[i], y[i], names[i], *meanings[i : i + 1],
                      **{"ax": spot[0], "ay": -spot[1], **look})
            for i, spot in enumerate(spots) if spot
        ]  # fmt: skip

    @property
    def _where(self) -> dict[str, str]:
        return {"xaxis": axis_name("x", self.number), "yaxis": axis_name("y", self.number)}

    def _scatter(self, x, y, name: str, **more) -> dict[str, Any]:
        x, y = listed(x), listed(y)
        kind = {"type": "scatter", "name": name, "x": x, "y": y, "hovertemplate": self._hover()}
        return {**kind, **self._where, "showlegend": False, **more}

    def _hover(self) -> str:
        """A hover text with both numbers in their axes' format and one more digit."""
        formats = []
        for letter in "xy":
            own = getattr(self.axes, letter)
            if "ticktext" in own:
                continue
            share = own.get("tickformat", "").endswith("%")
            formats.append(f"%{{{letter}:{'.1%' if share else '.4~g'}}}")
        return ", ".join(formats)

    def _ends(self, letter: str) -> list[float]:
        own = getattr(self.axes, letter)
        ends = own["range"]
        return [10**end for end in ends] if own.get("type") == "log" else list(ends)

    def _fractions(self, x, y) -> tuple[tuple[float, float], ...]:
        """Places as fractions of the panel, from the lower left."""
        return tuple((self.fraction("x", a), self.fraction("y", b))
                     for a, b in zip(x, y, strict=True))  # fmt: skip

    def fraction(self, letter: str, value: float) -> float:
        """The position of a value along the panel's axis, from 0 to 1."""
        own = getattr(self.axes, letter)
        low, high = own["range"]
        value = np.log10(value) if own.get("type") == "log" else value
        return float((value - low) / (high - low))


def axis_name(letter: str, number: int) -> str:
    """Plotly's name for the axis of the panel with that number."""
    return letter if number == 1 else f"{letter}{number}"


def reach(values, low, high, colour: str = INK, thickness: int = 2) -> dict[str, Any]:
    """Plotly's ``error_x`` or ``error_y``: bars from `low` to `high` through the values."""
    ends = {"array": np.subtract(high, values), "arrayminus": np.subtract(values, low)}
    look = {"type": "data", "symmetric": False, "color": colour, "thickness": thickness}
    return look | {name: listed(each) for name, each in ends.items()}


# -- numbers ------------------------------------------------------------------------------------


def listed(values: Any) -> Any:
    """Numbers that JSON can hold: NaN as None, six digits; names and single numbers unchanged."""
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

    `across` and `up` are the edges of the cells; None separates the lines.
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
