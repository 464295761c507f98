"""Few bits: a model whose small steps compute with 4- or 8-bit weights.

A step of few tokens takes as long as reading the weights, so fewer bits are less time; a prompt of
many tokens takes as long as its arithmetic, for which bfloat16 is quicker. The model keeps its
bfloat16 weights for that. They are mapped from a file, so the system can take their memory back.

The products are PyTorch's kernel for 4-bit weights, with activations in bfloat16. An 8-bit code is
two 4-bit ones, 16 x high + low, side by side in one product.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.products import Products, fused_trunk, is_fusible, joined_bias
from ensemble_lab.models.weights.contents import contents
from ensemble_lab.models.weights.few_bits import BLOCKS, GROUP, Codes, HeldCodes, rounded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WIDE = 16  # more tokens than that are quicker in bfloat16, measured on two kinds of CPU
WORTH = 30_000_000  # parameters: smaller models lie in the CPU's caches
TILES = 2  # an argument of PyTorch's packing, which only a GPU's layout uses
ROWS = 16  # the kernel takes multiples of so many rows: others are filled up
LINE = 64  # bytes of a line of the CPU's caches
PIECE = 4096  # rows, of which the kernel's layout has whole blocks


def pick_bits(bits: int | None, folder: Path, gguf: str | None) -> int | None:
    """The bits to compute with on this CPU, or None for bfloat16.

    Parameters
    ----------
    bits : int, optional
        A request. By default a file's own bits, where that is quicker.
    folder : Path
        Holds the weights.
    gguf : str, optional
        The label of a GGUF file's weights, which names their format.

    Raises
    ------
    ModelError
        4 bits of weights that are not in 4 bits, or 8 of weights in 4.
    """
    kind = re.search(r"\bI?Q\d\w*", gguf or "")
    held = BLOCKS.get(kind[0]) if kind else None
    missing, small = kernel_missing(), contents(folder).parameters < WORTH
    if bits is None:
        return None if missing or small else held
    if bits == 4 and held != 4:
        what = f"are in {kind[0]}" if kind else "are not in 4 bits"
        raise ModelError(
            f"bits=4 is for a GGUF in Q4_0 or Q4_1, and the weights in {shown(folder.name, 60)}"
            f" {what}: use bits=8, or leave it out"
        )
    if bits == 8 and held == 4:
        raise ModelError(
            f"the weights in {shown(folder.name, 60)} are in {kind[0]}: use bits=4, or leave it out"
        )
    if missing:
        warnings.warn(f"bits={bits} is left out, and bfloat16 used: {missing}", stacklevel=4)
        return None
    if small:
        warnings.warn(
            f"{shown(folder.name, 60)} is so small that bits={bits} makes it less exact, not"
            " quicker",
            stacklevel=4,
        )
    return bits


def kernel_missing() -> str | None:
    """Why 4-bit products are not quick here, or None."""
    names = "_weight_int4pack_mm_for_cpu", "_convert_weight_to_int4pack_for_cpu"
    if not all(hasattr(torch.ops.aten, name) for name in names):
        return f"PyTorch {torch.__version__} has no 4-bit product for a CPU (2.6 has)"
    able = torch.backends.cpu.get_cpu_capability()
    if not able.startswith("AVX"):
        return f"PyTorch has no quick 4-bit product for this CPU ({able})"
    return None


class FewBits(Products):
    """Linear layers of one input in few bits.

    With more than `WIDE` rows of input, where gradients are asked for, and on other devices than a
    CPU they compute with their own weights.

    Parameters
    ----------
    linears : sequence of nn.Linear
    codes : sequence of Codes
        One for each layer, all of the same bits.
    """

    def __init__(self, linears: Sequence[nn.Linear], codes: Sequence[Codes]):
        super().__init__(linears)
        self.bits = codes[0].bits
        self.packed, self.scales = packed(codes)
        self.size = sum(one.out_features for one in linears)
        self.bias = joined_bias(linears)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        made = few_bit_product(x, self.packed, self.scales, self.bits, self.size)
        if made is None:
            return super().__call__(x)
        return made if self.bias is None else made + self.bias


class FewBitLinear(nn.Linear):
    """A linear layer that computes in few bits where `FewBits` does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = few_bit_product(x, self.packed, self.scales, self.bits, self.out_features)
        if made is None:
            return super().forward(x)
        return made if self.bias is None else made + self.bias


def few_bit_product(
    x: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, bits: int, out: int
) -> torch.Tensor | None:
    """Products (…, out) of x (…, k) with a packed matrix, or None where it is not to be used."""
    size = x.shape[-1]
    wide = x.numel() > WIDE * size
    if wide or torch.is_grad_enabled() or x.dtype is not torch.bfloat16 or not x.is_cpu:
        return None
    rows = x if x.dim() == 2 else x.reshape(-1, size)
    rows = torch.cat([rows, rows], -1) if bits == 8 else rows.contiguous()
    made = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, packed, GROUP, scales)
    made = made if made.shape[1] == out else made[:, :out]
    return made if x.dim() == 2 else made.view(*x.shape[:-1], out)


def packed(codes: Sequence[Codes]) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices one below the other in the kernel's layout, with scales and zeros.

    The second is (groups, n, 2) in bfloat16.
    """
    names = "codes", "scale", "zero"
    whole, scale, zero = (torch.cat([getattr(one, name) for one in codes]) for name in names)
    if spare := -len(whole) % ROWS:
        whole, scale, zero = (F.pad(one, (0, 0, 0, spare)) for one in (whole, scale, zero))
    if codes[0].bits == 8:
        scale, zero = torch.cat([16 * scale, scale], 1), torch.cat([zero, 8 * scale], 1)
    # In pieces, since the kernel's packing takes four bytes for a code.
    pieces = [_packed(piece, codes[0].bits) for piece in whole.split(PIECE)]
    pairs = torch.stack([scale, zero], -1).transpose(0, 1)
    return torch.cat(pieces), pairs.bfloat16().contiguous()


def _packed(codes: torch.Tensor, bits: int) -> torch.Tensor:
    whole = codes.int()
    if bits == 8:  # code = 16 high + low, with high from -8 to 7 and low from 0 to 15
        high = whole >> 4
        whole = torch.cat([high, whole - 16 * high - 8], 1)
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole + 8, TILES)


def in_few_bits(model: PreTrainedModel, bits: int, folder: Path) -> None:
    """Let a model's layers and head compute in few bits; layers of a Llama or a Qwen2 are fused.

    Matrices that the folder has no codes of stay in bfloat16 with 4 bits, and are rounded with 8.

    Raises
    ------
    ModelError
        A matrix has a width that is no multiple of 32.
    """
    model.few_bits = bits
    layers = {name: one for name, one in model.named_modules() if type(one) is nn.Linear}
    held, names = HeldCodes(folder), {one: name for name, one in layers.items()}
    tied = {"lm_head": "model.embed_tokens"} if model.config.tie_word_embeddings else {}

    def codes_of(linear: nn.Linear) -> Codes | None:
        name = names[linear]
        codes = held.get(tied.get(name, name))
        if codes is None and bits == 8:
            check_width(name, linear)
            codes = rounded(linear.weight)
        return codes

    def joined(linears: list[nn.Linear]) -> Products:
        codes = [codes_of(one) for one in linears]
        same = None not in codes and len({one.bits for one in codes}) == 1
        return FewBits(linears, codes) if same else Products(linears)

    if is_fusible(model):
        model.model._modules = fused_trunk(model.model, joined)
        layers = {"lm_head": model.lm_head}
    for one in layers.values():
        if (codes := codes_of(one)) is not None:
            one.__class__ = FewBitLinear
            one.bits, (one.packed, one.scales) = codes.bits, packed([codes])
    in_one_block([one for layer in model.modules() for one in [layer, *vars(layer).values()]
                  if isinstance(one, FewBits | FewBitLinear)])  # fmt: skip


def in_one_block(products: Sequence[FewBits | FewBitLinear]) -> None:
    """Move packed matrices into one block of memory, in the order in which they are read.

    NumPy asks the system for pages of 2 MiB there, where PyTorch takes pages of 4 KiB: looking up
    so many of these takes a sixth of a step.
    """
    held = [(one, name) for one in products for name in ("packed", "scales")]
    sizes = [-(-getattr(*place).nbytes // LINE) * LINE for place in held]
    block, start = torch.from_numpy(np.empty(sum(sizes), np.uint8)), 0
    for (one, name), size in zip(held, sizes, strict=True):
        old = getattr(one, name)
        new = block[start : start + old.nbytes].view(old.dtype).view(old.shape)
        setattr(one, name, new.copy_(old))
        start += size


def check_width(name: str, linear: nn.Linear) -> None:
    """Raise `ModelError` where the rows of a matrix are not whole groups."""
    if linear.in_features % GROUP:
        raise ModelError(
            f"bits=8 needs rows of a multiple of {GROUP} numbers, and {name} has rows of"
            f" {linear.in_features:,}: leave bits= out"
        )
