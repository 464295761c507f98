"""Losses of students: how far a student's distribution is from its teachers'.

Temperature tau softens a distribution p to softmax(log p / tau): at 1 it is p, and the higher tau
is, the more the unlikely classes count. In the limit all classes count alike, and the student's
centred logits z learn the teacher's, v: tau² KL tends to the mean of (z - v)² / 2 over the classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.training.batched.losses import learns, weighted_mean

if TYPE_CHECKING:
    import torch


def softened(probabilities: torch.Tensor, temperature) -> torch.Tensor:
    """Distributions (k, …) at a temperature; a class of probability 0 keeps it."""
    return (probabilities.log() / temperature).softmax(0)


def pooled(soft: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """One distribution (k, …, 1) for several teachers' (k, …, t): their mean by weights (…, t).

    It is the q with the least sum of KL(teacher || q) over the teachers, or the least weighted sum.
    """
    if weights is None:
        return soft.mean(-1, keepdim=True)
    return (soft * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)


@learns("probabilities")
def distillation_loss(
    outputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    temperature=4.0,
    alpha=0.1,
    by_confidence: bool = False,
) -> torch.Tensor:
    """Loss (m,) of m students: alpha CE(label) + (1 - alpha) tau² KL(teacher || student), in nats.

    Teacher and student are softened by tau in the second term, whose gradient by the student's
    logits is tau (q - p). Without the factor tau² it would shrink as 1 / tau² beside the labels',
    and a higher temperature would also mean a weaker teacher. torchdistill leaves the factor out
    where its `alpha` is None.

    Parameters
    ----------
    outputs : (m, B, h k) tensor
        Logits of h heads. One head learns the teachers' pooled distribution, see `pooled`; with t
        heads each learns one teacher, so that the teachers' disagreement is kept.
    targets : (m, B, 1 + t, k) tensor
        Probabilities of k classes: the label first, as a row with one 1, or all 0 where a row has
        none and learns from the teachers alone; then those of t teachers.
    weights : (m, B) tensor
    temperature, alpha : float or (m,) sequence
        For all students, or one each.
    by_confidence : bool
        Pool teachers by weights: in each row, a teacher's largest probability before it is
        softened.

    Raises
    ------
    ValueError
        A temperature that is not above 0, an alpha outside [0, 1], not one for each student, shapes
        that do not fit, or heads that are not as many as the teachers.

    References
    ----------
    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
    Chen et al., Big self-supervised models are strong semi-supervised learners, NeurIPS 2020 (rows
    without labels). Tran et al., Hydra: preserving ensemble diversity for model distillation, 2020
    (heads).
    """
    import torch

    check_shapes(outputs, targets, weights)
    students = outputs.unflatten(-1, (-1, targets.shape[-1]))  # (m, B, h, k)
    # Over a few classes softmax takes a tenth of the time where they are the first axis.
    students, targets = (of.movedim(-1, 0).contiguous() for of in (students, targets))
    labels, teachers = targets[..., :1], targets[..., 1:]  # (k, m, B, 1), (k, m, B, t)
    tau = one_each("temperature", temperature, outputs, lambda tau: 0 < tau < math.inf, "above 0")
    share = one_each("alpha", alpha, outputs, lambda share: 0 <= share <= 1, "from 0 to 1")
    heads, t = students.shape[-1], teachers.shape[-1]
    if heads not in (1, t):
        raise ValueError(
            f"the network has {heads:d} heads of {len(students):d} classes for {t:d} teachers: give"
            " one head, or one a teacher"
        )
    soft = softened(teachers, tau)
    if heads < t:
        soft = pooled(soft, teachers.amax(0) if by_confidence else None)
    pull = (1 - share) * tau**2
    # Cross-entropy with the label and with the teacher; less the teacher's entropy, it is KL.
    said = torch.stack([students, students / tau]).log_softmax(1)  # (2, k, m, B, h)
    wanted = torch.stack([(share * labels).expand_as(soft), pull * soft])
    each = pull * soft.xlogy(soft).sum(0) - (wanted * said).sum((0, 1))
    return weighted_mean(each.mean(-1), weights)


def one_each(what: str, setting, outputs: torch.Tensor, fits: Callable, rule: str):
    """A number for all students as it is; one each as a tensor (m, 1, 1)."""
    import torch

    if isinstance(setting, Real) and not isinstance(setting, bool):
        if fits(setting):
            return float(setting)
    else:
        try:
            values = torch.as_tensor(setting, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            values = torch.tensor([])  # text, None, nested lists
        if values.shape == (len(outputs),) and all(map(fits, values.tolist())):
            return values.to(outputs).reshape(-1, 1, 1)
    raise ValueError(
        f"{what}={shown(setting)}: give one number {rule}, or {len(outputs):d}, one a student"
    )


def check_shapes(outputs, targets, weights) -> None:
    """Refuse what is not (m, B, h k), (m, B, 1 + t, k) and (m, B).

    Raises
    ------
    ValueError
        The three shapes, and what they should be.
    """
    shapes = [tuple(getattr(one, "shape", ())) for one in (outputs, targets, weights)]
    drawn, k = shapes[1][:-2], shapes[1][-1:]
    fit = hasattr(outputs, "unflatten") and len(shapes[1]) >= 3 and shapes[1][-2] > 1
    if not fit or shapes[0][:-1] != drawn or shapes[2] != drawn or shapes[0][-1] % k[0]:
        raise ValueError(
            "outputs, targets and weights have the shapes {}, {} and {}: give tensors (m, B, h k),"
            " (m, B, 1 + t, k) and (m, B), with the label before the t teachers".format(*shapes)
        )
