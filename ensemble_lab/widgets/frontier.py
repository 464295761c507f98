"""The last figure of a notebook: a method's settings by price, and its references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import check_known
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.unknown import model_means
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, reach
from ensemble_lab.widgets.picture import layout
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, marker

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FORMS = {"cost": (1e4, "USD per 10,000 items"), "latency": (1e3, "ms an item"),
         "calls": (1.0, "calls an item")}  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot")
OTHER = marker(ORACLE, 10) | {"symbol": "triangle-up"}


def frontier_figure(outcomes: Outcomes, lines: Mapping[str, pd.DataFrame], *, small: str = "",
                    big: str = "", against: str = "cost", finding: str = ""
                    ) -> go.Figure:  # fmt: skip
    """Lines of settings among all single models, the oracle, and a random mixture of two models.

    Parameters
    ----------
    outcomes : Outcomes
        Each of its models is a dot, and the oracle is over all of them.
    lines : mapping of name to data frame
        Frames of `frontier` for the same items; with ``low`` and ``high`` also intervals.
    small, big : str, optional
        The models of the random mixture, drawn as the small and the big one.
    against : {"cost", "latency", "calls"}
    finding : str
        The title: one or two short lines.

    Raises
    ------
    KeyError, ValueError
        A model, a column or a field that does not exist.
    """
    import plotly.graph_objects as go

    check_known(against, FORMS, "column", "frontier")
    factor, unit = FORMS[against]
    paid = np.ones(len(outcomes.models))
    if against != "calls":
        values = require(outcomes, against, "frontier_figure")
        paid = model_means(factor * values, outcomes.absent)
    right, oracle = outcomes.accuracy(), outcomes.oracle()
    ways = {name: table.sort_values(against) for name, table in lines.items()}
    widest = np.nanmax([*paid, *(factor * way[against].max() for way in ways.values())])
    every = np.concatenate([right, [oracle], *(way["accuracy"] for way in ways.values())])
    room = max(0.07 * (np.nanmax(every) - np.nanmin(every)), 0.005)
    across = axis(unit, -0.06 * widest, 1.1 * widest, zeroline=False)
    up = shares("right", np.nanmin(every) - room, np.nanmax(every) + room)
    panels = mosaic("one", lines=finding.count("\n") + 1, one=Axes(across, up, "", 62, 96))
    panel, names = panels.one, [named(name, 24) for name in outcomes.models]
    marks, looks, called, drawn = [panel.rule(oracle, ORACLE, "oracle")], {}, [], {}
    if small and big:
        x, y = (values[outcomes.columns((small, big))] for values in (paid, right))
        dots = {"label": "", "line": {"dash": "dot"}}
        marks.append(panel.curve(x, y, ORACLE, "random mixture", **dots))
        called.append((x.mean(), y.mean(), "random mixture", ORACLE))
        drawn["random mixture"] = x, y
        looks = {small: marker(SMALL, 13), big: marker(BIG, 13)}
    for (name, way), dash in zip(ways.items(), DASHES * len(ways), strict=False):
        drawn[name] = factor * way[against].to_numpy(), way["accuracy"].to_numpy()
        marks.append(_line(panel, drawn[name][0], way, name, dash))
    called += [(*_alone(drawn, name), name, COMBINED) for name in ways]
    called += zip(paid, right, names, len(names) * [INK], strict=True)
    x, y, words, meanings = zip(*called, strict=True)
    notes = panel.names(x, y, words, lines=marks, meanings=meanings)
    own = {"hovertemplate": "%{text}: %{x:.4~g}, %{y:.1%}", "key": False}
    for x, y, name, short in zip(paid, right, outcomes.models, names, strict=True):
        look = looks.get(name, OTHER)
        own |= {"look": look, "size": look["size"], "text": [short]}
        marks.append(panel.points([x], [y], look["color"], short, **own))
    picture = panels.picture(marks, finding, lambda: None, notes=notes)
    return go.Figure(picture.traces, layout(picture))


def _line(panel: Panel, x: np.ndarray, way: pd.DataFrame, name: str, dash: str) -> Mark:
    """The settings of a method in the order of their price."""
    y, more = way["accuracy"].to_numpy(), {}
    if {"low", "high"} <= set(way):
        more["error_y"] = reach(y, way["low"], way["high"], COMBINED, thickness=1)
    return panel.curve(x, y, COMBINED, name, width=4, label="", line={"dash": dash}, **more)


def _alone(drawn: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str) -> tuple[float, float]:
    """Where the name of a line is: at its end, or before it where others come close."""
    x, y = drawn[name]
    gaps = [abs(y - np.interp(x, *drawn[other])) for other in drawn if other != name]
    gap = np.min([np.ones(len(x)), *gaps], axis=0)
    at = np.flatnonzero(gap >= gap.max() * 2 / 3)[-1]
    return x[at], y[at]
