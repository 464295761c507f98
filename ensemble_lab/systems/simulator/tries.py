"""What became of requests that were tried more than once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.systems.simulator.simulation import shares


@dataclass(frozen=True, eq=False, repr=False)
class Tries(Frozen):
    """n requests and the c calls that were made for them; times are in seconds.

    Parameters
    ----------
    arrivals, answered : ndarray (n,)
        NaN where a request got no answer.
    calls : ndarray of int (n,)
        Calls made for each request: first ones, retries and hedges.
    request : ndarray of int (c,)
        The request of each call.
    sent, started, left : ndarray (c,)
        When a call joined the queue, when a server took it, and when it left both; `started` is
        NaN where it was cancelled before.
    work : ndarray (c,)
        Seconds that the whole call takes a server.
    """

    arrivals: np.ndarray
    answered: np.ndarray
    calls: np.ndarray
    request: np.ndarray
    sent: np.ndarray
    started: np.ndarray
    left: np.ndarray
    work: np.ndarray

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def goodput(self) -> float:
        """Share of the requests that were answered."""
        return float(np.isfinite(self.answered).mean())

    @property
    def latency(self) -> np.ndarray:
        """(n,) seconds from arrival to answer, NaN where there was none."""
        return self.answered - self.arrivals

    @property
    def served(self) -> np.ndarray:
        """(c,) seconds that servers worked on each call."""
        return np.nan_to_num(self.left - self.started)

    @property
    def wasted(self) -> float:
        """Share of the servers' work whose answer nobody took."""
        used = self.left == self.answered[self.request]
        return float(self.served[~used].sum() / self.served.sum())

    def quantile(self, q=(0.5, 0.95, 0.99)) -> np.ndarray:
        """Quantiles of the latency of all requests; infinite where that many have no answer.

        Raises
        ------
        ValueError
            A share outside [0, 1].
        """
        latency = np.sort(np.where(np.isnan(self.latency), np.inf, self.latency))
        rank = np.ceil(shares(q) * len(latency)).astype(int) - 1
        return latency[np.maximum(rank, 0)]

    def __repr__(self) -> str:
        half, most = self.quantile((0.5, 0.99))
        return (
            f"Tries({len(self)} requests, {self.goodput:.1%} of them answered;"
            f" {self.calls.mean():.3g} calls each; half within {half:.3g} s, 99% within"
            f" {most:.3g} s; {self.wasted:.1%} of the work for nobody)"
        )
