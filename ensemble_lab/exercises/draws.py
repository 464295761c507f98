"""The random numbers of the cases: the same for every reader, or others for a hidden check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

_HIDDEN: ContextVar[int | None] = ContextVar("hidden", default=None)


def draws(seed: int) -> np.random.Generator:
    """A generator for the cases of an exercise."""
    hidden = _HIDDEN.get()
    return np.random.default_rng(seed if hidden is None else (hidden, seed))


@contextmanager
def drawn_with(seed: int) -> Iterator[None]:
    """Inside, all checks have other cases, which follow from `seed`."""
    before = _HIDDEN.set(seed)
    try:
        yield
    finally:
        _HIDDEN.reset(before)
