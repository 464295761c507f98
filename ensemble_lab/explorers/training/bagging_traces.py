"""The bagging explorer's picture, part by part: the map, errors, what they are made of, pairs."""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np

from ensemble_lab.explorers.training.bagging_replay import (
    ACROSS,
    BOTTOM,
    CELLS,
    LEFT,
    MAP,
    MIDDLES,
    MOST,
    RIGHT,
    SIZES,
    TOP,
    UP,
    Bags,
    chance_of_one,
)
from ensemble_lab.explorers.training.boosting_traces import borders, plain
from ensemble_lab.training.bagging.bootstrap import variance_of_mean
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, line, marker

SHADE = [[0, "#FFFFFF"], [1, "#C8C8C8"]]
OWN_BORDERS = 3  # more members' borders than these are a tangle


def map_of(found: Bags, m: int) -> list[dict]:
    """The chance of class 1 by m members, their borders and the rows of one draw."""
    some = [borders(one, ACROSS, UP) for one in found.member[: min(m, OWN_BORDERS)]]
    whole = borders(found.chance[m - 1] > 0.5, ACROSS, UP)
    own = [list(chain(*parts)) for parts in zip(*some, strict=True)]
    x, y = MIDDLES
    heat = {"type": "heatmap", "name": "chance of class 1", "x": plain(x), "y": plain(y),
            "z": found.chance[m - 1].round(3).tolist(), "zmin": 0, "zmax": 1, "colorscale": SHADE,
            "showscale": False,
            "hovertemplate": "class 1: %{z:.0%} of what is said<extra></extra>"}  # fmt: skip
    return [
        heat,
        _border(own, line(SMALL, 2), f"borders of the first {OWN_BORDERS} members"),
        _border(_true_border(), line(ORACLE, 2), "the true border"),
        _border(whole, line(COMBINED), "border of the whole"),
        _rows(found.X[found.label == 0], "circle", "class 0"),
        _rows(found.X[found.label == 1], "square-open", "class 1"),
    ]


def errors(found: Bags, m: int) -> list[dict]:
    """Share of errors over the members, on new rows and on rows that a member has not seen."""
    axes = {"xaxis": "x2", "yaxis": "y2"}
    alone, here = found.alone.mean(), found.held[:, m - 1]
    gain = found.alone - here
    pays = gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5  # beyond the draws' own luck
    told = "%{x} members: %{y:.1%}"
    return [
        _curve("the whole, new rows", SIZES, found.held.mean(0), line(COMBINED, 4), told, **axes),
        _curve("out-of-bag, no new rows needed", SIZES, found.out_of_bag.mean(0), line(INK, 2),
               told, **axes),
        _curve("one learner, every row once", [1, MOST], [alone] * 2, line(BIG, 2), "%{y:.1%}",
               **axes),
        _point("here", m, here.mean(), marker(COMBINED if pays else WRONG, 14),
               here.std(ddof=1), **axes),
        _point("out-of-bag, here", m, found.out_of_bag[:, m - 1].mean(), marker(INK, 11), None,
               **axes),
    ]  # fmt: skip


def made_of(found: Bags, m: int) -> list[dict]:
    """The squared error over the members: measured, by the formula, its floor and the bias."""
    axes = {"xaxis": "x3", "yaxis": "y3"}
    told, ends = "%{x} members: %{y:.4f}", [1, MOST]
    return [
        _curve("bias² + ρσ² + (1 - ρ)σ²/m", SIZES, formula(found), line(COMBINED), told, **axes),
        {**_curve("measured", SIZES, found.squared.mean(0), line(SMALL), told, **axes),
         "mode": "markers", "marker": marker(SMALL, 7)},
        _curve("floor: bias² + ρσ²", ends, [found.floor] * 2, line(ORACLE), "%{y:.4f}", **axes),
        _curve("bias²", ends, [found.bias2] * 2, line(WRONG), "%{y:.4f}", **axes),
        _point("squared error, here", m, found.squared[:, m - 1].mean(), marker(COMBINED, 13),
               None, **axes),
    ]  # fmt: skip


def formula(found: Bags) -> np.ndarray:
    """Squared error (32,) that bias, variance and correlation foretell for 1, 2, … members."""
    return np.array(
        [found.bias2 + variance_of_mean(found.sigma2, found.rho, m) for m in SIZES.tolist()]
    )


def pairs(found: Bags, m: int) -> list[dict]:
    """How any two of the first m members are correlated; the diagonal is left empty."""
    shown = np.where(np.eye(m, dtype=bool), np.nan, found.correlation[:m, :m])
    names = list(range(1, m + 1))
    return [
        {"type": "heatmap", "name": "correlation", "x": names, "y": names,
         "z": [plain(row) for row in shown], "zmin": 0, "zmax": 1, "colorscale": "Cividis",
         "reversescale": True, "hoverongaps": False, "xaxis": "x4", "yaxis": "y4",
         "colorbar": {"title": {"text": "corr."}, "thickness": 10, "len": 0.4, "y": 0.2, "x": 0.41},
         "hovertemplate": "members %{x} and %{y}: %{z:.2f}<extra></extra>"},
    ]  # fmt: skip


def layout(found: Bags, m: int) -> dict:
    """Map above pairs on the left, errors above what they are made of on the right."""
    frame = {"showline": True, "mirror": True, "linecolor": ORACLE, "showgrid": False,
             "zeroline": False}  # fmt: skip
    left, right, upper, lower = [0, 0.46], [0.58, 1], [0.5, 1], [0, 0.36]
    members = {"type": "log", "range": [-0.05, np.log10(MOST) + 0.05], "title": {"text": "members"},
               "tickvals": [1, 2, 4, 8, 16, 32], "domain": right}  # fmt: skip
    numbers = {"range": [0.5, m + 0.5], "tickformat": "d", "dtick": max(1, m // 4), **frame}
    most = max(found.held.mean(0).max(), found.out_of_bag.mean(0).max(), found.alone.mean())
    return {
        "height": 780,
        "margin": {"l": 60, "r": 20, "t": 90, "b": 60},
        "legend": {"orientation": "h", "y": -0.1},
        "xaxis": {"domain": left, "range": [LEFT, RIGHT], "title": {"text": "first measure"},
                  **frame},
        "yaxis": {"domain": upper, "range": [BOTTOM, TOP], "title": {"text": "second measure"},
                  **frame},
        "xaxis2": {"anchor": "y2", **members},
        "yaxis2": {"domain": [0.58, 1], "anchor": "x2", "range": [0, 1.2 * most],
                   "tickformat": ".0%", "title": {"text": "share of errors"}},
        "xaxis3": {"anchor": "y3", **members},
        "yaxis3": {"domain": [0, 0.42], "anchor": "x3",
                   "range": [0, 1.1 * max(formula(found)[0], found.squared.mean(0)[0])],
                   "title": {"text": "squared error of the chance"}},
        "xaxis4": {"domain": [0, 0.4], "anchor": "y4", **numbers,
                   "title": {"text": "member (colour: how two go together)"}},
        "yaxis4": {"domain": lower, "anchor": "x4", "title": {"text": "member"}, **numbers},
    }  # fmt: skip


@cache
def _true_border() -> tuple[list, list]:
    return borders(chance_of_one(MAP).reshape(CELLS, CELLS) > 0.5, ACROSS, UP)


def _border(places, look: dict, name: str) -> dict:
    x, y = places
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": look,
            "hoverinfo": "skip"}  # fmt: skip


def _rows(places: np.ndarray, symbol: str, name: str) -> dict:
    look = {"color": INK, "symbol": symbol, "size": 6, "line": {"width": 1.5, "color": INK}}
    return {"type": "scatter", "mode": "markers", "name": name, "marker": look,
            "x": plain(places[:, 0]), "y": plain(places[:, 1]),
            "hovertemplate": name + "<extra></extra>"}  # fmt: skip


def _curve(name: str, x, y, look: dict, told: str, **axes) -> dict:
    return {"type": "scatter", "mode": "lines", "name": name, "x": [int(m) for m in x],
            "y": plain(y), "line": look, "hovertemplate": told, **axes}  # fmt: skip


def _point(name: str, m: int, height: float, look: dict, spread: float | None, **axes) -> dict:
    bar = {} if spread is None else {"error_y": {"type": "data", "array": plain([spread]),
                                                 "color": INK, "thickness": 2}}  # fmt: skip
    return {"type": "scatter", "mode": "markers", "name": name, "x": [m], "y": plain([height]),
            "marker": look, "showlegend": False, "hovertemplate": "%{x} members: %{y:.4g}",
            **bar, **axes}  # fmt: skip
