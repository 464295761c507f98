"""The least and the most that an item can cost under a policy, for the interval of the mean.

Thirty cheap calls do not show that the expensive model is never asked. The table shows what it
would cost: it holds the price of every model, asked or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.intervals import FEWEST, farthest


@dataclass(frozen=True, eq=False)
class Reach:
    """The range of a mean; `exact` where it is known, not estimated from the values seen."""

    low: float
    high: float
    exact: bool


@dataclass(frozen=True, eq=False)
class Takes:
    """The cost or time of every call, asked or not.

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
        """The range of the items' totals `spent` (n,), or why it is unknown.

        The first wave is always asked. Of a later one an item may take nothing, or the most that
        any item took (all of the wave where none did).
        """
        least, most = np.zeros(len(spent)), np.zeros(len(spent))
        for place, wave in enumerate(self.waves):
            columns = list(wave)
            values, asked = self.values[:, columns], called[:, columns].sum(axis=1)
            if np.isnan(values).all(axis=0).any():
                return "a model that may be asked has no call with a known value"
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
            return f"values that differ from call to call need at least {FEWEST} items"
        below, above = farthest(spent)
        return Reach(min(low, below), max(high, above), False)

    def _total(self, values: np.ndarray) -> np.ndarray:
        return values.max(axis=1) if self.together else values.sum(axis=1)


def seen_reach(spent: np.ndarray) -> Reach | str:
    """The range of totals (n,) where only these are known; or why it is unknown."""
    if len(spent) < FEWEST:
        return f"at least {FEWEST} items are needed"
    if np.ptp(spent) == 0:
        return "every item took the same, so how much it can differ is unknown"
    return Reach(*farthest(spent), False)
