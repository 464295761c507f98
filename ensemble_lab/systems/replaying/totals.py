"""`Replayed`: what a policy did with all items of a table, as counts and sums."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.decision import Decision
from ensemble_lab.core.intervals import share_interval
from ensemble_lab.core.shares import checked_level


@dataclass(frozen=True)
class Totals:
    """Counts, and the sums of each batch.

    The sums are added by `math.fsum`, which rounds once: their order does not matter.

    Parameters
    ----------
    counts : ndarray of int (3 + 2 + m,)
        Items, abstained, graded; items with known cost and latency; calls of each model.
    sums : list of (correct, cost, latency)
        Of the items where they are known, one tuple a batch.
    """

    counts: np.ndarray
    sums: list[tuple[float, float, float]]

    @classmethod
    def of(cls, decision: Decision) -> Totals:
        """The totals of one batch."""
        known = [
            np.empty(0) if values is None else values[~np.isnan(values)]
            for values in (decision.correct, decision.cost, decision.latency)
        ]
        counts = [len(decision), decision.abstained.sum(), *map(len, known)]
        calls = decision.called.sum(axis=0)
        return cls(np.concatenate([counts, calls]), [tuple(float(v.sum()) for v in known)])

    @classmethod
    def together(cls, parts: Iterable[Totals], models: int) -> Totals:
        """The totals of several batches or partitions."""
        counts, sums = np.zeros(5 + models, np.int64), []
        for part in parts:
            counts += part.counts
            sums += part.sums
        return cls(counts, sums)


@dataclass(frozen=True)
class Replayed:
    """What a policy did with the items of a table, as `Decision` has it for each item.

    Parameters
    ----------
    models : tuple of str, length m
    items : int
    abstained : int
        Items without an answer.
    graded : int
        Items whose answer can be graded.
    correct : float
        Sum of the correctness of the graded items.
    asked : tuple of int, length m
        Calls of each model.
    cost, latency : float or None
        Sums over the items where they are known, in USD and seconds; None if not recorded.
    priced, timed : int
        Items whose cost and latency are known.
    partitions : int
        Files read.

    See Also
    --------
    replay
    """

    models: tuple[str, ...]
    items: int
    abstained: int
    graded: int
    correct: float
    asked: tuple[int, ...]
    cost: float | None
    latency: float | None
    priced: int
    timed: int
    partitions: int

    @classmethod
    def of(cls, totals: Totals, models, measures, partitions: int) -> Replayed:
        """The result of all totals together."""
        items, abstained, graded, priced, timed, *asked = totals.counts.tolist()
        correct, cost, latency = (math.fsum(column) for column in zip(*totals.sums, strict=True))
        return cls(
            models=models,
            items=items,
            abstained=abstained,
            graded=graded,
            correct=correct,
            asked=tuple(asked),
            cost=cost if "cost" in measures else None,
            latency=latency if "latency" in measures else None,
            priced=priced,
            timed=timed,
            partitions=partitions,
        )

    @property
    def accuracy(self) -> float:
        """Mean correctness of the items that got an answer and can be graded."""
        return self.correct / self.graded if self.graded else math.nan

    @property
    def coverage(self) -> float:
        """Share of the items that got an answer."""
        return 1 - self.abstained / self.items

    @property
    def mean_cost(self) -> float:
        """USD an item; NaN where the price of one call is not known."""
        return _mean_of_all(self.cost, self.priced, self.items)

    @property
    def mean_latency(self) -> float:
        """Seconds an item; NaN where the time of one call is not known."""
        return _mean_of_all(self.latency, self.timed, self.items)

    @property
    def known(self) -> dict[str, float]:
        """Share of the items whose accuracy, cost and latency are known; 0 if not recorded."""
        counts = {"accuracy": self.graded, "cost": self.priced, "latency": self.timed}
        return {name: count / self.items for name, count in counts.items()}

    @property
    def calls(self) -> dict[str, float]:
        """Share of the items on which each model was asked."""
        return {name: n / self.items for name, n in zip(self.models, self.asked, strict=True)}

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the accuracy (`share_interval`); NaN where no answer is graded.

        It is that of `Decision.interval`. Those of cost and latency need every item's value, which
        are not kept.

        Raises
        ------
        ValueError
            A level outside (0, 1).
        """
        level = checked_level(level)
        if not self.graded:
            return math.nan, math.nan
        low, high = share_interval(self.accuracy, self.graded, level)
        return float(low), float(high)

    def __repr__(self) -> str:
        right = "unknown" if not self.graded else f"{self.accuracy:.4f}"
        parts = [f"{self.items:,} items in {self.partitions:,} files", f"accuracy {right}"]
        if 0 < self.graded < self.items:
            parts[-1] += f" (graded on {self.graded:,})"
        for name, mean, known, unit in (
            ("cost", self.mean_cost, self.priced, "USD"),
            ("latency", self.mean_latency, self.timed, "s"),
        ):
            if getattr(self, name) is not None:
                unknown = f"unknown (known for {known:,} items)"
                said = unknown if known < self.items else f"{mean:.3g} {unit}"
                parts.append(f"mean {name} {said}")
        if self.abstained:
            parts.append(f"coverage {self.coverage:.3f}")
        parts.append(f"{sum(self.asked) / self.items:.2f} calls an item")
        return f"Replayed({', '.join(parts)})"


def _mean_of_all(total: float | None, known: int, items: int) -> float:
    return total / items if total is not None and known == items else math.nan
