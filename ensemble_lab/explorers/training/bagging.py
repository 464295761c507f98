"""Bagging: what the mean of members that learned from bootstraps is worth, and what it leaves."""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np

from ensemble_lab.explorers.training.bagging_replay import (
    LEARNERS,
    SIZES,
    Bags,
    bags,
    chance_of_one,
)
from ensemble_lab.explorers.training.moons import ACROSS, AXES, CELLS, MAP, MIDDLES, SHADE, UP
from ensemble_lab.training.bagging.bootstrap import variance_of_mean
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, borders
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.style import BIG, CLASSES, COMBINED, INK, ORACLE, SMALL, WRONG

MEMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
DEPTHS = (1, 2, 3, 4, 6, 8, 12)
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
OWN_BORDERS = 3  # more members' borders than these are a tangle


def explorer() -> Explorer:
    """Bags of trees, nearest neighbours or networks on two half moons.

    Borders are of one draw of 120 rows, all else is the mean of five draws, judged at 1,000 new
    places where the true chance of each class is known. A setting is worked out when first asked
    for.

    References
    ----------
    Breiman, Bagging predictors, Machine Learning 1996.
    Breiman, Random forests, Machine Learning 2001.
    """
    return Explorer(
        name="bagging",
        controls=(
            steps("members", "members", MEMBERS, 4,
                  "Each learns from its own bootstrap of the rows; the mean of them decides."),
            choice("learner", "learner", LEARNERS, "tree",
                   "A stump asks one question; neighbours are nine; a network has 32 units."),
            steps("depth", "depth of each tree", DEPTHS, 12,
                  "12 knows its rows by heart, 1 is a stump; other learners have no depth."),
            steps("share", "rows drawn for each", SHARES, 1.0,
                  "Drawn with replacement. Fewer rows: members differ more, and know less."),
        ),
        compute=computed,
        draw=draw,
        presets={
            "one tree": {"members": 1},
            "32 trees": {"members": 32},
            "fewer rows": {"members": 32, "share": 0.3},
            "32 networks": {"members": 32, "learner": "small network"},
            "stumps": Failing(members=32, learner="stump"),
            "neighbours": Failing(members=32, learner="nearest neighbours"),
        },
        along="members",
        sequence="members",
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
        parts=Axes(members, axis("", 0, 1.1 * most), "Squared error, and what it is made of", 44,
                   100),
    )  # fmt: skip
    marks = [
        *map_of(panels.map, found, m),
        *errors(panels.errors, found, m),
        *made_of(panels.parts, found, m),
    ]
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found, m))


def map_of(panel: Panel, found: Bags, m: int) -> list[Mark]:
    """The chance of class 1 by m members, their borders and the rows of one draw."""
    some = [borders(one, ACROSS, UP) for one in found.member[: min(m, OWN_BORDERS)]]
    own = tuple(list(chain(*parts)) for parts in zip(*some, strict=True))
    hover = "class 1: %{z:.0%} of what is said<extra></extra>"
    return [
        panel.heat(found.chance[m - 1], *MIDDLES, "chance of class 1", 0, 1, SHADE,
                   hovertemplate=hover),
        panel.border(own, ACROSS, UP, SMALL, "members", width=2),
        panel.border(_true_border(), ACROSS, UP, ORACLE, "true", width=2),
        panel.border(found.chance[m - 1] > 0.5, ACROSS, UP, COMBINED, "ensemble", width=4),
        *(_class(panel, found, one, symbol) for one, symbol in enumerate(("circle", "square"))),
    ]  # fmt: skip


def _class(panel: Panel, found: Bags, one: int, symbol: str) -> Mark:
    look = {"symbol": symbol, "color": CLASSES[one], "line": {"width": 1, "color": "white"}}
    places = found.X[found.label == one].T
    return panel.points(*places, CLASSES[one], f"class {one}", size=7, look=look,
                        hovertemplate=f"class {one}")  # fmt: skip


def errors(panel: Panel, found: Bags, m: int) -> list[Mark]:
    """Share of errors over the members, on new rows and on rows that a member has not seen."""
    gain = found.alone - found.held[:, m - 1]
    pays = gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5  # beyond the draws' own luck
    return [
        panel.upright(m),
        panel.rule(found.alone.mean(), BIG, "one learner"),
        panel.curve(SIZES, found.out_of_bag, INK, "out-of-bag"),
        panel.curve(SIZES, found.held, COMBINED, "new rows", width=4),
        panel.here(m, found.out_of_bag[:, m - 1].mean(), INK, "out-of-bag, here", size=10),
        panel.here(m, found.held[:, m - 1], COMBINED if pays else WRONG, "new rows, here"),
    ]


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
    """Squared error (32,) that bias, variance and correlation foretell for 1, 2, … members."""
    return np.array(
        [found.bias2 + variance_of_mean(found.sigma2, found.rho, m) for m in SIZES.tolist()]
    )


@cache
def _true_border() -> tuple[list, list]:
    return borders(chance_of_one(MAP).reshape(CELLS, CELLS) > 0.5, ACROSS, UP)


# -- in words -----------------------------------------------------------------------------------


def finding(found: Bags, state: State) -> str:
    """What the bag is worth, and how much of its error more members could take away."""
    m, learner = state["members"], state["learner"]
    whole, alone = found.held[:, m - 1].mean(), found.alone.mean()
    name = f"tree of depth {state['depth']}" if learner == "tree" else learner
    who = f"One member ({name})" if m == 1 else f"{m} members ({name})"
    left = (1 - found.rho) * found.sigma2 / m
    squared = found.floor + left
    return (
        f"{who}: {whole:.1%} errors; one learner that sees every row once: {alone:.1%}\n"
        f"{_share(found.bias2, squared)} of the squared error is bias,"
        f" {_share(found.floor - found.bias2, squared)} shared variance (ρ = {found.rho:.2f});"
        f" more members could take {_share(left, squared)}"
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}"


def also(found: Bags, m: int) -> str:
    """What the words say beyond the finding."""
    pairs = found.correlation[np.triu_indices(m, 1)]
    alike = f" Any two of the {m} correlate by {np.nanmean(pairs):.2f}." if m > 1 else ""
    return (
        f"From 1 member to {len(SIZES)} the errors on new rows go from"
        f" {found.held[:, 0].mean():.1%} to {found.held[:, -1].mean():.1%}. Out-of-bag they are"
        f" {found.out_of_bag[:, m - 1].mean():.1%} with {m}. The squared error is"
        f" {found.squared[:, m - 1].mean():.4f}, its floor {found.floor:.4f}, the squared bias"
        f" {found.bias2:.4f}.{alike}"
    )


def table(found: Bags):
    """Every number of members: errors over five draws, squared errors and what foretells them."""
    import pandas as pd

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
    return pd.DataFrame(columns, index=pd.Index(SIZES, name="members"))
