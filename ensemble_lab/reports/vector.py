"""A figure as SVG, for pages without scripts, such as in a mail or a preview."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.widgets.plain import unescaped
from ensemble_lab.widgets.style import INK, ORACLE

WIDTH = 840  # pixels
DASHES = {"dot": "2 4", "dash": "9 5", "longdash": "14 6", "dashdot": "9 4 2 4",
          "longdashdot": "14 4 2 4"}  # fmt: skip
NAMED = {"white": "#ffffff", "black": "#000000"}  # names that plotly's Python part cannot mix
LETTER = 0.52  # width of a letter, for a height of 1
ANCHORS = {"left": "start", "center": "middle", "right": "end"}
POLYGONS = {  # corners around (0, 0), for a size of 2
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "triangle-up": ((-1.15, 0.7), (1.15, 0.7), (0, -1.3)),
    "triangle-left": ((0.7, -1.15), (0.7, 1.15), (-1.3, 0)),
    "triangle-right": ((-0.7, -1.15), (-0.7, 1.15), (1.3, 0)),
    "star": tuple((r * math.sin(k * math.pi / 5), -r * math.cos(k * math.pi / 5))
                  for k in range(10) for r in (1.4 if k % 2 == 0 else 0.55,)),
}  # fmt: skip
STROKES = {  # lines around (0, 0)
    "x": ((-1, -1, 1, 1), (-1, 1, 1, -1)),
    "cross": ((-1, 0, 1, 0), (0, -1, 0, 1)),
    "line-ns": ((0, -1, 0, 1),),
    "line-ew": ((-1, 0, 1, 0),),
}


@dataclass(frozen=True)
class Axis:
    """Positions of values along one axis, in pixels."""

    about: Mapping[str, Any]
    start: float
    end: float

    def place(self, value: Any) -> float:
        """The pixel of a value; NaN for an unknown place."""
        if self.about.get("type") == "category" or isinstance(value, str):
            names = list(self.about.get("categoryarray", ()))
            value = names.index(value) if value in names else None
        if value is None or (self.about.get("type") == "log" and value <= 0):
            return math.nan
        low, high = self.about["range"]
        value = math.log10(value) if self.about.get("type") == "log" else value
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Pixels and texts of the ticks."""
        values = self.about.get("tickvals")
        if values is None:
            values = nice(*self.about["range"])
        values = numbers(values)
        texts = self.about.get("ticktext") or [
            written(value, self.about.get("tickformat", "")) for value in values
        ]
        for value, text in zip(values, texts, strict=False):
            at = self.place(value)
            if min(self.start, self.end) - 1 <= at <= max(self.start, self.end) + 1:
                yield at, text


def svg(figure: Mapping[str, Any], strict: bool = False) -> str:
    """The figure as an ``<svg>`` element, WIDTH pixels wide.

    Parameters
    ----------
    figure : mapping
        ``data`` and ``layout`` as `still.plain_figure` gives them: lines, markers, texts, bars,
        heat maps and annotations. Other parts are left out.
    strict : bool
        Whether a trace of which nothing can be drawn is refused.

    Raises
    ------
    ValueError
        As `strict` asks.
    """
    data = _grouped([_placed(trace) for trace in figure["data"]], figure["layout"])
    layout = _ranged(data, figure["layout"])
    height, margin = layout.get("height", 460), layout["margin"]
    box = (margin["l"], margin["t"], WIDTH - margin["r"], height - margin["b"])
    axes = {
        name: _axis(layout, name, box) for name in layout if name.startswith(("xaxis", "yaxis"))
    }
    parts = [_frame(name, axis, axes) for name, axis in axes.items() if axis.about.get("range")]
    for trace in data:
        x, y = (axes.get(_full(trace.get(f"{a}axis", a))) for a in "xy")
        made = []
        if x and y and x.about.get("range") and y.about.get("range"):
            made = list(DRAWN.get(trace["type"], lambda *_: ())(trace, x, y))
        empty = trace["type"] in DRAWN and not any(map(_has_values, map(trace.get, "xyz")))
        if strict and not made and not empty and trace.get("visible", True) is True:
            raise ValueError(f"nothing of a trace of type {shown(trace['type'])} can be drawn")
        parts += made
    title = layout.get("title", {})
    for k, words in enumerate(title.get("text", "").split("<br>")):
        size = title.get("font", {}).get("size", 16)
        parts.append(_text(8, 20 + k * 1.3 * size, words, size))
    parts += [_annotation(note, axes, box) for note in layout.get("annotations", ())]
    parts += _legend(data, layout, box[0], height - 8)
    look = 'role="img" style="max-width: 100%" font-family="sans-serif"'
    size = f'viewBox="0 0 {WIDTH} {float(height):g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>{"".join(parts)}</svg>'


def _placed(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    """A heat map's numbers in rows; places 0, 1, … where none are given, as plotly does."""
    if trace["type"] != "heatmap":
        places = {"x": range(len(numbers(trace.get("y", ())))),
                  "y": range(len(numbers(trace.get("x", ()))))}  # fmt: skip
        return {**{a: list(at) for a, at in places.items() if at}, **trace}
    z = trace["z"]
    if isinstance(z, Mapping):
        z = np.reshape(numbers(z), [int(side) for side in z["shape"].split(",")]).tolist()
    known = [value for row in z for value in row if value is not None]
    ends = {"zmin": min(known, default=0), "zmax": max(known, default=1)}
    places = {"x": list(range(len(z[0]) if z else 0)), "y": list(range(len(z)))}
    return {**ends, **places, **trace, "z": z}


def _grouped(data: Sequence[Mapping], layout: Mapping) -> list[Mapping]:
    """Bars of several traces at the same places side by side, as plotly draws them."""
    bars: dict[tuple, list[int]] = {}
    for i, trace in enumerate(data):
        if trace["type"] == "bar" and "width" not in trace and "offset" not in trace:
            bars.setdefault((trace.get("xaxis", "x"), trace.get("yaxis", "y")), []).append(i)
    found = list(data)
    for group in bars.values() if layout.get("barmode", "group") == "group" else ():
        places = [numbers(data[i]["y" if data[i].get("orientation") == "h" else "x"])
                  for i in group]  # fmt: skip
        if len(set().union(*places)) < sum(map(len, places)):  # some are at the same place
            width = 0.8 / len(group)
            for k, i in enumerate(group):
                found[i] = {**data[i], "width": width, "shift": width * (k - (len(group) - 1) / 2)}
    return found


def _has_values(values: Any) -> bool:
    """Whether any of plotly's values is known."""
    return isinstance(values, Mapping) or any(value is not None for value in values or ())


def _ranged(data: Sequence[Mapping], layout: Mapping) -> dict[str, Any]:
    """The layout with a range for each axis: the given one, or that of its numbers or names."""
    found = {"xaxis": {}, "yaxis": {}, **layout}
    for name in [name for name in found if name.startswith(("xaxis", "yaxis"))]:
        axis = found[name]
        if axis.get("range") or axis.get("type") == "category":
            continue
        letter = name[0]
        values = [
            value
            for trace in data
            if _full(trace.get(f"{letter}axis", letter)) == name
            for value in numbers(trace.get(letter, ()))
        ]
        names = list(dict.fromkeys(value for value in values if isinstance(value, str)))
        if names:
            texts = {"categoryarray": names, "tickvals": names, "ticktext": names}
            ends = [-0.5, len(names) - 0.5]
            ends = ends[::-1] if axis.get("autorange") == "reversed" else ends
            found[name] = {**texts, **axis, "type": "category", "range": ends}
            continue
        known = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
        known += _needed(data, axis, name) if known and axis.get("type") != "log" else []
        if axis.get("type") == "log":
            known = [math.log10(value) for value in known if value > 0]
        if known:
            room = 0.05 * (max(known) - min(known)) or 0.5
            ends = [min(known) - room, max(known) + room]
            found[name] = {
                **axis, "range": ends[::-1] if axis.get("autorange") == "reversed" else ends
            }  # fmt: skip
    return found


def _needed(data: Sequence[Mapping], axis: Mapping, name: str) -> list[float]:
    """What an axis shows besides its numbers: where bars begin, and the whole width of each."""
    found = [0] if axis.get("rangemode") in ("tozero", "nonnegative") else []
    for trace in data:
        if trace["type"] == "bar" and _full(trace.get(f"{name[0]}axis", name[0])) == name:
            along = "y" if trace.get("orientation") == "h" else "x"
            places = [v for v in numbers(trace[along]) if isinstance(v, int | float)]
            found += [min(places) - 0.4, max(places) + 0.4] if name[0] == along and places else [0]
    return found


def numbers(values: Any) -> list:
    """Values that plotly stores as a list or as packed bytes."""
    if isinstance(values, Mapping):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return list(values)


def _axis(layout: Mapping, name: str, box: Sequence[float]) -> Axis:
    about = layout[name]
    low, high = about.get("domain", (0, 1))
    left, top, right, bottom = box
    if name[0] == "x":
        return Axis(about, left + low * (right - left), left + high * (right - left))
    return Axis(about, bottom - low * (bottom - top), bottom - high * (bottom - top))


def _full(short: str) -> str:
    """``"x2"`` is ``"xaxis2"`` in a layout."""
    return f"{short[0]}axis{short[1:]}"


def _frame(name: str, axis: Axis, axes: Mapping[str, Axis]) -> str:
    """Grid lines, numbers and the title of an axis."""
    other = axes.get(_full(axis.about.get("anchor", "y" if name[0] == "x" else "x")))
    if other is None:
        return ""
    parts, along = [], name[0] == "x"
    near, far = other.start, other.end
    if axis.about.get("showline"):
        for edge in (near, far):
            ends = (
                (axis.start, edge, axis.end, edge) if along else (edge, axis.start, edge, axis.end)
            )
            parts.append(_line(*ends, ORACLE, 1))
    for at, words in axis.ticks():
        if axis.about.get("showgrid", True):
            ends = (at, near, at, far) if along else (near, at, far, at)
            parts.append(_line(*ends, "#E8E8E8", 1))
        if axis.about.get("showticklabels", True):
            spot = (at, near + 16, "middle") if along else (near - 6, at + 4, "end")
            turn, angle = "", axis.about.get("tickangle", 0)
            if along and isinstance(angle, int | float) and angle:
                spot = (at, near + 12, "end" if angle < 0 else "start")
                turn = f"rotate({angle} {at:.1f} {near + 12:.1f})"
            parts.append(_text(spot[0], spot[1], words, 12, spot[2], transform=turn))
    if words := axis.about.get("title", {}).get("text"):
        middle = (axis.start + axis.end) / 2
        if along:
            parts.append(_text(middle, near + 36, words, 12, "middle"))
        else:
            turned = f"rotate(-90 {near - 40:.1f} {middle:.1f})"
            parts.append(_text(near - 40, middle, words, 12, "middle", transform=turned))
    return "".join(parts)


# -- traces -------------------------------------------------------------------------------------


def _scatter(trace: Mapping, x: Axis, y: Axis) -> Iterator[str]:
    spots = [
        (x.place(a), y.place(b))
        for a, b in zip(numbers(trace["x"]), numbers(trace["y"]), strict=False)
    ]
    mode, opacity = trace.get("mode", "lines"), trace.get("opacity", 1)
    if trace.get("fill") == "tozeroy":
        yield from _areas(spots, y.place(0), trace.get("fillcolor", INK), opacity)
    if "lines" in mode:
        yield from _polylines(spots, trace.get("line", {}), opacity)
    for axis, name in ((x, "error_x"), (y, "error_y")):
        if name in trace:
            yield from _errors(trace, name, axis, spots)
    known = [(i, spot) for i, spot in enumerate(spots) if all(map(math.isfinite, spot))]
    if "markers" in mode:
        marker = trace.get("marker", {})
        for i, (a, b) in known:
            yield symbol(a, b, {key: _at(value, i) for key, value in marker.items()})
    if "text" in mode:
        font = trace.get("textfont", {})
        for i, (a, b) in known:
            where = _at(trace.get("textposition", "middle center"), i).split()
            lift, side = where if len(where) == 2 else (where[0], "center")
            anchor = {"left": "end", "right": "start"}.get(side, "middle")
            shift = {"top": -8, "bottom": 16}.get(lift, 4)
            size, colour = _at(font.get("size", 12), i), _at(font.get("color", INK), i)
            yield _text(a, b + shift, str(_at(trace["text"], i)), size, anchor, colour)


def _stretches(spots: Sequence) -> Iterator[list[tuple]]:
    """The runs of known places between those that are not known."""
    for known, run in groupby(spots, key=lambda spot: all(map(math.isfinite, spot))):
        if known:
            yield list(run)


def _points(places: Sequence) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)


def _areas(spots: Sequence, ground: float, colour: str, opacity: float) -> Iterator[str]:
    """What lies between a line and the height 0."""
    for run in _stretches(spots):
        closed = [(run[0][0], ground), *run, (run[-1][0], ground)]
        yield _tag("polygon", points=_points(closed), fill=colour, opacity=opacity)


def _polylines(spots: Sequence, line: Mapping, opacity: float) -> Iterator[str]:
    """One polyline for each run of known places; steps go across and then up."""
    dash = line.get("dash", "solid")
    dashes = DASHES.get(dash, dash.replace("px", "").replace(",", " "))
    for run in _stretches(spots):
        if line.get("shape") == "hv":
            corners = [(after[0], before[1]) for before, after in pairwise(run)]
            run = [run[0], *(spot for pair in zip(corners, run[1:], strict=True) for spot in pair)]
        yield _tag(
            "polyline",
            points=_points(run),
            fill="none",
            opacity=opacity,
            stroke=line.get("color", INK),
            stroke_width=line.get("width", 2),
            stroke_dasharray="" if dash == "solid" else dashes,
        )


def _errors(trace: Mapping, name: str, axis: Axis, spots: Sequence) -> Iterator[str]:
    error, values = trace[name], numbers(trace[name[-1]])
    up = numbers(error.get("array", ()))
    down = numbers(error.get("arrayminus", up))
    for i, (a, b) in enumerate(spots[: len(up)]):
        if None in (up[i], down[i], values[i]) or not (math.isfinite(a) and math.isfinite(b)):
            continue
        low, high = axis.place(values[i] - down[i]), axis.place(values[i] + up[i])
        ends = (low, b, high, b) if name[-1] == "x" else (a, low, a, high)
        if all(map(math.isfinite, ends)):
            yield _line(*ends, error.get("color", INK), error.get("thickness", 2))


def _bar(trace: Mapping, x: Axis, y: Axis) -> Iterator[str]:
    lying = trace.get("orientation") == "h"
    along, up = (y, x) if lying else (x, y)
    across, down = numbers(trace["x"]), numbers(trace["y"])
    names, values = (down, across) if lying else (across, down)
    marker = trace.get("marker", {})
    for i, (name, value) in enumerate(zip(names, values, strict=False)):
        if value is None:
            continue
        base, width = _at(trace.get("base", 0), i) or 0, _at(trace.get("width", 0.8), i) or 0.8
        first, middle = up.place(base), along.place(name)
        last = up.place(base + value)
        low, high = along.about["range"]
        unit = (along.end - along.start) / (high - low)
        middle += unit * trace.get("shift", 0)
        half = abs(width * unit) / 2
        ends = (first, last, middle - half, middle + half)
        if not all(map(math.isfinite, ends)):
            continue
        across, down = (ends[:2], ends[2:]) if lying else (ends[2:], ends[:2])
        yield _box(across, down, _at(marker.get("color", INK), i),
                   _at(marker.get("opacity", 1), i))  # fmt: skip


def _heat(trace: Mapping, x: Axis, y: Axis) -> Iterator[str]:
    """Adjacent cells of one colour are one box."""
    from plotly.colors import sample_colorscale

    low, high = trace.get("zmin", 0), trace.get("zmax", 1)
    across, up = (
        _edges([axis.place(v) for v in trace[name]]) for axis, name in ((x, "x"), (y, "y"))
    )
    # A scale in steps has two colours at one place, which must be two places to be read.
    tones = [[at, NAMED.get(tone, tone)] for at, tone in trace["colorscale"]]
    scale = [[at + 1e-9 * i * (0 < at < 1), tone] for i, (at, tone) in enumerate(tones)]
    steps = sample_colorscale(scale, [k / 20 for k in range(21)])
    if trace.get("reversescale"):
        steps = steps[::-1]
    for r, row in enumerate(trace["z"]):
        tones = [
            None if v is None else round(20 * min(1, max(0, (v - low) / (high - low)))) for v in row
        ]
        begin = 0
        for c in range(1, len(tones) + 1):
            if c == len(tones) or tones[c] != tones[begin]:
                if tones[begin] is not None:
                    box = (across[begin], across[c]), (up[r], up[r + 1])
                    yield _box(*box, steps[tones[begin]], 1)
                begin = c


def _edges(middles: Sequence[float]) -> list[float]:
    """Between the middles of cells, and half a cell beyond the first and last."""
    if len(middles) == 1:
        return [middles[0] - 10, middles[0] + 10]
    inner = [(a + b) / 2 for a, b in pairwise(middles)]
    return [2 * middles[0] - inner[0], *inner, 2 * middles[-1] - inner[-1]]


DRAWN: Mapping[str, Callable] = {"scatter": _scatter, "bar": _bar, "heatmap": _heat}


def symbol(x: float, y: float, marker: Mapping[str, Any]) -> str:
    """One marker; ``-open`` has its outline only."""
    name, half = str(marker.get("symbol", "circle")), (marker.get("size") or 8) / 2
    shape, is_open = name.removesuffix("-open"), name.endswith("-open")
    colour, rim = marker.get("color", INK), marker.get("line", {})
    stroke, width = _at(rim.get("color", colour), 0), rim.get("width", 0)
    stroke, width = (colour, max(width, 2)) if is_open else (stroke, width)
    fill = "none" if is_open else colour
    look = {"fill": fill, "stroke": stroke, "stroke_width": width}
    look["opacity"] = marker.get("opacity", 1)
    shape = shape.removesuffix("-thin")
    if shape in STROKES:
        far = 0.8 * half
        strokes = (
            (x + a * far, y + b * far, x + c * far, y + d * far) for a, b, c, d in STROKES[shape]
        )
        return "".join(_line(*ends, colour, max(2, half / 2.5)) for ends in strokes)
    if shape in POLYGONS:
        corners = " ".join(f"{x + half * a:.1f},{y + half * b:.1f}" for a, b in POLYGONS[shape])
        return _tag("polygon", points=corners, **look)
    return _tag("circle", cx=x, cy=y, r=half, **look)


# -- parts --------------------------------------------------------------------------------------


def _legend(data: Sequence[Mapping], layout: Mapping, x: float, y: float) -> Iterator[str]:
    """The names of traces in a row, each after its colour, where plotly would have a legend."""
    named = {t["name"]: t for t in data if t.get("name") and t.get("showlegend", True) is True}
    if not layout.get("showlegend", len(data) > 1):
        return
    for name, trace in named.items():
        colours = (trace.get(part, {}).get("color") for part in ("marker", "line"))
        colour = next((c for c in colours if isinstance(c, str)), INK)
        yield _box((x, x + 10), (y - 10, y), colour, 1)
        yield _text(x + 14, y, name)
        x += 30 + 0.56 * 12 * len(unescaped(str(name)))


def _annotation(note: Mapping, axes: Mapping[str, Axis], box: Sequence[float]) -> str:
    left, top, right, bottom = box
    spots = []
    for letter, low, high in (("x", left, right), ("y", bottom, top)):
        ref = note.get(f"{letter}ref", letter)  # as plotly does
        if ref == "paper":
            spots.append(low + note[letter] * (high - low))
        elif ref.endswith(" domain"):
            own = axes[_full(ref.removesuffix(" domain"))]
            spots.append(own.start + note[letter] * (own.end - own.start))
        else:
            about = axes[_full(ref)]
            value = note[letter]
            if about.about.get("type") == "log":  # annotations give the logarithm
                value = 10**value
            spots.append(about.place(value))
    x, y = spots[0] + note.get("xshift", 0), spots[1] - note.get("yshift", 0)
    if not (math.isfinite(x) and math.isfinite(y)):
        return ""
    font = note.get("font", {})
    size, weight = font.get("size", 12), font.get("weight", 400)
    anchor = ANCHORS.get(note.get("xanchor", "auto"), "middle")
    lines = str(note["text"]).split("<br>")
    behind = ""
    if note.get("showarrow", True):  # from the text, `ax` and `ay` pixels away, to the place
        head, away = (x, y), (note.get("ax", -10), note.get("ay", -30))
        x, y = x + away[0], y + away[1]
        behind = _arrow(note, head, away)
    if "bgcolor" in note:
        wide = LETTER * size * max(len(unescaped(words)) for words in lines)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        look = {"width": wide, "height": 1.2 * size * len(lines), "fill": note["bgcolor"]}
        behind += _tag("rect", x=left, y=y - 0.6 * size, **look)
    lift = {"bottom": -0.3, "top": 0.9}.get(note.get("yanchor", "middle"), 0.35) * size
    return behind + "".join(
        _text(
            x,
            y + lift + k * 1.2 * size,
            words,
            size,
            anchor,
            font.get("color", INK),
            font_weight=weight,
        )
        for k, words in enumerate(lines)
    )


def _arrow(note: Mapping, head: Sequence[float], away: Sequence[float]) -> str:
    """The line from an annotation's text to its place, without a head; none where they are near."""
    far, stop = math.hypot(*away), note.get("standoff", 0)
    if far <= stop:
        return ""
    start, end = (
        [at + part * d for at, d in zip(head, away, strict=True)] for part in (1, stop / far)
    )
    return _line(*start, *end, note.get("arrowcolor", INK), note.get("arrowwidth", 1))


def _tag(name: str, words: str | None = None, **attributes: Any) -> str:
    """An element; all text from a figure is escaped here."""
    written_out = "".join(
        f' {key.replace("_", "-")}="{html.escape(_short(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    return (
        f"<{name}{written_out}/>"
        if words is None
        else f"<{name}{written_out}>{html.escape(words)}</{name}>"
    )


def _short(value: Any) -> str:
    return f"{round(value, 1):g}" if isinstance(value, float) else str(value)


def _text(x: float, y: float, words: Any, size: float = 12, anchor: str = "start",
          colour: str = INK, **more: Any) -> str:  # fmt: skip
    look = {"font_size": size, "text_anchor": anchor, "fill": colour, **more}
    return _tag("text", unescaped(str(words)), x=float(x), y=float(y), **look)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = dict(zip(("x1", "y1", "x2", "y2"), map(float, (x1, y1, x2, y2)), strict=True))
    return _tag("line", **ends, stroke=colour, stroke_width=width)


def _box(across: Sequence[float], down: Sequence[float], colour: str, opacity: float) -> str:
    (left, right), (top, bottom) = sorted(across), sorted(down)
    size = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return _tag("rect", **size, fill=colour, opacity=opacity)


def _at(value: Any, i: int) -> Any:
    """The i-th of several, or the one for all."""
    return value[i % len(value)] if isinstance(value, list) and value else value


def nice(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two ends.

    >>> nice(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    low, high = min(low, high), max(low, high)
    raw = (high - low) / (most - 1) or 1.0
    size = 10 ** math.floor(math.log10(raw))
    step = next((size * k for k in (1, 2, 5, 10) if size * k >= raw * 0.999), size * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def written(value: float, format: str) -> str:
    """A number in those of plotly's formats that Python has too.

    >>> written(0.25, ".0%"), written(3.0, "d"), written(0.05, ""), written(2.0, "$,.2s")
    ('25%', '3', '0.05', '2')
    """
    try:
        return f"{round(value) if format.endswith('d') else value:{format.replace('~', '') or 'g'}}"
    except ValueError:
        return f"{value:g}"
