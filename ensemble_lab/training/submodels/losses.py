"""One loss of a network with several outputs, such as exits or widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.training.batched.losses import cross_entropy, learns

if TYPE_CHECKING:
    import torch


@learns("classes")
def joint_loss(
    outputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    shares: Sequence[float],
) -> torch.Tensor:
    """Cross-entropies (m,) of several outputs (m, B, heads k), summed by their shares (heads,)."""
    each = outputs.chunk(len(shares), dim=-1)
    return sum(
        share * cross_entropy(one, targets, weights)
        for share, one in zip(shares, each, strict=True)
    )
