"""Codes of numbers whose first bits are codes too: clusters that are split in two, bit by bit."""

from __future__ import annotations

import numpy as np

MOST_BITS = 8


def prefix_codes(rows: np.ndarray, bits: int = MOST_BITS) -> np.ndarray:
    """Codes (r, n) of numbers (r, n), each row for itself; a greater number has no smaller code.

    All numbers of a row are one cluster. Each bit splits every cluster in two where the squared
    errors from the means of the two are least, so the first b bits of a code are the code of b
    bits. A cluster that has fewer distinct numbers than codes is split so that no two of them share
    a code in the end. Equal numbers have equal codes.

    Parameters
    ----------
    rows : (r, n) array
        Finite numbers.
    bits : int
        1 to 8.
    """
    order = rows.argsort(axis=1, kind="stable")
    values = np.take_along_axis(rows, order, axis=1).astype(float)
    codes = np.zeros(rows.shape, np.int64)  # of the sorted values
    for bit in range(bits):
        codes = 2 * codes + _upper(values, codes, 2 ** (bits - bit - 1))
    found = np.empty(rows.shape, np.uint8)
    np.put_along_axis(found, order, codes.astype(np.uint8), axis=1)
    return found


def table_of(rows: np.ndarray, codes: np.ndarray, bits: int) -> np.ndarray:
    """The mean number (r, 2**bits) of each code; 0 for one that no number of the row has."""
    count = 2**bits
    cells = (np.arange(len(rows))[:, None] * count + codes).ravel()
    flat = rows.ravel().astype(float)
    size = np.bincount(cells, minlength=len(rows) * count)
    lowest, highest = np.full(size.shape, np.inf), np.full(size.shape, -np.inf)
    np.minimum.at(lowest, cells, flat)
    np.maximum.at(highest, cells, flat)
    means = np.bincount(cells, flat, minlength=size.size) / np.maximum(size, 1)
    # A mean of equal numbers would differ from them by rounding.
    return np.clip(means, lowest, highest, where=size > 0, out=np.zeros_like(means)).reshape(
        len(rows), count
    )


def _upper(values: np.ndarray, codes: np.ndarray, room: int) -> np.ndarray:
    """Which sorted values (r, n) go to the upper half of their cluster.

    `room` is how many codes each half has in the end.
    """
    r, n = values.shape
    place = np.arange(n)
    new = np.ones((r, n), bool)
    new[:, 1:] = codes[:, 1:] != codes[:, :-1]
    start = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    last = np.ones((r, n), bool)
    last[:, :-1] = new[:, 1:]
    end = np.minimum.accumulate(np.where(last, place + 1, n)[:, ::-1], axis=1)[:, ::-1]
    step = np.ones((r, n), bool)
    step[:, 1:] = values[:, 1:] != values[:, :-1]
    rank = step.cumsum(1)  # of the value among the distinct ones of its row

    def at(of, where):
        return np.take_along_axis(of, where, axis=1)

    sums = np.zeros((r, n + 1))
    np.cumsum(values - values.mean(1, keepdims=True), axis=1, out=sums[:, 1:])
    left, right = place - start, end - place  # numbers below a cut before this place, and above
    low, high = sums[:, :n] - at(sums, start), at(sums, end) - sums[:, :n]
    gain = low**2 / np.maximum(left, 1) + high**2 / right
    below = rank - at(rank, start)
    above = at(rank, end - 1) - rank + 1
    crowded = at(rank, end - 1) - at(rank, start) + 1 > 2 * room
    fits = crowded | ((below <= room) & (above <= room))
    gain[(left == 0) | ~step | ~fits] = -1.0  # no cut here
    flat, starts = gain.ravel(), np.flatnonzero(new)
    best = np.maximum.reduceat(flat, starts)
    cluster = np.cumsum(new.ravel()) - 1
    hits = np.flatnonzero((flat == best[cluster]) & (flat >= 0))
    cut = np.full(len(starts), r * n)
    np.minimum.at(cut, cluster[hits], hits)
    return (np.arange(r * n) >= cut[cluster]).reshape(r, n)
