"""Which blocks of a model, and which pairs of them, are asked for."""

from __future__ import annotations

from itertools import combinations, pairwise
from numbers import Integral

from ensemble_lab.core.errors import check_known, shown


def blocks_of(blocks, depth: int) -> set[int]:
    """The blocks to remove.

    Raises
    ------
    ValueError
        One that does not exist, or something else.
    """
    if hasattr(blocks, "tolist"):
        blocks = blocks.tolist()
    several = [blocks] if isinstance(blocks, Integral | str) or blocks is None else blocks
    try:
        found = list(several)
    except TypeError:
        found = [several]
    for one in found:
        if isinstance(one, bool) or not isinstance(one, Integral) or not 0 <= one < depth:
            raise ValueError(
                f"block {shown(one, 40)} does not exist: this model has {depth}; use 0 to"
                f" {depth - 1}"
            )
    return {int(one) for one in found}


def pairs_of(pairs, depth: int) -> list[tuple[int, int]]:
    """The pairs of blocks that are asked for."""
    if isinstance(pairs, str):
        known = {"neighbours": pairwise(range(depth)), "all": combinations(range(depth), 2)}
        check_known(pairs, known, "pairs", "package")
        return list(known[pairs])
    found = []
    try:
        given = [tuple(pair) for pair in pairs]
    except TypeError:
        given = [()]
    for pair in given:
        if len(pair) != 2 or len(blocks_of(pair, depth)) != 2:
            raise ValueError(
                f"pairs={shown(pairs, 60)}: give 'neighbours', 'all', or pairs of two different"
                " blocks, such as [(0, 1)]"
            )
        found.append((int(pair[0]), int(pair[1])))
    return found
