"""Cells in the units of `Outcomes`: seconds, USD, shares, probabilities, seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.columns import Column, Typed
from ensemble_lab.core.reading.guess import Place
from ensemble_lab.core.reading.headers import say, tell
from ensemble_lab.core.reading.meanings import normal

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
LONG = {"sec": "s", "seconds": "s", "millis": "ms", "milliseconds": "ms"}
USD = {"cents": 1e-2, "cent": 1e-2, "micros": 1e-6}
FOREIGN = re.compile(r"[€£¥₹]|(?<![a-z])(eur|gbp|jpy|cny|rmb|inr|chf)(?![a-z])", re.IGNORECASE)
RIGHT = {"pass", "passed", "yes", "y", "right", "correct", "true", "success"}
WRONG = {"fail", "failed", "no", "n", "wrong", "incorrect", "false", "failure"}
BEFORE = 1e8  # seconds: March 1973, before which no model was asked


def converted(place: Place, column: Column, latency_unit: str | None) -> Column:
    """The column of a place in the unit that `Outcomes` has; what was done is said.

    Raises
    ------
    ValueError
        An unknown unit, a positive log probability, a date that cannot be read, a number that
        cannot be a clock.
    """
    last = normal(place.field).rpartition("_")[2]
    if place.meaning == "latency":
        return _in_seconds(place, column, latency_unit or LONG.get(last, last))
    if place.meaning == "cost" and (other := FOREIGN.search(place.field)):
        raise ValueError(
            f"column {shown(place.column, 40)} is in {shown(other[0])}: costs are in USD; convert"
            " it, or give cost='' to leave it out"
        )
    if place.meaning == "cost" and last in USD:
        tell(f"column {shown(place.column, 40)} is in {last}, read as {USD[last]:g} USD each")
        return Typed(_numbers(place, column) * USD[last], place.column)
    if place.meaning == "confidence" and re.search(r"log_?prob$", normal(place.field)):
        return _probability(place, column)
    if place.meaning == "correct":
        return _in_words(place, column)
    return _clock(place, column) if place.meaning == "time" else column


def _numbers(place: Place, column: Column) -> np.ndarray:
    def where(row: int, cell: str, fix: str) -> str:
        return (
            f"column {shown(place.column, 40)} holds something that is not a number in row"
            f" {row + 1}: {cell}; {fix}"
        )

    return column.numbers(where)


def _in_seconds(place: Place, column: Column, unit: str) -> Column:
    if unit not in SECONDS:
        unit = "s"
        say(
            f"column {shown(place.column, 40)} is read as seconds: its name has no unit;"
            " latency_unit='ms' reads milliseconds"
        )
    if unit == "s":
        return column
    tell(f"column {shown(place.column, 40)} is in {unit}, read as {SECONDS[unit]:g} s each")
    return Typed(_numbers(place, column) * SECONDS[unit], place.column)


def _probability(place: Place, column: Column) -> Column:
    logs = _numbers(place, column)
    if (logs > 0).any():
        raise ValueError(
            f"column {shown(place.column, 40)} holds {logs[logs > 0][0]:g}, which is no log"
            " probability; rename it confidence if it is a score"
        )
    tell(f"confidence is exp of column {shown(place.column, 40)}")
    return Typed(np.exp(logs), place.column)


def _in_words(place: Place, column: Column) -> Column:
    """Words such as pass and fail as 1 and 0."""
    used: dict[str, list] = {"1": [], "0": []}

    def grade(value):
        word = value.strip().casefold() if isinstance(value, str) else value
        if word in ("true", "false") or not isinstance(word, str):
            return value
        if word in RIGHT or word in WRONG:
            grade = "1" if word in RIGHT else "0"
            used[grade].append(value)
            return grade
        return value

    changed = [grade(value) for value in column.values]
    if not used["1"] and not used["0"]:
        return column
    told = [f"{shown(values[0], 20)} as {grade}" for grade, values in used.items() if values]
    tell(f"column {shown(place.column, 40)} is read with {' and '.join(told)}")
    cells = np.array([*changed, None], object)[column.codes]
    return Typed(cells, place.column)


def _clock(place: Place, column: Column) -> Column:
    """Seconds since 1970, from such numbers, milliseconds or dates."""
    convert: Callable = partial(_moment, place)
    moments = [convert(value) for value in column.values]
    told = {how for _, how in moments}
    if len(told) > 1:
        raise ValueError(
            f"column {shown(place.column, 40)} holds {' and '.join(sorted(told))}: write all times"
            " in one way"
        )
    if told:
        tell(f"the feature time is column {shown(place.column, 40)}, read from {told.pop()}")
    return Typed(np.array([*(seconds for seconds, _ in moments), np.nan])[column.codes], "time")


def _moment(place: Place, value) -> tuple[float, str]:
    try:
        if isinstance(value, datetime):
            when = value
        else:
            number = float(value)
            if number >= BEFORE:  # in the year 5138 seconds will be as large as these
                large = number >= BEFORE * 1e3
                kind = "milliseconds since 1970" if large else "seconds since 1970"
                return number / (1e3 if large else 1), kind
            raise TypeError
    except ValueError:
        try:
            when = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise ValueError(
                f"column {shown(place.column, 40)} holds {shown(value, 40)}, which is no date such"
                " as 2026-11-27T08:30:00Z; give time='' to leave it out"
            ) from None
    except TypeError:
        raise ValueError(
            f"column {shown(place.column, 40)} holds {shown(value, 40)}, which is neither a date"
            f" nor seconds since 1970; give latency={shown(place.column, 30)} if a call took so"
            " long"
        ) from None
    zone = "dates with a time zone" if when.tzinfo else "dates, taken as UTC"
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), zone
