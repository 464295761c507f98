"""All thresholds of a cascade at once.

With L levels a stage and S stages, replaying every setting costs L^(S-1) passes over the items. But
what happens to an item depends only on how many levels its confidence reaches, a whole number a
stage. So one histogram of the items over those numbers, and its running sums, give every setting
exactly, in one pass.
"""

from __future__ import annotations

import numpy as np

from ensemble_lab.answers.cascades.cascade import replied
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.scales import check_scales


def exits(order, outcomes: Outcomes, values: np.ndarray, cumulative: bool) -> np.ndarray:
    """Correctness, cost and latency of stopping at each stage: (S, n).

    Correctness is that of the latest reply that could be read, else of the first reply, NaN without
    any; cost and latency add up over the stages.
    """
    columns = outcomes.columns(order)
    if cumulative:
        return np.cumsum(values[:, columns], axis=1).T
    kept, unread = np.full(len(outcomes), np.nan), outcomes.unparsed
    heard = np.zeros(len(outcomes), bool)
    stages = []
    for column in columns:
        here = replied(outcomes, column) | (unread[:, column] & ~heard)
        kept, heard = np.where(here, values[:, column], kept), heard | here
        stages.append(kept)
    return np.stack(stages)


def reached(order, outcomes: Outcomes, levels: np.ndarray) -> np.ndarray:
    """How many of the ascending `levels` each deferring stage's confidence reaches: (S - 1, n)."""
    columns = outcomes.columns(order[:-1])
    confidence = require(outcomes, "confidence", "Cascade")
    counts = []
    for column in columns:
        sure = np.where(replied(outcomes, column), confidence[:, column], -1.0)
        counts.append(np.searchsorted(levels, np.nan_to_num(sure, nan=-1.0), side="right"))
    return np.stack(counts)


def grid_sums(counts: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sum of the exit values (S, n) over items, for every setting: shape (size,) * (S - 1).

    An item with count b stops under level i where i < b, and defers where i >= b.
    """
    stages = len(values)
    total = np.zeros((size,) * (stages - 1))
    for stage, value in enumerate(values):
        axes = min(stage + 1, stages - 1)  # the counts that decide whether an item exits here
        shape = (size + 1,) * axes
        cell = np.ravel_multi_index(tuple(counts[:axes]), shape)
        sums = np.bincount(cell, value, minlength=(size + 1) ** axes).reshape(shape)
        for axis in range(axes):
            if axis == stage:  # stops here: counts above i
                sums = np.flip(np.cumsum(np.flip(sums, axis), axis), axis)
                sums = np.take(sums, range(1, size + 1), axis)
            else:  # deferred before: counts up to i
                sums = np.take(np.cumsum(sums, axis), range(size), axis)
        total += sums.reshape(sums.shape + (1,) * (stages - 1 - axes))
    return total


def sums_of_all(counts: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """`grid_sums`, and NaN for every setting in which the value of one item is unknown."""
    unknown = np.isnan(values)
    if not unknown.any():
        return grid_sums(counts, values, size)
    total = grid_sums(counts, np.where(unknown, 0.0, values), size)
    return np.where(grid_sums(counts, unknown.astype(float), size) > 0.5, np.nan, total)


def sweep_thresholds(order, outcomes: Outcomes, levels: np.ndarray) -> dict[str, list | np.ndarray]:
    """Columns of `ensemble_lab.frontier` for every setting, and the number of graded items."""
    check_scales(outcomes, outcomes.columns(order[:-1]))
    rank = np.argsort(levels, kind="stable")
    counts = reached(order, outcomes, levels[rank])
    size, stages = len(levels), len(order)
    where = np.empty(size, int)
    where[rank] = np.arange(size)  # sums come by rank; the caller's levels may be in any order
    choice = np.ix_(*[where] * (stages - 1))

    def total(values: np.ndarray) -> np.ndarray:
        return grid_sums(counts, values, size)[choice].ravel()

    graded = exits(order, outcomes, outcomes.correct, False)
    answered = ~np.isnan(exits(order, outcomes, np.ones(outcomes.correct.shape), False))
    known = ~np.isnan(graded)
    many = total(known.astype(float))
    stage = np.repeat(np.arange(1.0, stages + 1)[:, None], len(outcomes), axis=1)
    with np.errstate(invalid="ignore"):
        accuracy = total(np.where(known, graded, 0.0)) / many
    steps = np.indices((size,) * (stages - 1)).reshape(stages - 1, -1)
    result = {
        "thresholds": list(map(tuple, levels[steps.T].tolist())),
        "accuracy": accuracy,
        "coverage": total(answered.astype(float)) / len(outcomes),
        "cost": np.full(size ** (stages - 1), np.nan),
        "latency": np.full(size ** (stages - 1), np.nan),
        "calls": total(stage) / len(outcomes),
        "graded": many,
    }
    for name in ("cost", "latency"):
        if getattr(outcomes, name) is not None:
            spent = exits(order, outcomes, getattr(outcomes, name), True)
            result[name] = sums_of_all(counts, spent, size)[choice].ravel() / len(outcomes)
    return result
