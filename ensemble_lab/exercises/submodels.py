"""Checks of notebook 15: thresholds for given shares, and codes whose first bits are codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: thresholds for given shares -------------------------------------------------------------


def _chosen(
    count: Callable = lambda shares, e, stay, n: round(shares[e] * n),
    among: Callable = lambda confidence, stay, e: confidence[stay, e],
    threshold: Callable = lambda ranked, k: ranked[min(k, len(ranked) - 1)],
    left: Callable = lambda confidence, stay, e, limit: stay[confidence[stay, e] <= limit],
):
    """Thresholds exit by exit, with a part of the work exchanged."""

    def thresholds(confidence, shares) -> np.ndarray:
        n, exits = confidence.shape
        stay, found = np.arange(n), np.zeros(exits - 1)
        for e in range(exits - 1):
            ranked = np.sort(among(confidence, stay, e))[::-1]
            found[e] = threshold(ranked, int(count(shares, e, stay, n)))
            stay = left(confidence, stay, e, found[e])
            if not len(stay):  # a mistake let all go
                break
        return found

    return thresholds


_thresholds = _chosen()


def _all_again(confidence, stay, e) -> np.ndarray:
    return confidence[:, e]


THRESHOLD_MISTAKES = (
    (_chosen(among=_all_again),
     "Do rows that have left at an earlier exit come to this one?"),
    (_chosen(among=_all_again, count=lambda shares, e, stay, n: round(shares[: e + 1].sum() * n)),
     "Rows that have left are not here any more. Are they always the ones that are surest here?"),
    (_chosen(count=lambda shares, e, stay, n: round(shares[e] * len(stay))),
     "A share of which rows is asked for: of all, or of those that have not left?"),
    (_chosen(count=lambda shares, e, stay, n: round(shares[: e + 1].sum() * n)),
     "You count those that leave here or earlier. Who leaves here?"),
    (_chosen(threshold=lambda ranked, k: ranked[max(k - 1, 0)]),
     "A row leaves above the threshold. Does the last one that should leave still do so?"),
    (_chosen(threshold=lambda ranked, k: ranked[min(k + 1, len(ranked) - 1)]),
     "How many rows are above your threshold: one too many?"),
    (_chosen(threshold=lambda ranked, k: ranked[::-1][min(k, len(ranked) - 1)]),
     "Who leaves early: the surest rows, or the least sure?"),
    (_chosen(threshold=lambda ranked, k: ranked[max(len(ranked) - 1 - k, 0)]),
     "Who leaves early: the surest rows, or the least sure?"),
    (_chosen(threshold=lambda ranked, k: (ranked[max(k - 1, 0)] + ranked[min(k, len(ranked) - 1)])
             / 2),
     "Halfway would do as well. Here the threshold is the confidence of a row: of the surest one"
     " that stays."),
    (lambda confidence, shares: np.array([
        np.quantile(confidence[:, e], 1 - shares[: e + 1].sum())
        for e in range(confidence.shape[1] - 1)]),
     "A quantile of all rows interpolates, and forgets who has left. Which rows are at this exit?"),
    (_chosen(among=lambda confidence, stay, e: confidence[stay, 0],
             left=lambda confidence, stay, e, limit: stay[confidence[stay, 0] <= limit]),
     "Which exit's confidence decides at the second exit?"),
    (_chosen(count=lambda shares, e, stay, n: round(shares[e + 1] * n)),
     "Whose share do you use: this exit's, or the next one's?"),
    (_chosen(count=lambda shares, e, stay, n: round(shares[::-1][e] * n)),
     "Which end of the shares belongs to the first exit?"),
    (lambda confidence, shares: 1 - shares[:-1],
     "Is a share of rows a confidence? Look at the confidences."),
)  # fmt: skip


def _exits():
    """Confidences that mostly grow from exit to exit, no two of them equal."""
    for seed, n, shares in ((0, 8, (0.5, 0.25, 0.25)), (1, 10, (0.3, 0.4, 0.3)),
                            (2, 20, (0.2, 0.0, 0.45, 0.35)), (3, 12, (0.25, 0.75))):  # fmt: skip
        rng = draws(seed)
        ranks = rng.permuted(np.tile(np.arange(n), (len(shares), 1)), axis=1).T
        steady = np.linspace(0, 1, n)[:, None]  # the same rows are sure at all exits, but not quite
        confidence = 0.4 + 0.25 * ranks / n + 0.2 * steady + 0.1 * np.arange(len(shares))
        yield np.round(confidence + rng.uniform(0, 1e-3, confidence.shape), 4), np.array(shares)


check_exit_thresholds = Check(
    """Check a function that finds thresholds of early exits for given shares.

    It takes ``(confidence, shares)`` and returns the thresholds (exits - 1,) of all exits but the
    last. ``confidence[i, e]`` is that of row i at exit e; no two of an exit are equal.
    ``shares[e]`` is the share of all rows that should leave by exit e, always a whole number of
    rows. A row leaves by the first exit where its confidence is above the threshold. The threshold
    is the confidence of the surest row that stays.
    """,
    cases=_exits,
    parts=[
        Part("a threshold", _thresholds, THRESHOLD_MISTAKES,
             lambda at, confidence, shares: f"{len(confidence)} rows, shares"
             f" {', '.join(f'{share:g}' for share in shares)}: the threshold of exit {at[0] + 1}",
             asked="{} thresholds, one for each exit but the last"),
    ],
    success="each exit lets the surest go of those that are left, as many as were asked for",
)  # fmt: skip

# -- 2: a prefix code ---------------------------------------------------------------------------

LONG = 8  # bits of the codes that are stored


def _short(codes, weights, bits) -> np.ndarray:
    return codes >> (LONG - bits)


def _means(codes, weights, bits, short) -> np.ndarray:
    """The mean weight of each short code; 0 for one that no weight has."""
    count = np.bincount(short, minlength=2**bits)
    return np.bincount(short, weights, minlength=2**bits) / np.maximum(count, 1)


def _of_each(what: Callable) -> Callable:
    """A table with another number than the mean of each code's weights."""
    return lambda codes, weights, bits, short: np.array(
        [what(weights[short == code]) if (short == code).any() else 0.0 for code in range(2**bits)]
    )


def _long_table(codes, weights) -> np.ndarray:
    return _means(codes, weights, LONG, codes)


SHORT_MISTAKES = (
    (lambda codes, weights, bits: codes % 2**bits,
     "Which bits say roughly where a weight is: the first ones, or the last?"),
    (lambda codes, weights, bits: codes >> bits,
     "You take so many bits away. How many are to be left?"),
    (lambda codes, weights, bits: codes >> (LONG - bits) << (LONG - bits),
     "Your codes still have 8 bits, the last of them 0. Which numbers can a code of b bits be?"),
    (lambda codes, weights, bits: np.minimum(np.rint(codes / 2 ** (LONG - bits)), 2**bits - 1)
     .astype(int),
     "You round to the nearest code. Are its bits still the first bits of the long one?"),
    (lambda codes, weights, bits: np.rint(codes * (2**bits - 1) / (2**LONG - 1)).astype(int),
     "You scale the codes. Are their bits still the first bits of the long ones?"),
    (lambda codes, weights, bits: codes >> (LONG - bits + 1), "Is your code one bit too short?"),
    (lambda codes, weights, bits: codes >> (LONG - bits - 1), "Is your code one bit too long?"),
    (lambda codes, weights, bits: codes // bits, "Is a bit a factor of two, or of one?"),
    (lambda codes, weights, bits: np.argsort(np.argsort(weights)) * 2**bits // len(weights),
     "You make new codes from the weights. Where are the first bits of the stored ones?"),
)  # fmt: skip
TABLE_MISTAKES = (
    (lambda codes, weights, bits, short: _long_table(codes, weights)[
        np.arange(2**bits) << (LONG - bits)],
     "You read the table of 8 bits with the missing bits 0. Is that a weight from the middle of the"
     " cluster, or from its lower end?"),
    (lambda codes, weights, bits, short: _long_table(codes, weights)[: 2**bits],
     "Is the table of b bits the start of the table of 8 bits?"),
    (_of_each(np.sum), "Is an entry the sum of its weights, or their mean?"),
    (_of_each(np.median), "Is the squared error least at the median, or at the mean?"),
    (_of_each(lambda own: (own.min() + own.max()) / 2),
     "Is the squared error least in the middle between the ends, or at the mean?"),
    (_of_each(np.min), "Is an entry the least of its weights, or their mean?"),
    (lambda codes, weights, bits, short: _long_table(codes, weights).reshape(2**bits, -1).mean(1),
     "A long code that no weight has is 0 in the long table. Should it count in your mean?"),
    (lambda codes, weights, bits, short: np.array([
        np.mean([weights[codes == one].mean() for one in np.unique(codes[short == code])])
        if (short == code).any() else 0.0 for code in range(2**bits)]),
     "Is each long code to count once, or as often as weights have it?"),
    (lambda codes, weights, bits, short: np.where(
        np.bincount(short, minlength=2**bits) > 0, _means(codes, weights, bits, short),
        weights.mean()),
     "What should the entry of a code be that no weight has?"),
    (lambda codes, weights, bits, short: np.linspace(weights.min(), weights.max(), 2**bits),
     "Are the entries evenly spaced, or where the weights are?"),
)  # fmt: skip


def _rows():
    """Weights in order of their codes, of which a few have the same and many nobody has."""
    for seed, n, bits in ((0, 12, 2), (1, 20, 3), (2, 16, 4), (3, 9, 1)):
        rng = draws(seed)
        others = np.setdiff1d(np.arange(2, 256), [128])
        codes = np.sort(np.r_[0, 1, 128, rng.choice(others, n - 6, replace=False)])
        codes = np.sort(np.r_[codes, codes[3], codes[3], codes[-1]])
        weights = np.sort(np.round(rng.normal(0, 0.5, n), 3)) + 0.05
        order = rng.permutation(n)
        yield codes[order], weights[order], bits


check_prefix_code = Check(
    """Check a function that shortens the codes of a row of weights.

    It takes ``(codes, weights, bits)``: the codes (n,) of 8 bits, whole numbers from 0 to 255, of
    n weights (n,), and how many bits are to be left. It returns (short, table): the codes (n,) of
    the first `bits` bits, and for each of the 2 ** bits short codes the mean of the weights that
    have it, 0 where none has.
    """,
    cases=_rows,
    parts=[
        Part("a code", _short, SHORT_MISTAKES,
             lambda at, codes, weights, bits: f"of code {codes[at[0]]}, {codes[at[0]]:08b} in bits,"
             f" the first {bits} as a number",
             key="short", asked="{} whole numbers"),
        Part("an entry", _means, TABLE_MISTAKES,
             lambda at, codes, weights, bits, short: f"of {bits} bits, entry {at[0]} of the table,"
             f" of the weights {', '.join(f'{w:g}' for w in weights[short == at[0]]) or 'of none'}",
             key="table"),
    ],
    success="the first bits are a code of their own, and their own table makes it a good one",
)  # fmt: skip
