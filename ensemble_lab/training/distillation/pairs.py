"""A target and its draft: what they must share, and how often the target accepts the draft."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import LEAST, heated, not_finite
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import number, seed_of
from ensemble_lab.models.vocabulary import different_tokens, is_known
from ensemble_lab.training.distillation.divergences import total_variation
from ensemble_lab.training.distillation.texts import (
    Batch,
    answers_of,
    check_context,
    check_length,
    prompts_of,
    write,
)

if TYPE_CHECKING:
    import torch

ROWS = 16  # texts that are read at once


def expected_acceptance(
    target: LanguageModel,
    draft: LanguageModel,
    prompts,
    answers=None,
    *,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    seed: int | None = None,
) -> float:
    """Mean probability, over the tokens of texts, that the target accepts what the draft proposes.

    At each token it is sum min(p, q), where p is the target's distribution and q the draft's. No
    text is decoded with the draft: it is the expectation of the acceptance that decoding realises,
    and so varies less.

    Parameters
    ----------
    target, draft : LanguageModel
    prompts
        As in `decode`.
    answers : list, optional
        Of a text, or its tokens, to each prompt. By default the target writes them, as it does when
        it decodes with a draft.
    temperature : float
        Of both; at 0 a token is accepted where both find the same one likeliest.
    max_new_tokens : int
        Most tokens of an answer that the target writes.
    seed : int, optional
        Of these answers.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ModelError, ValueError
        As in `distil`, except that both may be models in few bits, or the same one.

    References
    ----------
    Leviathan, Kalman and Matias, ICML 2023 (corollary 3.6). Zhou et al., DistillSpec: improving
    speculative decoding via knowledge distillation, ICLR 2024.
    """
    require("reading a pair of models", "torch", "transformers")
    import torch

    check_pair(target, draft)
    temperature, most = check_temperature(temperature), check_length(max_new_tokens)
    rows, seed = prompts_of(target, prompts), seed_of(seed) or 0
    given = None if answers is None else answers_of(target, answers, len(rows))
    check_context(rows, most if given is None else given, target, draft)
    total, count = 0.0, 0
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        if given is None:
            texts = write(target, target.model, rows[part], most, temperature, seed + start)
        else:
            texts = given[part]
        batch = Batch.of(rows[part], texts, target.device)
        with torch.inference_mode():
            logits = [finite(batch.logits(one.model), one) for one in (target, draft)]
            each = overlap(*logits, temperature)
        total, count = total + each.cpu().double().sum().item(), count + len(each)
    return total / count


def overlap(target: torch.Tensor, draft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probability (n,) that a drafted token is accepted, for logits (n, V) and (n, V').

    Tokens that only the target has are never proposed, and those that only the draft has are left
    out of its distribution, as `decode` does.
    """
    from torch.nn.functional import pad

    size = target.shape[-1]
    draft = draft[:, :size]
    if temperature < LEAST:
        return (target.argmax(-1) == draft.argmax(-1)).float()
    draft = pad(draft, (0, size - draft.shape[-1]), value=-math.inf)
    return 1 - total_variation(*(at_temperature(x, temperature) for x in (target, draft)))


def at_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits over a temperature, in float32 or, where they are, float64."""
    return heated(logits if logits.element_size() == 8 else logits.float(), temperature)


def finite(logits: torch.Tensor, model: LanguageModel) -> torch.Tensor:
    """The logits; raises `ModelError` where one of them is NaN or infinite."""
    if not logits.isfinite().all():
        raise not_finite(model.weights, model.dtype)
    return logits


def check_temperature(temperature: float) -> float:
    """Raise `ValueError` where a temperature is not a number from 0 up."""
    if not 0 <= number(temperature, "temperature") < math.inf:
        raise ValueError(f"temperature={temperature} is not a number from 0 up; use 1.0")
    return float(temperature)


def check_pair(target: LanguageModel, draft: LanguageModel) -> None:
    """Refuse models of which not both can be read here token by token, side by side.

    Raises
    ------
    ModelError
        One is no language model with its weights here, they are on two devices, or their tokens
        differ.
    """
    for name, model in {"target": target, "draft": draft}.items():
        if not isinstance(model, LanguageModel):
            what = "answers on a server" if hasattr(model, "url") else "is no language model"
            raise ModelError(
                f"the {name} {shown(model, 60)} {what}, and its distributions are needed: give one"
                " whose weights are here, such as load('tiny')"
            )
    if target.device != draft.device:
        raise ModelError(
            f"the target is on {target.device}, the draft on {draft.device}: load both with the"
            " same device="
        )
    sizes = [one.model.config.vocab_size for one in (target, draft)]
    why = f"the target's vocabulary has {sizes[0]:,} tokens, the draft's {sizes[1]:,}"
    fix = "take a draft of the target's family"
    if is_known(target.tokenizer) and is_known(draft.tokenizer):
        # Sizes alone say little: tables are padded, and other tokens may be as many.
        if different := different_tokens(target, draft):
            token, there, here = different
            raise ModelError(f"{why}, and {token} is {there} there and {here} here: {fix}")
    elif sizes[0] != sizes[1]:
        raise ModelError(f"{why}: {fix}")
