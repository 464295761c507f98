"""A threshold of early exits with a guarantee: how far their answers may differ from the end's."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np
from scipy.stats import binom

from ensemble_lab.core.errors import shown
from ensemble_lab.core.shares import checked_level
from ensemble_lab.training.inputs.targets import numbers

# Fixed before the data are seen, as the guarantee asks; denser near 1, where most confidences are.
GRID = 1 - (np.arange(1001) / 1000) ** 2


def calibrated_threshold(confidences, wrong, tolerance: float, level: float = 0.95) -> float:
    """The lowest threshold whose risk is certified: with probability `level` it is within bounds.

    The risk of a threshold is how often a row leaves with a wrong answer. What is wrong is told by
    `wrong`: answers that differ from the end's (textual consistency), or errors that the end does
    not make (risk consistency). With probability `level` over the rows given here, the risk on new
    rows from the same source is at most `tolerance`, whatever the network is. Rows that it learned
    from are not from the same source.

    Thresholds are tested from 1 down until the first that is not certified (fixed sequence
    testing), so their number costs nothing. A test is exact: its p-value is the probability that a
    risk of `tolerance` shows so few wrong answers (binomial tail). The threshold 1 is the whole
    network, which has no risk.

    Parameters
    ----------
    confidences : (n, e) array
        Of n rows at e exits, from 0 to 1, such as largest probabilities.
    wrong : (n, e) array of bool
        Whether each exit's answer is wrong. At the last exit it never is: the end is the reference.
    tolerance : float
        The largest risk that is allowed, between 0 and 1.
    level : float
        The probability that it is kept.

    Returns
    -------
    float
        For `EarlyExit.leave`: rows leave above it. 1 where no lower threshold is certified.

    Raises
    ------
    ValueError
        Confidences outside [0, 1], answers that are wrong at the last exit or neither wrong nor
        right, other shapes, NaN, or a tolerance or level outside (0, 1).

    Warns
    -----
    UserWarning
        Too few rows to certify anything, even where none is wrong.

    References
    ----------
    Schuster et al., Confident adaptive language modeling, NeurIPS 2022. Angelopoulos et al., Learn
    then test: calibrating predictive algorithms to achieve risk control, 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidences = rng.uniform(size=(1000, 2))
    >>> wrong = np.stack([rng.uniform(size=1000) > confidences[:, 0], np.zeros(1000)], axis=1)
    >>> 0.5 < calibrated_threshold(confidences, wrong, tolerance=0.1) < 0.7
    True
    """
    sure, bad = _checked(confidences, wrong)
    if not isinstance(tolerance, Real) or not 0 < tolerance < 1:
        raise ValueError(
            f"tolerance={shown(tolerance)}: give a share between 0 and 1, such as 0.05"
        )
    doubt = 1 - checked_level(level)
    n = len(sure)
    if (1 - tolerance) ** n > doubt:
        needed = int(np.ceil(np.log(doubt) / np.log1p(-tolerance)))
        warnings.warn(
            f"{n} rows certify no threshold for tolerance={tolerance:g} at level={level:g}, even"
            f" if none is wrong: give {needed} or more; none leaves early",
            stacklevel=2,
        )
    certified = binom.cdf(wrong_answers(sure, bad), n, tolerance) <= doubt
    certified[0] = True  # the whole network, which is not wrong
    failed = np.flatnonzero(~certified)
    return float(GRID[failed[0] - 1 if len(failed) else -1])


def wrong_answers(sure: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """How many rows leave with a wrong answer at each threshold of GRID.

    A row leaves at an exit where the threshold is below its confidence there, but not below an
    earlier one.
    """
    counts = np.zeros(len(GRID), int)
    earlier = np.full(len(sure), -np.inf)
    for c, b in zip(sure.T, bad.T, strict=True):
        counts += _above(c[b]) - _above(np.minimum(c, earlier)[b])
        earlier = np.maximum(earlier, c)
    return counts


def _above(values: np.ndarray) -> np.ndarray:
    """How many values are above each threshold of GRID."""
    return len(values) - np.searchsorted(np.sort(values), GRID, side="right")


def _checked(confidences, wrong) -> tuple[np.ndarray, np.ndarray]:
    sure = numbers(confidences, "confidences", "give one an exit").astype(float)
    bad = numbers(wrong, "wrong", "give True or False, one an exit").astype(float)
    if sure.ndim != 2 or not sure.size or not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError(
            f"confidences of shape {sure.shape}: give numbers from 0 to 1, in rows of one for each"
            " exit"
        )
    if bad.shape != sure.shape or not np.isin(bad, (0, 1)).all():
        raise ValueError(
            f"wrong of shape {bad.shape} for confidences of shape {sure.shape}: give True or False"
            " for each"
        )
    if count := int(bad[:, -1].sum()):
        raise ValueError(
            f"wrong has {count} rows at the last exit, which is the reference: compare the exits'"
            " answers with the end's, as said != said[:, -1:]"
        )
    return sure, bad.astype(bool)
