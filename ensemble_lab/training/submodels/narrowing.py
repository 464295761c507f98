"""Narrower transformers: the first heads and the first feed-forward units of every layer."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require

if TYPE_CHECKING:
    import torch

QUERY, SHARED = "self_attn.q_proj", ("self_attn.k_proj", "self_attn.v_proj")
GATE, UP = "mlp.gate_proj", "mlp.up_proj"
OUT = ATTENDED, DOWN = "self_attn.o_proj", "mlp.down_proj"  # these write to the residual stream


def narrowed_weights(model, heads=1.0, units=1.0) -> dict[str, torch.Tensor]:
    """The weights of a narrower language model, as views of the model's own.

    `torch.func.functional_call(model, weights, kwargs={"input_ids": ids})` computes with them. To
    nest models, train the sum of the losses of several widths: gradients come to the model's own
    parameters, and are 0 outside the slice. Layers may differ (mix and match).

    A head or unit adds to the residual stream, so a slice is a sum of fewer terms. RMSNorm measures
    each token anew and needs no statistics of its own. Batch normalisation would: slimmable
    networks keep its means and variances for every width, or measure them anew on data.

    Parameters
    ----------
    model : LlamaForCausalLM or Qwen2ForCausalLM
        Of transformers, such as ``load("tiny").model``.
    heads, units : int, float, or a sequence of them, one a layer
        How many attention heads and feed-forward units are kept: a whole number of them, or a share
        above 0 up to 1.0 (1 is one head, 1.0 are all). Query heads that share a key/value head stay
        together.

    Returns
    -------
    dict
        Name to tensor, of all parameters.

    Raises
    ------
    ValueError
        Another model, a width that it cannot have, or not one a layer.

    References
    ----------
    Devvrit et al., MatFormer, NeurIPS 2024 (units). Haberer, Hojjat and Landsiedel, HydraViT,
    NeurIPS 2024 (heads). Yu et al., Slimmable neural networks, ICLR 2019 (statistics).
    """
    widths = _widths(model, heads, units)
    weights = dict(model.named_parameters())
    for i, sizes in enumerate(widths):
        for part, kept in sizes.items():
            weight, bias = (f"model.layers.{i}.{part}.{kind}" for kind in ("weight", "bias"))
            if part in OUT:
                weights[weight] = weights[weight][:, :kept]
                continue  # its bias, if any, is no head's or unit's
            weights[weight] = weights[weight][:kept]
            if bias in weights:
                weights[bias] = weights[bias][:kept]
    return weights


def narrowed(model, heads=1.0, units=1.0):
    """A narrower language model of its own: copies of the weights of `narrowed_weights`.

    It generates, trains and is saved like any other. All its layers have one width, as the
    configuration of transformers can say no more; `narrowed_weights` can mix.

    Parameters
    ----------
    model, heads, units
        As in `narrowed_weights`.

    Returns
    -------
    LlamaForCausalLM or Qwen2ForCausalLM
        Of the same number format, device and mode.

    Raises
    ------
    ValueError
        As `narrowed_weights`; also layers of different widths, or a number of heads that does not
        divide the hidden size, which transformers cannot read again.
    """
    widths, hidden = _widths(model, heads, units), model.config.hidden_size
    if any(sizes != widths[0] for sizes in widths):
        raise ValueError(
            f"heads={shown(heads, 60)}, units={shown(units, 60)}: a model has one width for all"
            " layers; give one number each, or mix with narrowed_weights"
        )
    head_dim = model.model.layers[0].self_attn.head_dim
    query, shared = (widths[0][part] // head_dim for part in (QUERY, SHARED[0]))
    if hidden % query:
        raise ValueError(
            f"heads={shown(heads)} keeps {query} heads, which do not divide the hidden size"
            f" {hidden}: give a number that does, or use narrowed_weights"
        )
    weights = narrowed_weights(model, heads, units)
    # The copy takes these in place of the full weights, which so are never copied; tied ones stay.
    memo = {
        id(full): type(full)(weights[name].detach().clone(), full.requires_grad)
        for name, full in model.named_parameters()
    }
    small = copy.deepcopy(model, memo)
    small.config.num_attention_heads, small.config.num_key_value_heads = query, shared
    small.config.head_dim, small.config.intermediate_size = head_dim, widths[0][UP]
    for layer in small.model.layers:
        layer.mlp.intermediate_size = small.config.intermediate_size
        for part in widths[0]:
            linear = layer.get_submodule(part)
            linear.out_features, linear.in_features = linear.weight.shape
    return small


def _widths(model, heads, units) -> list[dict[str, int]]:
    """For each layer, how much each linear layer keeps: its first outputs, or inputs if in OUT."""
    require("narrowing a language model", "torch", "transformers")
    from torch import nn
    from transformers import LlamaForCausalLM, Qwen2ForCausalLM

    if not isinstance(model, LlamaForCausalLM | Qwen2ForCausalLM):
        raise ValueError(
            f"model is a {type(model).__name__}: give a LlamaForCausalLM or a Qwen2ForCausalLM of"
            " transformers, such as load('tiny').model"
        )
    layers, found = model.model.layers, []
    heads, units = _each(heads, "heads", len(layers)), _each(units, "units", len(layers))
    for i, (layer, some, few) in enumerate(zip(layers, heads, units, strict=True)):
        for part in (QUERY, *SHARED, GATE, UP, *OUT):
            if type(linear := layer.get_submodule(part)) is not nn.Linear:
                raise ValueError(
                    f"{part} of layer {i} is a {type(linear).__name__}: narrow the model before it"
                    " is quantised or gets adapters"
                )
        d, group = layer.self_attn.head_dim, layer.self_attn.num_key_value_groups
        query = _count(some, "heads", layer.self_attn.q_proj.out_features // d, group)
        kept = _count(few, "units", layer.mlp.up_proj.out_features)
        sizes = dict.fromkeys((QUERY, ATTENDED), query * d)
        sizes |= dict.fromkeys(SHARED, query // group * d)
        sizes |= dict.fromkeys((GATE, UP, DOWN), kept)
        found.append(sizes)
    return found


def _each(given, name: str, layers: int) -> list:
    given = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(given, list | tuple):
        return [given] * layers
    if len(given) != layers:
        raise ValueError(
            f"{name}={shown(given)} has {len(given)} numbers for {layers} layers: give one number,"
            " or one a layer"
        )
    return list(given)


def _count(given, name: str, full: int, group: int = 1) -> int:
    """How many of `full` heads or units are kept."""
    whole = isinstance(given, Integral)
    most = full if whole else 1
    if not isinstance(given, Real) or isinstance(given, bool) or not 0 < given <= most:
        raise ValueError(
            f"{name}={shown(given)}: give a whole number from 1 to {full}, or a share above 0 up"
            " to 1.0"
        )
    kept = int(given) if whole else round(given * full)
    if kept < 1 or (not whole and abs(given * full - kept) > 1e-6):
        raise ValueError(
            f"{name}={shown(given)} of {full} {name} is {float(given * full):.4g}: give a multiple"
            f" of 1/{full}, or a whole number"
        )
    if kept % group:
        raise ValueError(
            f"{name}={shown(given)} is {kept} of {full}, but {group} share each key/value head:"
            f" give a multiple of {group}"
        )
    return kept
