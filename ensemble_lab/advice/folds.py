"""Folds: which rows a candidate is fitted on, and on which it is judged."""

from __future__ import annotations

import numpy as np

UNUSED = -1  # the first rows of a forward split, which no earlier row can predict


def folds_of(
    n: int, folds: int, rng: np.random.Generator,
    cluster: np.ndarray | None = None, time: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """The fold (n,) of each row.

    Parameters
    ----------
    n, folds : int
    rng : Generator
    cluster : ndarray of int (n,), optional
        Rows of one cluster are in one fold.
    time : ndarray (n,), optional
        The first block of time is `UNUSED`; each later block of equally many rows is a fold. Rows
        of one time are in one block.

    Returns
    -------
    ndarray of int (n,)
        0 to `folds` - 1, or `UNUSED`.
    """
    if time is not None:
        order = np.argsort(time, kind="stable")
        block = np.empty(n, int)
        block[order] = np.arange(n) * (folds + 1) // n
        # All rows of one time are in the block of the first of them.
        _, same = np.unique(time, return_inverse=True)
        first = np.full(same.max() + 1, folds + 1)
        np.minimum.at(first, same, block)
        return first[same] + UNUSED
    cluster = np.arange(n) if cluster is None else cluster
    sizes = np.bincount(cluster)
    # The largest clusters first, each to the smallest fold; equal ones in random order.
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    if sizes.max() == sizes.min():
        place = np.empty(len(sizes), int)
        place[order] = np.arange(len(sizes)) % folds
        return place[cluster]
    filled, place = np.zeros(folds, int), np.empty(len(sizes), int)
    for own in order:
        place[own] = filled.argmin()
        filled[place[own]] += sizes[own]
    return place[cluster]


def training_rows(
    fold: np.ndarray, k: int, cluster: np.ndarray | None = None, forward: bool = False
) -> np.ndarray:
    """(n,) bool: the rows that a candidate may learn from before it is judged on fold `k`.

    With `forward` only earlier blocks; never a row of a cluster that is judged.
    """
    rows = fold < k if forward else fold != k
    if cluster is not None and forward:
        rows = rows & ~np.isin(cluster, np.unique(cluster[fold == k]))
    return rows
