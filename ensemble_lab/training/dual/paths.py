"""The residual stream of a language model as a sum of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel

if TYPE_CHECKING:
    import torch


def residual_paths(model, text) -> dict[str, torch.Tensor]:
    """What the embedding and each block add to the residual stream of a text.

    The sum of the values is the state before the last norm: in float64 equal to 1e-12, in half
    precision as far as the model's own additions are. The last norm is not linear, so logits are
    not a sum of such terms.

    Parameters
    ----------
    model : LanguageModel or PreTrainedModel
        Shaped like Llama: each block adds its attention, then its feed-forward network.
    text : str or sequence of int
        A text, read without a chat template, or its token ids.

    Returns
    -------
    dict
        ``"embedding"``, ``"attention 0"``, ``"feed-forward 0"``, ``"attention 1"``, … to tensors
        (T, d).

    Raises
    ------
    ModelError
        A model of another shape, or whose blocks do more than add; or a text that it cannot read.

    References
    ----------
    Veit, Wilber and Belongie, Residual networks behave like ensembles of relatively shallow
    networks, NeurIPS 2016. Elhage et al., A mathematical framework for transformer circuits, 2021.
    Chang et al., Revisiting vision transformer from the view of path ensemble, ICCV 2023.
    """
    network = network_of(model)
    import torch

    ids, trunk = token_row(model, text), network.model
    found, hooks = {}, []
    for i, layer in enumerate(trunk.layers):
        hooks.append(layer.self_attn.register_forward_hook(keeps(found, f"attention {i}")))
        hooks.append(layer.mlp.register_forward_hook(keeps(found, f"feed-forward {i}")))
        hooks.append(layer.register_forward_pre_hook(enters(found), with_kwargs=True))
        hooks.append(layer.register_forward_hook(adds(found, i), with_kwargs=True))
    try:
        with torch.no_grad():
            trunk(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def enters(found: dict):
    """A hook that keeps the states before the first block."""

    def hook(_, args, kwargs):
        found.setdefault("embedding", entering(args, kwargs)[0])

    return hook


def keeps(found: dict, name: str):
    """A hook that keeps what a module returns for the one row."""

    def hook(_, args, output):
        found[name] = returned(output)[0]

    return hook


def adds(found: dict, i: int):
    """A hook that refuses a block whose output is not its input and its two terms."""
    import torch

    def hook(layer, args, kwargs, output):
        names = f"attention {i}", f"feed-forward {i}"
        if not found.keys() >= {*names}:
            raise ModelError(
                f"block {i} of this model computes its attention and its feed-forward network as"
                " one: load the model with dtype='float32'"
            )
        terms = [entering(args, kwargs)[0], *(found[name] for name in names)]
        size = sum(term.double().abs() for term in terms)
        gap = (sum(term.double() for term in terms) - returned(output)[0]).abs()
        # Each of two additions rounds by half a step of the number format at most.
        if not (gap <= 2 * torch.finfo(terms[0].dtype).eps * size).all():
            raise ModelError(
                f"block {i} of this model, a {type(layer).__name__}, does more than add its"
                " attention and its feed-forward network: use a model whose norms stand before"
                " them, such as Llama"
            )

    return hook


def entering(args, kwargs) -> torch.Tensor:
    """The states (1, T, d) that a block is given."""
    return args[0] if args else kwargs["hidden_states"]


def returned(output) -> torch.Tensor:
    """The states (1, T, d) that a module returns."""
    return output[0] if isinstance(output, tuple) else output


def network_of(model):
    """The network of a language model that is shaped like Llama.

    Raises
    ------
    ModelError
        Another model.
    """
    require("a model's blocks", "torch", "transformers")
    network = model.model if isinstance(model, LanguageModel) else model
    trunk = getattr(network, "model", None)
    layers = getattr(trunk, "layers", None)
    parts = ("embed_tokens", "norm")
    if (
        not hasattr(network, "lm_head")
        or not all(hasattr(trunk, name) for name in parts)
        or layers is None
        or not all(hasattr(layer, part) for layer in layers for part in ("self_attn", "mlp"))
    ):
        raise ModelError(
            f"model is {shown(model, 60)}, which is not shaped like Llama: give what load makes,"
            " such as load('smollm2'), or a LlamaForCausalLM"
        )
    return network


def token_row(model, text, least: int = 1) -> torch.Tensor:
    """The token ids (1, T) of a text on the model's device.

    Raises
    ------
    ModelError
        No text, too few tokens, ids that the model does not have, or a text without a tokenizer.
    """
    import torch

    if isinstance(text, str):
        if not isinstance(model, LanguageModel):
            raise ModelError(
                f"a {type(model).__name__} has no tokenizer: give token ids, or a model from load"
            )
        text = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    network = network_of(model)
    most = network.model.embed_tokens.weight.shape[0]
    try:
        ids = torch.as_tensor(text)
    except (TypeError, ValueError, RuntimeError):
        ids = torch.empty(0)
    if ids.ndim == 2 and len(ids) == 1:
        ids = ids[0]  # as a tokenizer returns them
    if ids.ndim != 1 or ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
        raise ModelError(f"text={shown(text, 60)}: give a text, or its token ids (T,)")
    if len(ids) < least:
        raise ModelError(f"the text has {len(ids)} tokens: give {least} or more")
    if ids.min() < 0 or ids.max() >= most:
        bad = ids[(ids < 0) | (ids >= most)][0]
        raise ModelError(f"token {bad:d} does not exist: use ids from 0 to {most - 1}")
    return ids[None].long().to(network.device)
