"""Weights in the layout of the CPU's matrix kernels: the same products in less time.

Reading one token means reading all weights, and the kernels read them fastest in blocks. PyTorch
keeps weights in rows and rearranges them at every product; here it is done once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ensemble_lab.models.memory import available_memory
from ensemble_lab.models.products import FusedLayer, Products, fused_trunk, is_fusible, joined_bias

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOOKED_AT = 32  # places of a matrix, in addition to its sum
_twins: WeakKeyDictionary = WeakKeyDictionary()  # model to the state of its weights and its twin


def packed(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with packed copies of the weights of its linear layers.

    The layers of a Llama or a Qwen2 are also fused (`models.products`), unless something in them
    was replaced or is listened to.

    They are made once for each model, and again after its weights or its modules have changed: by
    an optimizer, by `load_state_dict`, or through ``.data``, which PyTorch does not count and a sum
    of the weights' bits shows. They take as much memory again as the weights.

    The weights are checked here, not during decoding: the next call sees a change that was made in
    the middle of a text. Numbers that only change places within a matrix through ``.data`` are
    noticed if they include one of a few dozen places that are checked.

    Returns
    -------
    PreTrainedModel
        Everything except the packed copies is shared with `model`, which is not changed. It is
        `model` itself on a GPU, in float64, and where memory or oneDNN are missing.
    """
    linear = [module for module in model.modules() if is_packable(module)]
    if not linear or any(isinstance(module, FusedLayer) for module in model.modules()):
        return model
    fuse = is_fusible(model)
    state = fuse, [id(module) for module in model.modules()], fingerprints(linear), norms(model)
    if model not in _twins or _twins[model][0] != state:
        _twins.pop(model, None)  # its memory is free before the next is made
        if sum(module.weight.nbytes for module in linear) > available_memory() / 2:
            return model
        with torch.inference_mode(False), torch.no_grad():
            _twins[model] = state, _twin(model, fuse)
    return _twins[model][1]


def fingerprints(linear: Sequence[nn.Linear]) -> list[tuple[int, ...]]:
    """A fingerprint of the weights of linear layers: a few integers each.

    Their bits are added up as integers, without rounding, in about the time of reading one token.
    """
    with torch.inference_mode():
        sums = [bits_of(module.weight) for module in linear]
        sampled = torch.stack([torch.cat([x.sum()[None], _few(x)]) for x in sums]).tolist()
    return [
        (module.weight.data_ptr(), module.weight._version, *values)
        for module, values in zip(linear, sampled, strict=True)
    ]


def norms(model: PreTrainedModel) -> list[float]:
    """Sums of a model's vectors, such as the weights of its norms, of which copies are kept."""
    vectors = [one.detach().double().sum() for one in model.parameters() if one.ndim == 1]
    return torch.stack(vectors).tolist() if vectors else []


def bits_of(weight: torch.Tensor) -> torch.Tensor:
    """The bits of a matrix as integers, in pieces of eight bytes where the size allows it."""
    weight, size = weight.detach(), weight.element_size()
    whole = weight.is_contiguous() and weight.shape[-1] * size % 8 == 0
    kinds = {2: torch.int16, 4: torch.int32}
    return weight.view(torch.int64 if whole else kinds[size])


def _few(bits: torch.Tensor) -> torch.Tensor:
    """Some integers of a matrix, spread out over its rows and columns."""
    rows, columns = bits.shape
    places = torch.arange(LOOKED_AT)
    return bits[places * 7919 % rows, places * 104729 % columns].long()


def is_packable(module: nn.Module) -> bool:
    """Whether a module is a linear layer with weights that oneDNN takes."""
    if type(module) is not nn.Linear or module.weight.is_inference():  # these do not count changes
        return False
    if not module.weight.numel():
        return False
    if module.weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if module.weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return module.weight.dtype == torch.float32


class PackedLinear(nn.Linear):
    """A linear layer whose weights are also kept in blocks."""

    blocks: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Products (…, out_features) of x (…, in_features) with the weights."""
        return product(x, self.blocks, self.bias, self.out_features)


class Packed(Products):
    """Linear layers of one input, whose weights are kept in blocks as those of one layer."""

    def __init__(self, linears: Sequence[nn.Linear]):
        super().__init__(linears)
        self.size = sum(one.out_features for one in linears)
        self.bias = joined_bias(linears)
        self.blocks = _blocks(torch.cat([one.weight.detach() for one in linears]))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return product(x, self.blocks, self.bias, self.size)


def _twin(module: nn.Module, fuse: bool) -> nn.Module:
    twin = copy.copy(module)
    if fuse and hasattr(module, "layers"):
        twin._modules = fused_trunk(module, Packed)
        return twin
    twin._modules = {name: child and _twin(child, fuse) for name, child in module._modules.items()}
    if is_packable(module):
        twin.__class__ = PackedLinear
        twin.blocks = _blocks(module.weight.detach())
    return twin


def _blocks(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, 1)


def product(
    x: torch.Tensor, blocks: torch.Tensor, bias: torch.Tensor | None, size: int
) -> torch.Tensor:
    """`torch.nn.functional.linear` for a weight in blocks, with `size` rows."""
    if torch.compiler.is_compiling():  # the compiler uses oneDNN's for constant weights only
        return torch.ops.ensemble_lab.packed_linear(x, blocks, bias, size)
    return _product(x, blocks, bias)


def _product(x: torch.Tensor, blocks: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], "")


torch.library.define(
    "ensemble_lab::packed_linear", "(Tensor x, Tensor blocks, Tensor? bias, int size) -> Tensor"
)


@torch.library.impl("ensemble_lab::packed_linear", "CompositeExplicitAutograd")
def _opaque(x, blocks, bias, size):
    """The same for `torch.compile`, which needs only the shape."""
    return _product(x, blocks, bias)


@torch.library.register_fake("ensemble_lab::packed_linear")
def _shape(x, blocks, bias, size):
    return x.new_empty(*x.shape[:-1], size)
