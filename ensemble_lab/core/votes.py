"""Vote arithmetic: every policy that combines answers counts its votes here.

Ties and gaps have one rule. A member without a parsed answer casts no vote. A tie goes to the
answer given by the member listed first, so the order of the members is the order of trust, and
renaming or reordering labels changes nothing. Without any vote there is no answer.

Arrays are (members, items) and (labels, items) here: there are few members and labels and many
items, and numpy is quick along a long last axis.
"""

from __future__ import annotations

import numpy as np

NO_WINNER = -1


def local_codes(codes: np.ndarray) -> np.ndarray:
    """Recode answers (m, n) to the first member who gave the same answer to the item.

    Codes then run below m however many labels there are: sums of "18" and "1,319" need no
    table of all numbers. Missing answers stay negative.
    """
    local = np.where(codes >= 0, np.arange(len(codes))[:, None], codes)
    for j in range(1, len(codes)):
        for i in range(j - 1, -1, -1):  # downwards: the first one who agrees is written last
            np.copyto(local[j], i, where=(codes[i] == codes[j]) & (codes[j] >= 0))
    return local


def compact(codes: np.ndarray, k: int) -> tuple[np.ndarray, int]:
    """Codes (m, n) and their number: as they are, or local where that makes fewer."""
    return (codes, k) if k <= len(codes) else (local_codes(codes), len(codes))


def support(codes: np.ndarray, weight: np.ndarray, k: int) -> np.ndarray:
    """Total weight behind each member's own answer.

    Parameters
    ----------
    codes : ndarray of int (m, n)
        Below `k`; negative where missing.
    weight : ndarray (m,)
    k : int
        Number of labels.

    Returns
    -------
    ndarray (m, n)
        -inf where the member cast no vote.
    """
    codes, k = compact(codes, k)
    n = codes.shape[1]
    tally = np.zeros((k + 1) * n)  # one row more, for missing answers
    items = np.arange(n)
    slots = [np.where(row >= 0, row, k) * n + items for row in codes]
    for slot, w in zip(slots, weight, strict=True):  # a slot occurs once a member: += is safe
        tally[slot] += w
    tally[k * n :] = -np.inf
    return np.stack([tally[slot] for slot in slots])


def at_own(score: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`score` (k, n) of each member's own answer `codes` (m, n): (m, n), -inf without answer."""
    own = np.take_along_axis(score, np.maximum(codes, 0), axis=0)
    return np.where(codes >= 0, own, -np.inf)


def near_best(score: np.ndarray, size=0.0) -> np.ndarray:
    """Whether each score (m, n) is within rounding of its item's best: bool (m, n).

    Sums of the same weights in another order differ in the last bits and are still ties. Rounding
    grows with what is summed: `size` (n,) is the total of an item's votes without their signs,
    where scores can cancel; else the best score says how large these are.
    """
    best = score.max(axis=0)
    best[np.isneginf(best)] = 0.0
    return score >= best - 1e-9 * np.maximum(size, np.abs(best))


def first_best(score: np.ndarray, size=0.0) -> np.ndarray:
    """First row (n,) of `score` (m, n) that is `near_best`; `NO_WINNER` where all are -inf."""
    near = near_best(score, size)
    return np.where(near.any(axis=0), near.argmax(axis=0), NO_WINNER)


def plurality(codes: np.ndarray, weight: np.ndarray, k: int) -> np.ndarray:
    """First member (n,) who gave the answer with the most weight behind it, else `NO_WINNER`."""
    cancel = (weight < 0).any()
    return first_best(support(codes, weight, k), np.abs(weight) @ (codes >= 0) if cancel else 0.0)


def best_label(score: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Best label (n,) of `score` (k, n); ties go to the one the first member finds likeliest.

    `probabilities` is (m, k, n). The next member decides what the first leaves tied. Label order
    decides only between labels that every member finds equally likely. Items without any
    probabilities give `NO_WINNER`.
    """
    tied = near_best(score)
    open_ = np.flatnonzero(tied.sum(axis=0) > 1)
    for proba in probabilities[:, :, open_]:
        among = np.where(tied[:, open_], np.nan_to_num(proba, nan=0.0), -1.0)
        tied[:, open_] &= among >= among.max(axis=0)
    silent = np.isnan(probabilities).all(axis=(0, 1))
    return np.where(silent, NO_WINNER, tied.argmax(axis=0))
