"""Condorcet's jury: what a majority is worth when its members fail apart, or together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import beta

from ensemble_lab.answers.diversity import condorcet
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL, WRONG

MEMBERS = np.arange(1, 102, 2)  # odd: no ties
ACCURACIES = np.round(np.arange(0.3, 0.9951, 0.005), 3)
CORRELATIONS = np.round(np.arange(0, 1.001, 0.01), 2)


def _worth(state: State) -> float:
    at = np.searchsorted(MEMBERS, state["members"])
    return float(right(state["accuracy"], state["correlation"])[at])


@lru_cache(64)
def right(accuracy: float, correlation: float) -> np.ndarray:
    """How often a majority of each of `MEMBERS` is right."""
    return condorcet(MEMBERS, accuracy, correlation)


TASKS = (
    Task("Without correlation: how many members at 70 % make a majority at 99 %?",
         lambda state, picture: state["correlation"] == 0 and state["accuracy"] == 0.7
         and _worth(state) >= 0.99),
    Task("Make 101 members that gain less than one point on a single one.",
         lambda state, picture: state["members"] == 101
         and 0 <= _worth(state) - state["accuracy"] < 0.01),
    Task("Find a jury in which more members do harm.",
         lambda state, picture: state["members"] > 1 and _worth(state) < state["accuracy"] - 0.01),
)  # fmt: skip


def explorer() -> Explorer:
    """How right a majority of equally good members is.

    References
    ----------
    Ladha, The Condorcet jury theorem, free speech, and correlated votes, AJPS 36, 1992.
    """
    return Explorer(
        name="condorcet",
        controls=(
            steps("members", "members", MEMBERS, 11,
                  "How many vote; odd, so that there are no ties."),
            steps("accuracy", "accuracy of each", ACCURACIES, 0.7,
                  "How often one member alone is right."),
            steps("correlation", "error correlation", CORRELATIONS, 0.3,
                  "0: errors are independent. 1: all members are copies of one."),
        ),
        draw=draw,
        presets={
            "errors apart": {"correlation": 0.0},
            "errors together": {},
            "copies": Failing(members=101, accuracy=0.9, correlation=0.95),
            "below a coin": Failing(members=51, accuracy=0.45, correlation=0.0),
        },
        sequence="members",
        tasks=TASKS,
    )  # fmt: skip


def draw(state: State) -> Picture:
    """Majority accuracy against members, independent and correlated."""
    members, accuracy, rho = (state[key] for key in ("members", "accuracy", "correlation"))
    free, tied = right(accuracy, 0.0), right(accuracy, rho)
    at = int(np.searchsorted(MEMBERS, members))
    limit = ceiling(accuracy, rho)
    low = np.floor(10 * min(free.min(), tied.min(), limit)) / 10  # in steps: it seldom jumps
    panels = mosaic(
        "jury",
        height=420,
        jury=Axes(axis("members", 0, 102), shares("", 1.04 * low - 0.04, 1.04 - 0.04 * low),
                  "Chance that the majority is right", 48, 168),
    )  # fmt: skip
    panel = panels.jury
    marks = [
        panel.upright(members),
        panel.rule(limit, ORACLE, "ever more such members"),
        panel.rule(accuracy, BIG, "one member alone"),
        panel.curve(MEMBERS, free, SMALL, "errors independent", label=None if rho else ""),
        panel.curve(MEMBERS, tied, COMBINED, "this jury", width=4,
                    label=f"errors correlate by {rho:g}"),
        panel.here(members, free[at], SMALL, "if independent, here", size=10),
        panel.here(members, tied[at], COMBINED if tied[at] >= accuracy - 1e-9 else WRONG,
                   "this jury, here"),
    ]  # fmt: skip
    said = finding(state, float(free[at]), float(tied[at]))
    also = f"With ever more such members: {limit:.1%}."
    return panels.picture(marks, said, lambda: table(free, tied), also)


def ceiling(accuracy: float, correlation: float) -> float:
    """What the majority tends to with ever more members: its luck is shared, so not 1.

    The share of members who are right then follows the beta distribution of `condorcet`.
    """
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
        return f"{start} ({worth:+.1f} points)\nEach errs on its own"
    return (
        f"{start} ({worth:+.1f} points)\nIndependent ones would make one of {free:.1%}: these"
        f" errors correlate by {rho:g}"
    )


def table(free: np.ndarray, tied: np.ndarray):
    """The two curves as a data frame."""
    return table_of({"independent": free, "correlated": tied}, MEMBERS, "members")
