"""The numbers behind the first explorer: two models at every share that is sent on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensemble_lab.answers.cascades.cascade import Cascade, replied
from ensemble_lab.answers.cascades.sweep import exits
from ensemble_lab.catalogue import load_outcomes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.scales import check_scales
from ensemble_lab.core.shares import share_interval
from ensemble_lab.core.unknown import mean_of_known, model_means, share_known

SHARES = tuple(range(101))  # per cent of the items
ABOVE_ALL = 1.01  # a threshold above every confidence: everything is sent on
# Task to table, cheap and expensive model; the first is shown at the start, the last one fails.
TASKS = {
    "spoken digits": ("audiomnist-services", "DeepSpeech", "Microsoft"),
    "faces": ("rafdb-services", "CNN", "Microsoft"),
    "film reviews": ("imdb-services", "Vader", "Google"),
}
LEVEL = 0.1  # points: closer than that is as right
FURTHEST = 104  # per cent sent on: single models that cost more than that are not drawn
FEWEST = 4  # items: two to choose on, two to show


@dataclass(frozen=True, eq=False)
class Task:
    """Two models on the half of a table that had no say in the thresholds.

    `accuracy` and `price` (USD for 10,000 items) are (2,) of the models alone; `curve` has a row
    for every share in `SHARES`, with the `gain` on the expensive model over the items that both
    answer, and the share of these, `both`. A price is NaN where that of one call is not known.
    `others` has the name, accuracy and price of each other model of the table.
    """

    models: tuple[str, ...]
    items: int
    accuracy: np.ndarray
    price: np.ndarray
    curve: pd.DataFrame
    others: tuple[tuple[str, float, float], ...] = ()

    @classmethod
    def of(cls, table: Outcomes, models: tuple[str, ...] | None = None) -> Task:
        """Every share's threshold is read off one half of the items, the rest off the other."""
        models = models or table.models
        _, shown = table.split(0.5, seed=0)
        others = zip(table.models, shown.accuracy(), _prices(shown), strict=True)
        fit, shown = table.select(models=models).split(0.5, seed=0)
        sure = np.nan_to_num(fit.confidence[:, 0], nan=0.0)  # no confidence: not sure
        levels = np.quantile(sure, np.array(SHARES[1:-1]) / 100).tolist()
        cascade = Cascade(shown.models, (0.5,))
        levels = [0.0, *levels, ABOVE_ALL]
        curve = pd.DataFrame(cascade.sweep(shown, {"thresholds": levels}), index=SHARES)
        curve["low"], curve["high"] = share_interval(curve["accuracy"], curve["graded"])
        curve["gain"], curve["both"] = zip(*_gains(shown, levels), strict=True)
        others = tuple(other for other in others if other[0] not in models)
        return cls(models, len(shown), shown.accuracy(), _prices(shown), curve, others)

    @property
    def drawn(self) -> list[tuple[str, float, float, float]]:
        """Of the other models those in the picture: name, share of that price, accuracy, price."""
        small, big = self.price
        others = self.others if big else ()
        places = [(n, 100 * (usd - small) / big, right, usd) for n, right, usd in others]
        return [place for place in places if -2 <= place[1] <= FURTHEST]


def _prices(outcomes: Outcomes) -> np.ndarray:
    """USD for 10,000 items (m,) of each model."""
    return 1e4 * model_means(outcomes.cost, outcomes.absent)


def _gains(shown: Outcomes, levels: list[float]) -> list[tuple[float, float]]:
    """How much more is right than with the expensive model, and on what share of the items."""
    tried, passed_on = exits(shown.models, shown, shown.correct, cumulative=False)
    sure = np.where(replied(shown, 0), shown.confidence[:, 0], np.nan)
    right = (np.where(sure >= level, tried, passed_on) for level in levels)
    more = (values - shown.correct[:, 1] for values in right)
    return [(mean_of_known(values), share_known(values)) for values in more]


def enough(task: Task) -> int:
    """The smallest share that the title calls as right as the expensive model, or better."""
    gain = 100 * np.nan_to_num(task.curve["gain"], nan=-1.0)
    return int((gain > -LEVEL).argmax()) if (gain > -LEVEL).any() else SHARES[-1]


def recorded_task(name: str) -> Task:
    """One of the recorded tasks, with the other models of its table."""
    table, *models = TASKS[name]
    return Task.of(load_outcomes(table), tuple(models))


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
            fix = "explore('cascade', …) does without"
            raise ValueError(f"escalate needs the cheap model's {name}; {fix}")
    check_scales(outcomes, [0])
    return outcomes
