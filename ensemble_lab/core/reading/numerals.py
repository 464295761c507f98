"""Numbers written as text: one grammar, exact, a cell at a time.

A number is ASCII digits with an optional sign, point and exponent: ``18``, ``18.0``, ``-1e3``.
"1_000", "nan", "18 %" and the digits of other alphabets are text. "1,319" and "0,9" are numbers
only in some countries, which differ on their value: they are never guessed.
"""

from __future__ import annotations

import re
from decimal import Decimal

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
CANONICAL = r"-?(0|[1-9][0-9]*)(\.0|\.[0-9]*[1-9])?([eE][+-]?[0-9]+)?"
WHOLE = r"0|-?[1-9][0-9]*"
MOST_DIGITS = 4000  # Python does not write whole numbers of more than 4,300 digits

_number, _exponent = re.compile(NUMBER), re.compile(r"[eE]([+-]?[0-9]+)$")
_groups = re.compile(r"[+-]?[0-9]{1,3}([ .,'’\u00a0\u202f])[0-9]{2,3}(\1[0-9]{3})*([.,][0-9]+)?")
_comma = re.compile(r"[+-]?[0-9]*,[0-9]+")


def number_in(text: str) -> int | float | str | None:
    """The number that `text` spells, in one form for all its spellings; None for other text.

    Whole numbers of any size are `int`, others `float`. A number that no float holds exactly (in
    its shortest spelling), such as 40 decimals, is returned as the text of its digits.

    >>> number_in("18.0"), number_in("0.50"), number_in("9007199254740993"), number_in("1_000")
    (18, 0.5, 9007199254740993, None)
    """
    text = text.strip(" \t")
    if not _number.fullmatch(text):
        return None
    exponent = _exponent.search(text)
    if len(text) > MOST_DIGITS or (exponent and abs(int(exponent[1])) > MOST_DIGITS):
        return None
    exact = Decimal(text)
    if exact == exact.to_integral_value():
        whole = f"{exact:f}".split(".")[0]
        return int(whole) if len(whole) <= MOST_DIGITS else whole
    nearest = float(exact)
    if Decimal(repr(nearest)) == exact:
        return nearest
    return f"{exact:f}".rstrip("0")


def local_readings(text: str) -> set:
    """The possible values of a number in some country's notation; empty for other text.

    >>> sorted(local_readings("1,319")), local_readings("1.234,5"), local_readings("1319")
    ([1.319, 1319], {1234.5}, set())
    """
    text = text.strip()
    if _number.fullmatch(text):
        return set()
    found = set()
    if grouped := _groups.fullmatch(text):
        mark, decimals = grouped[1], grouped[3] or ""
        if decimals[:1] != mark:
            whole = text[: len(text) - len(decimals)].replace(mark, "")
            found.add(number_in(whole + decimals.replace(",", ".")))
    if _comma.fullmatch(text):
        found.add(number_in(text.replace(",", ".")))
    return found - {None}
