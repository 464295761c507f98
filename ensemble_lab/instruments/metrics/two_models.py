"""A router between two models: which share of the strong model's lead it keeps at which price.

A router gives each item a score, and the items with the highest scores go to the strong model.
Every cut of this order is one setting of the router. The formulas are those of RouteLLM, without
its rounding to ten cuts.

References
----------
Ong et al., RouteLLM: Learning to route LLMs with preference data, arXiv 2406.18665, 2024.
Burns et al., Weak-to-strong generalization, arXiv 2312.09390, 2023 (performance gap recovered).
"""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.shares import real
from ensemble_lab.instruments.metrics.checked import check_gap, in_unit, one_share, per_item


def pgr(accuracy, weak: float, strong: float) -> np.ndarray:
    """Performance gap recovered: 0 at the weak model's accuracy, 1 at the strong model's.

    Parameters
    ----------
    accuracy : float or array-like, any shape
        In [0, 1]. A result is negative below the weak model, and above 1 where a router uses what
        only the weak model knows.
    weak, strong : float
        The accuracies of the two models.

    Returns
    -------
    ndarray, the shape of `accuracy`

    Raises
    ------
    ValueError
        A number outside [0, 1], or a strong model that is not better.

    Examples
    --------
    >>> float(pgr(0.75, weak=0.5, strong=1.0))
    0.5
    """
    weak, strong = one_share(weak, "weak"), one_share(strong, "strong")
    check_gap(weak, strong)
    return (in_unit(real(accuracy, "accuracy"), "accuracy") - weak) / (strong - weak)


def curve(scores, weak, strong) -> tuple[np.ndarray, np.ndarray]:
    """Every cut of a router between two models, as points that are joined by straight lines.

    Parameters
    ----------
    scores : array-like (n,)
        An item with a higher score goes to the strong model earlier. Infinite scores are first and
        last. Between items with equal scores a router has to choose at random: they are one
        straight line, which is the mean over all their orders.
    weak, strong : array-like (n,)
        How right each model's answer is, in [0, 1].

    Returns
    -------
    share, accuracy : ndarray (k + 1,)
        For k different scores: the share of the items that the strong model answers, from 0 to 1,
        and the accuracy over all items.

    Raises
    ------
    ValueError
        Not one number an item, NaN, a correctness outside [0, 1], or different lengths.

    Examples
    --------
    >>> share, accuracy = curve([3, 1, 2], weak=[0, 1, 0], strong=[1, 1, 0])
    >>> accuracy.round(3).tolist()
    [0.333, 0.667, 0.667, 0.667]
    """
    scores, weak, strong = per_item(weak, strong, scores=scores)
    taken, gain = _cuts(scores, strong - weak)
    return taken / len(scores), weak.mean() + gain / len(scores)


def apgr(scores, weak, strong, quantiles: int | None = None) -> float:
    """Average performance gap recovered: the mean of PGR over all shares of calls.

    It is the area under PGR by the trapezoid rule over all cuts. Random routing has 0.5 on average
    (`noise_floor`), and the best order may have more than 1.

    Parameters
    ----------
    scores, weak, strong : array-like (n,)
        As for `curve`.
    quantiles : int, optional
        Only the cuts at so many quantiles of the scores. RouteLLM's evaluation takes 10, and then
        this is its figure, except that its code refuses equal quantiles. At the best order it
        misses a part of the area.

    Raises
    ------
    ValueError
        As for `curve`; a strong model that is not better, for which PGR is undefined; infinite
        scores with `quantiles`.

    Examples
    --------
    >>> apgr([3, 1, 2], weak=[0, 1, 0], strong=[1, 1, 0])
    0.8333333333333334
    """
    scores, weak, strong = per_item(weak, strong, scores=scores)
    taken, recovered = _recovered(scores, weak, strong)
    if quantiles is not None:
        at = np.isin(taken, _quantile_cuts(scores, quantiles))
        taken, recovered = taken[at], recovered[at]
    return area(taken / len(scores), recovered)


def cpt(scores, weak, strong, share: float) -> float:
    """Call-performance threshold: the fewest calls to the strong model that recover `share`.

    The curve may fall and rise again, so this is where it first reaches `share`, between two cuts
    on their straight line.

    Parameters
    ----------
    scores, weak, strong : array-like (n,)
        As for `curve`.
    share : float
        A PGR in [0, 1]: 0.5 for RouteLLM's CPT(50%).

    Returns
    -------
    float
        A share of the items, in [0, 1].

    Raises
    ------
    ValueError
        As for `apgr`, or a share outside [0, 1].

    Examples
    --------
    >>> cpt([3, 1, 2], weak=[0, 1, 0], strong=[1, 1, 0], share=0.5)
    0.16666666666666666
    """
    scores, weak, strong = per_item(weak, strong, scores=scores)
    wanted = one_share(share, "share")
    taken, recovered = _recovered(scores, weak, strong)
    after = int(np.argmax(recovered >= wanted))  # the first; the last cut recovers exactly 1
    if not after:
        return 0.0
    low, high = recovered[after - 1], recovered[after]
    part = (wanted - low) / (high - low)
    return float((taken[after - 1] + part * (taken[after] - taken[after - 1])) / len(scores))


def area(x: np.ndarray, y: np.ndarray) -> float:
    """Area under the straight lines through the points (x, y), by the trapezoid rule."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def _cuts(scores: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items (k + 1,) that go to the strong model at each cut, and the sum of their `gain`."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal scores
    return np.append(0, last + 1), np.append(0.0, np.cumsum(gain[order])[last])


def _recovered(scores, weak, strong) -> tuple[np.ndarray, np.ndarray]:
    """Items (k + 1,) that go to the strong model at each cut, and PGR there."""
    check_gap(weak.mean(), strong.mean())
    taken, gain = _cuts(scores, strong - weak)
    return taken, gain / gain[-1]


def _quantile_cuts(scores: np.ndarray, quantiles: int) -> np.ndarray:
    """Items that go to the strong model at the thresholds that RouteLLM takes from pandas.

    An item goes there where its score is at least the threshold, at the last one where it is above.
    """
    import pandas as pd

    if isinstance(quantiles, bool) or not isinstance(quantiles, Integral) or quantiles < 1:
        raise ValueError(f"quantiles={shown(quantiles)}; use a whole number from 1 up")
    if not np.isfinite(scores).all():
        raise ValueError("scores has infinite numbers: they have no quantiles; give finite ones")
    thresholds = pd.Series(scores).quantile(np.linspace(0, 1, quantiles + 1)).to_numpy()
    below = np.searchsorted(np.sort(scores), thresholds[:-1])
    return np.append(len(scores) - below, 0)
