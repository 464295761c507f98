"""How much of a table may be empty: a small file must not make a table that fills the memory."""

from __future__ import annotations

MOST_CELLS = 10**7  # so many cells may be empty in any table
MOST_EMPTY = 50  # cells for each recorded one


def is_mostly_empty(cells: int, n_recorded: int) -> bool:
    """Whether an array of so many cells would be nearly all gaps.

    A table that lacks 49 of 50 cells is still read; one with a model a row is a mistake that grows
    with the square of its rows.
    """
    return cells > max(MOST_CELLS, MOST_EMPTY * n_recorded)


def check_room(items: int, models: int, n_recorded: int) -> None:
    """Raise a `ValueError` where `n_recorded` replies would make a table that `is_mostly_empty`."""
    if is_mostly_empty(items * models, n_recorded):
        raise ValueError(
            f"{models:,} models and {items:,} items make {items * models:,} cells, of which"
            f" {n_recorded:,} are recorded: is a run or an item named as the model? Name the"
            " column of the model (columns={…}), or read fewer models"
        )
