"""Numbers among settings: a wrong kind is named before anything is computed with it."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

from ensemble_lab.core.errors import shown


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
