"""The outputs of stacked networks, as one function of all their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from ensemble_lab.core.errors import excerpt

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

Forward = Callable[[dict[str, "Tensor"], dict[str, "Tensor"], "Tensor"], "Tensor"]


def forward_of(network: nn.Module) -> Forward:
    """A function of stacked parameters, buffers and inputs (m, B, …): all members' outputs."""
    from torch.func import functional_call, vmap

    shape = copy.deepcopy(network)  # its own weights are never used
    for layer in shape.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FeaturesFirst

    def one(params, buffers, x):
        return functional_call(shape, (params, buffers), (x,))

    return vmap(one, randomness="different")


class FeaturesFirst(nn.Linear):
    """A linear layer that computes W xᵀ, where PyTorch's own computes x Wᵀ.

    The numbers are the same. Batched products of few outputs take a third of the time this way
    round, and the gradient comes out in the order of the weights, so that no copy is needed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs) to (B, outputs); inputs of more dimensions go the usual way."""
        if x.dim() != 2:
            return super().forward(x)
        z = self.weight @ x.T  # (outputs, B)
        return (z if self.bias is None else z + self.bias.unsqueeze(1)).T


def recorded(run: Forward) -> Forward:
    """The same function, recorded at its first call and replayed from then on.

    Only the tensor operations are replayed, without `vmap` and modules, which cost a small network
    more than its arithmetic. Inputs of another shape than the first, such as the last batch of an
    epoch, are computed without the recording. As with `torch.jit.trace`, what a forward pass
    decides in Python is decided once; randomness in tensors, such as dropout's, is drawn at every
    call.

    Raises
    ------
    ValueError
        The networks have an operation that `vmap` cannot do for many members at once.
    """
    shape, tape = None, None

    def played(params, buffers, x):
        nonlocal shape, tape
        if tape is None:
            shape, tape = x.shape, tape_of(run, params, buffers, x)
        return (tape if x.shape == shape else run)(params, buffers, x)

    return played


def tape_of(run: Forward, params: dict, buffers: dict, x: Tensor) -> Forward:
    """The tensor operations that `run` does for inputs of this shape."""
    from torch.fx.experimental.proxy_tensor import make_fx

    still = {name: value.detach() for name, value in params.items()}
    try:
        with torch.no_grad():
            tape = make_fx(lambda *given: run(*given))(still, buffers, x)
    except RuntimeError as error:
        if "Batching rule not implemented" not in str(error):
            raise
        why = excerpt(str(error).split(".")[0])
        raise ValueError(
            f"members cannot be trained as one with this layer: {why}; use"
            " another, such as a convolution or, for recurrence, nn.GRUCell"
        ) from error
    return without_idle(tape)


def without_idle(tape: GraphModule) -> GraphModule:
    """Leave out operations that change nothing: half of those in a matrix product by `vmap`."""
    aten = torch.ops.aten
    reshaping = aten.expand.default, aten.view.default, aten._unsafe_view.default
    for node in tape.graph.nodes:
        if node.target in reshaping and node.meta["val"].shape == node.args[0].meta["val"].shape:
            node.replace_all_uses_with(node.args[0])
            tape.graph.erase_node(node)
    tape.recompile()
    return tape
