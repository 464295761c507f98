"""Requests to language models as arrays: when they came, how long they are, and for which model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import numbers


@dataclass(frozen=True, eq=False)
class Requests:
    """A trace of n requests, in the order of their arrival.

    Parameters
    ----------
    arrival : array_like (n,)
        Seconds, not decreasing.
    prompt, output : array_like (n,)
        Tokens read and tokens written; an output has at least one token.
    model : array_like (n,), optional
        Number of the model that each request asks for, from 0. All ask for model 0 by default.
    limit : float or array_like (n,)
        Seconds from arrival within which an answer is of use. No limit by default.
    blocks : tuple of tuple of int, optional
        Ids of the blocks of each prompt. Two prompts share a prefix as far as their ids agree.

    Raises
    ------
    ValueError
        No request, arrays of other lengths, times out of order or not finite, tokens below their
        least number or not whole, a limit that is not positive.
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    model: np.ndarray | None = None
    limit: float | np.ndarray = np.inf
    blocks: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self):
        arrival = numbers(self.arrival, "arrival")
        if arrival.ndim != 1:
            raise ValueError(f"arrival has shape {arrival.shape}; give one time a request")
        early = np.flatnonzero(np.diff(arrival) < 0)
        if len(early):
            i = int(early[0]) + 1
            raise ValueError(
                f"request {i} came at {arrival[i]:g} s, before request {i - 1} at"
                f" {arrival[i - 1]:g} s; sort the requests by arrival"
            )
        n = len(arrival)
        model = np.zeros(n, int) if self.model is None else self.model
        limit = np.array(self.limit)  # of its own, as are the arrays of `numbers`
        if limit.dtype.kind not in "iuf":
            raise ValueError(f"limit holds {limit.dtype.name}; give seconds")
        limit = np.broadcast_to(limit.astype(float), n)
        if not (limit > 0).all():
            raise ValueError(f"limit holds {shown(limit.min())}; give seconds above 0")
        if self.blocks is not None and len(self.blocks) != n:
            raise ValueError(f"{len(self.blocks)} prompts have blocks, but there are {n} requests")
        fields = {
            "arrival": arrival,
            "prompt": _whole(self.prompt, "prompt", n, 0),
            "output": _whole(self.output, "output", n, 1),
            "model": _whole(model, "model", n, 0),
            "limit": limit,
        }
        for name, values in fields.items():
            values = values.view()
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.arrival)

    def faster(self, factor: float) -> Requests:
        """The same requests at `factor` times their rate."""
        if not factor > 0 or not np.isfinite(factor):
            raise ValueError(f"factor is {shown(factor)}; give a finite number above 0")
        return replace(self, arrival=self.arrival / factor)


def _whole(values, name: str, n: int, least: int) -> np.ndarray:
    array = numbers(values, name)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}; give one number a request, {n} in all")
    whole = array.astype(int)
    if not (whole == array).all() or whole.min() < least:
        bad = array[(whole != array) | (whole < least)][0]
        raise ValueError(f"{name} holds {bad:g}; give whole numbers of at least {least}")
    return whole
