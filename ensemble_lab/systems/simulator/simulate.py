"""`simulate`: jobs arrive, are served by a rule, and leave.

Services are known beforehand, so that two rules can be compared on the same draws.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.systems.simulator.inputs import arrival_times, called, positive, service_times
from ensemble_lab.systems.simulator.queues import Rule
from ensemble_lab.systems.simulator.statistics import Interval, batch_means

FEW = 1_000  # a trace of fewer jobs may be a burst: more work than its seconds hold means nothing


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
        NaN where a job was dropped.
    waits, service : ndarray (n,)
        Seconds in the system without being served, and being served; NaN where a job was dropped.
    server : ndarray of int (n,)
        The server that finished the job, -1 for none.
    dropped : ndarray of bool (n,)
    busy : ndarray (s,)
        Seconds that each server worked.
    kind : ndarray of str (n,) or None
        Class or model of each job.
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
    def seconds(self) -> float:
        """From the first arrival to the last departure."""
        return float(np.nanmax(self.finished) - self.arrivals[0])

    @property
    def throughput(self) -> float:
        """Jobs finished a second."""
        return float(np.isfinite(self.finished).sum() / self.seconds)

    @property
    def utilisation(self) -> np.ndarray:
        """(s,) share of `seconds` that each server worked."""
        return self.busy / self.seconds

    def quantile(self, q=(0.5, 0.9, 0.99), of: str = "waits") -> np.ndarray:
        """Quantiles of the ``"waits"`` or the ``"latency"`` of the jobs that have one.

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
        """Little's formula, exact on a path that starts and ends empty.

        It finds bugs, as the two sides are counted apart: the left one is the integral over time
        of the number of jobs in the system, by arrivals and departures; the time on the right is
        what each job waited and was served.
        """
        stay, time = ~self.dropped, self.waits + self.service
        came, left = self.arrivals[stay], np.sort(self.finished[stay])
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
            `jobs, dropped, wait, wait_p50, wait_p99, latency, latency_p99`; times in
            seconds, NaN where no job has one.
        """
        import pandas as pd

        parts = {"all": np.ones(len(self), bool)}
        if self.kind is not None:
            parts |= {name: self.kind == name for name in sorted(set(self.kind.tolist()))}
        return pd.DataFrame({name: self._row(rows) for name, rows in parts.items()}).T.astype(
            {"jobs": int, "dropped": int}
        )

    def _row(self, rows: np.ndarray) -> dict[str, float]:
        waits, latency = self.waits[rows], self.latency[rows]
        waits, latency = waits[~np.isnan(waits)], latency[~np.isnan(latency)]
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
        values = getattr(self, of)
        values = values[~np.isnan(values)]
        if not len(values):
            raise ValueError(f"no job has {of}: all were dropped")
        return values

    def __repr__(self) -> str:
        row = self._row(np.ones(len(self), bool))
        parts = [f"{len(self)} jobs"]
        if row["dropped"]:
            parts.append(f"{row['dropped']} dropped")
        s = "s" * (len(self.busy) > 1)
        parts.append(f"{len(self.busy)} server{s} {100 * self.utilisation.mean():.3g}% busy")
        parts.append(
            f"wait {row['wait']:.3g} s on average, median {row['wait_p50']:.3g}, 99% within"
            f" {row['wait_p99']:.3g}"
        )
        parts.append(f"latency {row['latency']:.3g} s, 99% within {row['latency_p99']:.3g}")
        return f"Simulation({'; '.join(parts)})"


def simulate(arrivals, services, rule: Rule, kind=None) -> Simulation:
    """Serve the jobs by the rule, until the last one has left.

    Parameters
    ----------
    arrivals : array-like (n,)
        Seconds, in order, from any origin.
    services : array-like (n,), or (n, k) for a rule of k stages or tries
        Seconds, above 0.
    rule : Rule
        `FCFS`, `ShortestFirst`, `Priority`, `Pools`, `Tandem`, `Hedged`.
    kind : sequence of str (n,), optional
        The class or model of each job.

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError
        Something that is not a rule.
    ValueError
        Arrivals out of order; services of zero, below or NaN; other lengths; no kinds where the
        rule needs them.
    KeyError
        A kind that the rule does not know.

    Warns
    -----
    UserWarning
        More work arrives than the servers can do: waits grow as long as jobs arrive, and their
        mean says how long the trace is.

    Examples
    --------
    >>> from ensemble_lab.systems.simulator.queues import FCFS
    >>> simulate([0, 1, 2], [3, 3, 3], FCFS(1)).waits.tolist()
    [0.0, 2.0, 4.0]
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{called(rule)} is not a rule; give one such as FCFS(servers=2)")
    arrivals, services = arrival_times(arrivals), service_times(services)
    shape = (len(arrivals),) if rule.stages is None else (len(arrivals), rule.stages)
    if services.shape != shape:
        raise ValueError(
            f"services has shape {services.shape}; {len(arrivals)} arrivals and"
            f" {type(rule).__name__} make it {shape}"
        )
    kind = _kinds(kind, len(arrivals))
    _check_digits(arrivals, services)
    _check_load(arrivals, rule.work(services, kind))
    done = rule.serve(arrivals, services, kind)
    return Simulation(
        arrivals, done.started, done.finished, done.waits, done.service, done.server,
        done.server < 0, done.busy, kind,
    )  # fmt: skip


def shares(q) -> np.ndarray:
    """Shares in [0, 1], one or several."""
    found = np.atleast_1d(np.asarray(q, object))
    for one in found.ravel():
        if positive(one, "q", zero=True) > 1:
            raise ValueError(f"q={shown(one)}; give a share in [0, 1], such as 0.99")
    return np.asarray(q, float)


def _kinds(kind, n: int) -> np.ndarray | None:
    if kind is None:
        return None
    names = several(kind, "kind")
    if len(names) != n:
        raise ValueError(f"kind has {len(names)} entries for {n} arrivals; give one a job")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"kind holds {shown(name)}, which is not text; name the class")
    return np.array(names, object)


def _check_digits(arrivals: np.ndarray, services: np.ndarray) -> None:
    """Refuse a clock on which a service hardly moves the hand, such as seconds since 1970."""
    digit, usual = float(np.spacing(np.abs(arrivals[[0, -1]]).max())), float(np.median(services))
    if usual < 1000 * digit:
        raise ValueError(
            f"a service of {usual:.3g} s is lost beside arrivals at {arrivals[-1]:.10g} s, where"
            f" the last digit is {digit:.2g} s; count from the first: arrivals - arrivals[0]"
        )


def _check_load(arrivals: np.ndarray, work: dict[str, tuple[float, int]]) -> None:
    seconds = float(arrivals[-1] - arrivals[0])
    if len(arrivals) < FEW or not seconds:
        return
    for name, (needed, servers) in work.items():
        if needed >= servers * seconds:
            where = f" of {shown(name)}" * bool(name)
            warnings.warn(
                f"the load is {needed / seconds:.3g} erlang on {servers}"
                f" server{'s' * (servers > 1)}{where}: the queue grows as long as jobs arrive, here"
                f" for {seconds:.4g} s, and waits say how long that is; add servers",
                stacklevel=3,
            )
