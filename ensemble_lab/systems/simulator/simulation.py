"""What a simulation of a queue found: times of each job, their means and tails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.systems.simulator.inputs import positive
from ensemble_lab.systems.simulator.statistics import Interval, batch_means


class Little(NamedTuple):
    """The two sides of Little's formula, L = rate x time."""

    number: float  # jobs in the system, a mean over time: the integral of the path
    rate: float  # jobs a second
    time: float  # seconds in the system, a mean over jobs

    @property
    def gap(self) -> float:
        """Relative difference of the two sides; above 1e-9 there is a bug."""
        return abs(self.number - self.rate * self.time) / self.number


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(Frozen):
    """What happened to n jobs on s servers; times are in seconds.

    Parameters
    ----------
    arrivals, started, finished : ndarray (n,)
        NaN where a job was dropped, or had not started or finished at the horizon.
    waits, service : ndarray (n,)
        Seconds in the system without being served, and being served; up to the horizon for jobs
        that are still inside then, NaN where a job was dropped.
    server : ndarray of int (n,)
        The server that finished the job, -1 for none.
    dropped : ndarray of bool (n,)
    busy : ndarray (s,)
        Seconds that each server worked.
    kind : ndarray of str (n,) or None
        Class or model of each job.
    horizon : float or None
        When the simulation was cut off. Means and quantiles are of the jobs that had left by then;
        shares of time and Little's formula are of all.
    """

    arrivals: np.ndarray
    started: np.ndarray
    finished: np.ndarray
    waits: np.ndarray
    service: np.ndarray
    server: np.ndarray
    dropped: np.ndarray
    busy: np.ndarray
    kind: np.ndarray | None = None
    horizon: float | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def latency(self) -> np.ndarray:
        """(n,) seconds from arrival to departure, NaN where a job was dropped."""
        return self.finished - self.arrivals

    @property
    def inside(self) -> np.ndarray:
        """(n,) whether each job was still in the system at the horizon."""
        return ~self.dropped & np.isnan(self.finished)

    @property
    def seconds(self) -> float:
        """From the first arrival to the last departure, or to the horizon."""
        end = np.nanmax(self.finished) if self.horizon is None else self.horizon
        return float(end - self.arrivals[0])

    @property
    def throughput(self) -> float:
        """Jobs finished a second."""
        return float(np.isfinite(self.finished).sum() / self.seconds)

    @property
    def utilisation(self) -> np.ndarray:
        """(s,) share of `seconds` that each server worked."""
        return self.busy / self.seconds

    def quantile(self, q=(0.5, 0.9, 0.99), of: str = "waits") -> np.ndarray:
        """Quantiles of the ``"waits"`` or the ``"latency"`` of the jobs that have left.

        Raises
        ------
        ValueError
            Another name, a share outside [0, 1], or no such job.
        """
        return np.quantile(self._known(of), shares(q))

    def interval(self, of: str = "waits", level: float = 0.95, batches: int = 20) -> Interval:
        """Interval of the mean of ``"waits"`` or ``"latency"``, by batch means (`batch_means`)."""
        return batch_means(self._known(of), level, batches)

    def little(self) -> Little:
        """Little's formula, exact on a path that starts and ends empty, or is cut off.

        It finds bugs, as the two sides are counted apart: the left one is the integral over time
        of the number of jobs in the system, by arrivals and departures; the time on the right is
        what each job waited and was served, up to the horizon.
        """
        stay, time = ~self.dropped, self.waits + self.service
        left = np.where(self.inside, self.horizon, self.finished)[stay]
        came, left = self.arrivals[stay], np.sort(left)
        moments = np.concatenate([came, left])
        steps = np.concatenate([np.ones(len(came)), -np.ones(len(left))])
        order = np.argsort(moments, kind="stable")
        inside = np.cumsum(steps[order])[:-1]
        seconds = self.seconds
        area = float(inside @ np.diff(moments[order]))
        return Little(area / seconds, len(came) / seconds, float(time[stay].mean()))

    def table(self):
        """A row for all jobs and one a kind, with the mean and the tail of waits and latency.

        Returns
        -------
        pandas.DataFrame
            `jobs, dropped, wait, wait_p50, wait_p99, latency, latency_p99`, and `inside` where
            there is a horizon; times in seconds, of those that have left, NaN where none has.
        """
        import pandas as pd

        parts = {"all": np.ones(len(self), bool)}
        if self.kind is not None:
            parts |= {name: self.kind == name for name in sorted(set(self.kind.tolist()))}
        table = pd.DataFrame({name: self._row(rows) for name, rows in parts.items()}).T
        if self.horizon is not None:
            table["inside"] = [int(self.inside[rows].sum()) for rows in parts.values()]
        return table.astype({"jobs": int, "dropped": int})

    def _row(self, rows: np.ndarray) -> dict[str, float]:
        left = rows & np.isfinite(self.finished)
        waits, latency = self.waits[left], self.latency[left]
        quantile = lambda values, q: float(np.quantile(values, q)) if len(values) else np.nan  # noqa: E731
        return {
            "jobs": int(rows.sum()),
            "dropped": int(self.dropped[rows].sum()),
            "wait": float(waits.mean()) if len(waits) else np.nan,
            "wait_p50": quantile(waits, 0.5),
            "wait_p99": quantile(waits, 0.99),
            "latency": float(latency.mean()) if len(latency) else np.nan,
            "latency_p99": quantile(latency, 0.99),
        }

    def _known(self, of: str) -> np.ndarray:
        if of not in ("waits", "latency"):
            raise ValueError(f"of={shown(of)}; it is 'waits' or 'latency': choose one")
        values = getattr(self, of)[np.isfinite(self.finished)]
        if not len(values):
            until = "" if self.horizon is None else f" before the horizon, {self.horizon:g} s"
            raise ValueError(f"no job has {of}: none has left{until}; give more servers or time")
        return values

    def __repr__(self) -> str:
        row = self._row(np.ones(len(self), bool))
        parts = [f"{len(self)} jobs"]
        if row["dropped"]:
            parts.append(f"{row['dropped']} dropped")
        if self.horizon is not None:
            parts.append(f"{self.inside.sum()} still inside at {self.horizon:g} s")
        s = "s" * (len(self.busy) > 1)
        parts.append(f"{len(self.busy)} server{s} {100 * self.utilisation.mean():.3g}% busy")
        if np.isfinite(row["wait"]):
            parts.append(
                f"wait {row['wait']:.3g} s on average, median {row['wait_p50']:.3g}, 99% within"
                f" {row['wait_p99']:.3g}"
            )
            parts.append(f"latency {row['latency']:.3g} s, 99% within {row['latency_p99']:.3g}")
        return f"Simulation({'; '.join(parts)})"


def shares(q) -> np.ndarray:
    """Shares in [0, 1], one or several."""
    found = np.atleast_1d(np.asarray(q, object))
    for one in found.ravel():
        if positive(one, "q", zero=True) > 1:
            raise ValueError(f"q={shown(one)}; give a share in [0, 1], such as 0.99")
    return np.asarray(q, float)
