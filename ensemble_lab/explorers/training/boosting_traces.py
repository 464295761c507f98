"""The boosting explorer's picture, part by part: the rows and their weights, errors and margins."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.boosting_replay import (
    ACROSS,
    BOTTOM,
    LEFT,
    RIGHT,
    ROUNDS,
    TOP,
    UP,
    Rounds,
)
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, line, marker

USUAL = 9  # pixels across, of a row with the mean weight
LEAST, MOST = 3, 44
SHADE = [[0, "#FFFFFF"], [1, "#E4E4E4"]]


def rows(found: Rounds, at: int) -> list[dict]:
    """The map: where whole and stage say 1, and every row as large as its weight."""
    weight = found.weights[at] * len(found.X)  # 1 is the mean
    size = np.clip(USUAL * np.sqrt(weight), LEAST, MOST)  # areas are weights
    told = np.stack([weight, found.margins[at]], axis=1).round(3)
    ring = {"symbol": "circle-open", "color": ORACLE, "line": {"width": 2, "color": ORACLE}}
    kinds = {
        "class 0 (area: weight)": (found.label == 0, size, _solid("circle")),
        "class 1": (found.label == 1, size, _solid("square-open")),
        "label is wrong": (found.turned, size + 9, ring),
        "this stage errs": (found.wrong[at], 0.55 * size + 4, marker(WRONG)),
    }
    return [
        {"type": "heatmap", "name": "the whole says 1", "x": _middles(ACROSS), "y": _middles(UP),
         "z": found.whole[at].astype(int).tolist(), "zmin": 0, "zmax": 1, "colorscale": SHADE,
         "showscale": False, "hoverinfo": "skip"},
        *(_dots(found.X[which], diameter[which], told[which], look, name)
          for name, (which, diameter, look) in kinds.items()),
        _border(found.stage[at], line(SMALL), "border of this stage"),
        _border(found.whole[at], line(COMBINED), "border of the whole"),
    ]  # fmt: skip


def errors(found: Rounds, at: int) -> list[dict]:
    """Errors over the rounds, means of five draws, and where the reader stands."""
    here, tree = found.held[:, at], found.tree.mean()
    drawn = {
        "held-out error": (found.held, line(COMBINED, 4)),
        "training error": (found.train, line(INK, 2)),
        "the stage's own error, by weight": (found.stage_error, line(SMALL, 2)),
        "weight on wrong labels": (found.burden, line(WRONG)),
    }
    axes = {"xaxis": "x2", "yaxis": "y2", "hovertemplate": "round %{x}: %{y:.1%}"}
    pays = here.mean() <= found.held[:, 0].mean()  # as good as its first stage alone
    spread = {"type": "data", "array": plain([here.std(ddof=1)]), "color": INK, "thickness": 2}
    return [
        *({"type": "scatter", "mode": "lines", "name": name, "x": list(ROUNDS),
           "y": plain(share.mean(0)), "line": look, **axes}
          for name, (share, look) in drawn.items()),
        {"type": "scatter", "mode": "lines", "name": "one full-grown tree", "line": line(BIG, 2),
         "x": [ROUNDS[0], ROUNDS[-1]], "y": plain([tree, tree]), **axes},
        {"type": "scatter", "mode": "markers", "name": "held-out, here", "x": [ROUNDS[at]],
         "y": plain([here.mean()]), "error_y": spread, "showlegend": False,
         "marker": marker(COMBINED if pays else WRONG, 14), **axes},
        {"type": "scatter", "mode": "markers", "name": "training, here", "x": [ROUNDS[at]],
         "y": plain([found.train[:, at].mean()]), "marker": marker(INK, 12), "showlegend": False,
         **axes},
    ]  # fmt: skip


def margins(found: Rounds, at: int) -> list[dict]:
    """The share of rows with at most so large a margin: now, when errors ended, and turned ones."""
    now = found.margins[at]
    drawn = {
        "margins now": (now, line(COMBINED, 4)),
        "when training errors were first fewest": (found.margins[found.settled], line(ORACLE)),
        "margins of wrong labels": (now[found.turned], line(WRONG)),
    }
    return [
        {"type": "scatter", "mode": "lines", "name": name, "x": plain(np.sort(margin)),
         "y": plain(np.arange(1, len(margin) + 1) / len(margin) if len(margin) else []),
         "line": look | {"shape": "hv"}, "xaxis": "x3", "yaxis": "y3",
         "hovertemplate": "%{y:.0%} of rows have a margin of %{x:.2f} or less"}
        for name, (margin, look) in drawn.items()
    ]  # fmt: skip


def layout() -> dict:
    """The map on the left, errors above margins on the right."""
    frame = {"showline": True, "mirror": True, "linecolor": ORACLE, "showgrid": False,
             "zeroline": False}  # fmt: skip
    right = [0.6, 1]
    return {
        "height": 640,
        "margin": {"l": 60, "r": 20, "t": 90, "b": 60},
        "legend": {"orientation": "h", "y": -0.12},
        "xaxis": {"domain": [0, 0.5], "range": [LEFT, RIGHT], "title": {"text": "first measure"},
                  **frame},
        "yaxis": {"range": [BOTTOM, TOP], "title": {"text": "second measure"}, **frame},
        "xaxis2": {"domain": right, "anchor": "y2", "range": [0, len(ROUNDS) + 1],
                   "title": {"text": "rounds (stages)"}},
        "yaxis2": {"domain": [0.6, 1], "anchor": "x2", "range": [-0.01, 0.56],
                   "tickformat": ".0%", "title": {"text": "share of rows or weight"}},
        "xaxis3": {"domain": right, "anchor": "y3", "range": [-1.02, 1.02], "zeroline": True,
                   "zerolinecolor": INK, "title": {"text": "margin (votes for less against)"}},
        "yaxis3": {"domain": [0, 0.4], "anchor": "x3", "range": [0, 1.03], "tickformat": ".0%",
                   "title": {"text": "rows of at most it"}},
    }  # fmt: skip


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


def plain(values) -> list:
    """Floats that JSON can hold: None for NaN."""
    return [None if value != value else round(float(value), 5) for value in values]


def _border(inside: np.ndarray, look: dict, name: str) -> dict:
    x, y = borders(inside, ACROSS, UP)
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": look,
            "hoverinfo": "skip"}  # fmt: skip


def _dots(places: np.ndarray, size: np.ndarray, told: np.ndarray, look: dict, name: str) -> dict:
    hover = "weight %{customdata[0]:.2f} × the mean, margin %{customdata[1]:.2f}"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": plain(places[:, 0]),
        "y": plain(places[:, 1]),
        "customdata": told.tolist(),
        "marker": look | {"size": plain(size), "opacity": 1},  # 0.7 by default where sizes differ
        "hovertemplate": f"{name}: {hover}<extra></extra>",
    }


def _solid(symbol: str) -> dict:
    return {"symbol": symbol, "color": INK, "line": {"width": 1.5, "color": INK}}


def _middles(edges: np.ndarray) -> list[float]:
    return plain((edges[1:] + edges[:-1]) / 2)
