"""The engine behind a recorded load curve: two numbers, by Little's law and by replaying."""

from __future__ import annotations

import warnings

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.engine import LATENCY, RATE, stage
from ensemble_lab.systems.simulator.inputs import numbers, whole
from ensemble_lab.systems.simulator.machine import Engine


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
    >>> from ensemble_lab.systems import plateau_rate
    >>> curves = lab.load_curves().query("configuration == 'plain' and 1 <= stage <= 3")
    >>> round(plateau_rate(fit_engine(curves)))
    104
    """
    from scipy.optimize import least_squares

    rates, latencies = _recorded(curves)
    whole(slots, "slots")
    limit, output = load.get("in_flight", 440), load.get("output", 62)
    flight = np.minimum(rates * latencies, limit)  # Little's law
    full = min(slots, limit)
    running = np.minimum(flight, full)
    if running.min() >= full:
        raise ValueError(
            f"at every rate all {full} slots are taken (at least {flight.min():.0f} requests in"
            " flight), so the step and what a request adds cannot be told apart; add a lower rate"
        )
    if running.max() < full / 2:
        warnings.warn(
            f"the highest rate keeps {running.max():.0f} of {full} slots busy, so what the engine"
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
    best = least_squares(
        misses, np.log(np.maximum(start, least)), diff_step=1e-3, ftol=1e-4, xtol=1e-4
    )
    return engine(best.x)


def _recorded(curves) -> tuple[np.ndarray, np.ndarray]:
    """Rates and latencies of one configuration."""
    try:
        rates, latencies = (numbers(curves[name], name) for name in (RATE, LATENCY))
        names = set(curves["configuration"]) if "configuration" in curves else set()
    except (KeyError, TypeError, IndexError):
        raise ValueError(f"curves needs the columns '{RATE}' and '{LATENCY}'") from None
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
