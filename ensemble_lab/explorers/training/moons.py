"""The problem that several explorers share: two half moons, and the map they are drawn on."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import make_moons

from ensemble_lab.widgets.axes import FRAMED, Axes, axis
from ensemble_lab.widgets.panels import borders
from ensemble_lab.widgets.style import GROUND

CELLS = 60  # of the map, along each side
LEFT, RIGHT, BOTTOM, TOP = -1.9, 2.9, -1.4, 1.9
ACROSS, UP = np.linspace(LEFT, RIGHT, CELLS + 1), np.linspace(BOTTOM, TOP, CELLS + 1)
MIDDLES = tuple((edges[1:] + edges[:-1]) / 2 for edges in (ACROSS, UP))
MAP = np.stack([one.ravel() for one in np.meshgrid(*MIDDLES)], axis=1)  # the middle of each cell

AXES = Axes(
    axis("", LEFT, RIGHT, **FRAMED, showticklabels=False),
    axis("", BOTTOM, TOP, **FRAMED, showticklabels=False),
    left=12,
)
SHADE = [[0, GROUND[0]], [0.5, "#FFFFFF"], [1, GROUND[1]]]
"""From class 0 to class 1, for a chance of class 1."""


def outline(inside: np.ndarray) -> tuple[list, list]:
    """The lines around the cells of the map (rows from below, columns) that are inside."""
    return borders(inside, ACROSS, UP)


def moons(rows: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other: places (n, 2) and classes (n,).

    `noise` is the standard deviation around the half circles.
    """
    return make_moons(rows, noise=noise, random_state=seed)
