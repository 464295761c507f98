"""What planning rules reckon with: the time of a batch, and machines shared among models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from ensemble_lab.core.errors import several
from ensemble_lab.systems.simulator.inputs import instance, numbers, positive
from ensemble_lab.systems.simulator.machine import Engine
from ensemble_lab.systems.simulator.requests import Requests


@dataclass(frozen=True)
class BatchTime:
    """Seconds for b requests together: ``fixed + each * b``.

    With continuous batching b tasks take turns in reading their prompts while each writes its
    tokens, so that the time of a request among b others is of this form too.
    """

    fixed: float
    each: float

    def __post_init__(self):
        positive(self.fixed, "fixed", zero=True)
        positive(self.each, "each", zero=True)
        if not self.fixed + self.each:
            raise ValueError("a batch takes no time; give fixed or each above 0")

    @classmethod
    def of(cls, engine: Engine, prompt: float, output: float) -> BatchTime:
        """The time of requests with this many tokens (means will do) on `engine`."""
        reading = engine.prompt + engine.per_token * prompt
        return cls(output * engine.step, output * engine.per_task + reading)

    def __call__(self, batch: float) -> float:
        return self.fixed + self.each * batch

    def largest(self, limit: float, slots: int) -> int:
        """The largest batch of at most `slots` that takes at most `limit` seconds; 0 if none."""
        if self.each == 0:
            return slots if self.fixed <= limit else 0
        return int(max(0, min(slots, floor((limit - self.fixed) / self.each + 1e-9))))

    def rate(self, batch: int) -> float:
        """Requests a second in batches of this size."""
        return batch / self(batch) if batch else 0.0

    def behind(self, ahead: int, slots: int) -> float:
        """Seconds to the answer of a request that comes behind `ahead` others."""
        if ahead < slots:
            return self(ahead + 1)
        return self(slots) * (1 + (ahead + 1 - slots) / slots)


def shares(loads: Sequence[float], machines: int) -> list[int]:
    """Machines for each model in proportion to its load: at least one, the largest remainders.

    Raises
    ------
    ValueError
        Fewer machines than models.
    """
    loads = np.maximum(np.asarray(loads, float), 1e-12)
    if machines < len(loads):
        raise ValueError(
            f"{machines} machines cannot hold {len(loads)} variants, one each; add machines"
        )
    counts = np.ones(len(loads), int)
    for _ in range(machines - len(loads)):
        counts[np.argmax(loads / counts)] += 1
    return counts.tolist()


def fitted(wanted: dict[tuple[int, int], int], machines: int) -> dict[tuple[int, int], int]:
    """At most as many machines as there are, in proportion to what is wanted, at least one each.

    Raises
    ------
    ValueError
        Fewer machines than entries.
    """
    if len(wanted) <= machines and sum(wanted.values()) <= machines:
        return wanted
    return dict(zip(wanted, shares(list(wanted.values()), machines), strict=True))


def of_models(rates, times: Sequence[BatchTime]) -> tuple[list[float], list[BatchTime]]:
    """Rates and batch times, one each for every model.

    Raises
    ------
    ValueError
        Other numbers of them, a negative rate.
    """
    rates = numbers(rates, "rates")
    times = [instance(time, BatchTime, "a time") for time in several(times, "times")]
    if rates.shape != (len(times),):
        raise ValueError(
            f"rates has shape {rates.shape}, times {len(times)}; give one of each a model"
        )
    if (rates < 0).any():
        raise ValueError(f"rates holds {rates.min():g}; give requests a second from 0 up")
    return rates.tolist(), times


def only(requests: Requests, model: int) -> Requests | None:
    """The requests for one model, which is called 0 then; None if there is none."""
    keep = requests.model == model
    if not keep.any():
        return None
    fields = (requests.arrival, requests.prompt, requests.output)
    return Requests(*(field[keep] for field in fields), limit=requests.limit[keep])
