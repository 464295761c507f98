"""What each model of a combination costs, and how far the common text is from its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.instruments.spans import clock_on
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.token_ids import tokens_of
from ensemble_lab.tokens.divergences import Divergence
from ensemble_lab.tokens.together.combined import CombinedModel

if TYPE_CHECKING:
    import torch


class Member(NamedTuple):
    """One model's part in a combination.

    Parameters
    ----------
    weights : str
        Its name.
    calls : int
        How often it read, prompts included.
    seconds : float
        In all calls together.
    divergence : Divergence
        Of the combined distribution from this model's at temperature 1, on average over the
        tokens of the texts.
    """

    weights: str
    calls: int
    seconds: float
    divergence: Divergence


def measure_members(
    target: CombinedModel, prompts, draft=None, **settings: Any
) -> tuple[Member, ...]:
    """Decode prompts one by one, and report on every model of the combination.

    Parameters
    ----------
    target : CombinedModel
    prompts, draft, **settings
        As in `decode`.

    Raises
    ------
    ModelError, ValueError
        As in `decode`, and for a target that is not a combination.
    """
    require("a combination of models", "torch", "transformers")
    import torch

    from ensemble_lab.tokens.decode import decode

    if not isinstance(target, CombinedModel):
        raise ModelError(f"target={shown(target)} is not a CombinedModel; measure_pair takes one")
    network, texts = target.model, []
    network.clock = clock_on(target.device)
    try:
        for prompt in read_prompts(prompts)[0]:
            [ids], _ = tokens_of(target, [prompt])
            texts.append((ids, decode(target, ids, draft, **settings).tokens))
        if target.device.type == "cuda":
            torch.cuda.synchronize(target.device)
        spans = network.clock.spans()
    finally:
        network.clock = None
    if not texts:
        raise ValueError("prompts is empty; give one or more")
    each = 1 + len(target.models)  # spans of a read: what was before it, and one a model
    per_text = [distances(target, *text) for text in texts]
    found = [torch.cat(parts) for parts in zip(*per_text, strict=True)]
    return tuple(
        Member(
            one.weights,
            len(spans) // each,
            sum(spans[i::each]),
            Divergence(*(max(x, 0.0) for x in per_token.mean(0).tolist())),
        )
        for i, (one, per_token) in enumerate(zip(target.models, found, strict=True), 1)
    )


def distances(target: CombinedModel, prompt: list[int], tokens: tuple[int, ...]) -> list:
    """For every model KL divergence and total variation at each token (n, 2)."""
    import torch

    text = torch.tensor([[*prompt, *tokens]], device=target.device)
    with torch.inference_mode():
        logits = [one[0, len(prompt) - 1 : -1].double() for one in target.model.each(text)]
        common = target.combination.combined(logits)
        own = logits[: len(target.models)]  # the others are those of earlier layers
        return [_distance(common, one.log_softmax(-1)) for one in own]


def _distance(common: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    import torch

    p, q = common.exp(), own.exp()
    kl = (p * (common - own)).where(p > 0, 0.0).sum(-1)
    return torch.stack([kl, (p - q).abs().sum(-1) / 2], -1)
