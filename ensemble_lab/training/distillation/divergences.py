"""How far a student's distribution is from its teacher's: by logits (…, V), in nats.

p is the teacher's distribution and q the student's, each the softmax of its logits. A divergence is
0 where they are equal and above 0 elsewhere; what differs is which faults it counts. Forward KL is
large where the student lacks what the teacher says, reverse KL where it says what the teacher does
not, and the total variation is the share of drafted tokens that speculative decoding rejects.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import number

if TYPE_CHECKING:
    import torch


def generalised_jsd(teacher: torch.Tensor, student: torch.Tensor, beta: float) -> torch.Tensor:
    """Generalised Jensen-Shannon divergence: beta KL(p || m) + (1 - beta) KL(q || m).

    Here m = beta p + (1 - beta) q. It tends to 0 as beta tends to 0 or 1; divided by beta it tends
    to KL(p || q), and divided by 1 - beta to KL(q || p). At 0 and 1 themselves it stands for these
    two, as in the paper and in TRL, so beta = 0.01 is not nearly beta = 0.

    Parameters
    ----------
    teacher, student : (…, V) tensor
        Logits. Minus infinity is a token of probability 0.
    beta : float
        In [0, 1]; 0 is forward KL(p || q), 1 is reverse KL(q || p), 0.5 is the usual JSD.

    Returns
    -------
    (…,) tensor
        In nats; infinite where a KL divides by a probability of 0.

    Raises
    ------
    ValueError
        `beta` is outside [0, 1], the two have different shapes, or one is no tensor.

    References
    ----------
    Agarwal et al., On-policy distillation of language models: learning from self-generated
    mistakes, ICLR 2024 (GKD).
    """
    if not 0 <= number(beta, "beta") <= 1:
        raise ValueError(f"beta={shown(beta)} is outside [0, 1]; 0 is forward KL, 1 reverse KL")
    p, q = log_probabilities(teacher, student)
    if beta == 0:
        return kl(p, q)
    if beta == 1:
        return kl(q, p)
    m = (p + math.log(beta)).logaddexp(q + math.log1p(-beta))
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def total_variation(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Total variation distance (…,) in [0, 1] for logits (…, V): 1 - sum min(p, q).

    It is the probability that speculative decoding rejects a token that the student drafted.

    Raises
    ------
    ValueError
        The two have different shapes, or one is no tensor.

    References
    ----------
    Leviathan, Kalman and Matias, Fast inference from transformers via speculative decoding, ICML
    2023 (corollary 3.6). Zhou et al., DistillSpec, ICLR 2024.
    """
    p, q = log_probabilities(teacher, student)
    return (p.exp() - q.exp()).abs().sum(-1) / 2


def log_probabilities(teacher, student) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of p and q (…, V), in float32 or, where the logits are, float64."""
    import torch

    for name, logits in {"teacher": teacher, "student": student}.items():
        if not isinstance(logits, torch.Tensor) or not logits.ndim or logits.is_complex():
            raise ValueError(f"the {name}'s logits are {shown(logits, 60)}: give a tensor (…, V)")
    if teacher.shape != student.shape:
        raise ValueError(
            f"the teacher's logits have the shape {tuple(teacher.shape)}, the student's"
            f" {tuple(student.shape)}: give both for the same tokens and vocabulary"
        )
    exact = torch.float64
    p, q = (x if x.dtype == exact else x.float() for x in (teacher, student))
    return p.log_softmax(-1), q.log_softmax(-1)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) (…,) of log probabilities (…, V); a token that p excludes adds nothing."""
    there = p > -math.inf
    return (p.exp() * (p - q).where(there, 0.0)).sum(-1)
