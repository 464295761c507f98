"""In-batch contrastive loss and recall, from the scores of a batch of pairs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.finite import TINY
from ensemble_lab.models.settings import number, whole
from ensemble_lab.training.batched.losses import learns, weighted_mean
from ensemble_lab.training.inputs.targets import as_array, numbers, one_a_row

if TYPE_CHECKING:
    import torch

NO_NEGATIVES = "a batch of {} has no negatives, so its loss is 0 and nothing is learned: "


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
    >>> round(contrastive_loss([[1.0, 1.0], [1.0, 1.0]]).item(), 4)  # log 2
    0.6931
    """
    require("the contrastive loss", "torch")
    import torch

    checked = square(scores)
    if not isinstance(scores, torch.Tensor):
        scores = torch.as_tensor(checked.astype(float))
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()  # half precision overflows where the temperature is low
    check_temperature(temperature)
    left_out = None
    if classes is not None:
        left_out = same_class(torch.as_tensor(class_codes(classes, scores.shape[-1])))
        left_out = left_out.to(scores.device)
    return surprise(scores, temperature, left_out, symmetric).mean(-1)


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
    scores = square(scores, least=1)
    n = scores.shape[-1]
    if not 1 <= whole(k, "k") <= n:
        raise ValueError(f"k={shown(k)}: use a whole number from 1 to {n}, the number of columns")
    own = np.diagonal(scores, axis1=-2, axis2=-1)[..., None]
    better, equal = (scores > own).sum(-1), (scores == own).sum(-1)
    found = np.clip((k - better) / equal, 0, 1).mean(-1)
    return float(found) if found.ndim == 0 else found


def surprise(scores, temperature: float, left_out=None, symmetric: bool = False) -> torch.Tensor:
    """Surprise (..., B) at the diagonal of scores (..., B, B), without the columns `left_out`."""

    def at(gaps, dim):
        gaps = gaps / max(float(temperature), TINY)
        if left_out is not None:
            gaps = gaps.masked_fill(left_out, -math.inf)
        return gaps.logsumexp(dim)

    # Relative to the partner's own score, so that no temperature gives infinity minus infinity.
    own = scores.diagonal(dim1=-2, dim2=-1)
    found = at(scores - own[..., :, None], -1)
    return (found + at(scores - own[..., None, :], -2)) / 2 if symmetric else found


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
    return weighted_mean(surprise(first @ second.mT, temperature, left_out, symmetric), weights)


def class_codes(classes, count: int) -> np.ndarray:
    """Codes 0, 1, … (count,) of classes.

    Raises
    ------
    ValueError
        Another number of them, or only one class, so that no negative is left.
    """
    found = one_a_row(classes, "classes")
    if found.shape != (count,):
        raise ValueError(
            f"classes={shown(classes, 60)} is not one class for each of {count} pairs: give"
            f" {count} of them"
        )
    if (gaps := pd.isna(found)).any():
        raise ValueError(
            f"the class of pair {gaps.argmax()} is missing (NaN or None): leave such pairs out"
        )
    try:
        names, codes = np.unique(found, return_inverse=True)
    except TypeError:
        raise ValueError(
            f"classes={shown(classes, 60)} mixes kinds that have no order: make them one kind"
        ) from None
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


def square(scores, least: int = 2) -> np.ndarray:
    """Scores (..., B, B) as finite numbers, of `least` pairs or more.

    Raises
    ------
    ValueError
        Something else, such as views of different length, one pair, NaN, or a frame whose columns
        are in another order than its rows.
    """
    if isinstance(scores, pd.DataFrame):
        rows, columns = list(scores.index), list(scores.columns)
        if rows != columns and Counter(rows) == Counter(columns):
            raise ValueError(
                "the rows and columns of scores have the same names in another order, so partners"
                " are not on the diagonal: give scores[scores.index], or scores.to_numpy() if they"
                " are"
            )
    found = array_of(scores, "scores", "give an array of numbers (n, n)")
    if found.ndim < 2 or found.shape[-1] != found.shape[-2] or not found.size:
        raise ValueError(
            f"scores have the shape {found.shape}: give as many rows as columns, a first and a"
            " second view of each pair"
        )
    if found.shape[-1] < least:
        raise ValueError(NO_NEGATIVES.format(found.shape[-1]) + "give 2 pairs or more")
    if len(bad := np.argwhere(~np.isfinite(found))):
        raise ValueError(
            f"the score in row {bad[0][-2]}, column {bad[0][-1]} is NaN or infinite: look for such"
            " numbers in the views, or use a lower learning rate"
        )
    return found


def array_of(values, what: str, fix: str) -> np.ndarray:
    """Numbers of any kind as a numpy array; gaps are NaN.

    Raises
    ------
    ValueError
        Something else, such as texts or rows of different length; it ends in `fix`.
    """
    if not hasattr(values, "__array__"):
        values = several(values, what)
    try:
        array = as_array(values)
    except ValueError:
        raise ValueError(f"{what} has rows of different length: {fix}") from None
    return numbers(array, what, fix)
