"""The stacking explorer's picture, part by part: weights, members, and accuracy over depth."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.stacking_replay import DEPTHS, Stacks
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, line, marker

AVERAGE_ROW, STACK_ROW = "plain average", "the stack"


def heat_map(found: Stacks, weight: np.ndarray) -> dict:
    """Whose word counts for which class: `weight` (m, k)."""
    return {
        "type": "heatmap",
        "name": "weights",
        "x": list(found.classes),
        "y": list(found.members),
        "z": [plain(row) for row in weight],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Cividis",
        "reversescale": True,
        "colorbar": {"title": {"text": "weight"}, "thickness": 10, "len": 0.46, "x": 0.42,
                     "y": 0.78},
        "hovertemplate": "%{y}, class %{x}: weight %{z:.2f}<extra></extra>",
    }  # fmt: skip


def members(found: Stacks, depth: int, kind: int) -> list[dict]:
    """What the final model saw of each member, and what each is on held-out rows."""
    at = {"xaxis": "x2", "yaxis": "y2", "hovertemplate": "%{y}: %{x:.1%}"}
    names = list(found.members)
    seen, alone = found.seen[:, depth, kind], found.alone[:, depth]
    average, stack = found.average[:, depth], found.stack[:, depth, kind]
    pays = stack.mean() >= max(found.best[:, depth].mean(), average.mean())
    return [
        {"type": "scatter", "mode": "markers", "name": "as the final model saw it", "y": names,
         "x": plain(seen.mean(0)), "marker": marker(INK, 14), **at},
        {"type": "scatter", "mode": "markers", "name": "on held-out rows", "y": names,
         "x": plain(alone.mean(0)), "error_x": spread(alone, SMALL), "marker": marker(SMALL), **at},
        {"type": "scatter", "mode": "markers", "name": AVERAGE_ROW, "y": [AVERAGE_ROW],
         "x": plain([average.mean()]), "error_x": spread(average[:, None], ORACLE),
         "marker": marker(ORACLE, 14), "showlegend": False, **at},
        {"type": "scatter", "mode": "markers", "name": STACK_ROW, "y": [STACK_ROW],
         "x": plain([stack.mean()]), "error_x": spread(stack[:, None], INK),
         "marker": marker(COMBINED if pays else WRONG, 14), "showlegend": False, **at},
    ]  # fmt: skip


def curves(found: Stacks, depth: int, kind: int) -> list[dict]:
    """Held-out accuracy over the depth of the tree, and where the reader stands."""
    here = found.stack[:, depth, kind]
    drawn = {
        "stack, out-of-fold": (found.stack[:, :, 0], line(COMBINED, 4)),
        "stack, in-fold": (found.stack[:, :, 1], line(WRONG)),
        "the tree alone": (found.alone[:, :, -1], line(SMALL, 2)),
        "the best member alone": (found.best, line(BIG, 2)),
        AVERAGE_ROW: (found.average, line(ORACLE, 2)),
    }
    at = {"xaxis": "x3", "yaxis": "y3"}
    hover = "depth %{x}: %{y:.1%}"
    return [
        *({"type": "scatter", "mode": "lines", "name": name, "x": list(DEPTHS),
           "y": plain(share.mean(0)), "line": style, "hovertemplate": hover, **at}
          for name, (share, style) in drawn.items()),
        {"type": "scatter", "mode": "markers", "name": "you are here", "x": [DEPTHS[depth]],
         "y": plain([here.mean()]), "error_y": spread(here[:, None], INK),
         "marker": marker(INK, 16), "hovertemplate": hover, **at},
    ]  # fmt: skip


def layout(found: Stacks) -> dict:
    """Weights and members above, the curves below."""
    frame = {"showline": True, "mirror": True, "linecolor": ORACLE}  # pale cells end somewhere
    rows = [STACK_ROW, AVERAGE_ROW, *found.members[::-1]]
    whole, part = (
        np.floor(20 * min(share.mean(0).min() for share in some) - 0.5) / 20
        for some in ((found.stack, found.alone), (found.stack, found.average, found.best))
    )
    share = {"tickformat": ".0%", "title": {"text": "rows answered right"}}
    return {
        "height": 680,
        "margin": {"l": 110, "r": 20, "t": 90, "b": 60},
        "legend": {"orientation": "h", "y": -0.12},
        "xaxis": {"domain": [0, 0.4], "type": "category", "title": {"text": "class"},
                  "showgrid": False, **frame},
        "yaxis": {"domain": [0.56, 1], "autorange": "reversed", "showgrid": False,
                  "title": {"text": "member"}, **frame},
        "xaxis2": {"domain": [0.63, 1], "anchor": "y2", "range": [whole, 1.02], **share},
        "yaxis2": {"domain": [0.56, 1], "anchor": "x2", "type": "category",
                   "categoryorder": "array", "categoryarray": rows,
                   "range": [-0.6, len(rows) - 0.4]},
        "xaxis3": {"domain": [0, 1], "anchor": "y3", "dtick": 1, "range": [0.5, 12.5],
                   "title": {"text": "depth of the tree (questions in a row)"}},
        "yaxis3": {"domain": [0, 0.38], "anchor": "x3", "range": [part, 1.02], **share},
    }  # fmt: skip


def spread(shares: np.ndarray, colour: str) -> dict:
    """One standard deviation over the splits, the first axis."""
    return {"type": "data", "array": plain(shares.std(0, ddof=1)), "color": colour, "thickness": 2}


def plain(values) -> list[float]:
    """Floats that JSON can hold."""
    return [round(float(value), 5) for value in values]
