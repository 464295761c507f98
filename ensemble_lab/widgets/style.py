"""One meaning for each colour in the series, with a shape or dash in addition.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish. Each has a
contrast of 3:1 or more to the white ground, as WCAG 2.1 requires for graphics (1.4.11), except
`MIDDLE`: its fills have an outline of `INK`.
"""

from __future__ import annotations

SMALL = "#0072B2"  # small model, draft
BIG = "#D55E00"  # big model, target
COMBINED = "#009E73"  # the ensemble
WRONG = "#CC79A7"  # wrong, rejected, ruined
ORACLE = "#666666"  # bounds and references: out of reach, or without skill
MIDDLE = "#56B4E9"  # a model between the small and the big one
INK = "#222222"  # text, and what the reader has set or drawn

CLASSES = ("#5B3F97", "#8A5A00")  # the two classes of a map, ground and points alike
GROUND = ("#E7E1F3", "#F6EBD3")  # the same, pale

TEXT = {SMALL: "#00639B", BIG: "#A84A00", COMBINED: "#00704F", WRONG: "#9C4A78", ORACLE: "#595959",
        MIDDLE: "#2A6F97", INK: INK, **dict(zip(CLASSES, CLASSES, strict=True))}  # fmt: skip
"""The colour of text about a mark: darker than the mark, 4.5:1 or more on white."""

LOOK = {
    SMALL: ("circle", "dot"),
    BIG: ("square", "dash"),
    COMBINED: ("diamond", "solid"),
    WRONG: ("x", "longdashdot"),
    ORACLE: ("star", "dashdot"),
    INK: ("circle-open", "longdash"),
}
"""The symbol of points and the dash of lines."""


def marker(colour: str, size: int = 12) -> dict:
    """A marker of that meaning: its colour and its shape."""
    symbol, _ = LOOK[colour]
    hollow = symbol.endswith("-open")  # then there is only the outline
    outline = {"width": 2, "color": colour} if hollow else {"width": 1, "color": "white"}
    return {"color": colour, "symbol": symbol, "size": size, "line": outline}


def line(colour: str, width: int = 3) -> dict:
    """A line of that meaning: its colour and its dash."""
    return {"color": colour, "dash": LOOK[colour][1], "width": width}


LAYOUT = {
    "template": "plotly_white",
    "height": 460,
    "margin": {"l": 70, "r": 20, "t": 80, "b": 60},
    "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
    "font": {"size": 13, "color": INK},
    "legend": {"orientation": "h", "y": -0.2},
    "hovermode": "closest",
    "hoverlabel": {"namelength": -1},  # plotly cuts after 15 letters, also within one it escaped
    # The bar of buttons lies over the title. The one that saves the picture is kept.
    "modebar": {
        "remove": [
            "zoom",
            "pan",
            "select",
            "lasso",
            "zoomin",
            "zoomout",
            "autoscale",
            "resetscale",
            "sendcharttocloud",
        ]
    },
}
"""The layout that all figures share; an explorer's own is merged over it."""
