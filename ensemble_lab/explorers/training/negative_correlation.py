"""Negative correlation: members that learn to differ, and what is left when their mean speaks."""

from __future__ import annotations

from ensemble_lab.explorers.training.negative_correlation_replay import (
    PROBLEMS,
    SEEDS,
    STRENGTHS,
    Sweep,
    sweep,
)
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line
from ensemble_lab.widgets.style import COMBINED, INK, ORACLE, SMALL, WRONG, line, marker

MEMBERS = (2, 4, 8, 16)
UNITS = (1, 2, 3, 4, 8)


def explorer() -> Explorer:
    """Small networks that learn at once, each rewarded for being unlike their mean.

    All strengths and five seeds of a setting are trained as one batch when it is first asked for.

    References
    ----------
    Liu and Yao, Ensemble learning via negative correlation, Neural Networks 12, 1999.
    Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, 1995.
    """
    return Explorer(
        name="negative-correlation",
        controls=(
            steps("strength", "strength of the penalty", STRENGTHS, 0.5,
                  "0: each learns as if alone. 1: only their mean counts, as in one network."),
            steps("members", "members", MEMBERS, 8, "How many networks learn together."),
            steps("units", "hidden units of each", UNITS, 2,
                  "How much a member could do alone."),
            choice("data", "data", PROBLEMS, PROBLEMS[0],
                   "A wave with noise, or how diabetes went on after a year."),
        ),
        draw=draw,
        presets=PRESETS,
        along="strength",
        sequence="strength",
    )  # fmt: skip


PATIENTS = {"data": PROBLEMS[1]}
PRESETS = {
    "independent members": {"strength": 0.0},
    "worse alone, better together": {"strength": 0.8},
    "too far: full strength": {"strength": 1.0},
    "does not pay: patients, full strength": PATIENTS | {"strength": 1.0},
    "does not pay: patients, able members": PATIENTS | {"strength": 0.8, "units": 8},
}


def draw(state: State) -> Picture:
    """Curves of the members, one bar minus another, and both over the strength."""
    found = sweep(state["data"], state["members"], state["units"])
    at = STRENGTHS.index(state["strength"])
    said = finding(found, state, at)
    return Picture(
        traces=[*curves(found, at), *bars(found, at), *over_strength(found, at)],
        layout=layout(found, at),
        finding=said,
        table=lambda: table(found),
        text=words(found, said),
    )


# -- the picture --------------------------------------------------------------------------------


def curves(found: Sweep, at: int) -> list[dict]:
    """Training rows, every member, their mean and, where there is one, the truth."""
    where, drawn = found.problem, found.curves[at]  # (m, g)
    grid, rows = where.across, where.learned[0]
    gaps = [*plain(grid), None] * len(drawn)
    apart = [value for curve in drawn for value in (*plain(curve), None)]
    hover = {"hovertemplate": "%{x:.2f}: %{y:.2f}"}
    return [
        {"type": "scatter", "mode": "markers", "name": "rows learned from",
         "x": plain(where.x[rows]), "y": plain(where.y[rows]), "marker": marker(INK, 6), **hover},
        {"type": "scatter", "mode": "lines", "name": "members", "x": gaps, "y": apart,
         "line": line(SMALL, 1), **hover},
        {"type": "scatter", "mode": "lines", "name": "without noise",
         "x": plain(grid[: len(where.truth)]),
         "y": plain(where.truth), "line": line(ORACLE, 2), **hover},
        {"type": "scatter", "mode": "lines", "name": "their mean", "x": plain(grid),
         "y": plain(drawn.mean(0)), "line": line(COMBINED, 4), **hover},
    ]  # fmt: skip


def bars(found: Sweep, at: int) -> list[dict]:
    """The members' error, the ambiguity hanging from its top, and what is left."""
    members, ambiguity, together = told(found, at)
    independent = found.together[0].mean()
    look = {"type": "bar", "width": 0.7, "xaxis": "x2", "yaxis": "y2", "showlegend": False,
            "hovertemplate": "%{y:.3f}"}  # fmt: skip

    def bar(place: int, name: str, height: float, colour: str, pattern: str, base: float = 0.0):
        return look | {
            "name": name,
            "x": [place],
            "y": plain([height]),
            "base": plain([base]),
            "marker": {"color": colour, "pattern": {"shape": pattern}},
        }

    pays = together <= independent
    return [
        bar(0, "members alone", members, SMALL, ""),
        bar(1, "ambiguity", ambiguity, COMBINED, "/", together),
        bar(2, "together", together, COMBINED if pays else WRONG, "x"),
        {"type": "scatter", "mode": "lines", "name": "together, independent", "x": [-0.5, 2.5],
         "y": plain([independent] * 2), "line": line(ORACLE, 2), "xaxis": "x2", "yaxis": "y2",
         "showlegend": False, "hovertemplate": "%{y:.3f}"},
    ]  # fmt: skip


def over_strength(found: Sweep, at: int) -> list[dict]:
    """The three numbers of the bars for every strength, means over the seeds."""
    here = found.together[at]
    look = {"xaxis": "x3", "yaxis": "y3", "hovertemplate": "strength %{x}: %{y:.3f}"}
    lines = {
        "members alone, mean error": (found.alone, line(SMALL)),
        "ambiguity": (found.ambiguity, line(INK, 2)),
        "together": (found.together, line(COMBINED, 4)),
    }
    return [
        *({"type": "scatter", "mode": "lines", "name": name, "x": list(STRENGTHS),
           "y": plain(error.mean(1)), "line": style, **look}
          for name, (error, style) in lines.items()),
        {"type": "scatter", "mode": "markers", "name": "you are here", "x": [STRENGTHS[at]],
         "y": plain([here.mean()]), "marker": marker(INK, 16),
         "error_y": {"type": "data", "array": plain([here.std(ddof=1)]), "color": INK}, **look},
    ]  # fmt: skip


def told(found: Sweep, at: int) -> tuple[float, float, float]:
    """Members' error, ambiguity and the whole's error, means over the seeds."""
    return tuple(float(one[at].mean()) for one in (found.alone, found.ambiguity, found.together))


def layout(found: Sweep, at: int) -> dict:
    """Curves and bars above, the strength below."""
    members, ambiguity, together = told(found, at)
    low, high = found.problem.y.min(), found.problem.y.max()
    room = 0.15 * (high - low)
    labels = [f"alone\n{members:.3f}", f"− ambiguity\n{ambiguity:.3f}",
              f"= together\n{together:.3f}"]  # fmt: skip
    error = {"title": {"text": "squared error, held out"}}
    return {
        "height": 700,
        "barmode": "overlay",
        "legend": {"orientation": "h", "y": -0.12},
        "xaxis": {"domain": [0, 0.55], "title": {"text": found.problem.titles[0]}},
        "yaxis": {"domain": [0.5, 1], "title": {"text": found.problem.titles[1]},
                  "range": [low - room, high + room]},
        "xaxis2": {"domain": [0.68, 1], "anchor": "y2", "range": [-0.5, 2.5],
                   "tickvals": [0, 1, 2], "ticktext": labels},
        "yaxis2": {"domain": [0.5, 1], "anchor": "x2", "rangemode": "tozero", **error},
        "xaxis3": {"domain": [0, 1], "anchor": "y3", "range": [-0.03, 1.03],
                   "title": {"text": "strength of the penalty (no unit)"}},
        "yaxis3": {"domain": [0, 0.34], "anchor": "x3",
                   "range": [0, 2.5 * found.together[0].mean()], **error},
    }  # fmt: skip


def plain(values) -> list[float]:
    """Floats that JSON can hold."""
    return [round(float(value), 5) for value in values]


# -- in words -----------------------------------------------------------------------------------


def finding(found: Sweep, state: State, at: int) -> str:
    """What the members are alone and together here, and which strength would be best."""
    members, ambiguity, whole = told(found, at)
    together = found.together.mean(1)
    best = int(together.argmin())
    here, most = (f"{one / together[0] - 1:+.0%}" for one in (whole, together[best]))
    change = "as independent as can be" if at == 0 else f"{here} against strength 0"
    return (
        f"Strength {state['strength']:g}: alone {members:.3f}, minus an ambiguity of"
        f" {ambiguity:.3f}, makes {whole:.3f} together ({change})"
        f"\nBest together at strength {STRENGTHS[best]:g} ({most})"
    )


def words(found: Sweep, said: str) -> str:
    """The picture for those who cannot see it."""
    ends = [
        f"at strength {STRENGTHS[at]:g} the members' mean error is {found.alone[at].mean():.3f}"
        f" and that of their mean {found.together[at].mean():.3f}"
        for at in (0, -1)
    ]
    return f"{one_line(said, '. ')}. Means over {len(SEEDS)} seeds: {'; '.join(ends)}."


def table(found: Sweep):
    """Errors for every strength: means over the seeds, and the spread of the whole's."""
    import pandas as pd

    frame = {
        "members alone": found.alone.mean(1),
        "ambiguity": found.ambiguity.mean(1),
        "together": found.together.mean(1),
        "spread over 5 seeds": found.together.std(1, ddof=1),
    }
    return pd.DataFrame(frame, index=pd.Index(STRENGTHS, name="strength"))
