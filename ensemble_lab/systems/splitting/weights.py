"""The file that stages read: the layers of a model, and what shapes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.systems.splitting.wire import DTYPES

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel


def write_layers(model: LanguageModel, file: Path) -> tuple[dict, list[str]]:
    """Write the layers of `model` as safetensors; returns their shape, and a hash of each layer.

    Raises
    ------
    ModelError
        Its layers are not those of a Llama or Qwen2, or not in full numbers on a CPU.
    """
    import torch
    from safetensors.torch import save_file

    from ensemble_lab.systems.splitting.layers import digest

    shape = _shape(model)
    layers = [
        {name: weight.detach().contiguous() for name, weight in layer.state_dict().items()}
        for layer in model.model.model.layers
    ]
    tensors = {
        f"{i}.{name}": weight.clone() if weight.is_inference() else weight
        for i, layer in enumerate(layers)
        for name, weight in layer.items()
    }
    tensors["inv_freq"] = model.model.model.rotary_emb.inv_freq.to(torch.float32).clone()
    save_file(tensors, file, {"shape": json.dumps(shape)})
    return shape, [digest(layer) for layer in layers]


def _shape(model: LanguageModel) -> dict:
    """What the arithmetic of the layers needs beside the weights."""
    from ensemble_lab.systems.splitting.layers import LINEAR, NORMS

    network, config, name = model.model, model.model.config, shown(model.weights, 60)
    if model.device.type != "cpu":
        raise ModelError(
            f"{name} is on {shown(str(model.device))}; stages compute on the CPU: load it with"
            " device='cpu'"
        )
    dtype = str(model.dtype).removeprefix("torch.")
    if model.bits or dtype not in DTYPES:
        raise ModelError(
            f"{name} has weights in few bits, which stages cannot read: load it with"
            " dtype='bfloat16'"
        )
    known = {f"{one}.weight" for one in (*LINEAR, *NORMS)} | {f"{one}.bias" for one in LINEAR}
    layers = getattr(getattr(network, "model", None), "layers", ())
    found = {key for layer in layers for key in layer.state_dict()}
    rotary = getattr(getattr(network, "model", None), "rotary_emb", None)
    windows = {kind for kind in getattr(config, "layer_types", None) or () if "full" not in kind}
    if not found or not found <= known or rotary is None or windows:
        odd = sorted(found - known) or sorted(windows) or ["no layers of this form"]
        raise ModelError(
            f"{name} is a {type(network).__name__} with {shown(odd[0], 50)}; stages compute the"
            " layers of Llama and Qwen2: use such a model"
        )
    return {
        "layers": len(layers),
        "width": config.hidden_size,
        "head_dim": getattr(config, "head_dim", None)
        or config.hidden_size // config.num_attention_heads,
        "eps": config.rms_norm_eps,
        "scaling": rotary.attention_scaling,
        "dtype": dtype,
        "act": config.hidden_act,
    }
