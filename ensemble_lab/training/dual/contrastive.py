"""In-batch contrastive loss and recall, from the scores of a batch of pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.settings import number, whole
from ensemble_lab.training.batched.losses import learns, weighted_mean

if TYPE_CHECKING:
    import torch


def contrastive_loss(
    scores, temperature: float = 0.05, *, classes=None, symmetric: bool = False
) -> torch.Tensor:
    """Mean surprise, in nats, at the partner of each row, among all partners in the batch.

    The cross-entropy of ``softmax(scores / temperature)`` with the diagonal. With B pairs and equal
    scores it is log B.

    Parameters
    ----------
    scores : (..., B, B) tensor or array
        Similarity of each first view (a row) with each second view (a column); partners are on the
        diagonal. Cosines, as `DualEncoder.similarity` gives them.
    temperature : float
        Above 0. Its inverse is the scale of sentence-transformers, whose default of 20 is 0.05
        here.
    classes : (B,) sequence, optional
        Of the pairs. Negatives of a row's own class are left out.
    symmetric : bool
        Also ask for the first view among the columns, and take the mean of both, as CLIP does.

    Returns
    -------
    (...) tensor

    Raises
    ------
    ValueError
        Views of different length, a batch of one, NaN, a temperature that is not above 0, or no
        negative in the whole batch.

    References
    ----------
    van den Oord, Li and Vinyals, Representation learning with contrastive predictive coding, 2018
    (InfoNCE). Reimers and Gurevych, Sentence-BERT, EMNLP 2019 (MultipleNegativesRankingLoss).
    Radford et al., CLIP, ICML 2021.

    Examples
    --------
    >>> contrastive_loss([[1.0, 1.0], [1.0, 1.0]])
    tensor(0.6931)
    """
    require("the contrastive loss", "torch")
    import torch

    scores = torch.as_tensor(scores)
    if not scores.is_floating_point():
        scores = scores.float()
    check_scores(scores)
    check_temperature(temperature)
    left_out = None
    if classes is not None:
        codes = torch.as_tensor(class_codes(classes, scores.shape[-1]))
        left_out = same_class(codes).to(scores.device)
    return surprise(scores / temperature, left_out, symmetric).mean(-1)


def recall_at_k(scores, k: int = 1):
    """How often a row's partner is among its k best columns.

    Equal scores are in random order, so the result is the expected share: k / n where all scores
    are equal.

    Parameters
    ----------
    scores : (..., n, n) array or tensor
        As in `contrastive_loss`.
    k : int
        From 1 to n.

    Returns
    -------
    float, or (...) array

    Raises
    ------
    ValueError
        Views of different length, NaN, or a k that there is not.

    Examples
    --------
    >>> recall_at_k([[0.9, 0.1], [0.5, 0.5]])
    0.75
    """
    if hasattr(scores, "detach"):
        scores = scores.detach().cpu().double().numpy()
    scores = numbers(scores)
    check_scores(scores, least=1)
    n = scores.shape[-1]
    if not 1 <= whole(k, "k") <= n:
        raise ValueError(f"k={shown(k)}: use a whole number from 1 to {n}, the number of columns")
    own = np.diagonal(scores, axis1=-2, axis2=-1)[..., None]
    better, equal = (scores > own).sum(-1), (scores == own).sum(-1)
    found = np.clip((k - better) / equal, 0, 1).mean(-1)
    return float(found) if found.ndim == 0 else found


def surprise(logits, left_out=None, symmetric: bool = False) -> torch.Tensor:
    """Surprise (..., B) at the diagonal of logits (..., B, B), without the columns `left_out`."""
    own = logits.diagonal(dim1=-2, dim2=-1)
    if left_out is not None:
        logits = logits.masked_fill(left_out, -math.inf)
    found = logits.logsumexp(-1) - own
    return (found + logits.logsumexp(-2) - own) / 2 if symmetric else found


def same_class(codes: torch.Tensor) -> torch.Tensor:
    """Which pairs (..., B, B) have one class, without the diagonal: false negatives."""
    import torch

    own = torch.eye(codes.shape[-1], dtype=torch.bool, device=codes.device)
    return (codes[..., :, None] == codes[..., None, :]) & ~own


@learns("classes")
def in_batch(outputs, targets, weights, *, temperature, leave_out, symmetric) -> torch.Tensor:
    """Losses (m,) of m dual encoders: both unit vectors side by side (m, B, 2 d), classes (m, B).

    The one row that may be left at the end of an epoch has no negative, and its loss is 0.
    """
    first, second = outputs.chunk(2, dim=-1)
    left_out = same_class(targets) if leave_out else None
    return weighted_mean(surprise(first @ second.mT / temperature, left_out, symmetric), weights)


def class_codes(classes, count: int) -> np.ndarray:
    """Codes 0, 1, … (count,) of classes.

    Raises
    ------
    ValueError
        Another number of them, or only one class, so that no negative is left.
    """
    found = np.asarray(classes)
    if found.shape != (count,):
        raise ValueError(
            f"classes={shown(classes, 60)} is not one class for each of {count} pairs: give"
            f" {count} of them"
        )
    names, codes = np.unique(found, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"all pairs are of the class {shown(names.tolist()[0], 40)}, so no negative is left:"
            " give pairs of two classes or more, or keep negatives of the same class"
        )
    return codes


def check_temperature(temperature) -> None:
    """Raise `ValueError` unless it is a number above 0."""
    if not 0 < number(temperature, "temperature") < math.inf:
        raise ValueError(
            f"temperature={shown(temperature)}: scores are divided by it; use a number above 0,"
            " such as 0.05"
        )


def check_scores(scores, least: int = 2) -> None:
    """Raise `ValueError` unless scores are finite (..., B, B), of `least` pairs or more."""
    shape = tuple(scores.shape)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"scores have the shape {shape}: give as many rows as columns, a first and a second"
            " view of each pair"
        )
    if shape[-1] < least:
        raise ValueError(
            f"a batch of {shape[-1]} has no negatives, so its loss is 0 and nothing is learned:"
            " give 2 pairs or more"
        )
    plain = scores.detach().cpu().double() if hasattr(scores, "detach") else scores
    bad = np.argwhere(~np.isfinite(np.asarray(plain)))
    if len(bad):
        raise ValueError(
            f"the score in row {bad[0][-2]}, column {bad[0][-1]} is NaN or infinite: look for such"
            " numbers in the views, or use a lower learning rate"
        )


def numbers(values) -> np.ndarray:
    """An array of numbers.

    Raises
    ------
    ValueError
        Something else, such as texts or rows of different length.
    """
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"scores={shown(values, 60)}: give an array of numbers (n, n)") from None
