"""Big-little decoding: a small model writes until it is unsure, a large one reads and corrects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import number, whole
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.decode import Generation
from ensemble_lab.tokens.prompts import check_room, limits_of
from ensemble_lab.tokens.session import Round
from ensemble_lab.tokens.together.combined import check_alike

if TYPE_CHECKING:
    from ensemble_lab.models.language import Prompt
    from ensemble_lab.tokens.together.texts import Texts


def big_little(
    large: LanguageModel,
    small: LanguageModel,
    prompts: Prompt | Sequence[int] | Sequence,
    *,
    fallback: float = 0.6,
    rollback: float = 5.0,
    most: int = 10,
    max_new_tokens: int = 128,
) -> Generation | list[Generation]:
    """Generate greedily with two models, of which the large one reads seldom.

    The large model writes the first token. Then the small one writes, until its likeliest token has
    a probability below `fallback`, which is not written, or it has written `most`. The large model
    reads all of these at once. At the first token with -log p > `rollback`, p the large model's
    probability, it rolls back: its own likeliest token takes that place, where it is another one,
    and what follows is discarded. Without rollback its next token is added.

    Several prompts are one batch. Each has its own text, which is that of the prompt alone up to
    rounding. A text in which the small model is unsure waits until it is unsure in all of them.

    Parameters
    ----------
    large, small : LanguageModel
        With one vocabulary, on one device.
    prompts
        As in `decode`.
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
        Or a list of them for several prompts. One round a call of the large model: `proposed` by
        the small one, and `accepted`. Fewer of these than proposed mean a rollback. Seconds are
        those of the whole batch. After a keyboard interrupt: what is generated so far.

    Raises
    ------
    ModelError
        As `decode` does, and for models that do not fit together.
    ValueError
        A setting out of its range.

    References
    ----------
    Kim et al., Speculative decoding with big little decoder, NeurIPS 2023.

    Examples
    --------
    >>> pair = load("smollm2"), load("smollm2-draft")  # doctest: +SKIP
    >>> made = big_little(*pair, "Count to five.", fallback=0.5)  # doctest: +SKIP
    >>> len(made.rounds) / len(made.tokens)  # doctest: +SKIP
    0.6
    """
    require("decoding", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.together.texts import Texts

    for name, value in (("fallback", fallback), ("rollback", rollback)):
        if not number(value, name) >= 0:
            raise ValueError(f"{name}={value} is not a number from 0 up")
    for name, value in (("most", most), ("max_new_tokens", max_new_tokens)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value} asks for no token; use 1 or more")
    encoded, alone = tokens_of(large, prompts)
    if not isinstance(small, LanguageModel):
        raise ModelError(f"small={shown(small)} is not a language model: give what load makes")
    check_alike(large, small)
    both = [limits_of(one, encoded, max_new_tokens) for one in (large, small)]
    limits = [min(pair) for pair in zip(*both, strict=True)]
    capacity = max(limits) + most + 1
    for one in (large, small):
        check_room(one, len(encoded), capacity)
    texts, rounds = [list(ids) for ids in encoded], [[] for _ in encoded]
    begun = perf_counter()
    with torch.inference_mode():
        size = min(one.model.config.vocab_size for one in (large, small))
        big, little = (Texts(one, texts, capacity, size) for one in (large, small))
        prefill = perf_counter() - begun
        settings = limits, set(large.ends), fallback, rollback, most
        try:
            for made in by_turns(big, little, texts, *settings):
                for i, one in made.items():
                    rounds[i].append(one)
        except KeyboardInterrupt:
            pass
    generations = []
    for of_text in rounds:
        tokens = tuple(token for one in of_text for token in one.tokens)
        words = large.tokenizer.decode(tokens, skip_special_tokens=True)
        generations.append(Generation(tokens, words, tuple(of_text), prefill))
    return generations[0] if alone else generations


def by_turns(
    big: Texts,
    little: Texts,
    texts: list[list[int]],
    limits: Sequence[int],
    ends: set[int],
    fallback: float,
    rollback: float,
    most: int,
) -> Iterator[dict[int, Round]]:
    """Round after round, by the index of the text; the texts grow."""
    on = list(range(len(texts)))
    asked = 0  # the large model writes the first token
    while on:
        begun, start = perf_counter(), [len(text) for text in texts]

        # 1. The small model writes on until it is unsure.
        sure = [i for i in on if asked]
        while sure:
            choices = zip(sure, little.read(sure), strict=True)
            sure = []
            for i, (*_, (token, chance, _)) in choices:
                if chance >= fallback:
                    texts[i].append(token)
                    if len(texts[i]) < min(start[i] + asked, limits[i]) and token not in ends:
                        sure.append(i)
        wrote = perf_counter()

        # 2. The large model reads these at once: its choice after the text and after each.
        judged = big.read(on)
        read = perf_counter()

        # 3. It rolls back at the first token that it finds too unlikely.
        made = {}
        for i, choices in zip(on, judged, strict=True):
            drafted = texts[i][start[i] :]
            kept = len(drafted)
            for n, (token, choice) in enumerate(zip(drafted, choices, strict=False)):
                if choice.loss > rollback and token != choice.token:
                    kept = n
                    break
            new = until_end([*drafted[:kept], choices[kept].token], ends)[: limits[i] - start[i]]
            texts[i][start[i] :] = new
            made[i] = tuple(drafted), kept, tuple(new)
        big.forget()
        little.forget()
        spans = wrote - begun, read - wrote, perf_counter() - read
        yield {i: Round(*one, *spans) for i, one in made.items()}
        on = [i for i in on if texts[i][-1] not in ends and len(texts[i]) < limits[i]]
        asked = most


def until_end(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends a text."""
    end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[: end + 1]
