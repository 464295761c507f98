"""Small models that share a target's embeddings and head: only their layers are stored.

In a draft of a few million parameters the embeddings of a large vocabulary would be most of the
file, and the target already has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.weights.contents import WHOLE, contents
from ensemble_lab.models.weights.layout import config_of, not_read

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_layers(model: PreTrainedModel, folder: Path, about: Mapping) -> None:
    """Write `config.json`, the layers as bfloat16 safetensors, and `about.json`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: weight.to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
        if name.startswith(("model.layers.", "model.norm."))
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / "about.json").write_text(text, encoding="utf-8")


def open_layers(folder: Path, target: PreTrainedModel) -> PreTrainedModel:
    """The model in `folder` with the embeddings and the head of `target`, in its number format.

    Raises
    ------
    ModelError
        The target's embeddings have another size, or the folder is damaged.
    """
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    config = config_of(folder, contents(folder).tensors)
    embedding = target.get_input_embeddings()
    wanted, found = (config.vocab_size, config.hidden_size), tuple(embedding.weight.shape)
    if wanted != found:
        raise ModelError(
            f"the model in {folder} borrows embeddings of shape {wanted}; the target's are {found}"
        )
    model = AutoModelForCausalLM.from_config(config).to(target.device, target.dtype)
    model.set_input_embeddings(embedding)
    model.set_output_embeddings(target.get_output_embeddings())
    try:
        left = model.load_state_dict(load_file(folder / WHOLE), strict=False)
    except Exception as error:  # from safetensors, or different sizes
        raise not_read(folder, error) from error
    missing = [name for name in left.missing_keys if "embed_tokens" not in name]
    if left.unexpected_keys or [name for name in missing if name != "lm_head.weight"]:
        raise ModelError(f"{folder} does not hold the layers that its config.json describes")
    return model.eval()
