"""Checks of settings, from a file or from a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemble_lab.core.errors import nearest, shown


def check_keys(table: Mapping, known: tuple[str, ...], where: str) -> None:
    """Refuse a key that is no setting; the nearest is named."""
    for key in table:
        if key not in known:
            raise ValueError(f"{where} has no setting {shown(key, 40)}{nearest(key, known)}")


def check_name(name) -> None:
    """Refuse a name of a model or policy that a client could not send."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"{shown(name, 40)} is no name of a model; give a text in one line")


def check_seconds(value, what: str) -> None:
    """Refuse what is no number of seconds, up to a day."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise ValueError(f"{what} is {shown(value)}; give seconds above 0")


def share_of(value, what: str) -> float:
    """A share of the calls, from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{what} is {shown(value)}; give a share of the calls, such as 0.1")
    return float(value)


def check_kind(value: Any, what: str, methods: tuple[str, ...], fix: str) -> None:
    """Refuse what has not these methods, but None."""
    if value is not None and not all(hasattr(value, name) for name in methods):
        raise ValueError(f"{what} is {shown(value)}; give {fix}")
