"""Condorcet's jury: what a majority is worth when its members fail apart, or together."""

from __future__ import annotations

import numpy as np

from ensemble_lab.answers.diversity import condorcet
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL, WRONG, line, marker

MEMBERS = np.arange(1, 102, 2)  # odd: no ties


def explorer() -> Explorer:
    """How right a majority of equally good members is.

    References
    ----------
    Ladha, The Condorcet jury theorem, free speech, and correlated votes, AJPS 36, 1992.
    """
    controls = (
        steps("members", "members", MEMBERS, 11, "How many vote; odd, so that there are no ties."),
        steps(
            "accuracy",
            "accuracy of each member",
            np.round(np.arange(0.3, 0.9951, 0.005), 3),
            0.7,
            "How often one member alone is right.",
        ),
        steps(
            "correlation",
            "error correlation",
            np.round(np.arange(0, 1.001, 0.01), 2),
            0.3,
            "0: errors are independent. 1: all members are copies of one.",
        ),
    )
    return Explorer(
        name="condorcet",
        controls=controls,
        draw=draw,
        presets={
            "a jury as Condorcet thought": {"members": 11, "accuracy": 0.7, "correlation": 0.0},
            "the same jury, reading the same paper": {
                "members": 11,
                "accuracy": 0.7,
                "correlation": 0.3,
            },
            "fails: copies of one model": {"members": 101, "accuracy": 0.9, "correlation": 0.95},
            "fails: worse than a coin": {"members": 51, "accuracy": 0.45, "correlation": 0.0},
        },
        along="members",
        sequence="members",
    )


def draw(state: State) -> Picture:
    """Majority accuracy against members, independent and correlated."""
    members, accuracy, rho = (state[key] for key in ("members", "accuracy", "correlation"))
    free, tied = condorcet(MEMBERS, accuracy), condorcet(MEMBERS, accuracy, rho)
    at = int(np.searchsorted(MEMBERS, members))
    ends = [1, int(MEMBERS[-1])]
    limit = ceiling(accuracy, rho)
    floor = np.floor(10 * (min(free.min(), tied.min()) - 0.01)) / 10  # steps: it seldom jumps
    traces = [
        _curve(MEMBERS.tolist(), free, line(SMALL), "errors independent"),
        _curve(MEMBERS.tolist(), tied, line(COMBINED, 4), f"errors correlate by {rho:g}"),
        _curve(ends, [accuracy] * 2, line(BIG, 2), "one member alone"),
        _curve(ends, [limit] * 2, line(ORACLE, 2), "with ever more such members"),
        _point(members, free[at], SMALL, "this jury, if independent"),
        _point(members, tied[at], COMBINED if tied[at] >= accuracy - 1e-9 else WRONG, "this jury"),
    ]
    said = finding(state, float(free[at]), float(tied[at]))
    return Picture(
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "members"}, "range": [0, 102]},
            "yaxis": {
                "title": {"text": "chance that the majority is right"},
                "tickformat": ".0%",
                "range": [floor, 1 + 0.04 * (1 - floor)],
            },
        },
        finding=said,
        table=lambda: table(free, tied),
        text=f"{one_line(said)}. With ever more such members: {limit:.1%}.",
    )


def ceiling(accuracy: float, correlation: float) -> float:
    """What the majority tends to with ever more members: its luck is shared, so not 1.

    The share of members who are right then follows the beta law of `condorcet`.
    """
    from scipy.stats import beta

    if correlation == 0:
        return float(np.heaviside(accuracy - 0.5, 0.5))
    if correlation == 1:
        return float(accuracy)
    strength = (1 - correlation) / correlation
    return float(beta.sf(0.5, accuracy * strength, (1 - accuracy) * strength))


def finding(state: State, free: float, tied: float) -> str:
    """What this jury is worth, in a sentence."""
    members, accuracy, rho = (state[key] for key in ("members", "accuracy", "correlation"))
    if members == 1:
        return f"One member is right {accuracy:.1%} of the time: add some"
    worth = 100 * (tied - accuracy)
    start = f"{members} members of {accuracy:.1%} each make a majority of {tied:.1%}"
    if rho == 0:
        return f"{start}: {worth:+.1f} points,\nif each errs on its own"
    return (
        f"{start} ({worth:+.1f} points),\nnot the {free:.1%} of independent ones: their errors"
        f" correlate by {rho:g}"
    )


def table(free: np.ndarray, tied: np.ndarray):
    """The two curves as a data frame."""
    import pandas as pd

    index = pd.Index(MEMBERS, name="members")
    return pd.DataFrame({"independent": free, "correlated": tied}, index=index)


def _curve(x, y, style: dict, name: str) -> dict:
    y = [round(float(value), 6) for value in y]
    hover = "%{x} members: %{y:.2%}<extra>" + name + "</extra>"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": style,
        "name": name,
        "hovertemplate": hover,
    }


def _point(x: int, y: float, colour: str, name: str) -> dict:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [round(float(y), 6)],
        "marker": marker(colour, 14),
        "name": name,
        "hovertemplate": "%{x} members: %{y:.2%}<extra>" + name + "</extra>",
    }
