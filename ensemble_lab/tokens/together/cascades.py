"""Speculative cascades: a deferral rule chooses between draft and target at every token.

A cascade writes the draft's token where the draft is good enough and the target's elsewhere. Its
distribution pi is known from p and q alone, so pi can be verified against in place of p: the draft
writes, both are read in parallel, and the text is exactly the cascade's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import check_known
from ensemble_lab.models.settings import number
from ensemble_lab.tokens.lossy import Lossy

if TYPE_CHECKING:
    import torch

ROUNDING = 16  # of the precision of a number: what the sum of a distribution may be wrong by


@dataclass(frozen=True)
class SpeculativeCascade(Lossy):
    """The text of a cascade of draft and target, exactly, at every position.

    p is the target's distribution of the next token, q the draft's, and TV their total variation,
    the sum of max(q - p, 0). Three rules choose between q and p at each position. q is kept where

    - ``"chow"``: max q >= 1 - alpha,
    - ``"diff"``: max q >= max p - alpha,
    - ``"opt"``: max q >= max p - alpha TV.

    The other three choose a set A of tokens that are kept where the draft writes them; else the
    target writes: pi(x) = q(x) [x in A] + (1 - q(A)) p(x). A has the tokens with

    - ``"v1"``: q(x) >= max p - alpha,
    - ``"v2"``: p(x) >= max p - alpha,
    - ``"v3"``: p(x) >= (1 - alpha) max p.

    A drafted token is accepted with probability min(1, pi(x) / q(x)), and the token after a
    rejected one comes from max(pi - q, 0). The token after the last drafted one follows pi too: the
    draft reads one token further.

    Parameters
    ----------
    rule : {"chow", "diff", "opt", "v1", "v2", "v3"}
    alpha : float
        In [-1, 1]; the higher, the more of the draft's tokens are kept. 1 gives the draft's text.
        -1 gives the target's, except by "opt".

    Raises
    ------
    KeyError
        There is no rule of this name.
    ValueError
        An alpha outside [-1, 1].

    Notes
    -----
    p and q are the distributions that are sampled: after temperature, top-k and top-p. The paper's
    code compares those of temperature 1, whatever temperature is sampled. By "v1" to "v3" pi
    differs from p even where q equals p: the tokens of A become likelier.

    References
    ----------
    Narasimhan et al., Faster cascades via speculative decoding, ICLR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> p, q = [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]
    >>> models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (p, q)]
    >>> from ensemble_lab.tokens import exact_divergence
    >>> rule = SpeculativeCascade("v3", 0)
    >>> round(exact_divergence(*models, [0], 1, 1, rule).total_variation, 3)
    0.06
    """

    rule: str
    alpha: float
    further = 1

    def __post_init__(self):
        check_known(self.rule, RULES, "rule", "package")
        if not -1 <= number(self.alpha, "alpha") <= 1:
            raise ValueError(f"alpha={self.alpha} is not in [-1, 1]; 1 is the draft's text")

    def aim(self, p, q):
        kept = RULES[self.rule](p, q, self.alpha)  # (…, V), or (…, 1) for the whole distribution
        kept = kept & (p[..., :1] >= 0)  # where p is NaN, so is pi
        within = q.where(kept, 0.0)
        return within + (1 - within.sum(-1, keepdim=True)).clamp(min=0) * p


def _peak(d: torch.Tensor) -> torch.Tensor:
    return d.amax(-1, keepdim=True)


def _opt(p: torch.Tensor, q: torch.Tensor, alpha: float) -> torch.Tensor:
    """The rule "opt"; max p - max q is often equal to TV, so rounding must not decide."""
    import torch

    distance = (q - p).clamp(min=0).sum(-1, keepdim=True)
    return _peak(q) >= _peak(p) - alpha * distance - ROUNDING * torch.finfo(p.dtype).eps


RULES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "chow": lambda p, q, alpha: _peak(q) >= 1 - alpha,
    "diff": lambda p, q, alpha: _peak(q) >= _peak(p) - alpha,
    "opt": _opt,
    "v1": lambda p, q, alpha: q >= _peak(p) - alpha,
    "v2": lambda p, q, alpha: p >= _peak(p) - alpha,
    "v3": lambda p, q, alpha: p >= (1 - alpha) * _peak(p),
}
