"""DoLa: one model's last layer, contrasted with one of its earlier layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.settings import number, whole
from ensemble_lab.tokens.together.combinations import Combination

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DoLa(Combination):
    """What a model's last layer finds likelier than an earlier one, among the plausible tokens.

    After layer j the model's last norm and head give a distribution q_j, after the last layer p.

    1. Only the tokens x with p(x) >= alpha max p are kept.
    2. The premature layer is the candidate j with the largest Jensen-Shannon divergence
       JS(p, q_j) = (KL(p || m) + KL(q_j || m)) / 2, where m = (p + q_j) / 2, chosen anew at every
       token.
    3. The score of a token is log p(x) - beta log q_j(x), and its softmax is what is sampled.

    Use it as ``CombinedModel([model], DoLa())``.

    Parameters
    ----------
    layers : sequence of int, optional
        The candidates, each from 1, after the first layer, up to the last but one; a single one is
        the paper's static form. By default every second layer of the lower half.
    beta : float
        From 0 up: 1 as in the paper, 0 is the model within the plausible tokens.
    alpha : float
        In [0, 1]; 0 keeps all tokens, and 1 only the likeliest.

    Raises
    ------
    ValueError
        A number out of its range, candidates that are no whole numbers from 1 up or are given
        twice, or, with the model, a layer that it does not have.
    ModelError
        With the model: one that does more between its layers than pass on states.

    Notes
    -----
    In two points the authors' code is not their paper's formula. It gives the head the states
    without the norm, and it chooses the layer by KL(m || p) + KL(m || q_j). Here both are as in the
    paper. The penalty of repetitions that they recommend is not part of it.

    References
    ----------
    Chuang et al., DoLa: decoding by contrasting layers improves factuality in large language
    models, ICLR 2024.

    Examples
    --------
    The second candidate differs more from the last layer, and is contrasted:

    >>> import torch
    >>> last = torch.tensor([0.5, 0.4, 0.1])
    >>> early = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.8, 0.1, 0.1])
    >>> logits = [one.log() for one in (last, *early)]
    >>> rule = DoLa((1, 2))
    >>> int(rule.premature(logits))
    1
    >>> [round(x, 3) for x in rule.combined(logits).exp().tolist()]
    [0.111, 0.711, 0.178]
    """

    layers: Sequence[int] | None = None
    beta: float = 1.0
    alpha: float = 0.1
    roles = ("model",)

    def __post_init__(self):
        if self.layers is not None:
            found = tuple(whole(one, "a layer") for one in several(self.layers, "layers"))
            if not found or min(found) < 1 or len(set(found)) < len(found):
                raise ValueError(
                    f"layers={shown(found)}; give different whole numbers from 1 up, such as (2, 4)"
                )
            object.__setattr__(self, "layers", found)
        if not 0 <= number(self.beta, "beta") < math.inf:
            raise ValueError(f"beta={self.beta} is not a finite number from 0 up; 1 is the paper's")
        if not 0 <= number(self.alpha, "alpha") <= 1:
            raise ValueError(f"alpha={self.alpha} is not in [0, 1]; 0 keeps all tokens")

    def candidates(self, depth: int) -> tuple[int, ...]:
        """The candidates in a model of so many layers.

        Raises
        ------
        ValueError
            It does not have all of them, or only one layer.
        """
        if depth < 2:
            raise ValueError("a model of one layer has no earlier layer: use a deeper one")
        found = self.layers or tuple(range(2, depth // 2 + 1, 2)) or (1,)
        if max(found) >= depth:
            raise ValueError(
                f"layer {max(found)} cannot be contrasted with the last of {depth}: use 1 to"
                f" {depth - 1}"
            )
        return found

    def premature(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Which candidate (…) is contrasted, counted from 0.

        `logits` (…, V) are those of the last layer and of each candidate.
        """
        import torch

        p, *early = (one.log_softmax(-1) for one in logits)
        return torch.stack([jensen_shannon(p, one) for one in early]).argmax(0)

    def combined(self, logits):
        import torch

        p, *early = (one.log_softmax(-1) for one in logits)
        least = math.log(self.alpha) if self.alpha else -math.inf
        kept = (p >= p.amax(-1, keepdim=True) + least) & (p > -math.inf)
        scores = p
        if self.beta:
            chosen = self.premature(logits)[None, ..., None]
            q = torch.stack(early).take_along_dim(chosen, 0)[0]  # (…, V)
            scores = p - float(self.beta) * q
        return scores.where(kept, -math.inf).log_softmax(-1)


def jensen_shannon(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """The divergence (…) in nats of two distributions given as log-probabilities (…, V)."""
    import torch

    middle = torch.logaddexp(p, q) - math.log(2)
    both = [(one.exp() * (one - middle)).where(one > -math.inf, 0.0) for one in (p, q)]
    return sum(both).sum(-1) / 2
