"""One engine under a load generator: what a benchmark of it would measure.

All requests are equally long, so they end in the order in which they were let in, and a queue of
those that run is enough. Its times are those of one machine of `cluster.serve_requests` (a test
holds them equal), and it is much quicker: a fit replays minutes of load dozens of times.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf

import numpy as np

from ensemble_lab.systems.simulator.inputs import numbers, positive, whole
from ensemble_lab.systems.simulator.machine import Engine

TIE = 1e-9  # of a step: what comes so shortly after a step's end comes at its end
MOST = 5_000_000  # requests at one rate
RATE, LATENCY = "requested_rate", "latency_mean_s"


def replay_load(
    engine: Engine,
    rates,
    *,
    seconds: float = 60.0,
    in_flight: float = 440,
    prompt: int = 204,
    output: int = 62,
):
    """What a load generator measures on `engine`: each rate for `seconds`, then drained.

    The defaults are those of the recorded load (`load_curves`). Requests are sent evenly spaced; at
    `in_flight` the generator waits for an answer before it sends the next one. Latencies count from
    the sending, as in the recording: what the generator waited is not in them. The engine lets
    waiting requests in at the end of each step as long as there is a slot (continuous batching).

    Parameters
    ----------
    engine : Engine
    rates : array_like (n,)
        Requests a second, offered.
    seconds : float
        How long each rate is offered, seconds.
    in_flight : float
        The most requests that are sent and not yet answered.
    prompt, output : int
        Tokens read and written, of every request.

    Returns
    -------
    pandas.DataFrame (n, 9)
        A row a rate, with the recording's columns: ``requested_rate``, ``sent_rate`` (while the
        generator sends), ``served_rate`` (over the whole stage, draining included; all three in
        requests a second), and in seconds ``latency_mean_s``, ``latency_median_s``,
        ``latency_p90_s``, ``latency_p99_s``, ``ttft_mean_s`` and ``ttft_p99_s`` (time to the first
        token).

    Raises
    ------
    ValueError
        A rate that is not positive, or without a request in `seconds`, or with more than five
        million; a request that does not fit into memory; no token to write.

    References
    ----------
    Yu et al., Orca: a distributed serving system for transformer-based generative models, OSDI
    2022.

    Examples
    --------
    >>> found = replay_load(Engine(0.007, 1e-4, slots=128), [1, 60, 200])
    >>> found.served_rate.round(1).tolist()
    [1.0, 59.5, 103.9]
    """
    import pandas as pd

    rates = numbers(rates, "rates")
    if rates.ndim != 1:
        raise ValueError(f"rates has shape {rates.shape}; give one number a rate")
    rows = []
    for rate in rates.tolist():
        sent, first, finished = stage(engine, rate, seconds, in_flight, prompt, output)
        n, span = len(sent), sent[-1] - sent[0]
        row = {
            RATE: rate,
            "sent_rate": (n - 1) / span if n > 1 else rate,
            "served_rate": n / finished[-1],
            LATENCY: (finished - sent).mean(),
        }
        for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            row[f"latency_{name}_s"] = np.quantile(finished - sent, share)
        row["ttft_mean_s"] = (first - sent).mean()
        row["ttft_p99_s"] = np.quantile(first - sent, 0.99)
        rows.append(row)
    return pd.DataFrame(rows)


def plateau_rate(engine: Engine, *, prompt: int = 204, output: int = 62) -> float:
    """Requests a second that `engine` serves when all its slots are taken.

    In ``output`` steps every slot serves one request, and every request stops the others once while
    its prompt is read.

    Raises
    ------
    TypeError, ValueError
        No engine; a request that does not fit into its memory.

    Examples
    --------
    >>> round(plateau_rate(Engine(0.007, 1e-4, slots=128)), 2)
    104.27
    """
    slots = slots_of(engine, prompt, output)
    step = engine.step + engine.per_task * slots
    reading = engine.prompt + engine.per_token * prompt
    return slots / (output * step + slots * reading)


def stage(
    engine: Engine,
    rate: float,
    seconds: float = 60.0,
    in_flight: float = 440,
    prompt: int = 204,
    output: int = 62,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each request of one rate was sent, got its first token and its last: (n,) each."""
    positive(rate, "rates", " requests a second")
    positive(seconds, "seconds")
    if in_flight != inf:
        whole(in_flight, "in_flight")
    if not 1 - TIE <= rate * seconds <= MOST:
        raise ValueError(
            f"at {rate:g} requests a second {rate * seconds:.3g} are due in {seconds:g} s; give"
            f" rates and seconds for 1 to {MOST:,}"
        )
    slots = min(slots_of(engine, prompt, output), in_flight)
    due = np.arange(int(rate * seconds + TIE)) / rate
    reading = engine.prompt + engine.per_token * prompt
    first, finished = _run(engine.step, engine.per_task, reading, slots, due.tolist(), output)
    # A request that the generator holds back would wait in the engine's queue, behind the same
    # others, so the limit changes when it is sent, and not when it runs.
    sent = due.copy()
    if in_flight < len(due):
        sent[in_flight:] = np.maximum(due[in_flight:], finished[:-in_flight])
    return sent, first, finished


def slots_of(engine: Engine, prompt: int, output: int) -> int:
    """Requests of that size that can run together: as many as slots and memory allow."""
    if not isinstance(engine, Engine):
        raise TypeError(f"engine is a {type(engine).__name__}; give an Engine(…)")
    size = whole(prompt, "prompt", 0) + whole(output, "output")
    if size > engine.capacity:
        raise ValueError(
            f"a request has {size} tokens, but the engine holds {engine.capacity:g}; give a larger"
            " capacity"
        )
    return int(min(engine.slots, engine.capacity // size))


def _run(step, per_task, reading, slots, due, output) -> tuple[np.ndarray, np.ndarray]:
    """Times of the first and the last token, jumping to the step at which anything changes."""
    n, now, made = len(due), 0.0, 0  # `made` counts steps
    due = [*due, inf]
    running: deque[tuple[int, int]] = deque()  # the step at which requests end, and how many
    begun = busy = 0
    last = step
    first, finished = [], []
    while begun < n or busy:
        if not busy:
            now = max(now, due[begun])
        let_in, soon = begun, now + TIE * last
        while busy < slots and due[begun] <= soon:
            begun += 1
            busy += 1
        let_in = begun - let_in
        start, last = now + reading * let_in, step + per_task * busy
        if let_in:
            running.append((made + output, let_in))
            first += [start + last] * let_in
        steps = running[0][0] - made
        if busy < slots and begun < n:  # the first end of a step after the next arrival
            steps = min(steps, max(1, ceil((due[begun] - start) / last - TIE)))
        made += steps
        now = start + steps * last
        if running[0][0] == made:
            ended = running.popleft()[1]
            busy -= ended
            finished += [now] * ended
    return np.array(first), np.array(finished)
