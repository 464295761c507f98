"""Losses (m,) of m members at once: outputs (m, B, k), targets (m, B, …) and weights (m, B).

Weights are sample weights; the mean is over their sum, so a weight of 2 is the same as the row
twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def learns(kind: str) -> Callable:
    """Mark a loss by the targets that it takes.

    "classes" are codes 0 to k - 1. "numbers" are learned standardised, so such a loss must grow
    with the square of their unit. "probabilities" are distributions (…, k) a row; one that is all 0
    stands for a distribution that is not known.
    """

    def marked(loss):
        loss.learns = kind
        return loss

    return marked


def learned_by(loss) -> str | None:
    """The targets of the loss, or of a partial of it; None where it is not marked."""
    return getattr(loss, "learns", None) or getattr(getattr(loss, "func", None), "learns", None)


@learns("classes")
def cross_entropy(
    outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Surprise (m,) at the classes `targets`, in nats, for logits (m, B, k)."""
    own = outputs.gather(-1, targets[..., None])[..., 0]  # (m, B)
    # Half the time of `log_softmax`, most of whose numbers would not be used.
    return weighted_mean(outputs.logsumexp(-1) - own, weights)


@learns("numbers")
def squared_error(
    outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Squared error (m,) of the one output (m, B, 1)."""
    return weighted_mean((outputs[..., 0] - targets) ** 2, weights)


def weighted_mean(each: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean over a batch (m,); 0 where no row of it has weight."""
    return (each * weights).sum(-1) / weights.sum(-1).clamp(min=1e-12)
