"""What became of each request."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from ensemble_lab.systems.simulator.requests import Requests


@dataclass(frozen=True, eq=False)
class Served:
    """Times of n requests under a rule; NaN where a request was dropped.

    Attributes
    ----------
    requests : Requests
    started, first, finished : ndarray (n,)
        Seconds at which a machine took the request up, wrote its first token and its last.
    quality : ndarray (n,)
        What the rule says of the answer (accuracy of the variant that gave it), 1 by default.
    busy, paid : ndarray (machines,)
        Seconds that each machine worked, and seconds that it was switched on.
    stopped : int
        Times that a running task was stopped or moved before its end.
    """

    requests: Requests
    started: np.ndarray
    first: np.ndarray
    finished: np.ndarray
    quality: np.ndarray
    busy: np.ndarray
    paid: np.ndarray
    stopped: int

    @property
    def latency(self) -> np.ndarray:
        """Seconds from arrival to the last token, (n,)."""
        return self.finished - self.requests.arrival

    @property
    def dropped(self) -> np.ndarray:
        """Whether each request was dropped, (n,)."""
        return np.isnan(self.finished)

    @property
    def late(self) -> np.ndarray:
        """Whether each request was answered after its limit, (n,)."""
        return self.latency > self.requests.limit

    @property
    def goodput(self) -> float:
        """Share of all requests, dropped ones too, that were answered within their limit."""
        return float((~self.dropped & ~self.late).mean())

    @property
    def utilisation(self) -> float:
        """Share of the paid seconds in which machines worked."""
        paid = self.paid.sum()
        return float(self.busy.sum() / paid) if paid else nan

    def quantile(self, share: float) -> float:
        """The latency that `share` of the answered requests stay within, seconds."""
        answered = self.latency[~self.dropped]
        return float(np.quantile(answered, share)) if len(answered) else nan

    def row(self) -> dict[str, float]:
        """The figures of one line of a table of rules."""
        return {
            "median": self.quantile(0.5),
            "p99": self.quantile(0.99),
            "dropped": float(self.dropped.mean()),
            "late": float(self.late.mean()),
            "utilisation": self.utilisation,
            "machine_seconds": float(self.paid.sum()),
            "quality": float(self.quality[~self.dropped].mean()) if not self.dropped.all() else nan,
        }
