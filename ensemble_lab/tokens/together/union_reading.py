"""One of several models with different vocabularies, which reads their text in its own tokens."""

from __future__ import annotations

import math
import warnings
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.models.prompts import Prompt, read_prompt
from ensemble_lab.tokens.prompts import check_room, limits_of

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.together.vocabulary_union import VocabularyUnion

LONGEST = 64  # most tokens of one model for a piece of another


class UnionMember(NamedTuple):
    """One model's part in a text of several.

    Parameters
    ----------
    weights : str
        Its name.
    calls : int
        How often it read: once a piece for which it was asked.
    seconds : float
        In all calls together, the prompt included.
    tokens : int
        Its own tokens of the text; more than pieces where it had to spell some.
    total_variation : float
        Of the common distribution from its own, on average over the pieces for which it was asked;
        NaN where it never was.
    """

    weights: str
    calls: int
    seconds: float
    tokens: int
    total_variation: float


class Reading:
    """One model, which reads the text in its own tokens.

    Attributes
    ----------
    ids : list of int
        The prompt and the text so far.
    variations : list of float
        Total variation of the common distribution from its own, one a piece.
    """

    def __init__(self, model: LanguageModel, ids: list[int], most: int):
        self.model, self.ids, self.prompt = model, ids, len(ids)
        self.limit = limits_of(model, [ids], most * LONGEST)[0]
        self.capacity, self.texts = len(ids) + 2 * most, None
        self.calls, self.seconds, self.variations = 0, 0.0, []
        check_room(model, 1, self.capacity)

    @property
    def has_room(self) -> bool:
        return len(self.ids) < self.limit

    def read(self) -> torch.Tensor:
        """Logits (V,) after the text."""
        import torch

        from ensemble_lab.tokens.together.texts import Texts

        begun = perf_counter()
        if self.texts is None or len(self.ids) > self.capacity:
            self.capacity = max(self.capacity, 2 * len(self.ids))
            size = self.model.model.config.vocab_size
            self.texts = Texts(self.model, [self.ids], self.capacity, size)
        _, [count], logits = self.texts.logits([0])
        last = logits[0, count - 1]
        if not bool(last.amax().isfinite()):
            raise not_finite(self.model.weights, self.model.dtype)
        self.calls, self.seconds = self.calls + 1, self.seconds + perf_counter() - begun
        return last if last.dtype == torch.float64 else last.float()

    def report(self) -> UnionMember:
        tokens, found = len(self.ids) - self.prompt, self.variations
        mean = sum(found) / len(found) if found else math.nan
        return UnionMember(self.model.weights, self.calls, self.seconds, tokens, mean)


def readings_of(union: VocabularyUnion, prompt: Prompt, most: int) -> list[Reading]:
    """Each model with the prompt in its own tokens."""
    given = read_prompt(prompt)
    if not isinstance(given, str) and isinstance(given[0], int):
        raise ModelError(
            "the prompt is token ids, which mean something else in each vocabulary: give the text"
        )
    templates = [bool(getattr(one.tokenizer, "chat_template", None)) for one in union.models]
    if len(set(templates)) > 1:
        chat, text = (union.models[templates.index(x)].weights for x in (True, False))
        warnings.warn(
            f"{shown(chat, 40)} reads the prompt as a user's turn, and {shown(text, 40)}, which has"
            " no chat template, as the beginning of the text: for the same text, set"
            " tokenizer.chat_template = None",
            stacklevel=3,
        )
    return [Reading(one, list(one.token_ids(given)), most) for one in union.models]
