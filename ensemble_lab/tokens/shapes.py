"""Shapes of draft trees: which tokens get how many children, for a given number of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.settings import whole

MOST_NODES = 64


def best_shape(chances: Sequence[Real], nodes: int, depth: int | None = None) -> tuple[int, ...]:
    """The tree of so many drafted tokens with the most expected tokens a round.

    Parameters
    ----------
    chances : sequence of float or Fraction
        Chance that the first, second, … child of an accepted token is the accepted one; they sum to
        1 at most. They are taken as the same everywhere.
    nodes : int
        Drafted tokens, from 1 to 64.
    depth : int, optional
        The most tokens of a path; each level costs the draft a pass.

    Returns
    -------
    tuple of int
        The parent of each drafted token, level by level: -1 for the text's last token.

    Raises
    ------
    ValueError
        Chances that are not numbers from 0 up with a sum of at most 1, or a number of nodes or a
        depth out of its range, or so small a depth that not all nodes have a place.

    References
    ----------
    Chen et al., Sequoia: scalable, robust, and hardware-aware speculative decoding, NeurIPS 2024.

    Examples
    --------
    >>> best_shape([0.6, 0.2], nodes=4)
    (-1, -1, 0, 2)
    >>> best_shape([0.6, 0.2], nodes=3), best_shape([0.6, 0.2], nodes=3, depth=2)
    ((-1, 0, 1), (-1, -1, 0))
    """
    chances = checked_chances(chances)
    if not 1 <= whole(nodes, "nodes") <= MOST_NODES:
        raise ValueError(f"nodes={nodes}; use 1 to {MOST_NODES}")
    if depth is not None and whole(depth, "depth") < 1:
        raise ValueError(f"depth={depth}; use 1 or more, or None")
    deepest, widest = min(depth or nodes, nodes), len(chances)

    @cache
    def best(n: int, levels: int, b: int) -> tuple[Real, int]:
        """The most accepted tokens of n nodes below one, as its b-th child and later ones.

        And how many of the nodes are the b-th child and what follows it. Below 0 where they have no
        place.
        """
        if not n:
            return 0, 0
        if not levels or b == widest:
            return -np.inf, 0
        return max(
            (
                (
                    chances[b] * (1 + best(own - 1, levels - 1, 0)[0])
                    + best(n - own, levels, b + 1)[0],
                    own,
                )
                for own in range(1, n + 1)
            ),
            key=lambda found: found[0],
        )

    if best(nodes, deepest, 0)[0] < 0:
        raise ValueError(
            f"nodes={nodes} have no place in {deepest} levels of {widest} children; use fewer nodes"
        )
    parents, level = [], [(-1, nodes, deepest)]
    while level:
        below = []
        for parent, n, levels in level:
            b = 0
            while n:
                own = best(n, levels, b)[1]
                parents.append(parent)
                below.append((len(parents) - 1, own - 1, levels - 1))
                n, b = n - own, b + 1
        level = [one for one in below if one[1]]
    return tuple(parents)


def shape_tokens(shape: Sequence[int], chances: Sequence[Real]) -> Real:
    """Expected tokens of a round with a tree: the accepted ones, and the target's own.

    Parameters
    ----------
    shape : sequence of int
        As `best_shape` gives it.
    chances : sequence of float or Fraction
        As in `best_shape`; a child beyond them is never accepted.

    Raises
    ------
    ValueError
        Chances as in `best_shape`.
    ModelError
        A shape that is no tree.

    Examples
    --------
    >>> shape_tokens((-1, -1, 0, 2), [0.5, 0.25])
    2.125
    """
    chances, shape = checked_chances(chances), checked_shape(shape)
    children, reached = [0] * (len(shape) + 1), [1]
    for parent in shape:
        b = children[parent + 1]
        children[parent + 1] += 1
        reached.append(reached[parent + 1] * (chances[b] if b < len(chances) else 0))
    return sum(reached)


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The parents of a tree, each before its children.

    Raises
    ------
    ModelError
        They are no tree whose root is the text's last token.
    """
    found = np.asarray(_listed(shape), object)
    numbers = [int(x) for x in found.flat if isinstance(x, int | np.integer) and x is not True]
    good = found.ndim == 1 and len(numbers) == len(found) and 1 <= len(found) <= MOST_NODES
    if not good or any(not -1 <= parent < i for i, parent in enumerate(numbers)):
        raise ModelError(
            f"shape={shown(shape, 80)} is no tree of 1 to {MOST_NODES} drafted tokens: give each"
            " the index of one before it, or -1 for the text's last token"
        )
    return tuple(numbers)


def by_level(shape: Sequence[int]) -> tuple[int, ...]:
    """The same tree level by level, so that any beginning of it is a tree as well."""
    depth = depths(shape)
    order = sorted(range(len(shape)), key=lambda i: depth[i])
    place = {-1: -1} | {old: new for new, old in enumerate(order)}
    return tuple(place[shape[i]] for i in order)


def depths(shape: Sequence[int]) -> list[int]:
    """How many tokens the path to each drafted token has."""
    found = []
    for parent in shape:
        found.append(1 + (found[parent] if parent >= 0 else 0))
    return found


def checked_chances(chances: Sequence[Real]) -> list[Real]:
    """Chances of the children of a token.

    Raises
    ------
    ValueError
        They are none.
    """
    found = _listed(chances)
    good = isinstance(found, list) and len(found) > 0
    good = good and all(
        isinstance(x, Real) and not isinstance(x, bool | np.bool_) and 0 <= x <= 1 for x in found
    )
    if not good or sum(found) > 1 + 1e-9:
        raise ValueError(
            f"chances={shown(chances)}; give numbers from 0 up that sum to 1 at most, one a child"
        )
    return found


def _listed(values):
    """A list of values, or what is none as it is."""
    if hasattr(values, "tolist"):  # an array or a tensor
        return values.tolist()
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        return values
    return list(values)
