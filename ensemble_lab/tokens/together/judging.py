"""How well a model names the tokens of given texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.token_ids import tokens_of

if TYPE_CHECKING:
    import torch

AT_ONCE = 32  # texts


class TokenScore(NamedTuple):
    """How well a model names the next token of texts.

    Parameters
    ----------
    error : float
        The share of tokens that are not its likeliest one.
    loss : float
        -log of the probability that it gives to the token, in nats, on average.
    tokens : int
        How many there are, without the first of every text.
    """

    error: float
    loss: float
    tokens: int


def token_score(model: LanguageModel, texts) -> TokenScore:
    """How well a model, also a combination, names the tokens of texts.

    Parameters
    ----------
    model : LanguageModel
    texts
        As prompts in `decode`, each of two tokens or more.

    Raises
    ------
    ModelError
        Not a language model; texts that are no prompts, too short or longer than the context; or
        logits that are NaN or infinite.
    """
    require("a score of tokens", "torch", "transformers")
    rows, known = padded(model, texts)
    wrong, losses = scored(model, rows)
    tokens = int(known.sum())
    return TokenScore(int((wrong & known).sum()) / tokens, float(losses[known].mean()), tokens)


def padded(model: LanguageModel, texts) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts as rows (N, T), and which tokens (N, T - 1) after the first are no padding."""
    import torch

    encoded, _ = tokens_of(model, texts)
    context = getattr(model.model.config, "max_position_embeddings", None) or math.inf
    for i, ids in enumerate(encoded, 1):
        if len(ids) < 2 or len(ids) > context:
            kind = "gives no token to predict" if len(ids) < 2 else f"exceeds the {context} tokens"
            raise ModelError(f"text {i} of {len(ids)} tokens {kind}: leave it out or change it")
    longest = max(map(len, encoded))
    rows = torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])
    lengths = torch.tensor([len(ids) for ids in encoded])
    known = torch.arange(1, longest) < lengths[:, None]
    return rows.to(model.device), known.to(model.device)


def scored(model: LanguageModel, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every token but the first (N, T - 1): whether it is not the likeliest, and its loss."""
    import torch

    wrong, losses = [], []
    with torch.inference_mode():
        for some in rows.split(AT_ONCE):
            logits = model.model(some, use_cache=False).logits[:, :-1].double()
            if not logits.amax(-1).isfinite().all():
                raise not_finite(model.weights, model.dtype)
            scores = logits.log_softmax(-1)
            wrong.append(scores.argmax(-1) != some[:, 1:])
            losses.append(-scores.gather(-1, some[:, 1:, None])[..., 0])
    return torch.cat(wrong).clone(), torch.cat(losses).clone()
