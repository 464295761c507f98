"""Recorded dual encoders of the left and right halves of digits.

`recipes/record_halves.py` trained them. Kept are, for each held-out left half, how many right
halves fit better than its own. The recall among any number of random candidates follows from that
in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import gammaln
from sklearn.datasets import load_digits

from ensemble_lab.catalogue import data_folder

BATCHES = (4, 16, 64, 256)
TEMPERATURES = (0.02, 0.05, 0.2, 1.0)
NEGATIVES = ("all others", "other digits", "the same digit")
CANDIDATES = (2, 3, 5, 10, 20, 30, 50, 100, 150, 200, 300, 360)
MEMBERS, WIDTH, HELD_OUT = 5, 16, 360
FILE = "halves.parquet"


@cache
def halves() -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Left halves (n, 32), right halves (n, 32) and digits (n,): to learn, then held out."""
    images, digit = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(0).permutation(len(digit))
    left, right = (part.reshape(len(part), -1) for part in np.split(images, 2, axis=2))
    learned, held = order[HELD_OUT:], order[:HELD_OUT]
    return tuple((left[rows], right[rows], digit[rows]) for rows in (learned, held))


def left_of(better, count: int, candidates: int) -> np.ndarray:
    """How probable it is that no better one is among the candidates, of `count` in all.

    The partner is a candidate, and the others are drawn at random without repetition: of those
    draws that are possible, the share without any of the `better` ones.
    """
    better, drawn, others = np.asarray(better), candidates - 1, count - 1
    rest = np.maximum(others - better, drawn)
    ways = _choices(rest, drawn) - _choices(np.asarray(others), drawn)
    return np.where(others - better < drawn, 0.0, np.exp(ways))


def _choices(n: np.ndarray, k: int) -> np.ndarray:
    """The logarithm of the binomial coefficient."""
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)


def best_is(what: np.ndarray, scores: np.ndarray, candidates: int) -> float:
    """How often the best of random candidates, partner included, is one of `what` (n, n)."""
    n, found = len(scores), 0.0
    own = scores.diagonal()[:, None]
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked, kind = (np.take_along_axis(one, order, axis=1) for one in (scores, what))
    # The one at place k is the best if it was drawn and none before it: the chance that none of
    # the first k was, less the chance that none of the first k + 1 was.
    none = np.concatenate([left_of(np.arange(n), n, candidates), [0.0]])
    first = np.where(ranked > own, none[:-1] - none[1:], 0.0)
    partner = left_of((scores > own).sum(1), n, candidates)
    found = (first * kind).sum(1) + partner * what.diagonal()
    return float(found.mean())


@dataclass(frozen=True, eq=False)
class Recorded:
    """Five dual encoders of a setting, on n held-out images."""

    better: np.ndarray  # (5, n) right halves that fit a left half better than its own
    same_digit: np.ndarray  # (5, candidates) how often the best one is of the same digit
    first: np.ndarray  # (n, width) vectors of left halves, of the first encoder
    second: np.ndarray  # (n, width) and of right halves

    def recall(self, candidates: int) -> np.ndarray:
        """How often (5,) the best of so many candidates is the partner."""
        return left_of(self.better, self.better.shape[1], candidates).mean(1)

    def same(self, candidates: int) -> np.ndarray:
        """How often (5,) the best of so many candidates is of the same digit."""
        return self.same_digit[:, CANDIDATES.index(candidates)]

    def found(self, query: int, candidates: int, most: int = 4) -> np.ndarray:
        """The best right halves (most,) for a left half, of fixed candidates; -1: no more."""
        others = np.random.default_rng(query).permutation(len(self.first))
        some = np.r_[query, others[others != query][: candidates - 1]]
        scores = self.second[some] @ self.first[query]
        best = some[np.argsort(-scores, kind="stable")][:most]
        return np.r_[best, np.full(most - len(best), -1)]


@cache
def table() -> pd.DataFrame:
    """All recorded settings, by negatives, temperature and batch size."""
    frame = pd.read_parquet(data_folder() / "dual" / FILE)
    return frame.set_index(["negatives", "temperature", "batch"])


@cache
def recorded(negatives: str, temperature: float, batch: int) -> Recorded:
    """The encoders of a setting."""
    row = table().loc[(negatives, temperature, batch)]
    vectors = row.vectors.reshape(HELD_OUT, -1) / 127
    first, second = np.split(vectors, 2, axis=1)
    return Recorded(row.better.reshape(MEMBERS, -1), row.same_digit.reshape(MEMBERS, -1),
                    first, second)  # fmt: skip


@cache
def mean_recall(negatives: str, temperature: float, batch: int, candidates: int) -> float:
    """The recall of a setting, a mean over its encoders."""
    return float(recorded(negatives, temperature, batch).recall(candidates).mean())
