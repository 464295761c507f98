"""Weighted sums of the out-of-fold matrix: all that a bootstrap needs, in a few matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ensemble_lab.advice.scores import Scores

BLOCK = 4096  # rows whose weights are in memory at once


class Weighed(NamedTuple):
    """Sums (draws, c), or (draws, 1) where they are the same for all candidates.

    `spent` and `waited` are relative to `centre`, the means (2, c) over all rows: so a price that
    is the same for every call has no error, also in 32 bits.
    """

    right: np.ndarray
    square: np.ndarray
    seen: np.ndarray
    spent: np.ndarray
    waited: np.ndarray
    rows: np.ndarray
    centre: np.ndarray

    def means(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Accuracy, USD and seconds (draws, c)."""
        with np.errstate(invalid="ignore", divide="ignore"):  # a candidate without any row
            accuracy = self.right / self.seen
            cost, latency = self.spent / self.rows, self.waited / self.rows
        return accuracy, cost + self.centre[0], latency + self.centre[1]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of each unit that is drawn, a row or a cluster of rows: (g, c), or (g, 1)."""

    right: np.ndarray
    square: np.ndarray
    seen: np.ndarray
    spent: np.ndarray
    waited: np.ndarray
    rows: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, scores: Scores) -> Sums:
        judged = slice(None) if (scores.fold >= 0).all() else scores.fold >= 0
        correct = scores.correct[judged]
        one = np.ones((len(correct), 1), np.float32)
        known = ~np.isnan(correct)
        correct = np.where(known, correct, np.float32(0))
        measured = [
            np.full_like(one, np.nan) if values is None else values[judged]
            for values in (scores.cost, scores.latency)
        ]
        means = [values.mean(axis=0, dtype=float) for values in measured]
        spent, waited = (
            (values - mean).astype(np.float32) for values, mean in zip(measured, means, strict=True)
        )
        parts = (
            correct,
            correct if ((correct == 0) | (correct == 1)).all() else correct**2,
            one if known.all() else known.astype(np.float32),
            spent,
            waited,
            one,
        )
        if scores.cluster is not None:
            codes = np.unique(scores.cluster[judged], return_inverse=True)[1]
            parts = _each_once(parts, lambda part: _by_cluster(part, codes))
        centre = np.stack([np.broadcast_to(mean, correct.shape[1]) for mean in means])
        return cls(*parts, centre)

    def weighed(self, weight: np.ndarray, start: int = 0) -> Weighed:
        """Sums under `weight` (draws, units), of the units from `start` on."""
        end = start + weight.shape[1]
        parts = _each_once(self._parts(), lambda part: (weight @ part[start:end]).astype(float))
        return Weighed(*parts, self.centre)

    def whole(self) -> Weighed:
        """Sums with every unit once: one draw."""
        parts = _each_once(self._parts(), lambda part: part.sum(axis=0, dtype=float)[None])
        return Weighed(*parts, self.centre)

    def bootstrapped(self, draws: int, rng: np.random.Generator) -> tuple[Weighed, Weighed]:
        """Sums over the units that each bootstrap drew, and over those that it left out."""
        total: list = [None, None]
        for start in range(0, len(self.rows), BLOCK):
            shape = (draws, min(BLOCK, len(self.rows) - start))
            weight = rng.poisson(1.0, shape).astype(np.float32)
            for i, drawn in enumerate((weight, (weight == 0).astype(np.float32))):
                part = self.weighed(drawn, start)
                added = part if total[i] is None else map(np.add, total[i][:-1], part[:-1])
                total[i] = part if total[i] is None else Weighed(*added, self.centre)
        return total[0], total[1]

    def standard_errors(self) -> np.ndarray:
        """(3, c) of the means of correctness, cost and latency.

        One right and one wrong unit are added, so that none is 0 where all rows are right.
        """
        whole = self.whole()
        accuracy, g = whole.means()[0], len(self.rows)
        more = g / max(g - 1, 1)
        added = (accuracy**2 + (1 - accuracy) ** 2) * (whole.seen / g) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            square = _squared(self.right - self.seen * accuracy.astype(np.float32))
            found = [np.sqrt(more * (square + added)) / whole.seen]
        for part in (self.spent, self.waited):
            found.append(np.sqrt(more * _squared(part)) / whole.rows)
        return np.vstack([np.broadcast_to(part, accuracy.shape) for part in found])

    def _parts(self) -> Iterator[np.ndarray]:
        yield from (self.right, self.square, self.seen, self.spent, self.waited, self.rows)


def _squared(part: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->j", part, part, dtype=float)


def _each_once(parts, function) -> list[np.ndarray]:
    """`function` of each part; parts that are one array are worked on once."""
    done: dict[int, np.ndarray] = {}
    parts = list(parts)
    for part in parts:
        if id(part) not in done:
            done[id(part)] = function(part)
    return [done[id(part)] for part in parts]


def _by_cluster(part: np.ndarray, codes: np.ndarray) -> np.ndarray:
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    return np.add.reduceat(part[order], starts, axis=0, dtype=float).astype(np.float32)
