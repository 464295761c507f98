"""What discriminators and generators learn from: scores (m, B) of m seeds to losses (m,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ensemble_lab.core.missing import require

if TYPE_CHECKING:
    from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of real rows and fake ones: -mean log D(x) - mean log(1 - D(G(z))).

    Scores are logits, so that log D = -softplus(-score) without rounding to log 0.
    """
    from torch.nn.functional import softplus

    return softplus(-real).mean(-1) + softplus(fake).mean(-1)


def non_saturating_loss(fake: Tensor) -> Tensor:
    """The generator's -mean log D(G(z)): steepest where the discriminator is sure of a fake."""
    from torch.nn.functional import softplus

    return softplus(-fake).mean(-1)


def minimax_loss(fake: Tensor) -> Tensor:
    """The generator's mean log(1 - D(G(z))): flat where the discriminator is sure of a fake."""
    from torch.nn.functional import softplus

    return -softplus(fake).mean(-1)


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean of (|gradient of the critic at x| - 1)^2.

    A critic with slopes of 1 everywhere measures the Wasserstein distance. The rows x lie between
    real and fake ones: u real + (1 - u) fake, with one u in [0, 1] a row.

    Parameters
    ----------
    critic : callable
        Rows (…, B, d) to scores (…, B) or (…, B, 1). A row's score depends on that row alone:
        batch normalisation would mix rows.
    x : (…, B, d) tensor

    Returns
    -------
    (…) tensor
        Differentiable by the critic's weights, also where a gradient is 0.

    Raises
    ------
    ValueError
        `x` is not a tensor of numbers in rows and columns, or the scores do not depend on it.

    References
    ----------
    Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017.

    Examples
    --------
    >>> import torch
    >>> w = torch.tensor([3.0, 4.0])
    >>> float(gradient_penalty(lambda x: x @ w, torch.zeros(2, 2)))  # (5 - 1)^2
    16.0
    """
    require("a gradient penalty", "torch")
    import torch

    if not isinstance(x, torch.Tensor) or x.dim() < 2 or not x.is_floating_point():
        kind = f"a tensor {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x is {kind}: give rows and columns of floats as a tensor (B, d)")
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        score = critic(x)
        if not isinstance(score, torch.Tensor) or not score.requires_grad:
            raise ValueError(
                "the critic's scores do not depend on x: give a function of x in torch that does"
                " not detach it"
            )
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return ((torch.linalg.vector_norm(slope, dim=-1) - 1) ** 2).mean(-1)
