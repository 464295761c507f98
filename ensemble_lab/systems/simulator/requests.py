"""Requests to language models as arrays: when they came, how long they are, and for which model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.indexes import check_indexes
from ensemble_lab.systems.simulator.inputs import arrival_times, numbers, positive


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
        No request, arrays of other lengths or with another index of pandas, times out of order or
        not finite, tokens below their least number or not whole, a limit that is not positive.
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    model: np.ndarray | None = None
    limit: float | np.ndarray = np.inf
    blocks: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self):
        check_indexes(vars(self))
        arrival = arrival_times(self.arrival)
        n = len(arrival)
        fields = {
            "arrival": arrival,
            "prompt": _tokens(self.prompt, "prompt", n, 0),
            "output": _tokens(self.output, "output", n, 1),
            "model": np.zeros(n, int) if self.model is None else _tokens(self.model, "model", n, 0),
            "limit": _limits(self.limit, n),
        }
        for name, values in fields.items():
            values = np.array(values)  # a copy: a caller may change what was given
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.blocks is not None:
            blocks = tuple(tuple(prompt) for prompt in several(self.blocks, "blocks"))
            if len(blocks) != n:
                raise ValueError(f"{len(blocks)} prompts have blocks, but there are {n} requests")
            object.__setattr__(self, "blocks", blocks)

    def __len__(self) -> int:
        return len(self.arrival)

    def faster(self, factor: float) -> Requests:
        """The same requests at `factor` times their rate."""
        return replace(self, arrival=self.arrival / positive(factor, "factor"))


def _tokens(values, name: str, n: int, least: int) -> np.ndarray:
    array = numbers(values, name)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}; give one number a request, {n} in all")
    wrong = (array != np.floor(array)) | (array < least)
    if wrong.any():
        raise ValueError(
            f"{name} holds {array[wrong][0]:g}; give whole numbers of at least {least}"
        )
    return array.astype(int)


def _limits(limit, n: int) -> np.ndarray:
    """One limit a request, seconds; infinite where there is none."""
    # NumPy's spans of time count as whole numbers.
    alone = isinstance(limit, Real) and not isinstance(limit, bool | np.timedelta64)
    values = np.full(n, float(limit)) if alone else np.asarray(_or_infinite(limit), float)
    if values.shape != (n,) or not (values > 0).all():
        raise ValueError(
            f"limit={shown(limit)}; give seconds above 0, one number or one a request ({n})"
        )
    return values


def _or_infinite(limit) -> list:
    """Numbers, of which some may be infinite."""
    values = several(limit, "limit")
    numbers([1.0 if value == np.inf else value for value in values], "limit")
    return values
