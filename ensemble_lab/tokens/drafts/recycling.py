"""Token recycling: the target's own likeliest tokens, kept from round to round, make a draft tree.

Verification computes the logits of every drafted token, those of refused ones too. The likeliest
tokens after each are noted in a table; the next tree is read from it.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import whole
from ensemble_lab.tokens.drafts.base import padded

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Proposal
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

EMPTY = -1  # a place of the table where nothing was noted
# Chance that the candidate of each rank is the next token, by which trees are shaped. SmolLM2 on
# twelve of the frozen prompts (880 tokens): .416 ± .017, .088, .047, .036, .022, .020, .012, .018.
# Trees by these accept no more: 1.57 tokens a round, and 1.61 by those below (12 nodes), and
# 1.52 by both (8 nodes).
RANKS = (0.45, 0.12, 0.07, 0.04, 0.03, 0.02, 0.02, 0.01)


class RecyclingDraft:
    """Token recycling: a draft tree from the target's latest likeliest tokens after each token.

    The table is kept from call to call; a new one proposes nothing. Give `decode` the size of the
    tree as `gamma`, such as 12. Whether it pays depends on how much the text repeats the table.

    Parameters
    ----------
    keep : int
        Candidates noted of a token, 1 to 8: 4 `keep` bytes for each token of the vocabulary.

    Attributes
    ----------
    candidates : (V, keep) array of int32, or None before it is used
        The likeliest next tokens of each token, likeliest first; -1 where none are known.

    Raises
    ------
    ValueError
        `keep` is out of its range.

    Notes
    -----
    As the table grows, the same call proposes other tokens. Greedy text stays the same; sampled
    text does with ``verification="coupled"``.

    References
    ----------
    Luo et al., Turning trash into treasure: accelerating inference of large language models with
    token recycling, ACL 2025.
    """

    def __init__(self, keep: int = 8):
        if not 1 <= whole(keep, "keep") <= len(RANKS):
            raise ValueError(f"keep={shown(keep)}; use 1 to {len(RANKS)}")
        self.keep = keep
        self.candidates: np.ndarray | None = None
        self._shapes: dict[int, list[tuple[int, int]]] = {}

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        """Do nothing: the table stays."""

    def propose(self, rows: Rows, most: int) -> Proposal:
        if most not in self._shapes:
            self._shapes[most] = tree_shape(most, self.keep)
        trees = [self._tree(text[-1], self._shapes[most]) for text in rows.texts]
        made = padded([tokens for tokens, _ in trees], [[0] * len(t) for t, _ in trees], rows)
        if not made.tokens.shape[1]:
            return made
        return replace(made, parents=[parents for _, parents in trees])

    def observe(self, tokens: torch.Tensor, logits: torch.Tensor) -> None:
        """Note the likeliest tokens after each that the target read.

        Parameters
        ----------
        tokens : (B, k + 1) tensor
        logits : (B, k + 1, V) tensor
        """
        size = logits.shape[-1]
        if self.candidates is None:
            self.candidates = np.full((size, self.keep), EMPTY, np.int32)
        top = logits.topk(min(self.keep, size)).indices.flatten(0, 1)
        # The last of equal tokens is kept, as numpy assigns in order.
        self.candidates[tokens.flatten().cpu().numpy(), : top.shape[1]] = top.cpu().numpy()

    def _tree(self, last: int, shape: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """The tokens of a tree and their parents; nodes without a known token are left out."""
        tokens, parents, place = [], [], {-1: -1}
        if self.candidates is None:
            return tokens, parents
        for node, (parent, rank) in enumerate(shape):
            if parent not in place:
                continue
            before = last if parent < 0 else tokens[place[parent]]
            token = int(self.candidates[before, rank])
            if token != EMPTY:
                place[node] = len(tokens)
                tokens.append(token)
                parents.append(place[parent])
        return tokens, parents


def tree_shape(size: int, keep: int = len(RANKS)) -> list[tuple[int, int]]:
    """The `size` nodes that are likeliest to be accepted, as (parent, rank among its children).

    A node is accepted with the product of `RANKS` on its path. Parents come before their children;
    the parent of the first nodes is -1.

    Parameters
    ----------
    size : int
        Nodes of the tree.
    keep : int
        The most children of a node.

    Examples
    --------
    >>> tree_shape(5)
    [(-1, 0), (0, 0), (-1, 1), (1, 0), (-1, 2)]
    """
    nodes: list[tuple[int, int]] = []
    ahead = [(-RANKS[0], 0, -1, 0, 1.0)]  # to be taken: likeliest first
    made = 1
    while len(nodes) < size:
        chance, _, parent, rank, before = heapq.heappop(ahead)
        node = len(nodes)
        nodes.append((parent, rank))
        if rank + 1 < keep:
            heapq.heappush(ahead, (-before * RANKS[rank + 1], made, parent, rank + 1, before))
        heapq.heappush(ahead, (chance * RANKS[0], made + 1, node, 0, -chance))
        made += 2
    return nodes
