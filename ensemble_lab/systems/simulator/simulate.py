"""`simulate`: jobs arrive, are served by a rule, and leave.

Services are known beforehand, so that two rules can be compared on the same draws.
"""

from __future__ import annotations

import warnings

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.indexes import check_indexes
from ensemble_lab.systems.simulator.inputs import (
    arrival_times,
    called,
    is_finite,
    service_times,
)
from ensemble_lab.systems.simulator.queues import Rule
from ensemble_lab.systems.simulator.simulation import Simulation

FEW = 1_000  # a trace of fewer jobs may be a burst: more work than its seconds hold means nothing


def simulate(arrivals, services, rule: Rule, kind=None, *, horizon=None) -> Simulation:
    """Serve the jobs by the rule, until the last one has left, or until a horizon.

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
    horizon : float, optional
        Seconds on the clock of the arrivals. Jobs that would come then or later are left out; those
        that are in the system then are still `inside`.

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError
        Something that is not a rule.
    ValueError
        Arrivals out of order; services of zero, below or NaN; other lengths, or indexes of pandas;
        no kinds where the rule needs them; no job before the horizon.
    KeyError
        A kind that the rule does not know.

    Warns
    -----
    UserWarning
        More work arrives than the servers can do, and there is no horizon: waits grow as long as
        jobs arrive, and their mean says how long the trace is.

    Examples
    --------
    >>> from ensemble_lab.systems.simulator.queues import FCFS
    >>> simulate([0, 1, 2], [3, 3, 3], FCFS(1)).waits.tolist()
    [0.0, 2.0, 4.0]
    >>> simulate([0, 1, 2], [3, 3, 3], FCFS(1), horizon=5).inside.tolist()
    [False, True, True]
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{called(rule)} is not a rule; give one such as FCFS(servers=2)")
    check_indexes({"arrivals": arrivals, "services": services, "kind": kind})
    arrivals, services = arrival_times(arrivals), service_times(services)
    shape = (len(arrivals),) if rule.stages is None else (len(arrivals), rule.stages)
    if services.shape != shape:
        raise ValueError(
            f"services has shape {services.shape}; {len(arrivals)} arrivals and"
            f" {type(rule).__name__} make it {shape}"
        )
    kind = _kinds(kind, len(arrivals))
    _check_digits(arrivals, services)
    work, end = rule.work(services, kind), np.inf
    if horizon is None:
        _check_load(arrivals, work)
    else:
        end = horizon = _horizon(horizon, arrivals)
        come = arrivals < horizon
        arrivals, services = arrivals[come], services[come]
        kind = None if kind is None else kind[come]
    done = rule.serve(arrivals, services, kind, end)
    return Simulation(
        arrivals, done.started, done.finished, done.waits, done.service, done.server,
        np.isnan(done.waits), done.busy, kind, horizon,
    )  # fmt: skip


def _horizon(horizon, arrivals: np.ndarray) -> float:
    """A time after the first arrival."""
    if not is_finite(horizon):
        raise ValueError(f"horizon={shown(horizon)}; give a finite number of seconds")
    if horizon <= arrivals[0]:
        raise ValueError(
            f"no job comes before horizon={horizon:g} s, the first at {arrivals[0]:g} s; give a"
            " later time on the clock of the arrivals"
        )
    return float(horizon)


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
                f" for {seconds:.4g} s, and waits say how long that is; add servers, or cut it"
                " off with horizon=",
                stacklevel=3,
            )
