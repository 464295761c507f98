"""Accept or correct: what keeps the target's distribution, whatever the draft proposed.

Notation is the papers': p is the target's distribution, q the draft's. A drafted token x is
accepted with probability min(1, p(x) / q(x)); the first rejected one is replaced by a sample of
the residual max(p - q, 0), and where all are accepted the target adds one more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch

NO_TOKEN = -1  # where the target has no distribution
NO_CHANCE = -3  # where the draft has none that the rule needs


def accept_greedy(
    choices: torch.Tensor, drafted: torch.Tensor, count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep drafted tokens as long as the target would have taken them.

    Parameters
    ----------
    choices : (B, k + 1)
        The target's likeliest token after the last one and after each drafted one; `NO_TOKEN`
        where its logits are not finite.
    drafted : (B, k)
    count : (B,)
        How many of the k were drafted in each row; the rest is padding.

    Returns
    -------
    accepted : (B,)
        How many drafted tokens are accepted.
    follow : (B,)
        The target's own token after them: correction or bonus; negative where there is none.
    """
    passes = (drafted == choices[:, :-1]) & within(drafted, count)
    accepted = passes.cumprod(-1).sum(-1)
    return accepted, choices.gather(1, accepted[:, None])[:, 0]


def accept_sampled(
    p: torch.Tensor,
    drafted: torch.Tensor,
    count: torch.Tensor,
    q: torch.Tensor | None,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep drafted tokens by rejection sampling, so that the text follows p exactly.

    Parameters
    ----------
    p : (B, k + 1, V)
        The target's distribution at each place.
    drafted : (B, k)
    count : (B,)
        How many of the k were drafted in each row.
    q : (B, k, V), optional
        The distributions that the draft sampled from; None where it was certain of each token.
    generator : torch.Generator, optional

    Returns
    -------
    accepted, follow : (B,), (B,)
        As in `accept_greedy`; `follow` is `NO_TOKEN` where p is NaN.

    References
    ----------
    Leviathan, Kalman and Matias, Fast inference from transformers via speculative decoding, ICML
    2023. Chen et al., Accelerating large language model decoding with speculative sampling, 2023.
    """
    import torch

    at_p = p[:, :-1].gather(2, drafted[..., None])[..., 0]  # (B, k)
    at_q = 1.0 if q is None else q.gather(2, drafted[..., None])[..., 0]
    r = torch.rand(drafted.shape, generator=generator, device=p.device, dtype=p.dtype)
    passes = (r * at_q < at_p) & within(drafted, count)  # r < p / q: never where p is 0
    accepted = passes.cumprod(-1).sum(-1)
    rows = torch.arange(len(p), device=p.device)
    behind = p[rows, accepted]  # (B, V): the distribution after the accepted tokens
    rejected = accepted < count
    left = torch.where(rejected[:, None], residual(behind, q, drafted, accepted, rows), behind)
    follow = sampled(left, generator)
    # A distribution with a NaN is NaN everywhere: one of its numbers shows it.
    return accepted, follow.where(behind[:, 0] >= 0, NO_TOKEN)


def accept_block(
    p: torch.Tensor,
    drafted: torch.Tensor,
    count: torch.Tensor,
    q: torch.Tensor | None,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Verify the drafted tokens together: never fewer are expected to be accepted, and p is kept.

    Parameters, shapes and what is returned are those of `accept_sampled`. Where the draft was
    certain of its tokens both rules accept equally many.

    References
    ----------
    Sun et al., Block verification accelerates speculative decoding, ICLR 2025. `blocks.py` has the
    same for one text.
    """
    import torch

    if q is None:
        return accept_sampled(p, drafted, count, q, generator)
    k = drafted.shape[1]
    # A block ends at the first place where p is NaN.
    count = torch.minimum(count, (p[..., 0] >= 0).int().cumprod(-1).sum(-1))
    at_p, at_q = (d.gather(2, drafted[..., None])[..., 0] for d in (p[:, :-1], q))  # (B, k)
    kept = [torch.ones_like(p[:, 0, 0])]
    for i in range(k):
        kept.append((kept[-1] * at_p[:, i] / at_q[:, i]).clamp(max=1))
    kept = torch.stack(kept, 1)  # (B, k + 1): the chance that each prefix is accepted
    excess = (kept[:, :-1, None] * p[:, :-1] - q).clamp(min=0).sum(-1)  # (B, k)
    inside = excess / (excess + 1 - kept[:, :-1])  # (B, k): of the prefixes of 0 to k - 1 tokens
    place = torch.arange(1, k + 1, device=p.device)
    at_end = place == count[:, None]
    h = torch.where(at_end, kept[:, 1:], torch.nn.functional.pad(inside[:, 1:], (0, 1)))
    r = torch.rand(drafted.shape, generator=generator, device=p.device, dtype=p.dtype)
    accepted = ((r < h) & within(drafted, count)).mul(place).amax(-1)  # the longest that passes
    rows = torch.arange(len(p), device=p.device)
    behind = p[rows, accepted]  # (B, V)
    share = kept[rows, accepted][:, None] * behind
    rejected = accepted < count
    left = torch.where(rejected[:, None], residual(share, q, drafted, accepted, rows), behind)
    return accepted, sampled(left, generator).where(behind[:, 0] >= 0, NO_TOKEN)


def likeliest(logits: torch.Tensor) -> torch.Tensor:
    """The likeliest token (…) of logits (…, V), `NO_TOKEN` where the largest is not finite.

    The largest is NaN where any of them is.
    """
    top, token = logits.max(-1)
    return token.where(top.abs() < math.inf, NO_TOKEN)


def residual(p, q, drafted, at, rows) -> torch.Tensor:
    """max(p - q, 0) (B, V), at the place of each row's first rejected token; not normalised."""
    if not drafted.shape[1]:
        return p
    at = at.clamp(max=drafted.shape[1] - 1)
    if q is None:  # all of q lies on the drafted token
        left = p.scatter(1, drafted[rows, at][:, None], 0.0)
    else:
        left = (p - q[rows, at]).clamp(min=0)
    # Where p equals q, only rounding rejects a token; then the residual is p itself.
    return left.where(left.sum(-1, keepdim=True) > 0, p)


def within(drafted: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Which of the drafted tokens (B, k) are no padding."""
    import torch

    return torch.arange(drafted.shape[1], device=drafted.device) < count[:, None]
