"""Llama's decoder layer with few kernels: what a small step on a CPU spends its time on.

At one token a layer of a small model takes some 30 kernels of a few microseconds, beside the time
to read its weights. Here linear layers that read the same input are one product, a normalisation is
four kernels, and the query heads that share keys are rows of one attention.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Products:
    """Linear layers of one input; their outputs lie side by side.

    It is no module: the layers stay where they are in the model, and a call costs less.
    """

    def __init__(self, linears: Sequence[nn.Linear]):
        self.linears = tuple(linears)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Products (…, sum of out_features) of x (…, in_features)."""
        made = [F.linear(x, one.weight, one.bias) for one in self.linears]
        return made[0] if len(made) == 1 else torch.cat(made, -1)


def joined_bias(linears: Sequence[nn.Linear]) -> torch.Tensor | None:
    """The biases of several layers, if any has one; a layer without has zeros."""
    if all(one.bias is None for one in linears):
        return None
    kept = [one.weight.new_zeros(one.out_features) if one.bias is None else one.bias.detach()
            for one in linears]  # fmt: skip
    return torch.cat(kept)


class FusedLayer(LlamaDecoderLayer):
    """A decoder layer of a Llama or a Qwen2 in inference: the same numbers up to rounding.

    It needs the positions of a `FusedRotary`.
    """

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values=None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """States (B, k, D) after the layer; the mask is (B or 1, 1, k, T) or None."""
        rows, k, _ = hidden_states.shape
        x, attention = hidden_states.flatten(0, 1), self.self_attn  # (B k, D)
        heads = self.qkv(rms_norm(x, self.scale_before, self.epsilon))  # (B k, (H + 2 G) d)
        heads = heads.view(rows, k, -1, attention.head_dim).transpose(1, 2)
        shared = attention.num_key_value_groups  # query heads of each of the G key heads
        keyed = heads.shape[1] // (shared + 2)
        turned, values = heads.split_with_sizes((keyed * (shared + 1), keyed), 1)
        turned = rotated(turned, *position_embeddings)
        queries, keys = turned.split_with_sizes((keyed * shared, keyed), 1)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, attention.layer_idx)
        seen = attended(queries, keys, values, attention_mask, shared, attention.scaling)
        x = x + self.out(seen.flatten(0, 1))
        gate, up = self.gate_up(rms_norm(x, self.scale_between, self.epsilon)).chunk(2, -1)
        return (x + self.down(F.silu(gate).mul_(up))).view(rows, k, -1)


class FusedRotary(nn.Module):
    """A model's rotary embedding as `rotated` wants it: cosines, and sines with their sign."""

    def __init__(self, rotary: nn.Module):
        super().__init__()
        self.rotary = rotary

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor):
        """Two tensors (B or 1, 1, k, d)."""
        cos, sin = self.rotary(x, position_ids)
        first, second = sin.chunk(2, -1)
        return cos[:, None], torch.cat([-first, second], -1)[:, None]


@torch.no_grad()
def fused_trunk(trunk: nn.Module, product: Callable[[list[nn.Linear]], Products]) -> dict:
    """The modules of a trunk (`model.model`) with fused layers; `product` joins linear layers.

    The model must be `is_fusible`. Its own modules are shared and not changed.
    """
    layers = nn.ModuleList([_fused(layer, product) for layer in trunk.layers])
    return {**trunk._modules, "layers": layers, "rotary_emb": FusedRotary(trunk.rotary_emb)}


def _fused(layer: nn.Module, product: Callable) -> FusedLayer:
    twin = copy.copy(layer)
    twin.__class__ = FusedLayer
    before, between = layer.input_layernorm, layer.post_attention_layernorm
    twin.scale_before, twin.scale_between = before.weight.repeat(2), between.weight.repeat(2)
    twin.epsilon = before.variance_epsilon
    twin.qkv, twin.out, twin.gate_up, twin.down = map(product, joint(layer))
    return twin


def joint(layer: nn.Module) -> list[list[nn.Linear]]:
    """The linear layers of a decoder layer, those of one input together."""
    attention, mlp = layer.self_attn, layer.mlp
    return [
        [attention.q_proj, attention.k_proj, attention.v_proj],
        [attention.o_proj],
        [mlp.gate_proj, mlp.up_proj],
        [mlp.down_proj],
    ]


def is_fusible(model: PreTrainedModel) -> bool:
    """Whether all decoder layers are those of a Llama or a Qwen2, as transformers makes them."""
    layers = getattr(getattr(model, "model", None), "layers", ())
    config = getattr(model, "config", None)
    return (
        len(layers) > 0
        and all(type(layer) in (LlamaDecoderLayer, Qwen2DecoderLayer) for layer in layers)
        and all(_is_plain(layer) for layer in layers)
        and config.hidden_act == "silu"
        and config._attn_implementation in ("sdpa", "eager")
    )


def _is_plain(layer: nn.Module) -> bool:
    """Whether nothing in a layer was replaced, and nobody listens to what is inside."""
    inside = [module for module in layer.modules() if module is not layer]
    return (
        all(type(one) is nn.Linear for linears in joint(layer) for one in linears)
        and not any(one._forward_hooks or one._forward_pre_hooks for one in inside)
        and "forward" not in vars(layer)
    )


def rms_norm(x: torch.Tensor, scale: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMSNorm of x (…, D) by LayerNorm of x and -x side by side, whose mean is zero.

    PyTorch has one kernel for LayerNorm on a CPU, and six for RMSNorm. `scale` holds the weights
    twice (2 D,).
    """
    both = torch.cat([x, -x], -1)
    return torch.layer_norm(both, scale.shape, scale, None, epsilon).narrow(-1, 0, x.shape[-1])


def rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of heads (B, H, k, d) by what a `FusedRotary` gives.

    The halves of a head are the two coordinates that are turned (Su et al., RoFormer, 2021).
    """
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)


def attended(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    shared: int,
    scale: float,
) -> torch.Tensor:
    """Attention (B, k, H d) of queries (B, H, k, d) to keys and values (B, H / shared, T, d).

    Without a mask a single query sees all keys, and several see those up to themselves.
    """
    rows, heads, k, size = queries.shape
    if k == 1 or mask is None:
        seen = F.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=k > 1, scale=scale, enable_gqa=shared > 1
        )
    else:  # several queries: heads that share keys are rows of one attention, which is quicker
        queries = queries.reshape(rows, heads // shared, shared * k, size)
        mask = mask.repeat(1, 1, shared, 1)
        seen = F.scaled_dot_product_attention(queries, keys, values, mask, scale=scale)
        seen = seen.view(rows, heads, k, size)
    return seen.transpose(1, 2).reshape(rows, k, heads * size)
