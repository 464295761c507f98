"""The two towers of a dual encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ensemble_lab.training.networks import perceptron


class Towers(nn.Module):
    """Rows with both views side by side (B, d1 + d2) to both unit vectors (B, 2 width)."""

    def __init__(self, first: int, second: int, hidden: int, width: int):
        super().__init__()
        self.first, self.second = (perceptron(d, width, hidden) for d in (first, second))
        self.columns = first

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        a, b = self.first(rows[:, : self.columns]), self.second(rows[:, self.columns :])
        return torch.cat([F.normalize(a, dim=-1), F.normalize(b, dim=-1)], dim=-1)
