"""How the round stepper draws: the text in lines, the round's draft, the laws, the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.tokens.traces import ACCEPTED, BONUS, CORRECTED, PLAIN, TOP
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

if TYPE_CHECKING:
    from ensemble_lab.tokens.traces import Place, Trace

ACROSS = 10  # tokens a line
LONGEST = 11  # characters of a token that are shown
REJECTED, UNREAD = "rejected", "not looked at"
# A colour for who wrote it, and a shape for why it stands there.
MARKS = {
    ACCEPTED: marker(COMBINED, 14),
    CORRECTED: marker(BIG, 14),
    BONUS: marker(BIG, 14) | {"symbol": "triangle-up"},
    PLAIN: marker(BIG, 14) | {"symbol": "triangle-down"},
    REJECTED: marker(WRONG, 12),
    UNREAD: marker(ORACLE, 8) | {"symbol": "circle"},
}


def lines_of(one: Trace) -> int:
    """Lines that the text takes."""
    return -(-len(one.places) // ACROSS)


def traces_of(one: Trace, at: int) -> list[dict]:
    """Marks of every kind, the ring around the chosen token, three bars and the dice."""
    number, place = one.places[at]
    points = {kind: [] for kind in MARKS}
    for i, (_, each) in enumerate(one.places):
        points[each.verdict].append((*_where(i, lines_of(one)), each.token))
    here = one.rounds[number]
    for i, word in enumerate(here.drafted):
        kind = ACCEPTED if i < here.accepted else REJECTED if i == here.accepted else UNREAD
        points[kind].append((i + 1, 0, word))
    x, y = _where(at, lines_of(one))
    ring = marker(INK, 24)
    return [
        *(_marks(kind, points[kind]) for kind in MARKS),
        {"type": "scatter", "mode": "markers", "x": [x], "y": [y], "name": "chosen token",
         "marker": ring, "hoverinfo": "skip"},
        *_bars(place),
        *_dice(place),
    ]  # fmt: skip


def _where(i: int, lines: int) -> tuple[int, int]:
    """Column and height of a text's token; the lines run downwards, the draft lies at 0."""
    return i % ACROSS + 1, lines - i // ACROSS


def _marks(kind: str, points: list[tuple]) -> dict:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": kind,
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "text": [short(word) for _, _, word in points],
        "textposition": "bottom center",
        "marker": MARKS[kind],
        "cliponaxis": False,
        "hovertemplate": f"%{{text}}: {kind}<extra></extra>",
    }


def short(word: str) -> str:
    """A token that fits into its column."""
    return named(word if len(word) <= LONGEST else word[: LONGEST - 1] + "…")


def _bars(place: Place) -> list[dict]:
    laws = {
        "p, the target's law": (place.p, BIG, ""),
        "q, the draft's law": (place.q, SMALL, "/"),
        "residual, max(p - q, 0) scaled": (place.residual, COMBINED, "x"),
    }
    drafted = place.drafted is not None
    return [
        {
            "type": "bar",
            "name": name,
            "x": list(range(len(place.tokens))),
            "y": list(law) if drafted or colour == BIG else [0.0] * len(law),
            "marker": {"color": colour, "pattern": {"shape": pattern}},
            "customdata": [short(word) for word in place.tokens],
            "hovertemplate": f"%{{customdata}}: %{{y:.3g}}<extra>{name}</extra>",
            "xaxis": "x2",
            "yaxis": "y2",
        }
        for name, (law, colour, pattern) in laws.items()
    ]


def _dice(place: Place) -> list[dict]:
    """How far r may lie for the drafted token to stay, and where it lay."""
    axes = {"xaxis": "x3", "yaxis": "y3", "showlegend": False}
    known = place.ratio is not None
    return [
        {"type": "bar", "orientation": "h", "name": "p/q", "y": [0], "width": 0.4,
         "x": [min(place.ratio, 1.0)] if known else [0.0], "hovertemplate": "p/q: %{x:.3g}",
         "marker": {"color": COMBINED}, **axes},
        {"type": "scatter", "mode": "markers", "name": "r", "y": [0],
         "x": [place.r], "marker": marker(INK, 16) | {"symbol": "line-ns-open"},
         "hovertemplate": "r: %{x:.3g}", **axes},
    ]  # fmt: skip


# -- axes ---------------------------------------------------------------------------------------


def layout_of(one: Trace, at: int) -> dict:
    """Text above, laws and dice below; a frame around the chosen round's tokens."""
    number, place = one.places[at]
    lines = lines_of(one)
    upper, lower = [0.47, 1], [0.06, 0.33]
    names = [f"tokens {i * ACROSS + 1}–{(i + 1) * ACROSS}" for i in range(lines)]
    bare = {"showgrid": False, "zeroline": False}
    return {
        "height": 560 + 40 * max(0, lines - 2),
        "shapes": _frames(one, number),
        "annotations": _notes(place, lower[1]),
        "legend": {"orientation": "h", "y": -0.1},
        "xaxis": {"domain": [0, 1], "anchor": "y", "range": [0.4, ACROSS + 0.6], **bare,
                  "showticklabels": False},
        "yaxis": {"domain": upper, "anchor": "x", "range": [-0.6, lines + 0.5], **bare,
                  "tickvals": list(range(lines + 1)),
                  "ticktext": [f"draft of\nround {number + 1}", *reversed(names)]},
        "xaxis2": {"domain": [0, 0.64], "anchor": "y2", "range": [-0.6, TOP - 0.4], **bare,
                   "tickvals": list(range(len(place.tokens))),
                   "ticktext": [short(word) for word in place.tokens]},
        "yaxis2": {"domain": lower, "anchor": "x2", "range": [0, 1.05],
                   "title": {"text": "probability"}},
        "xaxis3": {"domain": [0.74, 1], "anchor": "y3", "range": [-0.02, 1.02], **bare,
                   "title": {"text": "r, drawn from 0 to 1"}},
        "yaxis3": {"domain": lower, "anchor": "x3", "range": [-0.5, 0.5], **bare,
                   "showticklabels": False},
    }  # fmt: skip


def _frames(one: Trace, number: int) -> list[dict]:
    """A frame for each line that has tokens of the round."""
    cells = [_where(i, lines_of(one)) for i, (n, _) in enumerate(one.places) if n == number]
    frames = []
    for y in dict.fromkeys(y for _, y in cells):
        columns = [x for x, height in cells if height == y]
        frames.append(
            {"type": "rect", "xref": "x", "yref": "y", "x0": min(columns) - 0.48, "y0": y - 0.48,
             "x1": max(columns) + 0.48, "y1": y + 0.36, "line": {"color": INK, "width": 1}}
        )  # fmt: skip
    return frames


def _notes(place: Place, top: float) -> list[dict]:
    fate = "nothing was drafted here"
    if place.drafted is not None:
        fate = "stays where r (|) is left of p/q" if place.r is not None else "no dice: greedy"
    chance = "" if place.drafted is None else f": a drafted token stays in {1 - place.falls:.0%}"
    told = {0.0: f"the laws at the chosen token{chance}", 0.74: fate}
    return [
        {"text": text, "x": x, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left",
         "yanchor": "bottom", "showarrow": False, "font": {"size": 12, "color": INK}}
        for x, text in told.items()
    ]  # fmt: skip
