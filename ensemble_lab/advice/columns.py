"""A column of a table that says which rows belong together, or when a row was."""

from __future__ import annotations

import re

import numpy as np

from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.outcomes import Outcomes

YEAR_FIRST = re.compile(r"\s*\d{4}\D")


def column(outcomes: Outcomes, values, what: str) -> list:
    """One value a row: those of a feature by its name, of ``"group"``, or those that are given.

    Raises
    ------
    KeyError
        The name of no feature.
    ValueError
        Another number of values, or a gap.
    """
    if isinstance(values, str):
        known = dict(outcomes.features)
        if outcomes.group is not None:
            known.setdefault("group", outcomes.group)
        check_known(values, known, what, "features of the table")
        values = known[values]
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        values = values.astype("datetime64[us]")  # its list has dates, and None for NaT
    listed = several(values, what)
    if len(listed) != len(outcomes):
        raise ValueError(
            f"{what} has {len(listed)} values for {len(outcomes)} rows; give one a row, or the name"
            " of a feature"
        )
    for row, value in enumerate(listed):
        if value is None or value != value:
            raise ValueError(
                f"{what} is not known for item {shown(outcomes.items[row])}; fill it in, or leave"
                " such rows out"
            )
    return listed


def clusters(outcomes: Outcomes, values) -> np.ndarray | None:
    """Codes (n,) from 0 of the cluster of each row.

    Raises
    ------
    ValueError
        All rows are one cluster: then no row can judge what was learned on others.
    """
    if values is None:
        return None
    listed = column(outcomes, values, "cluster")
    place: dict = {}
    try:
        codes = np.array([place.setdefault(value, len(place)) for value in listed])
    except TypeError:
        raise ValueError(
            f"cluster has values such as {shown(listed[0])}, which cannot be told apart; give texts"
            " or numbers"
        ) from None
    if len(place) == 1:
        raise ValueError(
            f"cluster is {shown(listed[0])} in every row, so no row is left to judge what is"
            " learned on the others; give a column with more values, or none"
        )
    return codes


def clock(outcomes: Outcomes, values) -> np.ndarray | None:
    """Seconds or numbers (n,) that order the rows in time.

    Raises
    ------
    ValueError
        A value that is no number and no date, or one time for all rows.
    """
    if values is None:
        return None
    listed = column(outcomes, values, "time")
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in listed):
        times = np.array(listed, float)
    elif all(isinstance(value, str) and _is_number(value) for value in listed):
        times = np.array([float(value) for value in listed])  # "9" is before "10"
    else:
        times = _dates(outcomes, listed)
    if not np.isfinite(times).all():
        row = int(np.isfinite(times).argmin())
        raise ValueError(
            f"time is {shown(listed[row])} for item {shown(outcomes.items[row])}; give a time that"
            " is finite"
        )
    if (times == times[0]).all():
        raise ValueError(f"time is {shown(listed[0])} in every row; give a clock, or no time")
    return times


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _dates(outcomes: Outcomes, listed: list) -> np.ndarray:
    """Seconds (n,) of dates, in UTC where a zone is named."""
    import pandas as pd

    # 02/01/2026 is the second of January or the first of February: years must come first.
    clear = [one if not isinstance(one, str) or YEAR_FIRST.match(one) else None for one in listed]
    read = pd.to_datetime(pd.Series(clear, dtype=object), utc=True, errors="coerce", format="mixed")
    if read.isna().any():
        row = int(read.isna().to_numpy().argmax())
        raise ValueError(
            f"time is {shown(listed[row])} for item {shown(outcomes.items[row])}, which is neither"
            " a number nor a date such as 2026-01-31T09:00:00Z; correct it, or leave the row out"
        )
    return (read - read.min()).dt.total_seconds().to_numpy()


def of_rows(values, rows: np.ndarray):
    """Values that were given one a row, without the rows that are left out."""
    if values is None or isinstance(values, str) or len(values) != len(rows):
        return values
    return [value for value, kept in zip(values, rows, strict=True) if kept]
