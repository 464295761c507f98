"""A small network with layers of experts."""

from __future__ import annotations

import torch
from torch import nn

from ensemble_lab.training.experts.layer import MixtureOfExperts
from ensemble_lab.training.experts.routing import Routing


class ExpertsNetwork(nn.Module):
    """Rows (n, d) to logits (n, outputs); a row is a token, and a batch one sequence.

    Each layer adds the output of its experts, for the normalised token, to the token.

    Parameters
    ----------
    inputs, outputs, width : int
    layers : int
    **settings
        As of `MixtureOfExperts`.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, **settings):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(layers)])
        self.layers = nn.ModuleList([MixtureOfExperts(width, **settings) for _ in range(layers)])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, list[Routing]]:
        """Logits (n, outputs), and the routing of each layer."""
        tokens, routings = self.embed(rows), []
        for norm, layer in zip(self.norms, self.layers, strict=True):
            found, routing = layer(norm(tokens))
            tokens = tokens + found
            routings.append(routing)
        return self.head(tokens), routings
