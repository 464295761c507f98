"""A small explorer with everything that a panel shows: seven controls, presets, steps, a card."""

import pandas as pd

from ensemble_lab.widgets.controls import choice, many, steps
from ensemble_lab.widgets.explorer import Explorer
from ensemble_lab.widgets.picture import Picture

POWERS = tuple(range(1, 8))


def draw(state):
    x = list(range(-5, 6))
    y = [v ** state["power"] * state["scale"] for v in x]
    parts = list(state["parts"])
    finding = f"power {state['power']} times {state['scale']:g}\nover {len(parts)} parts"
    return Picture(
        traces=[
            {"type": "scatter", "x": x, "y": y, "name": "curve", "line": {"dash": state["dash"]}},
            {"type": "bar", "x": parts, "y": [len(parts)] * len(parts), "xaxis": "x2",
             "yaxis": "y2", "name": "parts"},
        ],
        layout={
            "xaxis": {"title": "x (m)", "domain": [0, 0.6]},
            "yaxis": {"title": {"text": "y (m)"}},
            "xaxis2": {"domain": [0.7, 1]},
            "yaxis2": {"anchor": "x2"},
            "shapes": [{"type": "line", "x0": state["power"], "x1": 2, "y0": 0, "y1": 1}],
        },
        finding=finding,
        table=lambda: pd.DataFrame({"x": x, "y": y}),
        text=f"The highest point is {max(y):g} <m>.",
    )  # fmt: skip


def card(state, item):
    if item != "three":
        raise ValueError(f"no item {item!r}; known are three")
    return pd.DataFrame({"item": [item], "value": [3 ** state["power"]]})


def toy(**changes):
    """The explorer; `changes` to its fields."""
    known = {
        "name": "toy",
        "controls": (
            steps("power", "Power", POWERS, 2, "To which power x is raised"),
            steps("scale", "Scale", (0.5, 1.0, 1.5), 1.0),
            choice("dash", "Dash", ("solid", "dot"), help="How the line is drawn"),
            many("parts", "Parts", ("a", "b", "c")),
            choice("grid", "Grid", (True, False)),
            steps("colour", "Colour", (0, 1), 0),
            many("members", "Members", tuple(f"m{i}" for i in range(70))),
        ),
        "draw": draw,
        "presets": {"Cubes": {"power": 3}, "Fails": {"power": 7, "scale": 1.5, "parts": ["b"]}},
        "along": "power",
        "sequence": "power",
        "card": card,
        "missing": {"price": "these numbers cost nothing"},
        "items": ("three",),
    }
    return Explorer(**{**known, **changes})
