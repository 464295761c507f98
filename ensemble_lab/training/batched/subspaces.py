"""Networks that each read some of the columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from ensemble_lab.training.batched.members import Members


class Subspace(nn.Module):
    """A network that reads some of the columns.

    Parameters
    ----------
    network : Module
        It takes (…, c).
    columns : (c,) array of int
        Those of the inputs (…, d) that it sees.
    """

    def __init__(self, network: nn.Module, columns: np.ndarray):
        super().__init__()
        self.network = network
        self.register_buffer("columns", torch.tensor(columns))  # a copy: weights are loaded into it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (…, k) for inputs (…, d)."""
        return self.network(x.index_select(-1, self.columns))


class Subspaces:
    """Makes one network for each row of `features` (m, c), in order, and from the start again."""

    def __init__(self, make: Callable[[int, int], nn.Module], features: np.ndarray, outputs: int):
        self.make, self.features, self.outputs, self.made = make, features, outputs, 0

    def __call__(self) -> Subspace:
        columns = self.features[self.made % len(self.features)]
        self.made += 1
        return Subspace(self.make(len(columns), self.outputs), columns)


def alone(members: Members) -> Members:
    """The networks without their choice of columns: they take inputs (…, c) that hold only those.

    Networks that see all columns are returned as they are.
    """
    spaces = members.make
    if not isinstance(spaces, Subspaces):
        return members
    make = partial(spaces.make, spaces.features.shape[1], spaces.outputs)
    return replace(members, make=make, params=inner(members.params), buffers=inner(members.buffers))


def inner(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of the network within a `Subspace`, by its own names for them."""
    own = "network."
    return {name[len(own) :]: value for name, value in tensors.items() if name.startswith(own)}
