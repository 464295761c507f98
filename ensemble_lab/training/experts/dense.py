"""Experts taken out of a dense feed-forward network: groups of its hidden units."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.training.inputs.settings import check_count

if TYPE_CHECKING:
    import torch

    from ensemble_lab.training.experts.layer import MixtureOfExperts


def experts_from_dense(
    gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor, groups, k: int = 1, **settings
) -> MixtureOfExperts:
    """A layer whose experts are groups of the hidden units of a dense network (SwiGLU).

    The outputs of all groups add up to that of the dense network. The weights `down` are
    multiplied by k, and the router begins with zeros, so that all weights are 1 / k: with k = E the
    layer equals the dense network. The weight of a switch router is 1 / E, and `down` is multiplied
    by E. Which groups a token needs, the router has to learn.

    Parameters
    ----------
    gate, up : (h, d) tensor
    down : (d, h) tensor
        Weights of the network ``down @ (silu(gate @ x) * (up @ x))``.
    groups : int or (h,) sequence of int
        How many groups of neighbouring units, or each unit's group. All must be of one size.
    k : int
        Groups that a token uses.
    **settings
        As of `MixtureOfExperts`, such as `router`.

    Raises
    ------
    ValueError
        Groups of unequal size, weights that do not fit each other, or what the class refuses.

    References
    ----------
    Zhang et al., MoEfication: transformer feed-forward layers are mixtures of experts, Findings of
    ACL 2022. Cai et al., Read-ME: refactorizing LLMs as router-decoupled mixture of experts with
    system co-design, NeurIPS 2024.
    """
    require("a layer of experts", "torch")
    import torch

    from ensemble_lab.training.experts.layer import MixtureOfExperts

    given = (gate, up, down)
    shapes = [tuple(getattr(of, "shape", ())) for of in given]
    fit = len(shapes[0]) == 2 and shapes[1] == shapes[0] and shapes[2] == shapes[0][::-1]
    if not fit or not all(isinstance(of, torch.Tensor) for of in given):
        raise ValueError(
            f"gate, up and down have the shapes {shown(shapes, 80)}: give tensors (h, d), (h, d)"
            " and (d, h)"
        )
    units = units_of(groups, len(gate)).to(gate.device)  # (E, h / E)
    layer = MixtureOfExperts(gate.shape[1], units.shape[1], len(units), k, **settings).to(gate)
    weight = 1 / len(units) if layer.kind == "switch" else 1 / k
    with torch.no_grad():
        layer.router.zero_()
        layer.gate_up.copy_(torch.cat([gate[units], up[units]], 1))
        layer.down.copy_(down.T[units].transpose(1, 2) / weight)
    return layer


def units_of(groups, hidden: int) -> torch.Tensor:
    """Which hidden units are in each group (E, hidden / E)."""
    import torch

    if isinstance(groups, Integral):
        check_count(groups, "groups", "give 1 or more")
        if hidden % groups:
            raise ValueError(
                f"groups={shown(groups)} does not divide the {hidden:d} hidden units: use a divisor"
            )
        return torch.arange(hidden).view(groups, -1)
    try:
        labels = torch.as_tensor(groups)
    except (TypeError, ValueError, RuntimeError):
        labels = torch.empty(0)
    if labels.shape != (hidden,) or labels.is_floating_point():
        raise ValueError(
            f"groups={shown(groups, 60)}: give a whole number, or each of the {hidden:d} units'"
            " group"
        )
    sizes = labels.unique(return_counts=True)[1]
    if len(sizes.unique()) > 1:
        raise ValueError(f"groups have the sizes {shown(sizes.tolist(), 60)}: make them equal")
    return labels.argsort(stable=True).view(len(sizes), -1)
