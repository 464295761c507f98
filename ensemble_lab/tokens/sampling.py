"""The distribution that a decoder samples from: temperature, then top-k, then top-p."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.models.finite import LEAST, heated
from ensemble_lab.models.settings import number, whole

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen from logits.

    Parameters
    ----------
    temperature : float
        0 takes the likeliest token, and so does what float32 cannot tell from 0.
    top_k : int, optional
        Only the k likeliest tokens, and those that tie with the last of them.
    top_p : float, optional
        Only the fewest likeliest tokens whose probabilities add up to p, in (0, 1].

    Raises
    ------
    ValueError
        A negative temperature, top_k below 1 or no whole number, or top_p outside (0, 1].
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        if not 0 <= number(self.temperature, "temperature") < math.inf:
            raise ValueError(f"temperature={self.temperature}; use 0 for greedy, or a number above")
        if self.top_k is not None and whole(self.top_k, "top_k") < 1:
            raise ValueError(f"top_k={self.top_k} leaves no token; use 1 or more, or None")
        if self.top_p is not None and not 0 < number(self.top_p, "top_p") <= 1:
            raise ValueError(f"top_p={self.top_p} is not in (0, 1]; use None for all tokens")

    @property
    def greedy(self) -> bool:
        return self.temperature < LEAST

    def distribution(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (…, V) of logits (…, V), in float32 or, where these are, float64.

        They are NaN where the logits have a NaN, or no largest one that is finite. At temperature
        0 the distribution then lies on the first of these.

        The filters are those of transformers' logits warpers, in their order. Greedy decoding
        is the distribution that gives all to the likeliest token.

        References
        ----------
        Holtzman et al., The curious case of neural text degeneration, ICLR 2020.
        """
        import torch

        scores = logits if logits.dtype == torch.float64 else logits.float()
        if self.greedy:
            best = scores.argmax(-1, keepdim=True)
            return torch.zeros_like(scores).scatter_(-1, best, 1.0)
        scores = heated(scores, self.temperature)
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            last = scores.topk(self.top_k).values[..., -1:]  # (…, 1)
            scores = scores.masked_fill(scores < last, -math.inf)
        if self.top_p is not None and self.top_p < 1:
            ascending, order = scores.sort(-1)
            rare = ascending.softmax(-1).cumsum(-1) <= 1 - self.top_p
            rare[..., -1] = False  # the likeliest always stays
            scores = scores.masked_fill(rare.scatter(-1, order, rare), -math.inf)
        return scores.softmax(-1)


def sampled(p: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """A token (B,) from each distribution p (B, V), which need not be normalised.

    It does what `torch.multinomial` does for one sample, without its check of p, for which the
    host would have to wait. Of exponential variables with rates p, the first to occur is the
    variable of token x with probability p(x).
    """
    import torch

    return (p / torch.empty_like(p).exponential_(generator=generator)).argmax(-1)
