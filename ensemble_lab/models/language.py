"""A causal language model and its tokenizer as one callable: prompt in, `Reply` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.reply import Reply
from ensemble_lab.models.chats import check_characters, spoken
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import LEAST, GumbelMax, not_finite
from ensemble_lab.models.prompts import Prompt, chat_messages, read_prompt
from ensemble_lab.models.settings import check_parse, number, seed_of, whole
from ensemble_lab.models.templates import chat_text

__all__ = ["Generation", "LanguageModel", "Parse", "Prompt", "chat_messages", "mean_probability"]

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

Parse = Callable[[str], Hashable | None]


@dataclass(frozen=True)
class Generation:
    """The output of a language model.

    Parameters
    ----------
    text
        The text, without special tokens.
    tokens
        Token ids (t,), with the end-of-sequence token.
    log_probabilities
        Natural logarithm of the model's probability of each token (t,), at temperature 1.
    """

    text: str
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """Geometric mean of the tokens' probabilities, in [0, 1]."""
        return mean_probability(self.log_probabilities)


def mean_probability(log_probabilities: Sequence[float]) -> float:
    """Geometric mean of probabilities given as logarithms: exp of their mean.

    Unlike the product, it is not smaller just because an answer is longer.
    """
    return math.exp(sum(log_probabilities) / len(log_probabilities))


class LanguageModel:
    """A causal language model that answers prompts.

    Parameters
    ----------
    model
        The network, on its device and in its dtype.
    tokenizer
        Its tokenizer; with a chat template a bare prompt becomes one user turn.
    weights
        The name of the weights, for labelling results.
    parse
        Turns the text into the answer; `None` means that the text contains none. By default the
        text itself without surrounding space.
    max_new_tokens
        Most tokens generated for one prompt.
    temperature
        With 0 it takes the likeliest token every time; above 0 tokens are sampled.
    seed
        Makes samples repeatable: one prompt, one seed, one text.

    Examples
    --------
    >>> model = load("smollm2", max_new_tokens=20)  # doctest: +SKIP
    >>> model("What is the capital of France?").answer  # doctest: +SKIP
    'The capital of France is Paris.'
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights: str,
        *,
        parse: Parse = str.strip,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
    ):
        check_parse(parse)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.weights = weights
        self.parse = parse
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.seed = seed

    def __repr__(self) -> str:
        bits = f", bits={self.bits}" if self.bits else ""
        return f"LanguageModel({self.weights!r}, device={self.device}, dtype={self.dtype}{bits})"

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.model.dtype

    @property
    def bits(self) -> int | None:
        """Bits of the weights in small steps on a CPU; None where they are in `dtype`."""
        return getattr(self.model, "few_bits", None)

    def __call__(self, item: Prompt) -> Reply:
        """Answer one prompt; the caller's clock measures the latency."""
        return self.reply(self.generate(item))

    def reply(self, made: Generation) -> Reply:
        """What it made of one prompt, with the answer that `parse` finds in the text."""
        return Reply(
            answer=self.parse(made.text),
            confidence=made.confidence,
            tokens=len(made.tokens),
            text=made.text,
        )

    def generate(
        self,
        prompt: Prompt,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Generation:
        """Continue a prompt; by default with the settings given to `load`.

        Tokens follow the model's own distribution: no top-k or top-p, no penalty for repetition.

        Raises
        ------
        ModelError
            The prompt is neither text nor a chat, gives no token, or does not fit into the model's
            context; or the model's logits are NaN or infinite. An empty text is a prompt where the
            tokenizer begins every text with a token.
        ValueError
            `max_new_tokens` is below 1, `temperature` is negative, or `seed` is not a whole number
            of at most 64 bits.
        """
        import torch

        most = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        heat = self.temperature if temperature is None else temperature
        check_settings(most, heat)
        seed = seed_of(self.seed if seed is None else seed)
        inputs = self.encode(prompt)
        self._check_context(inputs["input_ids"].shape[-1], most)
        with torch.inference_mode():
            out = self.model.generate(
                **inputs,
                generation_config=self._config(most),
                logits_processor=self._sampler(heat, seed),
            )
        tokens = out.sequences[0, inputs["input_ids"].shape[-1] :].cpu()  # (t,)
        chosen = [
            logits[0].float().log_softmax(-1)[token].item()  # logits (1, vocabulary), raw
            for logits, token in zip(out.logits, tokens, strict=True)
        ]
        if not all(map(math.isfinite, chosen)):
            raise not_finite(self.weights, self.dtype)
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Generation(text, tuple(tokens.tolist()), tuple(chosen))

    def encode(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        """Token ids and attention mask (1, t) of one prompt, on the model's device.

        Raises
        ------
        ModelError
            The value is not one prompt, gives no token, or has a token that the model does not
            know.
        """
        import torch

        ids = torch.tensor([self.token_ids(read_prompt(prompt))], device=self.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def token_ids(self, prompt: Prompt) -> list[int]:
        """The token ids of one prompt, as `read_prompts` gives it: text, a chat, or ids."""
        ids = prompt if _is_ids(prompt) else self._tokenized(prompt)
        if not ids:
            raise ModelError("the prompt is empty: give at least one token to continue")
        size = self.model.get_input_embeddings().weight.shape[0]
        if wrong := [token for token in (min(ids), max(ids)) if not 0 <= token < size]:
            raise ModelError(
                f"the prompt has the token id {wrong[0]}; {self.weights} has 0 to {size - 1:,}:"
                " use this model's own tokenizer"
            )
        return ids

    def _tokenized(self, prompt: Prompt) -> list[int]:
        """The token ids of a text or a chat; where there is a template, a text is a user's turn."""
        template = self.tokenizer.chat_template
        if isinstance(prompt, str):
            check_characters(prompt)
        if isinstance(prompt, str) and template is None:
            return list(self.tokenizer(prompt)["input_ids"])
        if template is None:
            raise ModelError(f"{self.weights} has no chat template: give the prompt as text")
        messages = spoken(chat_messages(prompt))
        check_characters(*(part for one in messages for part in one.values()))
        text = chat_text(self.tokenizer, messages, self.weights)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _check_context(self, prompt_tokens: int, max_new_tokens: int) -> None:
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and prompt_tokens + max_new_tokens > most:
            raise ModelError(
                f"a prompt of {prompt_tokens} tokens and max_new_tokens={max_new_tokens} exceed "
                f"the {most} tokens that {self.weights} can see: shorten one of them"
            )

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text."""
        end = self.model.generation_config.eos_token_id
        if end is None:
            end = self.tokenizer.eos_token_id
        return end if isinstance(end, list) else [end] if end is not None else []

    def _config(self, max_new_tokens: int) -> GenerationConfig:
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # `GumbelMax` applies the temperature
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=self.ends or None,
            pad_token_id=next(iter(self.ends), None),
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _sampler(self, temperature: float, seed: int | None) -> list[GumbelMax]:
        return [GumbelMax(temperature, seed, self.device)] if temperature >= LEAST else []


def _is_ids(prompt: Prompt) -> bool:
    return not isinstance(prompt, str) and isinstance(prompt[0], int)


def check_settings(max_new_tokens: int, temperature: float) -> None:
    if whole(max_new_tokens, "max_new_tokens") < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} asks for no token; use 1 or more")
    if not 0 <= number(temperature, "temperature") < math.inf:
        raise ValueError(f"temperature={temperature} is not a number from 0 up; use 0 for greedy")
