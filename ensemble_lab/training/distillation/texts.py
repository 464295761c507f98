"""Texts to learn from: prompts as tokens, answers that a model writes to them, and batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import LEAST, GumbelMax
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import whole
from ensemble_lab.models.token_ids import tokens_of

if TYPE_CHECKING:
    import torch

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Batch:
    """Texts side by side, filled up at the end.

    Attributes
    ----------
    tokens, mask : (B, t) tensor
        Ids, and 1 where they are text.
    learned : (B, t - 1) tensor of bool
        Where the next token is one of the answer: its end counts, a prompt and the filling do not.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    learned: torch.Tensor

    @classmethod
    def of(cls, prompts: Rows, answers: Rows, device: torch.device) -> Batch:
        """Prompts and their answers."""
        import torch

        texts = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        longest = max(map(len, texts))
        tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
        place = torch.arange(longest)
        starts, ends = (torch.tensor([*map(len, rows)])[:, None] for rows in (prompts, texts))
        mask, learned = place < ends, (place >= starts) & (place < ends)
        return cls(tokens.to(device), mask.long().to(device), learned[:, 1:].to(device))

    def logits(self, network) -> torch.Tensor:
        """A network's logits (n, V) before each of the n tokens of answers, without dropout."""
        tokens = known_to(network, self.tokens)
        made = network.eval()(input_ids=tokens, attention_mask=self.mask, use_cache=False)
        return made.logits[:, :-1][self.learned]

    @property
    def targets(self) -> torch.Tensor:
        """The tokens (n,) of the answers."""
        return self.tokens[:, 1:][self.learned]


def prompts_of(model: LanguageModel, prompts) -> list[list[int]]:
    """The tokens of each prompt, in any form that `decode` takes."""
    return [list(one) for one in tokens_of(model, prompts)[0]]


def answers_of(model: LanguageModel, answers, count: int) -> list[list[int]]:
    """The tokens of given answers: of a text with the token that ends texts, or ids as they are.

    Raises
    ------
    ModelError
        There are not as many as prompts, one has no token, or the model does not have its tokens.
    """
    if getattr(answers, "ndim", 1) == 2:
        answers = list(answers)  # a row an answer
    rows = []
    for number, one in enumerate(several(answers, "answers"), 1):
        tokens = getattr(one, "tokens", one)  # what `generate` and `decode` return
        if isinstance(tokens, str):
            ids = model.tokenizer(tokens, add_special_tokens=False)["input_ids"]
            tokens = [*ids, *model.ends[:1]]
        plain = isinstance(tokens, Iterable) and not isinstance(tokens, Mapping | set | bytes)
        tokens = list(tokens) if plain else []
        if not plain or any(isinstance(token, str | Mapping) for token in tokens):
            raise ModelError(f"answer {number} is {shown(one)}: give a text, or its tokens")
        rows += prompts_of(model, [tokens])
    if len(rows) != count:
        raise ModelError(f"there are {len(rows)} answers to {count} prompts: give one to each")
    return rows


class Answers:
    """A target's answers to prompts: given ones, or those that it writes when first asked.

    Parameters
    ----------
    target : LanguageModel
    prompts : list of list of int
    given : list of list of int, optional
    """

    def __init__(self, target: LanguageModel, prompts: Rows, given: Rows | None):
        self.target, self.prompts = target, prompts
        self.known = dict(enumerate(given or ()))

    def to(self, which: Sequence[int], *how) -> list[list[int]]:
        """The answers to some prompts, by index; `how` as in `write`."""
        if new := [i for i in which if i not in self.known]:
            asked = [self.prompts[i] for i in new]
            made = write(self.target, self.target.model, asked, *how)
            self.known.update(zip(new, made, strict=True))
        return [self.known[i] for i in which]


def check_context(prompts: Rows, answers: Rows | int, *models: LanguageModel) -> None:
    """Raise `ModelError` where a prompt with its answer, or so many tokens, is too long."""
    limits = [(getattr(m.model.config, "max_position_embeddings", None), m.weights) for m in models]
    limits = [one for one in limits if one[0] is not None]
    if not limits:
        return
    limit, name = min(limits)
    for i, prompt in enumerate(prompts):
        new = answers if isinstance(answers, int) else len(answers[i])
        if len(prompt) + new > limit:
            fix = "lower max_new_tokens" if isinstance(answers, int) else "cut the answer"
            raise ModelError(
                f"prompt {i + 1} has {len(prompt)} tokens, and {new} more do not fit into the"
                f" {limit} that {shown(name, 60)} can see: shorten it, or {fix}"
            )


def write(
    model: LanguageModel, network, prompts: Rows, most: int, temperature: float, seed: int
) -> list[list[int]]:
    """What a network writes after each prompt: at most so many tokens, with the one that ends it.

    Parameters
    ----------
    model : LanguageModel
        Knows which tokens end a text.
    network
        Its own, or one in training.
    prompts : list of list of int
    most, temperature, seed
        At temperature 0 the likeliest tokens.
    """
    import torch
    from transformers import GenerationConfig

    longest, ends = max(map(len, prompts)), model.ends
    rows = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    place = network.device
    sampler = [GumbelMax(temperature, seed, place)] if temperature >= LEAST else []
    config = GenerationConfig(
        max_new_tokens=most,
        do_sample=False,  # `GumbelMax` samples; what a model's own settings add is taken back
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
    )
    with torch.no_grad():
        made = network.generate(
            known_to(network, torch.tensor(rows, device=place)),
            attention_mask=torch.tensor(mask, device=place),
            generation_config=config,
            logits_processor=sampler,
        )
    return [until_end(row, ends) for row in made[:, longest:].tolist()]


def known_to(network, tokens: torch.Tensor) -> torch.Tensor:
    """The tokens as a network reads them: its last id for those that only the other model has.

    So does `decode`. The tables of one tokenizer may be padded to different sizes.
    """
    return tokens.clamp(max=network.get_input_embeddings().weight.shape[0] - 1)


def until_end(row: list[int], ends: Sequence[int]) -> list[int]:
    """Tokens up to the first that ends a text, which is kept; what follows is filling."""
    last = next((i for i, token in enumerate(row) if token in ends), len(row))
    return row[: last + 1]


def check_length(max_new_tokens: int) -> int:
    """The number of tokens of an answer.

    Raises
    ------
    ValueError
        It is not a whole number from 1 up.
    """
    if whole(max_new_tokens, "max_new_tokens") < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    return int(max_new_tokens)
