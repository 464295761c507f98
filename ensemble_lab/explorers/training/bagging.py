"""Bagging: which part of the error the mean of many members removes, and which part stays."""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np

from ensemble_lab.core.missing import installed
from ensemble_lab.explorers.training.bagging_replay import (
    LEARNERS,
    NETWORK,
    SIZES,
    Bags,
    bags,
    chance_of_one,
)
from ensemble_lab.explorers.training.moons import AXES, CELLS, MAP, MIDDLES, SHADE, outline
from ensemble_lab.training.bagging.bootstrap import variance_of_mean
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, CLASSES, COMBINED, INK, ORACLE, SMALL, WRONG

MEMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
DEPTHS = (1, 2, 3, 4, 6, 8, 12)
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
OWN_BORDERS = 3  # more members' borders than these are a tangle
STUDENT = 2.776  # standard errors of a mean of five: 95 % are within
PRESETS = {
    "one tree": {"members": 1},
    "32 trees": {"members": 32},
    "fewer rows": {"members": 32, "share": 0.3},
    "32 networks": {"members": 32, "learner": NETWORK},
    "stumps": Failing(members=32, learner="stump"),
    "neighbours": Failing(members=32, learner="nearest neighbours"),
}
TASKS = (
    Task("Step from one member to 32. How does the green border change?",
         lambda state, picture: state["members"] == 32),
    Task("Draw fewer rows for each. Members are worse, and ρ falls. Which wins?",
         lambda state, picture: state["share"] < 1),
    Task("Make trees less deep, until bias is the largest part of the squared error.",
         lambda state, picture: state["depth"] < 12 and "is bias" in picture.finding),
)  # fmt: skip
NAMES = {"nearest neighbours": "nearest-neighbour model"}  # of one member, where it has another


def explorer() -> Explorer:
    """Bags of trees, nearest neighbours or networks on two half moons.

    Borders are of one draw of 120 rows. All else is the mean of five draws, judged at 1,000 new
    places where the true probability of each class is known, so that no error is noise. A setting
    is computed when it is first asked for. Networks can be chosen where there is PyTorch.

    References
    ----------
    Breiman, Bagging predictors, Machine Learning 1996.
    Breiman, Random forests, Machine Learning 2001.
    """
    learners, presets = LEARNERS, PRESETS
    if not installed("torch"):
        learners = tuple(name for name in LEARNERS if name != NETWORK)
        presets = {key: own for key, own in PRESETS.items() if own.get("learner") != NETWORK}
    return Explorer(
        name="bagging",
        controls=(
            steps("members", "members", MEMBERS, 4,
                  "Each learns from its own bootstrap of the rows; their mean decides."),
            choice("learner", "learner", learners, "tree",
                   "A stump asks one question; nine neighbours vote; a network has 32 units."),
            steps("depth", "depth of each tree", DEPTHS, 12,
                  "12 fits every row, 1 is a stump; other learners have no depth."),
            steps("share", "rows drawn for each", SHARES, 1.0,
                  "Drawn with replacement. With fewer rows members differ more and are worse."),
        ),
        compute=computed,
        draw=draw,
        presets=presets,
        sequence="members",
        tasks=TASKS,
    )  # fmt: skip


def computed(learner: str, depth: int, share: float) -> Bags:
    """Five bags; of what is no tree, the same at any depth."""
    return bags(learner, depth if learner == "tree" else DEPTHS[0], share)


def draw(found: Bags, state: State) -> Picture:
    """Map, errors and their parts, of the bag of `state`."""
    m = state["members"]
    worst = max(found.held.mean(0).max(), found.out_of_bag.mean(0).max(), found.alone.mean())
    members = log_axis("members", [1, 2, 4, 8, 16, 32])
    most = max(formula(found)[0], found.squared.mean(0)[0])
    panels = mosaic(
        "map errors / map parts",
        widths=(10, 9),
        map=AXES,
        errors=Axes(members, shares("", 0, 1.15 * worst), "Share of rows that are wrong", 44, 100),
        parts=Axes(members, axis("", 0, 1.1 * most), f"Squared error, parts (ρ = {found.rho:.2f})",
                   44, 100),
    )  # fmt: skip
    marks = panels.marks(found, m, map=map_of, errors=errors, parts=made_of)
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found, m))


def map_of(panel: Panel, found: Bags, m: int) -> list[Mark]:
    """The probability of class 1 by m members, their borders and the rows of one draw."""
    some = map(outline, found.member[: min(m, OWN_BORDERS)])
    own = tuple(list(chain(*parts)) for parts in zip(*some, strict=True))
    hover = "probability of class 1: %{z:.0%}<extra></extra>"
    rim = {"line": {"width": 1, "color": "white"}}
    looks = [{"symbol": "circle", "color": CLASSES[0]}, {"symbol": "square", "color": CLASSES[1]}]
    return [
        panel.heat(found.chance[m - 1], *MIDDLES, "probability of class 1", 0, 1, SHADE,
                   hovertemplate=hover),
        panel.border(own, SMALL, "members", width=2),
        panel.border(_true_border(), ORACLE, "true", width=2),
        panel.border(outline(found.chance[m - 1] > 0.5), COMBINED, "ensemble", width=4),
        *(panel.points(*found.X[found.label == one].T, look["color"], f"class {one}", size=7,
                       look=look | rim, hovertemplate=f"class {one}")
          for one, look in enumerate(looks)),
    ]  # fmt: skip


def errors(panel: Panel, found: Bags, m: int) -> list[Mark]:
    """Share of errors over the members, on new rows and on rows that a member has not seen."""
    worth = COMBINED if pays(found, m) else WRONG
    return [
        panel.upright(m),
        panel.rule(found.alone.mean(), BIG, "one learner"),
        panel.curve(SIZES, found.out_of_bag, INK, "out-of-bag"),
        panel.curve(SIZES, found.held, COMBINED, "new rows", width=4),
        panel.here(m, found.out_of_bag[:, m - 1].mean(), INK, "out-of-bag, here", size=10),
        panel.here(m, found.held[:, m - 1], worth, "new rows, here"),
    ]


def pays(found: Bags, m: int) -> bool:
    """Whether m members make fewer errors than one learner on all rows, by a t-test over draws."""
    gain = found.alone - found.held[:, m - 1]
    return bool(gain.mean() > STUDENT * gain.std(ddof=1) / len(gain) ** 0.5)


def made_of(panel: Panel, found: Bags, m: int) -> list[Mark]:
    """The squared error over the members: measured, by the formula, its floor and the bias."""
    look = {"symbol": "circle", "color": SMALL, "line": {"width": 1, "color": "white"}}
    return [
        panel.upright(m, "members here"),
        panel.rule(found.bias2, WRONG, "bias²"),
        panel.rule(found.floor, ORACLE, "+ shared variance", label="+ shared var."),
        panel.curve(SIZES, formula(found), COMBINED, "+ the rest ÷ members", width=4,
                    label="+ rest ÷ m"),
        panel.points(SIZES, found.squared, SMALL, "measured", size=6, look=look),
        panel.here(m, found.squared[:, m - 1].mean(), COMBINED, "squared error, here"),
    ]  # fmt: skip


def formula(found: Bags) -> np.ndarray:
    """Squared error (32,) of 1, 2, … members by bias, variance and correlation."""
    variance = [variance_of_mean(found.sigma2, found.rho, m) for m in SIZES.tolist()]
    return found.bias2 + np.array(variance)


@cache
def _true_border() -> tuple[list, list]:
    return outline(chance_of_one(MAP).reshape(CELLS, CELLS) > 0.5)


# -- in words -----------------------------------------------------------------------------------


def finding(found: Bags, state: State) -> str:
    """Whether the average pays, and which part of its error is the largest."""
    m, name = state["members"], NAMES.get(state["learner"], state["learner"])
    who = f"{m} {name}{'s' if m > 1 else ''}"
    who += f" of depth {state['depth']}" if name == "tree" else ""
    error, alone = found.held[:, m - 1].mean(), found.alone.mean()
    verdict = "averaging pays" if pays(found, m) else "no clear gain"
    return (
        f"{who}: {error:.1%} errors; one that sees every row: {alone:.1%};"
        f" {verdict if m > 1 else 'nothing is averaged'}\n{_largest(found, m)}"
    )


def _largest(found: Bags, m: int) -> str:
    """The largest part of the squared error of m members, and whether more members remove it."""
    own = (1 - found.rho) * found.sigma2 / m
    parts = {
        "is bias: more members do not remove it": found.bias2,
        "is variance that all members share: more do not remove it": found.floor - found.bias2,
        "is each member's own variance: more members remove it": own,
    }
    name = max(parts, key=parts.get)
    return f"{parts[name] / (found.floor + own):.0%} of the squared error {name}"


def also(found: Bags, m: int) -> str:
    """What the words say beyond the finding."""
    return (
        f"From 1 member to {len(SIZES)} the errors on new rows go from"
        f" {found.held[:, 0].mean():.1%} to {found.held[:, -1].mean():.1%}. With {m} the"
        f" out-of-bag errors are {found.out_of_bag[:, m - 1].mean():.1%}. The squared error is"
        f" {found.squared[:, m - 1].mean():.4f}, its floor {found.floor:.4f}, the squared bias"
        f" {found.bias2:.4f}. Any two members are correlated by ρ = {found.rho:.2f}."
    )


def table(found: Bags):
    """Every number of members: errors over five draws, squared errors and their formula."""
    columns = {
        "held-out error": found.held.mean(0),
        "its spread over 5 draws": found.held.std(0, ddof=1),
        "out-of-bag error": found.out_of_bag.mean(0),
        "one learner on all rows": found.alone.mean(),
        "squared error": found.squared.mean(0),
        "by the formula": formula(found),
        "its floor": found.floor,
        "squared bias": found.bias2,
    }
    return table_of(columns, SIZES, "members")
