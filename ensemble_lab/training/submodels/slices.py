"""Slices of feed-forward networks: the first units of every hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import linear

from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.batched.subspaces import inner
from ensemble_lab.training.submodels.layers import checked, hidden_units, units_of


class Nested(nn.Module):
    """A network that answers in training at several widths, and else at full width.

    Parameters
    ----------
    make : callable
        Gives the feed-forward network.
    widths : sequence
        As in `units_of`.
    random : int
        How many more widths are drawn at every step, between the smallest and the whole.
    """

    def __init__(self, make: Callable[[], nn.Module], widths: Sequence, random: int):
        super().__init__()
        self.network, self.random = checked(make()), random
        hidden = hidden_units(self.network)
        self.units = [units_of(width, hidden) for width in widths]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, k) for inputs (B, d); in training (B, w k), one width after another."""
        if not self.training:
            return self.network(x)
        sliced = [at_units(self.network, units, x) for units in self.units]
        least = self.units[0]
        drawn = [at_random(self.network, least, x) for _ in range(self.random)]
        return torch.cat([*sliced, *drawn], dim=-1)


def at_units(network: nn.Sequential, units: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    """Outputs (B, k) of the network with only the first units of every hidden layer."""
    rows = iter(units)
    for layer in network:
        if isinstance(layer, nn.Linear):
            m = next(rows, layer.out_features)
            bias = None if layer.bias is None else layer.bias[:m]
            x = linear(x, layer.weight[:m, : x.shape[-1]], bias)
        else:
            x = layer(x)
    return x


def at_random(network: nn.Sequential, least: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    """Outputs (B, k) at one random width; units above it count as 0, so that shapes stay."""
    share, limits = torch.rand((), device=x.device), iter(least)
    first = True
    for layer in network:
        if isinstance(layer, nn.Linear) and not first:
            low, all_ = next(limits), x.shape[-1]
            kept = low + share * (all_ - low + 1)
            x = x * (torch.arange(all_, device=x.device) < kept.floor())
        first = first and not isinstance(layer, nn.Linear)
        x = layer(x)
    return x


def whole(members: Members, make: Callable[[], nn.Module]) -> Members:
    """The trained networks without their `Nested`."""
    return replace(members, make=make, params=inner(members.params), buffers={})


class Sliced:
    """Makes a network like those that `make` gives, with fewer hidden units."""

    def __init__(self, make: Callable[[], nn.Module], units: Sequence[int]):
        self.make, self.units = make, list(units)

    def __call__(self) -> nn.Sequential:
        """The network, with random weights."""
        layers, rows, inputs = [], iter(self.units), None
        for layer in self.make():
            if isinstance(layer, nn.Linear):
                m = next(rows, layer.out_features)
                layer = nn.Linear(inputs or layer.in_features, m, bias=layer.bias is not None)
                inputs = m
            layers.append(layer)
        return nn.Sequential(*layers)


def sliced(members: Members, width) -> Members:
    """Networks of the first hidden units of trained ones, nested or not.

    They hold views of the weights: nothing is copied. At full width they are the networks
    themselves.

    Parameters
    ----------
    members : Members
        Feed-forward networks: linear layers with activations between them.
    width : float or sequence of floats
        The share of the hidden units that is kept, or one for each hidden layer.

    Raises
    ------
    ValueError
        Another network, or a width that it cannot have.
    """
    with torch.random.fork_rng():  # only shapes are read from new networks
        network = checked(members.make())
        make = Sliced(members.make, units_of(width, hidden_units(network)))
        shapes = {name: value.shape for name, value in make().named_parameters()}
    params = {
        name: value[(slice(None), *(slice(size) for size in shapes[name]))]
        for name, value in members.params.items()
    }
    return replace(members, make=make, params=params)
