"""A feed-forward network that answers after every hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from ensemble_lab.training.submodels.layers import checked


class Exits(nn.Module):
    """A network with a linear head after each hidden layer; the last head is its own.

    Parameters
    ----------
    make : callable
        Gives the feed-forward network.

    Raises
    ------
    ValueError
        A network that is not linear layers and activations, or that has one hidden layer.
    """

    def __init__(self, make: Callable[[], nn.Module]):
        super().__init__()
        layers = list(checked(make()))
        blocks, last = [], layers.pop()
        for layer in layers:
            if isinstance(layer, nn.Linear):
                blocks.append([])
            blocks[-1].append(layer)
        if len(blocks) < 2:
            raise ValueError(
                "the network has one hidden layer, and so no exit before its end: give two or more"
                " hidden layers, as in perceptron with hidden=(32, 32, 32)"
            )
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
        early = [nn.Linear(block[0].out_features, last.out_features) for block in self.blocks[:-1]]
        self.heads = nn.ModuleList([*early, last])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, exits k) for inputs (B, d), one exit after another."""
        found = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            found.append(head(x))
        return torch.cat(found, dim=-1)

    def leave(self, x: torch.Tensor, thresholds) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Exit after exit: which rows leave there, and their probabilities.

        Only rows that have not left are computed further.
        """
        rows = torch.arange(len(x), device=x.device)
        for block, head, least in zip(self.blocks, self.heads, thresholds, strict=True):
            if not len(rows):
                return
            x = block(x)
            proba = head(x).double().softmax(-1)
            gone = proba.amax(-1) > least
            yield rows[gone], proba[gone]
            x, rows = x[~gone], rows[~gone]
