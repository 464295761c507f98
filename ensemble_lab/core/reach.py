"""How little and how much an item can take of a policy: what the interval of a mean reckons with.

Thirty cheap calls do not say that the dear model is never asked. What they do not say, the table
does: it holds what every model takes, asked or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.intervals import FEWEST, farthest


@dataclass(frozen=True, eq=False)
class Reach:
    """What a mean may lie between; `exact` where that is known, not guessed from what was seen."""

    low: float
    high: float
    exact: bool


@dataclass(frozen=True, eq=False)
class Takes:
    """What every call takes, asked or not.

    Parameters
    ----------
    values : ndarray (n, m)
        USD or seconds, NaN where unknown.
    waves : tuple of tuple of int
        Columns asked together, one tuple after the other.
    together : bool
        Whether the slowest of a wave counts, not the sum.
    """

    values: np.ndarray
    waves: tuple[tuple[int, ...], ...]
    together: bool

    def reach(self, spent: np.ndarray, called: np.ndarray) -> Reach | str:
        """How far the items' totals `spent` (n,) can lie, or why nobody knows.

        The first wave is always asked; of a later one an item may take nothing or all that any
        item asked of it (the whole wave where none did).
        """
        least, most = np.zeros(len(spent)), np.zeros(len(spent))
        for place, wave in enumerate(self.waves):
            columns = list(wave)
            values, asked = self.values[:, columns], called[:, columns].sum(axis=1)
            if np.isnan(values).all(axis=0).any():
                return "no call of one of the models that may be asked is known"
            if not place:
                fewest = max(int(asked.min()), 1)
                known = np.where(np.isnan(values), np.nanmin(values, axis=0), values)
                least = self._total(np.sort(known, axis=1)[:, :fewest])
            known = np.where(np.isnan(values), np.nanmax(values, axis=0), values)
            most += self._total(np.sort(known, axis=1)[:, -(int(asked.max()) or len(wave)) :])
        low, high = float(least.min()), float(most.max())
        slack = 1e-9 * abs(high)
        if np.ptp(least) <= slack and np.ptp(most) <= slack:
            return Reach(min(low, float(spent.min())), max(high, float(spent.max())), True)
        if len(spent) < FEWEST:
            return f"what differs from call to call takes at least {FEWEST} items"
        below, above = farthest(spent)
        return Reach(min(low, below), max(high, above), False)

    def _total(self, values: np.ndarray) -> np.ndarray:
        return values.max(axis=1) if self.together else values.sum(axis=1)


def seen_reach(spent: np.ndarray) -> Reach | str:
    """How far totals (n,) can lie where nothing but these is known; or why nobody knows."""
    if len(spent) < FEWEST:
        return f"it takes at least {FEWEST} items"
    if np.ptp(spent) == 0:
        return "every item took the same, and nothing says how it can differ"
    return Reach(*farthest(spent), False)
