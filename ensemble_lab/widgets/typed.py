"""Numbers as people type them: understood, or refused with the way to write them."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Real

from ensemble_lab.core.errors import shown

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
MINUS = str.maketrans("\u2212\u00a0\u202f", "-  ")  # signs that word processors put in


def typed_number(guess, unit: str = "") -> float:
    """The number that somebody gave: as a number, or as text with or without its unit.

    Examples
    --------
    >>> typed_number(" 12 "), typed_number("90%", unit="%"), typed_number("1e3")
    (12.0, 90.0, 1000.0)

    Raises
    ------
    ValueError
        Anything else, commas and True among them; the message says how to write it.
    """
    if hasattr(guess, "tolist"):
        guess = guess.tolist()
    if isinstance(guess, Real | Decimal) and not isinstance(guess, bool):
        return float(guess)
    if not isinstance(guess, str):
        raise ValueError(f"{shown(guess, 40)} is no number; guess one")
    text = guess.translate(MINUS).strip()
    if unit and text.endswith(unit):
        text = text.removesuffix(unit).strip()
    if NUMBER.fullmatch(text):
        return float(text)
    fix = "guess one"
    if "," in text:
        fix = "write the decimal mark as a point, 0.9, and nothing between thousands, 1000"
    elif text.endswith("%"):
        fix = "write the number that is asked for, without %"
    raise ValueError(f"{shown(guess, 40)} is no number; {fix}")
