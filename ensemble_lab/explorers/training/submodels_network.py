"""The network of the submodels explorer: it answers at every exit and every width."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from ensemble_lab.training.submodels.precision import AnyPrecision
from ensemble_lab.training.submodels.slices import at_units
from ensemble_lab.training.submodels.stages import Exits


class Submodels(nn.Module):
    """In training it answers at every exit of every width: as many answers side by side."""

    def __init__(self, make: Callable[[], nn.Module], units: Sequence[int]):
        super().__init__()
        self.exits, self.units = Exits(make), units

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, widths exits k) for inputs (B, d)."""
        return torch.cat([all_exits(self.exits, count, x) for count in self.units], dim=-1)


def all_exits(network: Exits, count: int, x: torch.Tensor) -> torch.Tensor:
    """Outputs (B, exits k) with the first `count` units of every hidden layer."""
    found = []
    for block, head in zip(network.blocks, network.heads, strict=True):
        x = at_units(block, [count], x)
        found.append(at_units([head], [], x))
    return torch.cat(found, dim=-1)


def with_exits(network: nn.Sequential) -> Exits:
    """An ordinary network that exits after every layer by the only head it has, its last one."""
    found = Exits(lambda: copy.deepcopy(network))
    found.heads = nn.ModuleList([network[-1]] * len(found.heads))
    return found


def in_bits(stored: AnyPrecision, bits: int, cut: bool) -> Exits:
    """The network of so many bits; `cut` reads the short codes by the table of the longest ones."""
    network = stored.at(bits)
    if cut:
        away, weights = stored.bits - bits, dict(network.named_parameters())
        with torch.no_grad():
            for name in stored.names():
                codes = (stored.codes(name) >> away << away).astype(np.int64)
                rows = np.take_along_axis(stored.table(name), codes, axis=1)
                weights[name].copy_(torch.from_numpy(rows))
    return network


def said(network: Exits, count: int, rows: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities (exits, n, k) of rows (n, d) at a width of `count` units."""
    with torch.no_grad():
        found = all_exits(network, count, torch.from_numpy(rows))
    return found.unflatten(-1, (-1, classes)).double().softmax(-1).transpose(0, 1).numpy()
