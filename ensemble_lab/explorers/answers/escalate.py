"""The first look at a cascade: one slider, and two large numbers beside the expensive model's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.answers.cascades.cascade import Cascade, replied
from ensemble_lab.answers.cascades.sweep import exits
from ensemble_lab.catalogue import load_outcomes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.scales import check_scales
from ensemble_lab.core.shares import share_interval
from ensemble_lab.core.unknown import mean_of_known, model_means, share_known
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, listed
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL

if TYPE_CHECKING:
    import pandas as pd

SHARES = tuple(range(101))  # per cent of the items
ABOVE_ALL = 1.01  # a threshold above every confidence: everything is sent on
# Task to table, cheap and expensive model; the first is shown at the start, the last one fails.
TASKS = {
    "spoken digits": ("audiomnist-services", "DeepSpeech", "Microsoft"),
    "faces": ("expw-services", "CNN", "Google"),
    "film reviews": ("imdb-services", "Vader", "Google"),
}
LEVEL = 0.1  # points: closer than that is as right
FEWEST = 4  # items: two to choose on, two to show


@dataclass(frozen=True, eq=False)
class Task:
    """Two models on the half of a table that had no say in the thresholds.

    `accuracy` and `price` (USD for 10,000 items) are (2,) of the models alone; `curve` has a row
    for every share in `SHARES`, with the `gain` on the expensive model over the items that both
    answer, and the share of these, `both`. A price is NaN where that of one call is not known.
    """

    models: tuple[str, ...]
    items: int
    accuracy: np.ndarray
    price: np.ndarray
    curve: pd.DataFrame

    @classmethod
    def of(cls, outcomes: Outcomes) -> Task:
        """Every share's threshold is read off one half of the items, the rest off the other."""
        import pandas as pd

        fit, shown = outcomes.split(0.5, seed=0)
        sure = np.nan_to_num(fit.confidence[:, 0], nan=0.0)  # no confidence: not sure
        levels = np.quantile(sure, np.array(SHARES[:-1]) / 100).tolist()
        cascade = Cascade(shown.models, (0.5,))
        levels = [*levels, ABOVE_ALL]
        curve = pd.DataFrame(cascade.sweep(shown, {"thresholds": levels}), index=SHARES)
        curve["low"], curve["high"] = share_interval(curve["accuracy"], curve["graded"])
        curve["gain"], curve["both"] = zip(*_gains(shown, levels), strict=True)
        alone = 1e4 * model_means(shown.cost, shown.absent)
        return cls(shown.models, len(shown), shown.accuracy(), alone, curve)


def _gains(shown: Outcomes, levels: list[float]) -> list[tuple[float, float]]:
    """How much more is right than with the expensive model, and on what share of the items."""
    tried, passed_on = exits(shown.models, shown, shown.correct, cumulative=False)
    sure = np.where(replied(shown, 0), shown.confidence[:, 0], np.nan)
    right = (np.where(sure >= level, tried, passed_on) for level in levels)
    more = (values - shown.correct[:, 1] for values in right)
    return [(mean_of_known(values), share_known(values)) for values in more]


def explorer(
    outcomes: Outcomes | None = None,
    policy: Cascade | None = None,
) -> Explorer:
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
    task = cache(lambda name: Task.of(recorded(name) if own is None else own))
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
    )


def enough(task: Task) -> int:
    """The smallest share that is as right as to send everything on."""
    right = np.nan_to_num(task.curve["accuracy"], nan=-1.0)
    return int((right >= right[-1]).argmax())


def recorded(name: str) -> Outcomes:
    """The table of one of the recorded tasks."""
    table, small, big = TASKS[name]
    return load_outcomes(table).select(models=[small, big])


def pair_of(outcomes: Outcomes, policy: Cascade | None) -> Outcomes:
    """The reader's own two models, checked."""
    if policy is not None:
        outcomes = outcomes.select(models=policy.order)
    if len(outcomes.models) != 2:
        raise ValueError(
            f"escalate shows two models, the cheap one first, not {len(outcomes.models)}:"
            " outcomes.select(models=[small, big])"
        )
    if len(outcomes) < FEWEST:
        raise ValueError(
            f"{len(outcomes)} items are too few to choose on one half and show the other;"
            f" give {FEWEST} or more"
        )
    for name in ("confidence", "cost"):
        values = getattr(outcomes, name)
        if values is None or np.isnan(values[:, 0]).all():
            raise ValueError(
                f"escalate needs the cheap model's {name}; explore('cascade', …) does without"
            )
    check_scales(outcomes, [0])
    return outcomes


# -- the picture --------------------------------------------------------------------------------


def draw(task: Task, share: int) -> Picture:
    """Accuracy as far as the slider was dragged, and the two numbers; the axes stay."""
    every = [*task.curve["accuracy"], *task.accuracy]
    every = [right for right in every if right == right] or [0.0, 1.0]
    room = max(0.12 * (max(every) - min(every)), 0.01)
    panels = mosaic(
        "way",
        lines=6,  # room for the two numbers
        way=Axes(axis(f"sent to {named(task.models[1], 24)} (% of the items)", -2, 102),
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
    spread = {"type": "data", "symmetric": False, "color": INK, "thickness": 2}
    spread |= {"array": listed([high - y]), "arrayminus": listed([y - low])}
    first, last = task.accuracy.tolist()
    middle = (first + last) / 2
    return [
        panel.curve([0, 100], [first, last], ORACLE, "at random", label=""),
        panel.label(50, middle, "at random", ORACLE, yanchor="top"),
        panel.rule(last, BIG, big),
        panel.rule(first, SMALL, small),
        panel.curve(sofar.index, sofar["accuracy"], COMBINED, "so far", width=4, label=""),
        panel.points([share], [y], COMBINED, "you are here", size=18, key=False, error_y=spread),
    ]


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
    reached = "as right as" if abs(gain) < LEVEL else f"{abs(gain):.1f} points "
    if abs(gain) >= LEVEL:
        reached += "better than" if gain > 0 else "short of"
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
    return (
        f"{right} right (95% interval {' to '.join(ends)}) for"
        f" {usd(1e4 * here['cost'])} USD per 10,000; {small} alone {percent(task.accuracy[0])} for"
        f" {usd(task.price[0])}, {big} alone {percent(task.accuracy[1])} for {usd(task.price[1])}."
        f" Shown on {task.items:,} items that had no say in the thresholds."
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
    """One row a share: threshold, accuracy with its interval, price, share really sent on."""
    import pandas as pd

    curve = task.curve
    return pd.DataFrame(
        {
            "threshold": [levels[0] for levels in curve["thresholds"]],
            "accuracy": curve["accuracy"],
            "coverage": curve["coverage"],
            "low": curve["low"],
            "high": curve["high"],
            "USD per 10,000": 1e4 * curve["cost"],
            "sent on (%)": 100 * (curve["calls"] - 1),
        }
    ).rename_axis("share")
