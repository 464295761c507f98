"""Votes counted one answer after another, until the lead is large enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.votes import NO_WINNER


@dataclass(frozen=True)
class Sampling(Policy):
    """What rules over samples share: `order`, the members in the order of asking.

    A member may be a model, or one of several samples of one model.

    Parameters
    ----------
    order : tuple of str, optional
        By default every model of the outcomes, in their order.
    """

    order: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.order is not None:
            object.__setattr__(self, "order", model_names(self.order, "order"))
        super().__post_init__()

    def fit(self, outcomes: Outcomes) -> Self:
        """Order the members by accuracy on `outcomes`, the most accurate first."""
        check_outcomes(outcomes)
        members = np.array(self._order(outcomes.models), object)
        accuracy = outcomes.accuracy()[outcomes.columns(members.tolist())]
        ranked = members[np.argsort(-accuracy, kind="stable")]  # NaN sorts last
        return replace(self, order=tuple(ranked.tolist()))

    def _order(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(models if self.order is None else self.order)


def count_until(slots: np.ndarray, width: int, need: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the votes of each stream in turn and stop where the lead is large enough.

    Parameters
    ----------
    slots : ndarray of int (m, s)
        The m answers of each of s streams as numbers below `width`; negative for no vote.
    width : int
    need : ndarray of int (m + 1,)
        The votes of the leading answer at which a stream stops, by those of the next one.

    Returns
    -------
    asked : ndarray of int (s,)
        From 1 to m.
    winner : ndarray of int (s,)
        The place in the stream at which the leading answer was first given, or `NO_WINNER`. Of
        answers with as many votes the one given first leads.
    """
    m, s = slots.shape
    vote = m + 1  # in units; what is left over tells how early the answer was first given
    kept = np.zeros(s * (width + 1), np.min_scalar_type(-vote * vote))  # votes by stream and answer
    asked, winner = np.full(s, m), np.full(s, NO_WINNER)
    running, leader = np.arange(s), np.full(s, width)
    best, second = np.zeros(s, int), np.zeros(s, int)
    for t in range(m):
        slot = slots[t, running]
        slot = np.where(slot < 0, width, slot)
        place = running * (width + 1) + slot
        before = kept[place].astype(int)
        own = np.where(slot < width, before + vote + (before == 0) * (m - t), 0)
        kept[place] = own
        # A new leader makes the old one second; any other answer may become second.
        second = np.where(slot == leader, second, np.maximum(second, np.minimum(own, best)))
        leader = np.where(own > best, slot, leader)
        best = np.maximum(best, own)
        sure = best // vote >= need[second // vote]
        if sure.any():
            asked[running[sure]] = t + 1
            winner[running[sure]] = m - best[sure] % vote
            running, leader, best, second = (x[~sure] for x in (running, leader, best, second))
    winner[running] = np.where(best > 0, m - best % vote, NO_WINNER)
    return asked, winner


def checked_count(value, what: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`.

    Raises
    ------
    ValueError
        Anything else, True and 2.0 among them.
    """
    known = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not known or not low <= value <= high:
        raise ValueError(f"{what}={shown(value)}; give a whole number from {low} to {high:,}")
    return int(value)
