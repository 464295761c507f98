"""How well three rates predict a recorded engine, and how quickly (a record of `systems`)."""

import warnings

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record
from ensemble_lab.instruments import Meter

WIDER = {"batch_size": 192}  # slots; the other configurations have 128
USUAL, LOWEST = [1, 2, 3], [0, 1, 2]


def plateau_error(quick):
    """The largest relative miss of a served rate, over all stages of all configurations."""
    curves = lab.load_curves()
    names = ["plain"] if quick else sorted(curves.configuration.unique())
    found = {name: judged(curves[curves.configuration == name], USUAL) for name in names}
    lowest = {name: judged(curves[curves.configuration == name], LOWEST) for name in names}
    return record(
        "plateau-error",
        100 * max(one["served"] for one in found.values()),
        100 * max(one["served"] for one in lowest.values()),
        "%",
        goal="at most 5, and 10 for mean latencies",
        peer_is="the same engine fitted on the three lowest rates, 0 to 2, in place of 1 to 3",
        by_configuration=found,
        fitted_on_the_lowest=lowest,
    )


def judged(rows, stages):
    """Largest misses of a fit on `stages`, and what fit and replay took."""
    name, plateau = rows.configuration.iloc[0], rows.served_rate.max()
    with warnings.catch_warnings(), Meter("cpu") as fitting:
        warnings.simplefilter("ignore", UserWarning)  # the lowest rates are warned of
        engine = lab.fit_engine(rows[rows.stage.isin(stages)], WIDER.get(name, 128))
    with Meter("cpu") as replaying:
        replayed = lab.replay_load(engine, rows.requested_rate)
    served, latency = (
        np.abs(replayed[column].to_numpy() / rows[column].to_numpy() - 1)
        for column in ("served_rate", "latency_mean_s")
    )
    near = (rows.requested_rate / plateau).between(0.9, 1.05).to_numpy()
    shown = near | (rows.stage == 0).to_numpy()
    return {
        "step_ms": 1e3 * engine.step,
        "a_request_adds_us": 1e6 * engine.per_task,
        "plateau": lab.plateau_rate(engine),
        "served": float(served.max()),
        "latency": float(latency[~shown].max()),
        "latency_alone": float(latency[0]),
        "latency_near_the_plateau": float(latency[near].max()) if near.any() else None,
        "fit_s": fitting.seconds,
        "replay_s": replaying.seconds,
    }
