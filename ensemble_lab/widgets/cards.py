"""The item of a card, typed or passed in any form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble_lab.core.errors import UnknownName, nearest, shown
from ensemble_lab.widgets.plain import whole


def row_of(items: np.ndarray, item: Any) -> int:
    """The row of `item`: the item itself, or else the only one with the typed spelling.

    Parameters
    ----------
    items : (n,) array
        The names of a table.
    item
        One of them; or typed text: ``1`` or ``'1'`` where both exist.

    Examples
    --------
    >>> items = np.array([1, "1", 20], object)
    >>> row_of(items, 1), row_of(items, "1"), row_of(items, "20")
    (0, 1, 2)

    Raises
    ------
    UnknownName
        None of them, or text that several items are written as.
    """
    item, names = whole(item.tolist() if hasattr(item, "tolist") else item), items.tolist()
    ways = [lambda name: type(name) is type(item) and name == item]
    if isinstance(item, str):
        ways += [lambda name: str(name) == item, lambda name: shown(name) == item]
    elif not isinstance(item, bool):
        ways += [lambda name: not isinstance(name, bool | str) and name == item]
    for same in ways:
        found = [row for row, name in enumerate(names) if same(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownName(f"several items are written {shown(item)}; pass the item itself")
    raise UnknownName(f"no item {shown(item)} in the outcomes{nearest(item, names)}")
