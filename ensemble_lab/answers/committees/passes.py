"""pass@k: the chance that one of k samples is right."""

from __future__ import annotations

from math import perm

import numpy as np

from ensemble_lab.core.errors import shown

MOST = 1_000_000  # samples


def pass_at_k(n, c, k) -> np.ndarray | float:
    """The unbiased estimate of the chance that at least one of k samples is right.

    It is the share of all sets of k of the n samples that hold a right one, 1 - C(n - c, k) /
    C(n, k), computed in whole numbers and rounded once. The mean over problems is what benchmarks
    report.

    Parameters
    ----------
    n, c, k : int or array-like of int
        Samples of a problem, the right ones among them, and how many may be drawn. They broadcast.

    Returns
    -------
    float, or ndarray of the broadcast shape
        In [0, 1].

    Raises
    ------
    ValueError
        More right samples than samples; k above n, where nothing is known; numbers that are not
        whole, or negative.

    References
    ----------
    Chen et al., Evaluating Large Language Models Trained on Code, arXiv 2107.03374.

    Examples
    --------
    >>> pass_at_k(5, 2, 2)
    0.7
    """
    given = {"n": n, "c": c, "k": k}
    counts = [_counts(value, name) for name, value in given.items()]
    try:
        n, c, k = np.broadcast_arrays(*counts)
    except ValueError:
        sizes = ", ".join(f"{name} {x.shape}" for name, x in zip("nck", counts, strict=True))
        raise ValueError(f"shapes that do not fit: {sizes}; give one number a problem") from None
    for bad, fix in (
        (c > n, "there are more right samples than samples"),
        (k > n, "from fewer than k samples nothing is known; draw more, or take a smaller k"),
        (k < 1, "draw at least one"),
    ):
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            raise ValueError(f"n={n[at]}, c={c[at]}, k={k[at]}: {fix}")
    rows = np.stack([n.ravel(), c.ravel(), k.ravel()], axis=1)
    kinds, place = np.unique(rows, axis=0, return_inverse=True)
    found = np.array([_chance(*map(int, kind)) for kind in kinds])[place.ravel()].reshape(n.shape)
    return float(found) if not found.ndim else found


def _chance(n: int, c: int, k: int) -> float:
    few, many = min(c, k), max(c, k)  # exchanging them changes nothing, and few factors are quick
    drawn, wrong = perm(n, few), perm(n - many, few)
    return (drawn - wrong) / drawn


def _counts(value, name: str) -> np.ndarray:
    try:
        found = np.asarray(value)
    except ValueError:  # rows of different lengths
        found = np.array(None)
    if found.dtype.kind == "O" and all(
        isinstance(one, int) and not isinstance(one, bool) for one in found.flat
    ):
        found = found.astype(float)  # too large for 64 bits, or empty
    if found.dtype.kind == "f" and (found == np.floor(found)).all() and (abs(found) < 1e9).all():
        found = found.astype(int)
    if found.dtype.kind not in "iu" or (found < 0).any() or (found > MOST).any():
        raise ValueError(f"{name}={shown(value)}; give whole numbers from 0 to {MOST:,}")
    return found.astype(int)
