"""Prompts as token ids, and whether there is room for the requested tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.memory import available_memory, format_size
from ensemble_lab.models.prompts import Unpadded, read_prompts


def tokens_of(target: LanguageModel, prompts) -> tuple[list[list[int]], bool]:
    """The token ids of every prompt, and whether one prompt was given, not a list of them.

    Raises
    ------
    ModelError
        The target is not a language model; or what was given is not a prompt, gives no token, is
        padded without saying where, or has a token that the target does not know.
    """
    if not isinstance(target, LanguageModel):
        raise ModelError(
            f"the target is {shown(target)}, not a language model: give what load makes, such as"
            " load('tiny')"
        )
    found, alone = read_prompts(prompts)
    ids = [one for one in found if isinstance(next(iter(one), None), int)]
    check_unpadded([row for row in ids if not isinstance(row, Unpadded)], target.tokenizer)
    return [target.token_ids(one) for one in found], alone


def check_unpadded(rows: Sequence[Sequence[int]], tokenizer) -> None:
    """Refuse ids that may have been padded to one length: padding would be read as text.

    Where a text may begin or end with the padding token, such as one that also ends texts, only a
    mask shows which tokens are padding. Rows of different lengths, or with equally many padding
    tokens, are not padded.
    """
    pad = getattr(tokenizer, "pad_token_id", None)
    if pad is None or len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return
    for does, ends in (("begins", rows), ("ends", [row[::-1] for row in rows])):
        runs = [next((i for i, token in enumerate(row) if token != pad), len(row)) for row in ends]
        if len(set(runs)) > 1:
            raise ModelError(
                f"row {runs.index(max(runs))} {does} with token {pad}, and may be padded with it:"
                " give all that the tokenizer returned, attention_mask included; where nothing is"
                " padded, {'input_ids': ids, 'attention_mask': [[1, …], …]}"
            )


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
