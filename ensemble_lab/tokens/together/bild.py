"""Big-little decoding: a small model writes until it is unsure, a large one reads and corrects."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import number, whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.decode import Generation
from ensemble_lab.tokens.prompts import check_room, limits_of
from ensemble_lab.tokens.session import Round
from ensemble_lab.tokens.together.combined import check_alike

if TYPE_CHECKING:
    import torch


def big_little(
    large: LanguageModel,
    small: LanguageModel,
    prompt,
    *,
    fallback: float = 0.6,
    rollback: float = 5.0,
    most: int = 10,
    max_new_tokens: int = 128,
) -> Generation:
    """Generate greedily with two models, of which the large one reads seldom.

    The large model writes the first token. Then the small one writes, until its likeliest token has
    a probability below `fallback`, which is not written, or it has written `most`. The large model
    reads all of these at once. At the first token with -log p > `rollback`, p the large model's
    probability, it rolls back: its own likeliest token takes that place, where it is another one,
    and what follows is discarded. Without rollback its next token is added.

    Parameters
    ----------
    large, small : LanguageModel
        With one vocabulary, on one device.
    prompt
        One prompt, as in `decode`.
    fallback : float
        From 0 up; above 1 the text is the large model's.
    rollback : float
        From 0 up, in nats, also infinite; 0 gives the large model's text, as in speculative
        decoding.
    most : int
        Tokens of the small model in a row, from 1 up.
    max_new_tokens : int

    Returns
    -------
    Generation
        One round a call of the large model: `proposed` by the small one, and `accepted`. Fewer of
        these than proposed mean a rollback.

    Raises
    ------
    ModelError
        As `decode` does, for models that do not fit together, and for several prompts.
    ValueError
        A setting out of its range.

    References
    ----------
    Kim et al., Speculative decoding with big little decoder, NeurIPS 2023.
    """
    require("decoding", "torch", "transformers")
    import torch

    for name, value in (("fallback", fallback), ("rollback", rollback)):
        if not number(value, name) >= 0:
            raise ValueError(f"{name}={value} is not a number from 0 up")
    for name, value in (("most", most), ("max_new_tokens", max_new_tokens)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value} asks for no token; use 1 or more")
    encoded, alone = tokens_of(large, prompt)
    if not alone:
        raise ModelError(f"{len(encoded)} prompts in a list: give one prompt at a time")
    if not isinstance(small, LanguageModel):
        raise ModelError(f"small={shown(small)} is not a language model: give what load makes")
    check_alike(large, small)
    limit = min(limits_of(one, encoded, max_new_tokens)[0] for one in (large, small))
    for one in (large, small):
        check_room(one, 1, limit + most)
    text, ends, rounds = list(encoded[0]), set(large.ends), []
    begun = perf_counter()
    with torch.inference_mode():
        size = min(one.model.config.vocab_size for one in (large, small))
        big, little = (Text(one, limit + most, size) for one in (large, small))
        new = [int(big.read(text)[-1].argmax())]
        prefill = perf_counter() - begun
        text += new
        while text[-1] not in ends and len(text) < limit:
            begun = perf_counter()

            # 1. The small model writes until it is unsure.
            drafted: list[int] = []
            while len(drafted) < min(most, limit - len(text)):
                chance, token = little.read(text + drafted)[-1].softmax(-1).max(-1)
                if chance < fallback:
                    break
                drafted.append(int(token))
                if drafted[-1] in ends:
                    break
            wrote = perf_counter()

            # 2. The large model reads these at once: its choice after the text and after each.
            scores = big.read(text + drafted)[-len(drafted) - 1 :].log_softmax(-1)  # (k + 1, V)
            best = scores.argmax(-1).tolist()
            losses = [-float(scores[i, token]) for i, token in enumerate(drafted)]
            read = perf_counter()

            # 3. It rolls back at the first token that it finds too unlikely.
            kept = next(
                (i for i, x in enumerate(drafted) if losses[i] > rollback and x != best[i]),
                len(drafted),
            )
            new = until_end([*drafted[:kept], best[kept]], ends)[: limit - len(text)]
            text += new
            for one in (big, little):
                one.known = min(one.known, len(text) - 1)
            spans = wrote - begun, read - wrote, perf_counter() - read
            rounds.append(Round(tuple(drafted), kept, tuple(new), *spans))
    first = Round((), 0, (text[len(encoded[0])],), 0.0, 0.0, 0.0)
    tokens = tuple(text[len(encoded[0]) :])
    words = large.tokenizer.decode(tokens, skip_special_tokens=True)
    return Generation(tokens, words, (first, *rounds), prefill)


class Text:
    """A model that reads a text as it grows; what it has read of it is kept.

    Attributes
    ----------
    known : int
        How many tokens it has read, from the beginning of the text.
    """

    def __init__(self, model: LanguageModel, capacity: int, size: int):
        from ensemble_lab.tokens.reading.packed import packed
        from ensemble_lab.tokens.reading.reader import Reader

        self.model, self.known, self.size = model, 0, size
        self.reader = Reader(packed(model.model), 1, capacity)

    def read(self, text: list[int]) -> torch.Tensor:
        """Logits (k, V) of the ids that both have, after each token that it had not read."""
        import torch

        from ensemble_lab.tokens.reading.rows import At

        device, start = self.model.device, self.known
        last = self.model.model.config.vocab_size - 1  # ids after it are read as this one
        tokens = torch.tensor([text[start:]], device=device).clamp(max=last)
        at = At(torch.tensor([start], device=device), start, start)
        logits = self.reader.read(tokens, at)[0, :, : self.size]
        if not bool((logits.amax(-1).abs() < math.inf).all()):
            raise not_finite(self.model.weights, self.model.dtype)
        self.known = len(text)
        return logits if logits.dtype == torch.float64 else logits.float()


def until_end(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends a text."""
    end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[: end + 1]
