"""MuxServe: several models on each machine, with fair shares of its memory."""

from __future__ import annotations

from collections import deque
from math import inf

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import instance, numbers, positive, whole
from ensemble_lab.systems.simulator.requests import Requests


def spread_models(rates, seconds, machines: int) -> list[int]:
    """Which machine takes each model, the one with most work first.

    A machine with a load of more than 1 serves each of its models at a share of its rate. Each
    model goes where the requests served in a second grow most, and of equal machines to the one
    with the least load.

    Parameters
    ----------
    rates : sequence of float (models,)
        Requests a second.
    seconds : sequence of float (models,)
        Work of a request on a machine of its own.
    machines : int

    Returns
    -------
    list of int (models,)

    Raises
    ------
    ValueError
        Negative or infinite rates or times, other lengths, no machine.
    """
    rates, seconds = _pairs(rates, seconds, "seconds")
    machines = whole(machines, "machines")
    rate, load, where = np.zeros(machines), np.zeros(machines), [0] * len(rates)
    for model in np.argsort(-rates * seconds, kind="stable").tolist():
        more = load + rates[model] * seconds[model]
        served = (rate + rates[model]) / np.maximum(more, 1) - rate / np.maximum(load, 1)
        best = np.flatnonzero(served >= served.max() - 1e-12)
        where[model] = m = int(best[np.argmin(load[best])])
        rate[m], load[m] = rate[m] + rates[model], more[m]
    return where


def replicas(rates, seconds, machines: int) -> list[int]:
    """Copies of each model, so that none has more work than an even share of all, (models,)."""
    work = np.multiply(rates, seconds).astype(float)
    if not work.sum():
        return [1] * len(work)
    needed = np.ceil(work * machines / work.sum() - 1e-9).astype(int)
    return np.clip(needed, 1, machines).tolist()


def _pairs(rates, others, what):
    rates, others = numbers(rates, "rates"), numbers(others, what)
    if rates.shape != others.shape or rates.ndim != 1 or not len(rates):
        raise ValueError(f"{rates.shape} rates and {others.shape} {what}; give one of each a model")
    for name, values in (("rates", rates), (what, others)):
        if values.min() < 0:
            raise ValueError(f"{name} holds {shown(values.min())}; give numbers of at least 0")
    return rates, others


def fair_shares(rates, lengths, capacity: float) -> np.ndarray:
    """Tokens of memory for each model, in proportion to its rate times its length, (models,)."""
    wanted = np.multiply(*_pairs(rates, lengths, "lengths"))
    capacity = positive(capacity, "capacity", " tokens")
    if not wanted.sum():
        return np.full(len(wanted), capacity / len(wanted))
    return capacity * wanted / wanted.sum()


def adapt(shares, used, waits) -> np.ndarray:
    """Half of what models leave unused goes, in equal parts, to those that wait; (models,).

    Parameters
    ----------
    shares, used : array_like (models,)
        Tokens that each may hold, and the most that it held.
    waits : array_like of bool (models,)
        Which models have requests that wait.
    """
    shares, waits = np.asarray(shares, float), np.asarray(waits, bool)
    if waits.all() or not waits.any():
        return shares
    idle = np.where(waits, 0.0, np.maximum(shares - used, 0.0) / 2)
    return shares - idle + waits * idle.sum() / waits.sum()


def demand(sample: Requests, models: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Requests a second, tokens read and tokens written of each model, three times (models,).

    The mean of all models counts as one request of each, so that rare ones have lengths too.
    """
    count = np.bincount(sample.model, minlength=models)
    prompt, output = (
        (np.bincount(sample.model, tokens, models) + tokens.mean()) / (count + 1)
        for tokens in (sample.prompt, sample.output)
    )
    return count / max(float(np.ptp(sample.arrival)), 1e-9), prompt, output


class MuxServe(Rule):
    """Models share machines, and on each machine they have fair shares of the memory.

    A machine asks its models in turn; a request comes in while its model, with answers of average
    length, stays within its share, or has nothing running. Every `period` seconds shares move from
    idle models to those that wait. Duan et al. 2024, "MuxServe: Flexible Spatial-Temporal
    Multiplexing for Multiple LLM Serving" (ICML).

    Parameters
    ----------
    sample : Requests
        Earlier requests; rates and lengths of the plan are theirs.
    period : float
        Seconds.
    """

    def __init__(self, sample: Requests, period: float = 10.0):
        self.sample, self.period = instance(sample, Requests, "sample"), positive(period, "period")

    def start(self, cluster):
        sample, engine = self.sample, cluster.machines[0].engine
        if inf in [machine.engine.capacity for machine in cluster.machines]:
            raise ValueError("MuxServe shares memory; give each engine a finite capacity")
        n = 1 + max(int(sample.model.max()), int(cluster.requests.model.max()))
        rates, prompt, self.answer = demand(sample, n)
        token = engine.step / engine.slots + engine.per_task  # of a full machine's time
        seconds = engine.prompt + engine.per_token * prompt + token * self.answer
        copies = replicas(rates, seconds, len(cluster.machines))
        parts, rates = np.repeat(np.arange(n), copies), rates / copies
        where = np.array(spread_models(rates[parts], seconds[parts], len(cluster.machines)))
        self.where = [np.unique(where[parts == model]).tolist() for model in range(n)]
        self.held, self.used, self.shares, self.running = np.zeros((4, len(cluster.machines), n))
        self.waiting = [[deque() for _ in range(n)] for _ in cluster.machines]
        for m, machine in enumerate(cluster.machines):
            machine.models = {k for k in range(n) if m in self.where[k]}
            own = sorted(machine.models)
            lengths = prompt[own] + self.answer[own]
            self.shares[m, own] = fair_shares(rates[own], lengths, machine.engine.capacity)
        self.turn = [deque(sorted(machine.models)) for machine in cluster.machines]

    def place(self, task, cluster):
        def load(m):
            return len(cluster.machines[m].running) + sum(map(len, self.waiting[m]))

        m = min(self.where[task.model], key=load)
        self.waiting[m][task.model].append(task)
        return cluster.machines[m]

    def admit(self, machine, cluster):
        machine.queue.clear()  # they wait in `waiting`
        m, turn = machine.number, self.turn[machine.number]
        for _ in range(len(turn)):
            model = turn[0]
            waiting, running = self.waiting[m][model], self.running[m]
            turn.rotate(-1)
            if waiting and machine.fits(waiting[0]):
                held = self.held[m, model] + waiting[0].prompt + self.answer[model]
                if held <= self.shares[m, model] or not running[model]:
                    self.held[m, model] = held
                    self.used[m, model] = max(self.used[m, model], held)
                    running[model] += 1
                    return waiting.popleft()
        return None

    def after(self, task, machine, cluster):
        self.held[machine.number, task.model] -= task.prompt + self.answer[task.model]
        self.running[machine.number, task.model] -= 1
        return True

    def tick(self, cluster):
        for machine in cluster.machines:
            m, own = machine.number, sorted(machine.models)
            if own:
                waits = [bool(self.waiting[m][model]) for model in own]
                self.shares[m, own] = adapt(self.shares[m, own], self.used[m, own], waits)
                self.used[m] = self.held[m]
                cluster.wake(machine)
