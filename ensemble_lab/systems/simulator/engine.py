"""One engine under a load generator, and the engine that a recorded load curve tells of.

All requests are equally long, so they end in the order in which they came in, and a queue of those
that run is enough: about twelve times as fast as `cluster.serve`, whose times it has (a test holds
them equal). That is what a fit needs, which replays a minute of load some thirty times.
"""

from __future__ import annotations

import warnings
from collections import deque
from math import ceil, inf

import numpy as np

from ensemble_lab.core.errors import shown
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
        million; a request that fits into no memory; no token to write.

    References
    ----------
    Yu et al., Orca: a distributed serving system for transformer-based generative models, OSDI 2022.

    Examples
    --------
    >>> found = replay_load(Engine(0.007, 1e-4, slots=128), [1, 60, 200])
    >>> found.served_rate.round(1).tolist()
    [1.0, 59.5, 103.9]
    """
    import pandas as pd

    rates = _numbers(rates, "rates")
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

    Examples
    --------
    >>> round(plateau_rate(Engine(0.007, 1e-4, slots=128)), 2)
    104.27
    """
    step = engine.step + engine.per_task * engine.slots
    reading = engine.prompt + engine.per_token * prompt
    return engine.slots / (output * step + engine.slots * reading)


def fit_engine(curves, slots: int = 128, **load) -> Engine:
    """The engine whose replayed latencies are nearest to recorded ones, in relative terms.

    Two numbers are fitted: the seconds of a step, and what each running request adds to it. What
    reading a prompt takes is part of the second: a request that holds its slot for L steps delays
    the others by L c + p, and a load curve cannot tell the step's share c from the prompt's p.

    A regression begins: by Little's law rate times latency are in flight, b of them in slots, and
    the time in a slot is L a + b (L c + p). Replaying corrects the rates at which the queue was
    still growing when the generator stopped.

    Parameters
    ----------
    curves : pandas.DataFrame
        A row a rate of one configuration: ``requested_rate`` (requests a second) and
        ``latency_mean_s`` (seconds). Rows are what the engine is fitted on.
    slots : int
        Requests that can run together. Little's law shows it, where the engine is full: served rate
        times (latency minus time to the first token).
    **load
        Other than the recorded load: the keywords of `replay_load`.

    Returns
    -------
    Engine
        With `step` and `per_task` fitted, and `prompt` zero.

    Warns
    -----
    UserWarning
        The rates leave more than half of the slots empty, so the plateau is a guess.

    Raises
    ------
    ValueError
        Fewer than two rates, no column of that name, several configurations, numbers that are not
        positive, or only rates at which all slots are taken.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> curves = lab.load_curves().query("configuration == 'plain' and 1 <= stage <= 3")
    >>> round(plateau_rate(fit_engine(curves)))
    104
    """
    from scipy.optimize import least_squares

    rates, latencies = _recorded(curves)
    limit, output = load.get("in_flight", 440), load.get("output", 62)
    flight = np.minimum(rates * latencies, limit)  # Little's law
    running = np.minimum(flight, slots)
    if flight.min() >= slots:
        raise ValueError(
            f"at every rate all {slots} slots are taken (at least {flight.min():.0f} requests in"
            " flight), so the step and what a request adds cannot be told apart; add a lower rate"
        )
    if running.max() < slots / 2:
        warnings.warn(
            f"the highest rate keeps {running.max():.0f} of {slots} slots busy, so what the engine"
            " serves when full is a guess; add a higher rate",
            stacklevel=2,
        )
    inside = latencies * running / flight  # seconds in a slot
    share = np.stack([np.ones_like(running), running], axis=1) / inside[:, None]
    start = np.linalg.lstsq(share, np.ones(len(rates)))[0] / output

    def engine(logs) -> Engine:
        step, per_task = np.exp(logs).tolist()
        return Engine(step, per_task, slots=slots)

    def misses(logs) -> list[float]:
        found = []
        for rate, latency in zip(rates.tolist(), latencies.tolist(), strict=True):
            sent, _, finished = stage(engine(logs), rate, **load)
            found.append(np.log((finished - sent).mean() / latency))
        return found

    # Times are positive, so their logarithms are fitted; replayed times are not smooth in them.
    least = [latencies.min() / output / 10, 1e-9]
    best = least_squares(misses, np.log(np.maximum(start, least)), diff_step=1e-3, ftol=1e-4)
    return engine(best.x)


def stage(
    engine: Engine,
    rate: float,
    seconds: float = 60.0,
    in_flight: float = 440,
    prompt: int = 204,
    output: int = 62,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each request of one rate was sent, got its first token and its last: (n,) each."""
    if not rate > 0:
        raise ValueError(f"rates holds {shown(rate)}; give requests a second above 0")
    if not 1 - TIE <= rate * seconds <= MOST:
        raise ValueError(
            f"at {rate:g} requests a second {rate * seconds:.3g} are due in {shown(seconds)} s;"
            f" give rates and seconds for 1 to {MOST:,}"
        )
    if output != int(output) or output < 1:
        raise ValueError(f"output is {shown(output)}; give whole tokens, at least 1")
    slots = min(engine.slots, in_flight, engine.capacity // (prompt + output))
    if not slots >= 1:
        raise ValueError(
            f"no request of {shown(prompt + output)} tokens may run: the engine holds"
            f" {engine.capacity:g}, and {shown(in_flight)} may be in flight"
        )
    due = np.arange(int(rate * seconds + TIE)) / rate
    reading = engine.prompt + engine.per_token * prompt
    first, finished = _run(engine.step, engine.per_task, reading, slots, due.tolist(), int(output))
    # A request that the generator holds back would wait in the engine's queue, behind the same
    # others, so the limit changes when it is sent, and not when it runs.
    sent = due.copy()
    if in_flight < len(due):
        sent[int(in_flight) :] = np.maximum(due[int(in_flight) :], finished[: -int(in_flight)])
    return sent, first, finished


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


def _recorded(curves) -> tuple[np.ndarray, np.ndarray]:
    """Rates and latencies of one configuration."""
    try:
        rates, latencies = (_numbers(curves[name], name) for name in (RATE, LATENCY))
        names = set(curves["configuration"]) if "configuration" in curves else set()
    except (KeyError, TypeError, IndexError):
        raise ValueError(f"curves needs the columns {RATE!r} and {LATENCY!r}") from None
    if len(names) > 1:
        raise ValueError(
            f"curves holds {len(names)} configurations; choose the rows of one, such as"
            f" curves[curves.configuration == {shown(sorted(map(str, names))[0])}]"
        )
    if len(rates) != len(latencies) or len(set(rates.tolist())) < 2:
        raise ValueError("two numbers are fitted: give a row for each of two rates or more")
    for name, values in ((RATE, rates), (LATENCY, latencies)):
        if not (values > 0).all():
            raise ValueError(f"{name} holds {shown(values.min())}; give numbers above 0")
    return rates, latencies


def _numbers(values, what: str) -> np.ndarray:
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {shown(values)}; give numbers") from None
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{what} has shape {array.shape}; give a list of at least one number")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds {shown(array[~np.isfinite(array)][0])}; give finite numbers")
    return array
