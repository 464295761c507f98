"""Checks of settings: a wrong type is refused by name before it is used."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

from ensemble_lab.core.errors import shown

LOWEST, HIGHEST = -(2**63), 2**64 - 1  # the seeds that PyTorch takes


def whole(value: Any, name: str) -> int:
    """A whole number, also numpy's.

    Raises
    ------
    ValueError
        A fraction, a bool, a text.
    """
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:  # arrays have `__index__` too
        pass
    raise ValueError(f"{name}={shown(value)} is not a whole number; give one, such as {name}=4")


def number(value: Any, name: str) -> float:
    """A real number, also numpy's.

    Raises
    ------
    ValueError
        A bool, a text, None.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} is not a number; give one, such as {name}=0.7")
    return value


def seed_of(value: Any) -> int | None:
    """A seed for PyTorch's generators, also numpy's whole numbers; None is returned unchanged.

    Raises
    ------
    ValueError
        Not a whole number, or one that does not fit into 64 bits.
    """
    if value is None or LOWEST <= whole(value, "seed") <= HIGHEST:
        return None if value is None else index(value)
    raise ValueError(f"seed={shown(value)} does not fit into 64 bits; use 0 to 2**64 - 1")


def check_parse(parse) -> None:
    """Refuse what cannot turn a text into an answer.

    Raises
    ------
    ValueError
        It cannot be called.
    """
    if not callable(parse):
        raise ValueError(f"parse={shown(parse)} must be a function of the text, such as str.strip")
