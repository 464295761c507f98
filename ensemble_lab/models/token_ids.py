"""Prompts as token ids."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
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
