"""Draft trees: several continuations of a text in one proposal, verified in one pass.

The tokens of a round are numbered from 0, the text's last one; drafted token j is number j + 1.
Their keys and values lie side by side in the cache, in this order, but each token is one position
after its parent and sees only its ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.reading.rows import on_device

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Proposal


class Tree(NamedTuple):
    """The tree structure of the tokens of a round.

    Parameters
    ----------
    parent : (B, k) tensor
        Number of each drafted token's parent.
    depth : (B, k + 1) tensor
        Distance from the text's last token: 0 for itself, 1 for its children.
    sees : (B, k + 1, k + 1) tensor of bool
        Which tokens each one sees: itself and its ancestors.
    """

    parent: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor


def tree_of(proposal: Proposal) -> Tree | None:
    """The tree of a proposal; None where it is a chain.

    Raises
    ------
    ModelError
        The tree has states, or a parent that does not come before its child.
    """
    if proposal.parents is None:
        return None
    if proposal.states is not None:
        raise ModelError(
            "a draft tree with `states`: early exit reads a chain; leave out `states`, or propose a"
            " chain (parents=None)"
        )
    many, k = proposal.tokens.shape
    if len(proposal.parents) != many:
        raise ModelError(f"parents for {len(proposal.parents)} rows; there are {many}: give each")
    each = [_checked(*row) for row in zip(proposal.parents, proposal.counts, strict=True)]
    return _tree(tuple(each), k, proposal.tokens.device)


@lru_cache(256)  # most drafts propose the same few trees in every round
def _tree(parents: tuple[tuple[int, ...], ...], k: int, device: torch.device) -> Tree:
    """The tree structure of rows with k drafted tokens each, filled up with padding."""
    import torch

    many = len(parents)
    parent = np.zeros((many, k), np.int64)  # that of padding is the root: it is never accepted
    depth, sees = np.zeros((many, k + 1), np.int64), np.zeros((many, k + 1, k + 1), bool)
    sees[:, 0, 0] = True
    for i, of_row in enumerate(parents):
        parent[i, : len(of_row)] = np.add(of_row, 1)
    row = np.arange(many)
    for j in range(k):
        depth[:, j + 1] = depth[row, parent[:, j]] + 1
        sees[:, j + 1] = sees[row, parent[:, j]]
        sees[:, j + 1, j + 1] = True
    with torch.inference_mode(False):  # it is kept, and may be used outside of it
        parent, depth, sees = (on_device(x, device) for x in (parent, depth, sees))
        return Tree(parent, depth, sees.bool())


def _checked(parents: Sequence[int], count: int) -> tuple[int, ...]:
    """The parents of a row's drafted tokens."""
    found = np.atleast_1d(parents)[:count].tolist()
    if len(found) < count or any(
        type(parent) is not int or not -1 <= parent < i for i, parent in enumerate(found)
    ):
        given = list(parents) if np.iterable(parents) else parents
        raise ModelError(
            f"parents {shown(given, 80)} of {count} drafted tokens: give each the index of"
            " one before it, or -1 for the text's last token"
        )
    return tuple(found)
