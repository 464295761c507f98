"""A recorded engine, fitted on some of its rates and replayed at all of them, when first asked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ensemble_lab.catalogue import load_curves
from ensemble_lab.systems.simulator.engine import plateau_rate, replay_load
from ensemble_lab.systems.simulator.engine_fit import fit_engine
from ensemble_lab.systems.simulator.machine import Engine

CONFIGURATIONS = {
    "plain": "plain",
    "192 slots": "batch_size",
    "prefix cache": "chunking_and_prefix_caching",
    "quantised": "quantization",
    "V0 engine": "v0_engine",
    "EAGLE-3": "eagle",
}
FITTED = {"0 to 2": (0, 1, 2), "1 to 3": (1, 2, 3), "0 to 6": tuple(range(7))}
SLOTS = (64, 96, 128, 192, 256)
RATES = tuple(range(10, 261, 10))
SERVED, LATENCY = 0.05, 0.10  # relative misses that count as right


@dataclass(frozen=True, eq=False)
class Fitted:
    """One configuration: what was recorded, and what an engine fitted on some of it does."""

    recorded: pd.DataFrame  # 7 rows, by stage
    engine: Engine
    replayed: pd.DataFrame  # the same rates
    curve: pd.DataFrame  # `RATES`
    used: np.ndarray  # (7,), whether the engine was fitted on it
    busy: int  # slots that the highest rate of the fit kept busy
    plain: pd.DataFrame  # what the plain configuration recorded

    @property
    def plateau(self) -> float:
        """Requests a second that the engine serves when full."""
        return plateau_rate(self.engine)

    @property
    def missed(self) -> tuple[np.ndarray, np.ndarray]:
        """Relative misses (7,) of served rates and of mean latencies."""
        return tuple(
            (self.replayed[name].to_numpy() / self.recorded[name] - 1).to_numpy()
            for name in ("served_rate", "latency_mean_s")
        )

    @property
    def judged(self) -> np.ndarray:
        """(7,): latencies that are judged. One request alone and a nearly full engine are not."""
        offered = self.recorded.requested_rate / self.recorded.served_rate.max()
        return ~(offered.between(0.9, 1.05) | (self.recorded.index == 0)).to_numpy()

    @property
    def wrong(self) -> tuple[np.ndarray, np.ndarray]:
        """(7,) each: served rates and judged latencies that are missed by more than allowed."""
        served, latency = map(np.abs, self.missed)
        return served > SERVED, (latency > LATENCY) & self.judged


@cache
def fitted(configuration: str, stages: str, slots: int) -> Fitted:
    """That configuration, fitted on these stages by somebody who believes in so many slots."""
    curves = load_curves()
    recorded, plain = (
        curves[curves.configuration == CONFIGURATIONS[name]].set_index("stage")
        for name in (configuration, "plain")
    )
    some = recorded.loc[list(FITTED[stages])]
    with warnings.catch_warnings():  # the picture says it
        warnings.simplefilter("ignore", UserWarning)
        engine = fit_engine(some, slots)
    flight = (some.requested_rate * some.latency_mean_s).max()
    return Fitted(
        recorded,
        engine,
        replay_load(engine, recorded.requested_rate),
        replay_load(engine, RATES),
        recorded.index.isin(some.index),
        int(min(flight, slots)),
        plain,
    )
