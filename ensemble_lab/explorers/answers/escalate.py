"""The first look at a cascade: one slider, and two large numbers beside the expensive model's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.explorers.answers.escalated import (
    FURTHEST,
    LEVEL,
    SHARES,
    TASKS,
    Task,
    enough,
    pair_of,
    recorded_task,
)
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State
from ensemble_lab.widgets.explorer import Task as Try
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, marker


def explorer(outcomes: Outcomes | None = None, policy: Cascade | None = None) -> Explorer:
    """How many items must still go to the expensive model, and what that costs.

    Parameters
    ----------
    outcomes : Outcomes, optional
        Two models, the cheap one first, with its confidences and the cost of both. By default
        three recorded tasks, on one of which it does not pay.
    policy : Cascade, optional
        Whose two models to take.

    Raises
    ------
    ValueError
        More or fewer than two models, fewer than four items, no confidences or one outside
        [0, 1], or no costs.
    """
    own = None if outcomes is None else pair_of(outcomes, policy)
    names = list(TASKS) if own is None else ["these items"]
    # Each task is read when it is first shown.
    task = cache(lambda name: recorded_task(name) if own is None else Task.of(own))
    return Explorer(
        name="escalate",
        controls=(
            steps("share", "% to the expensive model", SHARES, 0, "The least sure ones first."),
            choice("task", "task", names, help="What the two models are asked."),
        ),
        draw=lambda state: draw(task(state["task"]), state["share"]),
        presets={
            name: (Failing if name == names[-1] else dict)(task=name) for name in names if names[1:]
        },
        keep=("share",),
        opens={"share": enough(task(names[0]))},
        tasks=tasks(task, names),
    )


def tasks(task: Callable[[str], Task], names: list[str]) -> tuple[Try, ...]:
    """What a reader can try on each of the tasks."""

    def most(state: State) -> bool:
        right = task(state["task"]).curve["accuracy"]
        return bool(right[state["share"]] >= right.max() - LEVEL / 100)

    def stop(name: str) -> Try:
        words = f"On {name}: stop where the title first says “as right as”"
        return Try(words, lambda state, picture: state["task"] == name
                   and "as right as" in picture.finding)  # fmt: skip

    everything = Try("Send everything on: why is the bill now higher than that of one model?",
                     lambda state, picture: state["share"] == 100)  # fmt: skip
    if not names[1:]:  # the reader's own models, which nobody knows here
        return ()
    first, second, *_, last = names
    best = Try(f"On {second}: find a share at which the two are most right",
               lambda state, picture: state["task"] == second and most(state))  # fmt: skip
    return stop(first), everything, best, stop(last)


# -- the picture --------------------------------------------------------------------------------


def draw(task: Task, share: int) -> Picture:
    """Accuracy as far as the slider was dragged, and the two numbers; the axes stay."""
    every = [*task.curve["accuracy"], *task.accuracy, *(right for _, _, right, _ in task.drawn)]
    every = [right for right in every if right == right] or [0.0, 1.0]
    room = max(0.12 * (max(every) - min(every)), 0.01)
    panels = mosaic(
        "way",
        lines=6,  # room for the two numbers
        way=Axes(axis(f"sent to {named(task.models[1], 24)} (% of the items)", -2, FURTHEST),
                 shares("right", min(every) - room, max(every) + room), "", 66, 130),
    )  # fmt: skip
    here = task.curve.loc[share]
    marks = [*numbers(panels.way, task, here), *way(panels.way, task, share)]
    return panels.picture(marks, finding(task, share), lambda: table(task), also(task, here))


def way(panel: Panel, task: Task, share: int) -> list[Mark]:
    """The way so far, the two models alone, the same at random, and the reader's place."""
    small, big = (f"{named(name, 14)} alone" for name in task.models)
    here, sofar = task.curve.loc[share], task.curve.loc[:share]
    y, low, high = (float(here[name]) for name in ("accuracy", "low", "high"))
    first, last = task.accuracy.tolist()
    middle = (first + last) / 2
    names, shares, others, _ = zip(*task.drawn, strict=True) if task.drawn else 4 * ((),)
    other = {"look": marker(ORACLE, 10) | {"symbol": "triangle-up"}, "key": False}
    other |= {"text": [named(name) for name in names], "hovertemplate": "%{text} alone: %{y:.1%}"}
    return [
        *(panel.label(x, y, f"{named(name, 14)} alone {percent(y)}, {paid:.3g} USD", ORACLE, **look)
          for (name, x, y, paid), look in zip(task.drawn, _sides(panel, task), strict=True)),
        panel.points(shares, others, ORACLE, "other models by their price", **other),
        panel.points([0], [first], SMALL, "small model", key=False),
        panel.points([100], [last], BIG, "big model", key=False),
        panel.curve([0, 100], [first, last], ORACLE, "at random", label=""),
        panel.label(50, middle, "at random", ORACLE, yanchor="top"),
        panel.rule(last, BIG, big),
        panel.rule(first, SMALL, small),
        panel.curve(sofar.index, sofar["accuracy"], COMBINED, "so far", width=4, label=""),
        panel.here(share, y, COMBINED, "you are here", size=18, ends=(low, high)),
    ]  # fmt: skip


def _sides(panel: Panel, task: Task) -> list[dict]:
    """Where each other model's label is: away from the line at random and from the upper rule."""
    first, last = task.accuracy
    low, high = panel.axes.y["range"]
    looks = []
    for _, x, y, _ in task.drawn:
        above = y > first + x / 100 * (last - first)  # the line at random, which rises
        up = above and abs(y - last) > 0.15 * (high - low)
        if up:
            looks.append({"yanchor": "bottom", "yshift": 6, "xanchor": "center", "xshift": 0})
        elif above and x > 30:  # it has room on the left
            looks.append({"yanchor": "top", "yshift": -4, "xanchor": "right", "xshift": -12})
        else:
            looks.append({"yanchor": "top", "yshift": -4})
    return looks


def numbers(panel: Panel, task: Task, here: pd.Series) -> list[Mark]:
    """Right answers and price, each large and beside that of the expensive model."""
    big, top = named(task.models[1], 20), panel.axes.y["range"][1]
    told = (
        (percent(here["accuracy"]), f"right; {big} alone {percent(task.accuracy[1])}"),
        (f"{usd(1e4 * here['cost'])} USD", f"for 10,000; {big} alone {usd(task.price[1])}"),
    )
    left = {"xanchor": "left", "xshift": 0}
    return [
        panel.label(x, top, words, INK, font={"size": size, "color": INK, "weight": weight},
                   yshift=up, **left)
        for x, pair in zip((-2, 50), told, strict=True)
        for words, size, weight, up in zip(pair, (44, 15), (700, 400), (30, 8), strict=True)
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(task: Task, share: int) -> str:
    """How far from the expensive model, for what share of its price."""
    here, big = task.curve.loc[share], named(task.models[1], 24)
    gain = 100 * float(here["gain"])
    sent = f"{share}% sent to {big}: "
    if np.isnan(gain):
        return f"{sent}no answer can be graded beside {big}'s\n{_bill(task, here)}"
    side = "better than" if gain > 0 else "short of"
    reached = "as right as" if abs(gain) < LEVEL else f"{abs(gain):.1f} points {side}"
    where = "" if here["both"] > 0.995 else f" on the {here['both']:.0%} that both answer"
    drag = "" if share else f": drag, and what {named(task.models[0], 24)} is least sure of goes on"
    return f"{sent}{reached} {big} alone{where}\n{_bill(task, here)}{drag}"


def _bill(task: Task, here: pd.Series) -> str:
    """For what share of the expensive model's price, where both are known and it has one."""
    cost = 1e4 * float(here["cost"])
    if np.isnan(cost):
        return "For a price that is not known here"
    if not task.price[1] > 0:
        return f"For {usd(cost)} USD per 10,000"
    paid = cost / task.price[1]
    if 1 < paid < 1.005:
        return "For just over its price"
    return f"For {paid:.0%} of its price" if paid >= 0.005 else "For next to nothing"


def also(task: Task, here: pd.Series) -> str:
    """What the words say beyond the finding."""
    small, big = map(named, task.models)
    right, *ends = (percent(here[name]) for name in ("accuracy", "low", "high"))
    each = [f"{named(n)} alone {percent(a)} for {usd(paid)}" for n, a, paid in task.others]
    others = f" In the same table {', '.join(each)}." if each else ""
    return (
        f"{right} right (95% interval {' to '.join(ends)}) for"
        f" {usd(1e4 * here['cost'])} USD per 10,000; {small} alone {percent(task.accuracy[0])} for"
        f" {usd(task.price[0])}, {big} alone {percent(task.accuracy[1])} for {usd(task.price[1])}."
        f"{others} Shown on {task.items:,} items that had no say in the thresholds."
    )


def percent(share: float) -> str:
    """With one decimal."""
    return "unknown" if np.isnan(share) else f"{share:.1%}"


def usd(price: float) -> str:
    """Dollars and cents; of less than a cent the first digit."""
    if np.isnan(price):
        return "unknown"
    return f"{price:.2f}" if price >= 0.005 else f"{price:.1g}"


def table(task: Task) -> pd.DataFrame:
    """One row a share: threshold, accuracy, points against the expensive model, price, calls."""
    curve = task.curve
    columns = {
        "threshold": [levels[0] for levels in curve["thresholds"]],
        **curve[["accuracy", "coverage", "low", "high"]],
        "points": 100 * curve["gain"],
        "USD per 10,000": 1e4 * curve["cost"],
        "sent on (%)": 100 * (curve["calls"] - 1),
    }
    return table_of(columns, SHARES, "share")
