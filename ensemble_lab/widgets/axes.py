"""Axes of panels with fixed ranges, which do not change while a slider is dragged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_lab.widgets.style import ORACLE


def axis(title: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    """A linear axis with the fixed range `low` to `high`."""
    return {"title": {"text": title}, "range": [float(low), float(high)], **more}


def shares(title: str, low: float = 0.0, high: float = 1.0, **more: Any) -> dict[str, Any]:
    """An axis of shares, written in per cent."""
    return axis(title, low, high, tickformat=".0%", **more)


def log_axis(title: str, ticks: Sequence[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with these ticks; the first and the last are its ends."""
    ends = np.log10([ticks[0], ticks[-1]])
    room = 0.03 * (ends[1] - ends[0])
    kind = {"type": "log", "tickvals": list(ticks), "minor": {"ticks": ""}}
    return axis(title, ends[0] - room, ends[1] + room, **kind, **more)


def rows_of(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis with a place 0, 1, … for each name, the first at the top of an upright axis."""
    places = {"tickvals": list(range(len(names))), "ticktext": list(names)}
    return axis("", len(names) - 0.5, -0.5, **places, showgrid=False, zeroline=False, **more)


FRAMED = {"showline": True, "mirror": True, "linecolor": ORACLE, "showgrid": False,
          "zeroline": False}  # fmt: skip
"""A frame for the axes of a map, whose pale cells need an edge."""


@dataclass(frozen=True)
class Axes:
    """A panel's two axes, its title, and the margins in pixels for numbers and labels."""

    x: Mapping[str, Any]
    y: Mapping[str, Any]
    title: str = ""
    left: int = 58
    right: int = 12
