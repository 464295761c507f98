"""Intervals for what a simulation measures: successive waits are alike, so they go in batches.

References
----------
Schmeiser, Batch size effects in the analysis of simulation output, Operations Research 1982.
"""

from __future__ import annotations

import warnings
from numbers import Real
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.shares import checked_level, student
from ensemble_lab.systems.simulator.inputs import numbers, whole


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the width, as a share of the mean."""
        return (self.high - self.low) / 2 / abs(self.mean) if self.mean else float("inf")

    def __contains__(self, value) -> bool:
        return self.low <= value <= self.high


def batch_means(values, level: float = 0.95, batches: int = 20, warm_up: float = 0.1) -> Interval:
    """Interval of the long-run mean of values (n,) that depend on those before them.

    The first share `warm_up` is dropped, as the system began empty. The rest is cut into `batches`
    of equal size by number, not by time; where it cannot be, the first few are dropped too. The
    interval is Student's over the means of the batches.

    Parameters
    ----------
    values : array-like (n,)
        One a job, in their order: waits, for example.
    level : float
    batches : int
        From 2 up; 10 to 30 is usual.
    warm_up : float
        A share in [0, 1).

    Returns
    -------
    Interval
        `mean, low, high`; `half_width` is a share of the mean.

    Raises
    ------
    ValueError
        Values that are not finite, fewer than ten a batch, another setting out of range.

    Warns
    -----
    UserWarning
        Successive batches are still alike, so the interval is too narrow: simulate longer.

    Examples
    --------
    >>> values = np.random.default_rng(0).exponential(size=10_000)
    >>> 1.0 in batch_means(values)
    True
    """
    values, level = numbers(values, "values"), checked_level(level)
    if values.ndim != 1:
        raise ValueError(f"values has shape {values.shape}; give one value a job")
    batches = whole(batches, "batches", 2)
    if isinstance(warm_up, bool) or not isinstance(warm_up, Real) or not 0 <= warm_up < 1:
        raise ValueError(f"warm_up={shown(warm_up)}; give a share in [0, 1)")
    size = int(len(values) * (1 - warm_up)) // batches
    if size < 10:
        raise ValueError(
            f"{len(values)} values make {batches} batches of {size}; simulate at least"
            f" {int(10 * batches / (1 - warm_up)) + 1} jobs"
        )
    means = values[-size * batches :].reshape(batches, size).mean(axis=1)
    _check_independent(means, size)
    mean = float(means.mean())
    reach = float(student(level, batches)) * means.std(ddof=1) / batches**0.5
    return Interval(mean, float(mean - reach), float(mean + reach))


def _check_independent(means: np.ndarray, size: int) -> None:
    """Warn where a batch mean predicts the next one: 1 in 100 independent sets does so."""
    apart = means - means.mean()
    total = float(apart @ apart)
    if len(means) < 8 or total == 0:
        return
    alike = float(apart[1:] @ apart[:-1]) / total
    if alike > 2.33 / len(means) ** 0.5:
        warnings.warn(
            f"batches of {size} jobs are still alike (correlation {alike:.2f} with the next one):"
            " the interval is too narrow; simulate longer, or use fewer batches",
            stacklevel=3,
        )
