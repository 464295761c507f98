"""What the cascade explorer knows of one setting, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.intervals import share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.unknown import mean_of_all, mean_of_known, model_means
from ensemble_lab.explorers.answers.cascades.cascade_replay import (
    CHOOSE,
    LEVELS,
    Replay,
    Sweep,
    ranking,
)

BINS = np.linspace(0, 1, 21)


@dataclass(frozen=True, eq=False)
class View:
    """One setting with its numbers; accuracies and prices are of the shown half.

    `accuracy` and `price` are (m,) of the single models, `oracle` and `point` (price, accuracy);
    `thresholds` are those of the first model, one or one a label; `bars` count right and wrong.
    """

    order: tuple[str, ...]
    mode: str
    at: tuple[int, ...]
    sweep: Sweep | None
    accuracy: np.ndarray
    price: np.ndarray
    oracle: tuple[float, float]
    chance: float
    point: tuple[float, float]
    interval: tuple[float, float]
    thresholds: tuple[float, ...]
    bars: tuple[np.ndarray, np.ndarray]
    rank: float


def view(replay: Replay, order, mode: str, at, able: bool, state: Mapping) -> View:
    """The numbers of one setting: look-ups, once its chain was swept."""
    deferring = len(order) - 1
    able = able or not deferring
    at, by_label = tuple(at[:deferring]), bool(state.get("per_label")) and mode != CHOOSE
    sweep = None
    if able:
        sweep = replay.by_label(order) if by_label and deferring else replay.sweep(order, mode)
    accuracy, paid, *bounds = replay.once(_facts, order, mode)
    bars, rank = replay.once(_bars, order, mode) if able else (_no_bars(), float("nan"))
    right, graded = (sweep.accuracy[at], sweep.graded[at]) if sweep else (np.nan, 0)
    levels = tuple(LEVELS[[at[0]]].tolist()) if deferring and sweep else ()
    if by_label and levels:
        levels = replay.levels(order, at)
    return View(
        order, mode, at, sweep, accuracy, paid, *bounds,
        point=(float(sweep.price[at]), float(right)) if sweep else (np.nan, np.nan),
        interval=tuple(float(end) for end in share_interval(right, graded)),
        thresholds=levels, bars=bars, rank=rank,
    )  # fmt: skip


def price(replay: Replay, small: str, model: str) -> float:
    """What one call of `model` costs on average, in the axis's unit; NaN where one is unknown."""
    table = replay.half(small)
    return replay.price.factor * float(_prices(table)[table.columns((model,))[0]])


def _facts(replay: Replay, order, mode: str):
    """What does not depend on a threshold: single models, oracle and chance oracle."""
    table = replay.half(order[0])
    paid = _prices(table)
    right, spent, _ = replay.exits(order, mode, table)
    known = np.where(np.isnan(right), -1.0, right)
    stage, rows = known.argmax(axis=0), np.arange(len(table))
    graded = known.max(axis=0) >= 0
    oracle = (mean_of_all(spent[stage, rows]), mean_of_known(known[stage, rows][graded]))
    return table.accuracy(), paid, oracle, _chance(table, order)


def _chance(table, order) -> float:
    """An oracle over as many guessers, where it is known between how many answers they guess."""
    options = table.features.get("n_options")
    if options is None and table.truth is not None:
        options = len(np.unique(table.truth[table.truth >= 0]))  # answers that are ever right
    try:
        return table.select(models=order).chance_oracle(options)
    except ValueError:  # nobody knows how many options there were
        return float("nan")


def _bars(replay: Replay, order, mode: str):
    table = replay.half(order[0])
    score = replay.sweep(order, mode).score
    right = table.correct[:, table.columns(order[:1])[0]]
    if score is None:
        return _no_bars(), float("nan")
    good, bad = (np.histogram(score[known], BINS)[0] for known in (right >= 0.5, right < 0.5))
    share = [100 * bar / max(bar.sum(), 1) for bar in (good, bad)]
    return tuple(share), ranking(score, right)


def _no_bars():
    return np.zeros(len(BINS) - 1), np.zeros(len(BINS) - 1)


def _prices(table: Outcomes) -> np.ndarray:
    """Mean price (m,) of each model over the items that it has."""
    return model_means(table.cost, table.absent)


def curve(seen: View) -> tuple[np.ndarray, np.ndarray]:
    """Price and accuracy along all settings of one threshold; of two, the efficient ones."""
    if seen.sweep is None or len(seen.order) == 1:
        return np.array([]), np.array([])
    spent, right = seen.sweep.price.ravel(), seen.sweep.accuracy.ravel()
    if len(seen.order) == 3:
        kept = efficient(seen.sweep)
        spent, right = spent[kept], right[kept]
    by_price = np.argsort(spent, kind="stable")
    return spent[by_price], right[by_price]


def efficient(sweep: Sweep) -> np.ndarray:
    """Which settings, as one row, no other that answers as many beats in price and accuracy."""
    # Shares are sums of shares: the last digits are no difference.
    parts = sweep.price, sweep.accuracy, np.round(sweep.coverage, 9)
    return pareto(*(part.ravel() for part in parts))


def shares_of(seen: View) -> tuple[list[float], list[float]]:
    """Per cent of the items that each model was asked, and answered."""
    if seen.sweep is None:
        return [0.0] * len(seen.order), [0.0] * len(seen.order)
    place = (slice(None), *seen.at)
    return tuple((100 * part[place]).tolist() for part in (seen.sweep.asked, seen.sweep.answered))
