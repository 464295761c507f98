"""Columns of data frames that name their rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations


def check_indexes(given: Mapping) -> None:
    """Columns of data frames go by position, so indexes that name the items must be equal.

    A default index names nothing, unless another column has the same numbers in another order.

    Raises
    ------
    ValueError
        Two columns have different indexes.
    """
    indexed = {
        name: values.index
        for name, values in given.items()
        if hasattr(values, "index") and hasattr(values, "reindex")
    }
    for (one, names), (other, others) in combinations(indexed.items(), 2):
        numbered = any(index.tolist() == [*range(len(index))] for index in (names, others))
        if not names.equals(others) and (not numbered or set(names) == set(others)):
            raise ValueError(
                f"{one} and {other} have different indexes; put both in the same order, and give"
                " them with .tolist()"
            )
