"""The first look at a cascade: one slider, and two large numbers beside those of the dear model."""

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
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named, one_line
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL, line, marker

if TYPE_CHECKING:
    import pandas as pd

SHARES = tuple(range(101))  # per cent of the items
ABOVE_ALL = 1.01  # a threshold above every confidence: everything is sent on
# Task to table, cheap and dear model; the first is shown at the start, the last one fails.
TASKS = {
    "spoken digits": ("audiomnist-services", "DeepSpeech", "Microsoft"),
    "faces": ("expw-services", "CNN", "Google"),
    "film reviews": ("imdb-services", "Vader", "Google"),
}
TEXT = "#222222"
FEWEST = 4  # items: two to choose on, two to show


@dataclass(frozen=True, eq=False)
class Task:
    """Two models on the half of a table that had no say in the thresholds.

    `accuracy` and `price` (USD for 10,000 items) are (2,) of the models alone; `curve` has a row
    for every share in `SHARES`, with the `gain` on the dear model over the items that both answer,
    and the share of these, `both`. A price is NaN where that of one call is not known.
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
    """How much more is right than with the dear model, and on what share of the items."""
    tried, passed_on = exits(shown.models, shown, shown.correct, cumulative=False)
    sure = np.where(replied(shown, 0), shown.confidence[:, 0], np.nan)
    right = (np.where(sure >= level, tried, passed_on) for level in levels)
    more = (values - shown.correct[:, 1] for values in right)
    return [(mean_of_known(values), share_known(values)) for values in more]


def explorer(
    outcomes: Outcomes | None = None,
    policy: Cascade | None = None,
) -> Explorer:
    """How many items must still go to the dear model, and what that costs.

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
            steps("share", "% sent to the dear model", SHARES, 0, "the least sure ones first"),
            choice("task", "task", names, help="what the two models are asked"),
        ),
        draw=lambda state: draw(task(state["task"]), state),
        presets={f"Same slider, other task: {name}": {"task": name} for name in names[1:]},
        keep=("share",),
    )


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


def draw(task: Task, state: State) -> Picture:
    """Accuracy as far as the slider was dragged, and the two numbers."""
    here, said = task.curve.loc[state["share"]], finding(task, state["share"])
    return Picture(
        traces=traces(task, state["share"]),
        layout=layout_of(task, here),
        finding=said,
        table=lambda: table(task),
        text=words(task, here, said),
    )


def traces(task: Task, share: int) -> list[dict]:
    """The way so far, the two models alone, a coin toss between them, and the reader's place."""
    small, big = map(named, task.models)
    here, sofar = task.curve.loc[share], task.curve.loc[:share]
    y, low, high = (float(here[name]) for name in ("accuracy", "low", "high"))
    spread = {"type": "data", "symmetric": False, "color": TEXT, "thickness": 2}
    spread |= {"array": [high - y], "arrayminus": [y - low]}
    alone, toss = task.accuracy.tolist(), {"color": ORACLE, "dash": "dot", "width": 2}
    return [
        _dots([0, 100], alone, "items sent on by lot", line=toss),
        _dots([0, 100], [alone[1]] * 2, f"{big} alone", line=line(BIG)),
        _dots(list(sofar.index), sofar["accuracy"].tolist(), "so far", line=line(COMBINED)),
        _dots([0], alone[:1], f"{small} alone", marker=marker(SMALL, 14)),
        _dots([share], [y], "you are here", marker=marker(COMBINED, 18), error_y=spread),
    ]


def _dots(x: list, y: list, name: str, **how) -> dict:
    mode = "lines" if "line" in how else "markers"
    hover = "%{x}% sent on: %{y:.2%} right"
    known = {"type": "scatter", "mode": mode, "x": x, "y": y, "name": name}
    return known | {"hovertemplate": hover} | how


def layout_of(task: Task, here: pd.Series) -> dict:
    """Two numbers above the axes, whose range is that of the whole task, so that it stays."""
    big = named(task.models[1])
    every = [*task.curve["accuracy"], *task.accuracy]
    room = 0.12 * (max(every) - min(every))
    own = float(here["accuracy"]), 1e4 * float(here["cost"])
    return {
        "height": 430,
        "margin": {"l": 70, "r": 20, "t": 160, "b": 60},
        "title": {"y": 0.94, "yanchor": "top"},
        "legend": {"orientation": "h", "y": -0.33},
        "annotations": [
            *_number(f"{own[0]:.1%}", f"right; {big} alone {task.accuracy[1]:.1%}", 0.0),
            *_number(f"{usd(own[1])} USD", f"for 10,000; {big} alone {usd(task.price[1])}", 0.5),
        ],
        "xaxis": {"title": {"text": f"sent to {big} (% of the items)"}, "range": [-2, 102]},
        "yaxis": {
            "title": {"text": "right"},
            "tickformat": ".0%",
            "range": [min(every) - room, max(every) + room],
        },
    }


def _number(number: str, beside: str, x: float) -> list[dict]:
    place = {"xref": "paper", "yref": "paper", "x": x, "y": 1, "xanchor": "left"}
    place |= {"yanchor": "bottom", "showarrow": False, "align": "left"}
    return [
        place | {"text": number, "font": {"size": 44, "color": TEXT, "weight": 700}, "yshift": 36},
        place | {"text": beside, "font": {"size": 15, "color": TEXT}, "yshift": 14},
    ]


# -- in words -----------------------------------------------------------------------------------


def finding(task: Task, share: int) -> str:
    """How far from the dear model, for what share of its price."""
    here, big = task.curve.loc[share], named(task.models[1])
    gain = 100 * float(here["gain"])
    if np.isnan(gain):
        return (
            f"{share}% sent to {big}: no answer can be graded beside {big}'s,\n{_bill(task, here)}"
        )
    reached = "as right as" if abs(gain) < 0.1 else f"{abs(gain):.1f} points "
    if abs(gain) >= 0.1:
        reached += "better than" if gain > 0 else "short of"
    where = "" if here["both"] > 0.995 else f" on the {here['both']:.0%} that both answer"
    return f"{share}% sent to {big}: {reached} {big} alone{where},\n{_bill(task, here)}"


def _bill(task: Task, here: pd.Series) -> str:
    """For what share of the dear model's price, where both are known and it has one."""
    cost = float(here["cost"])
    if np.isnan(cost):
        return "for a price that is not known here"
    if not task.price[1] > 0:
        return f"for {usd(1e4 * cost)} USD per 10,000"
    paid = 1e4 * cost / task.price[1]
    return f"for {paid:.0%} of its price" if paid >= 0.005 else "for next to nothing"


def usd(price: float) -> str:
    """Dollars and cents; of less than a cent the first digit."""
    if np.isnan(price):
        return "unknown"
    return f"{price:.2f}" if price >= 0.005 else f"{price:.1g}"


def words(task: Task, here: pd.Series, said: str) -> str:
    """The picture for those who cannot see it."""
    small, big = map(named, task.models)
    return (
        f"{one_line(said)}. {here['accuracy']:.1%} right (95% interval"
        f" {here['low']:.1%} to {here['high']:.1%}) for {usd(1e4 * here['cost'])} USD per 10,000;"
        f" {small} alone {task.accuracy[0]:.1%} for {usd(task.price[0])}, {big} alone"
        f" {task.accuracy[1]:.1%} for {usd(task.price[1])}. Shown on {task.items:,} items that"
        " had no say in the thresholds."
    )


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
