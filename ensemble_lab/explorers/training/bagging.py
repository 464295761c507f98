"""Bagging, member by member: what averaging takes away, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemble_lab.explorers.training import bagging_traces as trace
from ensemble_lab.explorers.training.bagging_replay import LEARNERS, SIZES, Bags, bags
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line

MEMBERS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 32)
DEPTHS = (1, 2, 3, 4, 6, 8, 12)
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)


def explorer(start: Mapping[str, Any] | None = None) -> Explorer:
    """Bags of trees, nearest neighbours or networks on two half moons.

    Borders are of one draw of 120 rows, all else is the mean of five draws, judged at 1,000 new
    places where the true chance of each class is known. A setting is worked out when first asked
    for.

    Parameters
    ----------
    start : mapping, optional
        Partial state to start from: ``members``, ``learner``, ``depth``, ``share``.

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
            steps("depth", "depth of each tree (questions)", DEPTHS, 12,
                  "12 knows its rows by heart, 1 is a stump; other learners have no depth."),
            steps("share", "rows drawn for each member (share)", SHARES, 1.0,
                  "Drawn with replacement. Fewer rows: members differ more, and know less."),
        ),
        draw=draw,
        presets={
            "one tree that knows its rows by heart": {"members": 1},
            "32 of them": {"members": 32},
            "32 that share fewer rows": {"members": 32, "share": 0.3},
            "does not pay: stumps, the bias stays": {"members": 32, "learner": "stump"},
            "does not pay: nearest neighbours": {
                "members": 32, "learner": "nearest neighbours"},
            "32 networks, trained as one": {"members": 32, "learner": "small network"},
        },
        along="members",
        sequence="members",
        start=start or {},
    )  # fmt: skip


def draw(state: State) -> Picture:
    """Map, errors, their parts and the pairs of the bag of `state`."""
    depth = state["depth"] if state["learner"] == "tree" else DEPTHS[0]  # one entry in the cache
    found, m = bags(state["learner"], depth, state["share"]), state["members"]
    said = finding(found, state)
    return Picture(
        traces=[
            *trace.map_of(found, m),
            *trace.errors(found, m),
            *trace.made_of(found, m),
            *trace.pairs(found, m),
        ],
        layout=trace.layout(found, m),
        finding=said,
        table=lambda: table(found),
        text=words(found, said, m),
    )


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


def words(found: Bags, said: str, m: int) -> str:
    """The picture for those who cannot see it."""
    last = len(SIZES)
    return (
        f"{one_line(said, '. ')}. From 1 member to {last} the errors on new rows go from"
        f" {found.held[:, 0].mean():.1%} to {found.held[:, -1].mean():.1%}. Out-of-bag they are"
        f" {found.out_of_bag[:, m - 1].mean():.1%} with {m}. The squared error is"
        f" {found.squared[:, m - 1].mean():.4f}, its floor {found.floor:.4f}, the squared bias"
        f" {found.bias2:.4f}."
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
        "by the formula": trace.formula(found),
        "its floor": found.floor,
        "squared bias": found.bias2,
    }
    return pd.DataFrame(columns, index=pd.Index(SIZES, name="members"))
