"""One meaning a colour in the whole series, and a shape or dash beside it.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

SMALL = "#0072B2"  # small model, draft
BIG = "#D55E00"  # big model, target
COMBINED = "#009E73"  # what the ensemble makes of them
WRONG = "#CC79A7"  # wrong, rejected, ruined
ORACLE = "#666666"  # bounds and references that nobody can reach or that take no skill

SYMBOL = {SMALL: "circle", BIG: "square", COMBINED: "diamond", WRONG: "x", ORACLE: "star"}
DASH = {SMALL: "solid", BIG: "dash", COMBINED: "solid", WRONG: "dot", ORACLE: "dashdot"}


def marker(colour: str, size: int = 12) -> dict:
    """A marker of that meaning: its colour and its shape."""
    outline = {"width": 1, "color": "white"}
    return {"color": colour, "symbol": SYMBOL[colour], "size": size, "line": outline}


def line(colour: str, width: int = 3) -> dict:
    """A line of that meaning: its colour and its dash."""
    return {"color": colour, "dash": DASH[colour], "width": width}


LAYOUT = {
    "template": "plotly_white",
    "height": 460,
    "margin": {"l": 70, "r": 20, "t": 80, "b": 60},
    "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
    "font": {"size": 13, "color": "#222222"},
    "legend": {"orientation": "h", "y": -0.2},
    "hovermode": "closest",
}
"""What all figures share; an explorer's own layout is laid over it."""
