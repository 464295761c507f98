"""Negative correlation: members that learn to differ, and the error of their mean."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.negative_correlation_replay import (
    PROBLEMS,
    SEEDS,
    STRENGTHS,
    Sweep,
    sweep,
)
from ensemble_lab.widgets.axes import Axes, axis
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import COMBINED, INK, ORACLE, SMALL, WRONG

MEMBERS = (2, 4, 8, 16)
UNITS = (1, 2, 3, 4, 8)
HIGHEST = 2.5  # times the error of independent members together: what is higher is cut


TASKS = (
    Task("Find the strength at which the members are best together.",
         lambda state, picture: state["strength"] > 0
         and f"best in hindsight: strength {state['strength']:g} " in picture.finding),
    Task("Push so far that single members are of no use. Is the mean?",
         lambda state, picture: state["strength"] == 1),
    Task("Find members for which any push does harm.",
         lambda state, picture: "best in hindsight: strength 0 " in picture.finding),
)  # fmt: skip


def explorer() -> Explorer:
    """Small networks that learn at once, each rewarded for being unlike their mean.

    All strengths and five seeds of a setting are trained as one batch when it is first asked for.

    References
    ----------
    Liu and Yao, Ensemble learning via negative correlation, Neural Networks 12, 1999.
    Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, 1995.
    """
    patients = {"data": PROBLEMS[1]}
    return Explorer(
        name="negative-correlation",
        controls=(
            steps("strength", "strength of the penalty", STRENGTHS, 0.5,
                  "0: each member learns alone. 1: only their mean counts, as in one network."),
            steps("members", "members", MEMBERS, 8, "How many networks learn together."),
            steps("units", "hidden units of each", UNITS, 2,
                  "How well a member could do alone."),
            choice("data", "data", PROBLEMS, PROBLEMS[0],
                   "A wave with noise, or patients: how far diabetes went on within a year."),
        ),
        compute=sweep,
        draw=draw,
        tasks=TASKS,
        presets={
            "independent": {"strength": 0.0},
            "worse, but better": {"strength": 0.8},
            "too far": Failing(strength=1.0),
            "patients": Failing(patients, strength=1.0),
            "able members": Failing(patients, strength=0.8, units=8),
        },
        sequence="strength",
        opens={"strength": 0.8},
    )  # fmt: skip


def draw(found: Sweep, state: State) -> Picture:
    """Curves of the members, one bar minus another, and both over the strength."""
    at, where = STRENGTHS.index(state["strength"]), found.problem
    low, high = where.y.min(), where.y.max()
    room = 0.15 * (high - low)
    names, cut = ("alone", "− ambiguity", "= together"), ", cut" if cut_off(found, at) else ""
    labels = [f"{name}\n{number:.3f}{cut if name != names[-1] else ''}"
              for name, number in zip(names, told(found, at), strict=True)]  # fmt: skip
    ticks = {"tickvals": [0, 1, 2], "ticktext": labels, "showgrid": False, "tickangle": 0}
    error = axis("", 0, HIGHEST * found.together[0].mean())
    panels = mosaic(
        "fit bars strength",
        widths=(9, 11, 8),
        fit=Axes(axis(where.titles[0], where.across[0], where.across[-1]),
                 axis(where.titles[1], low - room, high + room), "", 52, 62),
        bars=Axes(axis("", -0.5, 2.5, **ticks), error, "Squared error, new examples", 40),
        strength=Axes(axis("strength of the penalty", -0.03, 1.03, dtick=0.5),
                      error | {"showticklabels": False}, "The same, by strength", 8, 90),
    )  # fmt: skip
    marks = panels.marks(found, at, fit=fit, bars=bars, strength=over_strength)
    return panels.picture(marks, finding(found, state, at), lambda: table(found), also(found, at))


def fit(panel: Panel, found: Sweep, at: int) -> list[Mark]:
    """Training rows, every member, their mean and, where there is one, the truth."""
    where, drawn = found.problem, found.curves[at]  # (m, g)
    apart = np.pad(drawn, ((0, 0), (0, 1)), constant_values=np.nan)  # a gap behind each
    grid, rows = where.across, where.learned[0]
    gaps = np.tile(np.r_[grid, np.nan], len(drawn))
    return [
        panel.points(where.x[rows], where.y[rows], INK, "training examples", size=6),
        panel.curve(gaps, apart.ravel(), SMALL, "members", width=1),
        panel.curve(grid[: len(where.truth)], where.truth, ORACLE, "no noise"),
        panel.curve(grid, drawn.mean(0), COMBINED, "their mean", label="mean", width=4),
    ]


def bars(panel: Panel, found: Sweep, at: int) -> list[Mark]:
    """The members' error, the ambiguity hanging from its top, and what is left."""
    members, ambiguity, together = told(found, at)
    hatched = {"shape": "/", "fgcolor": INK, "bgcolor": "white", "solidity": 0.25}
    dotted = {"shape": ".", "fgcolor": "white", "bgcolor": SMALL, "solidity": 0.15}

    def bar(place: int, height: float, meaning: str, name: str, pattern=None, base=0.0) -> Mark:
        marker = {"pattern": pattern or {}, "line": {"width": 2, "color": meaning}}
        return panel.bars([place], [height], meaning, name, base=[base], marker=marker,
                          key=False, hovertemplate="%{y:.3f}")  # fmt: skip

    return [
        bar(0, members, SMALL, "members alone", dotted),
        bar(1, ambiguity, INK, "ambiguity", hatched, round(together, 6)),
        bar(2, together, COMBINED if pays(found, at) else WRONG, "together"),
        panel.rule(found.together[0].mean(), ORACLE, "together, independent", label=""),
    ]


def over_strength(panel: Panel, found: Sweep, at: int) -> list[Mark]:
    """The three numbers of the bars for every strength, means over the seeds."""
    return [
        panel.rule(found.together[0].mean(), ORACLE, "independent"),
        panel.curve(STRENGTHS, found.alone.T, SMALL, "alone"),
        panel.curve(STRENGTHS, found.ambiguity.T, INK, "ambiguities", label="ambiguity"),
        panel.curve(STRENGTHS, found.together.T, COMBINED, "ensembles", label="together", width=4),
        panel.here(STRENGTHS[at], found.together[at], COMBINED if pays(found, at) else WRONG),
    ]


def told(found: Sweep, at: int) -> tuple[float, float, float]:
    """Members' error, ambiguity and the ensemble's error, means over the seeds."""
    return tuple(float(one[at].mean()) for one in (found.alone, found.ambiguity, found.together))


def cut_off(found: Sweep, at: int) -> bool:
    """Whether the members' error is beyond the end of the axis."""
    return found.alone[at].mean() > HIGHEST * found.together[0].mean()


def pays(found: Sweep, at: int) -> bool:
    """Whether the ensemble is better than independent members, by more than the seeds' luck."""
    gain = found.together[0] - found.together[at]
    return at == 0 or gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5


# -- in words -----------------------------------------------------------------------------------


def finding(found: Sweep, state: State, at: int) -> str:
    """What the members are alone and together here, and which strength would be best."""
    members, ambiguity, whole = told(found, at)
    together = found.together.mean(1)
    best = int(together.argmin())
    change, most = (f"{one / together[0] - 1:+.0%}" for one in (whole, together[best]))
    chance = "" if pays(found, at) or whole > together[0] else ", no more than chance"
    here = "Independent members" if at == 0 else f"{change} against strength 0{chance}"
    return (
        f"Strength {state['strength']:g}: alone {members:.3f}, minus an ambiguity of"
        f" {ambiguity:.3f}, makes {whole:.3f} together"
        f"\n{here}; best in hindsight: strength {STRENGTHS[best]:g} ({most})"
    )


def also(found: Sweep, at: int) -> str:
    """What the words say beyond the finding."""
    ends = [
        f"at strength {STRENGTHS[at]:g} the members' mean error is {found.alone[at].mean():.3f}"
        f" and that of their mean {found.together[at].mean():.3f}"
        for at in (0, -1)
    ]
    cut = "The bars of members and ambiguity are cut off at the top. " if cut_off(found, at) else ""
    return f"{cut}Means over {len(SEEDS)} seeds: {'; '.join(ends)}."


def table(found: Sweep):
    """Errors for every strength: means over the seeds, and the spread of the ensemble's."""
    columns = {
        "members alone": found.alone.mean(1),
        "ambiguity": found.ambiguity.mean(1),
        "together": found.together.mean(1),
        "spread over 5 seeds": found.together.std(1, ddof=1),
    }
    return table_of(columns, STRENGTHS, "strength")
