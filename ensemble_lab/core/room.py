"""How much of a table may be empty: what a small file asks for must not fill the memory."""

from __future__ import annotations

MOST_CELLS = 10**7  # so many may be empty, whatever is told
MOST_EMPTY = 50  # cells for one that is told


def is_mostly_empty(cells: int, told: int) -> bool:
    """Whether an array of so many cells would hold next to nothing but gaps.

    A table that lacks 49 of 50 cells is still read; one with a model a row is a mistake that grows
    with the square of its rows.
    """
    return cells > max(MOST_CELLS, MOST_EMPTY * told)


def check_room(items: int, models: int, told: int) -> None:
    """Raise a `ValueError` where `told` replies would make a table that `is_mostly_empty`."""
    if is_mostly_empty(items * models, told):
        raise ValueError(
            f"{models:,} models and {items:,} items make {items * models:,} cells, of which"
            f" {told:,} are recorded: does a run or an item stand where the model should? Name the"
            " column of the model (columns={…}), or read fewer models"
        )
