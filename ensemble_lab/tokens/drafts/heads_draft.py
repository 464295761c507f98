"""What parallel heads propose: a chain of their likeliest tokens, or a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.reading.states import StateReader

if TYPE_CHECKING:
    from ensemble_lab.tokens.drafts.parallel_heads import ParallelHeads
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


class HeadsDraft:
    """Proposes what the heads find likeliest after the target's last state.

    Parameters
    ----------
    heads : ParallelHeads
        On the target's device and in its number format.
    target : StateReader
    branches : bool
        Propose a tree: several of a head's likeliest tokens, where these are often right.
    """

    def __init__(self, heads: ParallelHeads, target: StateReader, branches: bool):
        self.heads, self.target, self.branches = heads, target, branches

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        """Do nothing: the heads keep no state of their own."""

    def propose(self, rows: Rows, most: int) -> Proposal:
        shape = self._shape(most)
        ranks = max((rank for _, _, rank in shape), default=0) + 1
        last = self.target.behind(rows.length[:, None] - 2)[:, 0]  # that wrote the last token
        logits = self.target.model.lm_head(self.heads(last))  # (B, K, V)
        found = logits.topk(ranks).indices  # (B, K, R)
        tokens = torch.stack([found[:, depth, rank] for _, depth, rank in shape], 1)
        parents = [[parent for parent, _, _ in shape]] * len(rows) if self.branches else None
        return Proposal(tokens, [len(shape)] * len(rows), parents=parents)

    def _shape(self, most: int) -> list[tuple[int, int, int]]:
        """Parent, depth and rank of each of at most `most` tokens."""
        if self.branches:
            return best_nodes(self.heads.hits, most, self.target.model.config.vocab_size)
        return [(k - 1, k, 0) for k in range(min(most, len(self.heads.up)))]


def best_nodes(hits: Sequence[Sequence[float]], most: int, size: int) -> list[tuple[int, int, int]]:
    """The `most` nodes of a draft tree that are accepted most often.

    A node stands for the token of some rank of the head at its depth. As the heads do not see each
    other's tokens, the chance of a path is taken as the product of its nodes' `hits`; parents are
    always likelier than their children.

    Parameters
    ----------
    hits : (K, R) sequence
        The chance that the target's token has each rank, by depth.
    most : int
    size : int
        Tokens of the vocabulary: a node has no more children.

    Returns
    -------
    list of (parent, depth, rank)
        `parent` is the index of a node before it, -1 for the text's last token.
    """
    nodes: list[tuple[int, int, int]] = []
    chances: list[float] = []
    open_ = [(hits[0][0], -1, 0, 0)]  # the next child of each node, and the first child of new ones
    while open_ and len(nodes) < most:
        chance, parent, depth, rank = open_.pop(max(range(len(open_)), key=lambda i: open_[i][0]))
        above = chances[parent] if parent >= 0 else 1.0
        nodes.append((parent, depth, rank))
        chances.append(chance)
        if rank + 1 < min(len(hits[depth]), size):
            open_.append((above * hits[depth][rank + 1], parent, depth, rank + 1))
        if depth + 1 < len(hits):
            open_.append((chance * hits[depth + 1][0], len(nodes) - 1, depth + 1, 0))
    return nodes
