"""Verification rules that accept more and change the text: typical acceptance, lenience, mixtures.

A rule is given by the chance with which each drafted token is accepted, and by what the next token
comes from where one is rejected. p is the target's distribution, q the draft's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.models.settings import number
from ensemble_lab.tokens.accept import NO_CHANCE, NO_TOKEN, within
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch


class Lossy:
    """What the rules have in common.

    Attributes
    ----------
    further : int
        1 where the rule needs the draft's distribution after its last token too.
    """

    further = 0

    def aim(self, p: torch.Tensor, q: torch.Tensor | None) -> torch.Tensor:
        """The distribution (…, V) that is verified against, and that a bonus token follows."""
        return p

    def chances(self, aim: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """The chance (…, V) that each token is accepted if it is drafted."""
        return _ratio(aim, q)

    def rest(self, aim: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """What the token (…, V) after a rejected one comes from; not normalised."""
        return _excess(aim, q)


@dataclass(frozen=True)
class Typical(Lossy):
    """Typical acceptance: every token that the target finds likely enough is accepted.

    A drafted token is accepted where p(x) > min(epsilon, delta exp(-H(p))), H in nats. The token
    after a rejected one follows p. The lower `delta`, the more is accepted.

    Parameters
    ----------
    epsilon, delta : float
        In (0, 1]. By default those that Medusa runs with.

    Raises
    ------
    ValueError
        A number out of its range.

    References
    ----------
    Cai et al., Medusa: simple LLM inference acceleration framework with multiple decoding heads,
    ICML 2024.
    """

    epsilon: float = 0.09
    delta: float = 0.3

    def __post_init__(self):
        for name in ("epsilon", "delta"):
            _check_share(name, getattr(self, name))

    def chances(self, aim, q):
        import torch

        entropy = -torch.xlogy(aim, aim).sum(-1, keepdim=True)
        least = (float(self.delta) * (-entropy).exp()).clamp(max=float(self.epsilon))
        return (aim > least).to(aim.dtype)

    def rest(self, aim, q):
        return aim


@dataclass(frozen=True)
class Lenience(Lossy):
    """Lenience: a drafted token is accepted with probability min(1, p(x) / (factor q(x))).

    The token after a rejected one comes from max(p - factor q, 0). No token gets a probability
    above p(x) / factor.

    Parameters
    ----------
    factor : float
        In (0, 1]; 1 is token verification.

    Raises
    ------
    ValueError
        A factor outside (0, 1].

    References
    ----------
    Leviathan, Kalman and Matias, Fast inference from transformers via speculative decoding, ICML
    2023, appendix A.5.
    """

    factor: float

    def __post_init__(self):
        _check_share("factor", self.factor)

    def chances(self, aim, q):
        return _ratio(aim, float(self.factor) * q)

    def rest(self, aim, q):
        return _excess(aim, float(self.factor) * q)


@dataclass(frozen=True)
class Mixture(Lossy):
    """The text of the mixture weight p + (1 - weight) q, exactly, at every position.

    This includes the token after the last drafted one: the draft reads one token further.

    Parameters
    ----------
    weight : float
        In [0, 1]: 1 is the target's text, 0 the draft's.

    Raises
    ------
    ValueError
        A weight outside [0, 1].
    """

    weight: float
    further = 1

    def __post_init__(self):
        if not 0 <= number(self.weight, "weight") <= 1:
            raise ValueError(f"weight={self.weight} is not in [0, 1]; 1 is the target's text")

    def aim(self, p, q):
        weight = float(self.weight)
        return weight * p + (1 - weight) * q


def accept_lossy(
    rule: Lossy,
    p: torch.Tensor,
    drafted: torch.Tensor,
    count: torch.Tensor,
    q: torch.Tensor | None,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep drafted tokens by a lossy rule.

    Parameters, shapes and what is returned are those of `accept_sampled`; q is (B, k + 1, V) where
    the rule looks one token `further`. The token is `NO_CHANCE` where only q is NaN.
    """
    import torch

    k, size = drafted.shape[1], p.shape[-1]
    aim = rule.aim(p, q)  # (B, k + 1, V)
    rows = torch.arange(len(p), device=p.device)
    if q is None:  # the draft was certain of its tokens
        q = torch.nn.functional.one_hot(drafted, size).to(p.dtype)
    q = q[:, :k]
    chance = rule.chances(aim[:, :-1], q).gather(2, drafted[..., None])[..., 0]  # (B, k)
    r = torch.rand(drafted.shape, generator=generator, device=p.device, dtype=p.dtype)
    accepted = ((r < chance) & within(drafted, count)).cumprod(-1).sum(-1)
    left = behind = aim[rows, accepted]  # (B, V)
    if k:
        rest = rule.rest(behind, q[rows, accepted.clamp(max=k - 1)])
        left = torch.where((accepted < count)[:, None], rest, behind)
    whose = torch.where(p[rows, accepted, 0] >= 0, NO_CHANCE, NO_TOKEN)  # (B,): who is to blame
    return accepted, sampled(left, generator).where(behind[:, 0] >= 0, whose)


def _ratio(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """min(1, p / q); 1 where q is 0, NaN where it is NaN: such a token is rejected."""
    return (p / q).where(q != 0, 1.0).clamp(max=1)


def _excess(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """max(p - q, 0), and p where that is 0 everywhere: there only rounding rejects a token."""
    left = (p - q).clamp(min=0)
    return left.where(left.sum(-1, keepdim=True) > 0, p)


def _check_share(name: str, value: float) -> None:
    if not 0 < number(value, name) <= 1:
        raise ValueError(f"{name}={value} is not in (0, 1]")
