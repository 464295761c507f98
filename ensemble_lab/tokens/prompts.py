"""Whether there is room for the requested tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.memory import available_memory, format_size


def limits_of(target: LanguageModel, prompts: Sequence[Sequence[int]], most: int) -> list[int]:
    """How long each text may become: `most` new tokens, or to the end of the context."""
    context = getattr(target.model.config, "max_position_embeddings", None)
    if context is None:
        return [len(prompt) + most for prompt in prompts]
    for prompt in prompts:
        if len(prompt) >= context:
            raise ModelError(
                f"a prompt of {len(prompt)} tokens leaves nothing of the {context} that"
                f" {target.weights} can see: shorten it"
            )
    return [min(len(prompt) + most, context) for prompt in prompts]


def check_room(target: LanguageModel, rows: int, capacity: int) -> None:
    """Raise `NotEnoughMemory` where the keys and values of so many rows do not fit."""
    config = target.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    a_row = 2 * config.num_hidden_layers * heads * size * capacity * target.dtype.itemsize
    free = available_memory(target.device)
    if rows * a_row > free:
        fits = (
            f"{free // a_row} such rows" if free >= a_row else f"{free * capacity // a_row} tokens"
        )
        raise NotEnoughMemory(
            f"keys and values of {rows} rows of {capacity} tokens take {format_size(rows * a_row)},"
            f" and {format_size(free)} are free: {fits} would fit"
        )
