"""The ends of a model, which stay with the client: embeddings before the stages, a head behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.models.errors import ModelError

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel


def embed(model: LanguageModel, tokens: Sequence[int]) -> torch.Tensor:
    """Embeddings (n, D) of tokens: the input of the first stage."""
    import torch

    return model.model.get_input_embeddings()(torch.tensor(tokens))


def head(model: LanguageModel, states: torch.Tensor) -> torch.Tensor:
    """Logits (n, V) of states (n, D) behind the last stage."""
    return model.model.lm_head(model.model.model.norm(states))


def check_whole(model: LanguageModel, file: Path, layers: int) -> None:
    """Raise `ModelError` where the layers in `file` and the ends are not the whole model."""
    import torch

    from ensemble_lab.systems.splitting.layers import Cache, Layers

    ids = [0, 1, 2]
    with torch.inference_mode():
        ours = head(model, Layers(file, 0, layers)(embed(model, ids), Cache(layers)))
        whole = model.model(torch.tensor([ids])).logits[0]
    if not torch.allclose(ours.float(), whole.float(), 2e-2, 2e-2):
        raise ModelError(
            f"{type(model.model).__name__} computes more than its layers, embeddings and head, so"
            " it cannot be cut into stages: use a Llama or Qwen2"
        )
