"""Settings: a wrong kind is named before anything is computed with it."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

from ensemble_lab.core.errors import shown

LOWEST, HIGHEST = -(2**63), 2**64 - 1  # the seeds that PyTorch knows


def whole(value: Any, name: str) -> int:
    """A whole number, numpy's included.

    Raises
    ------
    ValueError
        A fraction, a truth value, a text.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name}={shown(value)} is no whole number; give one, such as {name}=4")
    return index(value)


def number(value: Any, name: str) -> float:
    """A real number, numpy's included.

    Raises
    ------
    ValueError
        A truth value, a text, None.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} is no number; give one, such as {name}=0.7")
    return value


def seed_of(value: Any) -> int | None:
    """A seed of PyTorch's generators, numpy's whole numbers included; None stays.

    Raises
    ------
    ValueError
        No whole number, or one that has no place in 64 bits.
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
