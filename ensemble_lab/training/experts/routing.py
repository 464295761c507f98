"""Which experts a token uses, with which weights, and which of its choices find no place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Routing:
    """What a router has decided for T tokens and E experts.

    Parameters
    ----------
    logits : (…, T, E) tensor
        In float32, or float64 where the tokens are.
    probabilities : (…, T, E) tensor
        Each token's sum is 1. They are the softmax of the logits; of a sigmoid router, the scores
        divided by their sum. The bias is not in them.
    choices : (…, T, k) tensor
        Codes of the chosen experts, the best first.
    weights : (…, T, k) tensor
        What the outputs of the chosen experts are multiplied by.
    dropped : (…, T, k) tensor of bool
        Whether the chosen expert was full. Nothing is added for such a choice.
    """

    logits: torch.Tensor
    probabilities: torch.Tensor
    choices: torch.Tensor
    weights: torch.Tensor
    dropped: torch.Tensor

    @property
    def counts(self) -> torch.Tensor:
        """How often each expert was chosen (E,), dropped or not: what the router asks for."""
        return self.choices.flatten().bincount(minlength=self.logits.shape[-1])


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities (…, E); over a few experts it takes half the time as the first axis."""
    return logits.movedim(-1, 0).softmax(0).movedim(0, -1)


def softmax_router(logits, k: int, bias) -> tuple[torch.Tensor, ...]:
    """Mixtral: the k likeliest experts; their probabilities, divided by their sum, are weights.

    With k = 1 the weight is always 1, so the router learns nothing from the output.
    """
    probabilities = softmax(logits)
    best, choices = probabilities.topk(k)
    return probabilities, choices, best / best.sum(-1, keepdim=True)


def switch_router(logits, k: int, bias) -> tuple[torch.Tensor, ...]:
    """Switch: the likeliest expert; its weight is its probability, so that the router learns."""
    probabilities = softmax(logits)
    best, choices = probabilities.topk(1)
    return probabilities, choices, best


def sigmoid_router(logits, k: int, bias) -> tuple[torch.Tensor, ...]:
    """DeepSeek-V3: the k highest of score + bias; the weights are made of the scores alone."""
    scores = logits.sigmoid()
    choices = (scores.detach() + bias).topk(k).indices
    best = scores.gather(-1, choices)
    tiny = 1e-20  # where all scores are 0
    probabilities = scores / (scores.sum(-1, keepdim=True) + tiny)
    return probabilities, choices, best / (best.sum(-1, keepdim=True) + tiny)


ROUTERS = {"softmax": softmax_router, "switch": switch_router, "sigmoid": sigmoid_router}


def places(capacity: float, tokens: int, k: int, experts: int) -> int:
    """How many of the `tokens` of a sequence an expert takes; a fraction is rounded up.

    >>> places(1.25, 10, 2, 4)
    7
    """
    wanted = capacity * max(tokens, 1) * k / experts  # not infinity times 0
    # No expert is chosen twice by a token. The small number is for 0.28 times 50 and the like.
    return tokens if wanted >= tokens else math.ceil(wanted - 1e-9)


def overflow(choices: torch.Tensor, experts: int, most: int) -> torch.Tensor:
    """Which choices (…, T, k) come too late: an expert takes the first `most` of a sequence.

    All first choices are before all second ones, and among them the order is that of the tokens.
    """
    import torch.nn.functional as F

    first = choices.transpose(-1, -2)  # (…, k, T)
    chosen = F.one_hot(first.flatten(-2), experts)  # (…, k T, E)
    place = (chosen.cumsum(-2) * chosen).sum(-1)  # from 1
    return (place > most).view(first.shape).transpose(-1, -2)
