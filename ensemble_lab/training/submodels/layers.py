"""Feed-forward networks as a list of layers, whose hidden units can be counted and sliced."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from torch import nn

from ensemble_lab.core.errors import shown

ALLOWED = (nn.Linear, nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.LeakyReLU,
           nn.Dropout, nn.Identity)  # fmt: skip


def checked(network: nn.Module) -> nn.Sequential:
    """The network, if it is linear layers with functions of single units between them.

    Raises
    ------
    ValueError
        Another network, a layer that mixes units outside linear layers, or no hidden layer.
    """
    if not isinstance(network, nn.Sequential):
        raise ValueError(
            f"the network is a {type(network).__name__}: give an nn.Sequential of linear layers,"
            " such as perceptron"
        )
    for i, layer in enumerate(network):
        if type(layer) not in ALLOWED:
            raise ValueError(
                f"layer {i} is a {type(layer).__name__}, whose numbers of a slice would not be"
                " those of the whole; use linear layers, activations and dropout"
            )
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    if len(linear) < 2 or not isinstance(network[-1], nn.Linear):
        raise ValueError(
            f"the network has {len(linear)} linear layers and ends with a"
            f" {type(network[-1]).__name__ if len(network) else 'nothing'}: give it a hidden"
            " layer, and a linear layer at the end"
        )
    return network


def hidden_units(network: nn.Sequential) -> list[int]:
    """How many units each hidden layer has."""
    return [layer.out_features for layer in network if isinstance(layer, nn.Linear)][:-1]


def units_of(width, hidden: Sequence[int]) -> list[int]:
    """How many units of each hidden layer a width keeps.

    Parameters
    ----------
    width : float or sequence of floats
        A share in (0, 1] of all layers, or one for each hidden layer.
    hidden : sequence of ints
        Units of each layer.

    Raises
    ------
    ValueError
        A share outside (0, 1], one that leaves a fraction of a unit, or not one a layer.
    """
    if hasattr(width, "tolist"):
        width = width.tolist()
    if not isinstance(width, list | tuple):
        width = [width] * len(hidden)
    if len(width) != len(hidden):
        raise ValueError(
            f"width={shown(width)} has {len(width)} shares for {len(hidden)} hidden layers: give"
            " one number, or one a layer"
        )
    return [_units(share, count) for share, count in zip(width, hidden, strict=True)]


def _units(share, count: int) -> int:
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 < share <= 1:
        raise ValueError(f"width={shown(share)}: use a share above 0 up to 1, such as 0.5")
    kept = round(share * count)
    if kept < 1 or abs(share * count - kept) > 1e-6:
        raise ValueError(
            f"width={shown(share)} of {count} hidden units is {share * count:.4g} units: use a"
            f" multiple of 1/{count}, or another number of hidden units"
        )
    return kept
