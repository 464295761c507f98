"""Small networks of several seeds as one: a layer of all of them is one batched product.

Features come before rows, so that a layer is W x + b without transposing anything.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Weights = list["Tensor"]  # W (m, out, in) and b (m, out, 1) of each layer in turn


def initial(sizes: list[int], rngs: list[np.random.Generator], like: Tensor) -> Weights:
    """Weights of m networks, those of each drawn by its own `rng`; placed and typed as `like`.

    They are uniform within 1 / sqrt(in), as those of `torch.nn.Linear`.
    """
    weights = []
    for inputs, outputs in pairwise(sizes):
        for shape in ((outputs, inputs), (outputs, 1)):
            drawn = np.stack([rng.uniform(-1, 1, shape) for rng in rngs]) / np.sqrt(inputs)
            weights.append(like.new_tensor(drawn).requires_grad_())
    return weights


def forward(weights: Weights, x: Tensor) -> Tensor:
    """Outputs (m, out, B) of all networks for inputs (m, in, B): linear layers, ReLU between."""
    import torch

    for i in range(0, len(weights), 2):
        if i:
            x = x.relu()
        x = torch.baddbmm(weights[i + 1], weights[i], x)  # (m, out, B)
    return x
