"""Reads tokens for a feature-level head, in chains and in trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ensemble_lab.tokens.reading.cache import RowCache
from ensemble_lab.tokens.reading.reader import Reader

if TYPE_CHECKING:
    from ensemble_lab.tokens.drafts.head import FeatureHead
    from ensemble_lab.tokens.reading.states import StateReader


class HeadReader(Reader):
    """Reads tokens as a `Reader` does, each with the target's state after the token before it.

    Its logits are over the head's reduced vocabulary.

    Where the target has not read yet, the state is the head's own estimate. The target's state is
    later written over it. In a tree it is the estimate of the token's parent.
    """

    def __init__(self, head: FeatureHead, target: StateReader, rows: int, capacity: int):
        self.head, self.target, self.capacity = head, target, capacity
        self.model = head.trunk  # `_place` takes its number format
        self.cache = RowCache(head.config.num_hidden_layers, rows, capacity)

    def read(self, tokens, at, tree=None):
        if tree is None:
            states = self._states(tokens, at)
            self.target.keep(states[:, -1:], at.start + tokens.shape[1] - 1)
            self.after = states[:, -1:]  # the state after the last token, the root of a tree
        else:
            states = self.after = self._below(tokens, at, tree)
        return self.head.logits(states)  # (B, k, R)

    def fill(self, tokens, at):
        self._states(tokens, at)

    def _below(self, tokens, at, tree):
        """States (B, k + 1, D) after a tree, of which all except the leaves were read before."""
        root = self.target.behind(at.start[:, None] - 1)
        parent = tree.parent[..., None].expand(-1, -1, root.shape[-1])
        return self._step(torch.cat([root, self.after.gather(1, parent)], 1), tokens, at, tree)

    def _states(self, tokens, at):
        places = at.start[:, None] + torch.arange(tokens.shape[1], device=at.start.device)
        return self._step(self.target.behind(places - 1), tokens, at)

    def _step(self, states, tokens, at, tree=None):
        positions, mask = self._place(tokens.shape[1], at, tree)
        return self.head.step(
            states,
            tokens,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
        )
