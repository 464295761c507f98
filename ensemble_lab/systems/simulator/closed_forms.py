"""What theory says of simple queues, to judge a simulation by.

Loads are in erlang: arrivals a second times seconds of service, the number of servers that are busy
on average. Times are in the unit of the service time. Arrivals are Poisson everywhere.

References
----------
Erlang, Solution of some problems in the theory of probabilities of significance in automatic
telephone exchanges, 1917. Pollaczek, 1930; Khinchine, 1932. Cobham, Priority assignment in waiting
line problems, Operations Research 1954. Kleinrock, Queueing Systems, 1975 and 1976.
"""

from __future__ import annotations

import math

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import numbers, positive, service_times, truth, whole


def erlang_b(servers: int, load: float) -> float:
    """Share of jobs lost where none may wait (M/G/c/c), at a `load` in erlang.

    Raises
    ------
    ValueError
        No server, or a negative load.

    Examples
    --------
    >>> round(erlang_b(2, 1.0), 6)
    0.2
    """
    servers, load = whole(servers, "servers"), positive(load, "load", " erlang", zero=True)
    lost = 1.0
    for k in range(1, servers + 1):  # stable for any number: no factorials
        lost = load * lost / (k + load * lost)
    return lost


def erlang_c(servers: int, load: float) -> float:
    """Probability that a job must wait (M/M/c), at a `load` in erlang.

    Raises
    ------
    ValueError
        No server, a negative load, or one that the servers cannot do.

    Examples
    --------
    >>> round(erlang_c(10, 8), 6)
    0.40918
    """
    lost, busy = erlang_b(servers, load), _busy(load, servers)
    return lost / (1 - busy + busy * lost)


def mmc_wait(servers: int, rate: float, service: float) -> float:
    """Mean wait of M/M/c: exponential services of mean `service`, `rate` jobs in its unit of time.

    Raises
    ------
    ValueError
        As `erlang_c`; a rate or service of zero or below.

    Examples
    --------
    >>> round(mmc_wait(10, 8, 1.0), 5)
    0.20459
    """
    load = positive(rate, "rate") * positive(service, "service")
    return erlang_c(servers, load) * service / (servers - load)


def mg1_wait(rate: float, service: float, cv: float) -> float:
    """Mean wait of M/G/1, by Pollaczek and Khinchine: rate E[S²] / (2 (1 - load)).

    Parameters
    ----------
    rate, service : float
        Jobs a unit of time, and mean service time.
    cv : float
        Standard deviation of the services over their mean: 0 constant, 1 exponential.

    Raises
    ------
    ValueError
        A load of 1 or more, a rate or service of zero or below, a negative `cv`.

    Examples
    --------
    >>> round(mg1_wait(0.8, 1.0, cv=1.0), 6), round(mg1_wait(0.8, 1.0, cv=0.0), 6)
    (4.0, 2.0)
    """
    load = positive(rate, "rate") * positive(service, "service")
    cv = positive(cv, "cv", zero=True)
    return load * service * (1 + cv * cv) / (2 * (1 - _busy(load, 1)))


def md1_wait(rate: float, service: float) -> float:
    """Mean wait of M/D/1: every service takes `service`. Errors are those of `mg1_wait`.

    Examples
    --------
    >>> round(md1_wait(0.8, 1.0), 6)
    2.0
    """
    return mg1_wait(rate, service, cv=0.0)


def mm1_quantile(rate: float, service: float, q: float) -> float:
    """Quantile `q` of the time in system, waiting and served, of M/M/1.

    Raises
    ------
    ValueError
        A load of 1 or more, a rate or service of zero or below, a `q` outside [0, 1).

    Examples
    --------
    >>> round(mm1_quantile(0.8, 1.0, 0.99), 3)
    23.026
    """
    if positive(q, "q", zero=True) >= 1:
        raise ValueError(f"q={shown(q)}; give a share in [0, 1), such as 0.99")
    load = positive(rate, "rate") * positive(service, "service")
    return -math.log1p(-q) * service / (1 - _busy(load, 1))


def priority_waits(rates, services, cv=1.0, preemptive: bool = False) -> np.ndarray:
    """Mean wait (k,) of each class at one server that serves the most important class first.

    With R the mean work left in service that a job must wait for and σ_j the load of the classes
    up to j, a job of class j waits R / ((1 - σ_{j-1}) (1 - σ_j)) (Cobham). A `preemptive` server
    drops a service when a more important job comes and resumes it later: then R counts only the
    classes up to j, and the time taken by interruptions is part of the wait.

    Parameters
    ----------
    rates : array-like (k,)
        Jobs a unit of time of each class, the most important first.
    services : array-like (k,)
        Mean service time of each.
    cv : float or array-like (k,)
        Standard deviation of the services over their mean.
    preemptive : bool

    Raises
    ------
    ValueError
        A total load of 1 or more, other lengths, rates or services of zero or below.

    Examples
    --------
    >>> priority_waits([0.4, 0.4], [1.0, 1.0]).round(3).tolist()
    [1.333, 6.667]
    """
    rates, services = _rates(rates), service_times(services)
    preemptive = truth(preemptive, "preemptive")
    if rates.ndim != 1 or rates.shape != services.shape:
        raise ValueError(
            f"rates has shape {rates.shape} and services {services.shape}; give one each a class"
        )
    spread = numbers([cv] if np.ndim(cv) == 0 else cv, "cv")
    if (spread < 0).any() or spread.shape not in (rates.shape, (1,)):
        raise ValueError(f"cv={shown(cv)}; give a number from 0 up, or one each a class")
    loads = np.cumsum(rates * services)
    _busy(float(loads[-1]), 1)
    left = np.cumsum(rates * services**2 * (1 + spread**2) / 2)
    before = np.concatenate([[0.0], loads[:-1]])
    if not preemptive:
        return left[-1] / ((1 - before) * (1 - loads))
    return left / ((1 - before) * (1 - loads)) + services * before / (1 - before)


def _rates(rates) -> np.ndarray:
    """Rates (k,), all above 0."""
    rates = numbers(rates, "rates")
    if (rates <= 0).any():
        raise ValueError(f"rates holds {rates[rates <= 0][0]:g}; give numbers above 0")
    return rates


def _busy(load: float, servers: int) -> float:
    """Share of the time that each server is busy, below 1.

    Raises
    ------
    ValueError
        The servers cannot do the load, so that the queue grows without end.
    """
    if load >= servers:
        raise ValueError(
            f"a load of {load:g} erlang on {servers} server{'s' * (servers > 1)} makes the queue"
            f" grow without end; use at least {math.floor(load) + 1:.10g} servers, or fewer jobs"
        )
    return load / servers
