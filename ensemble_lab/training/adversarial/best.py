"""The best discriminator of a fixed generator."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr, xlogy

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.targets import check_order, numbers


class BestDiscriminator(NamedTuple):
    """The best discriminator, and what it says of the generator.

    Parameters
    ----------
    probability : (k,) array
        That an outcome is real; NaN for an outcome that neither data nor generator have, for which
        any answer is best.
    value : float
        The mean log D of data plus the mean log(1 - D) of the generator's outcomes, in nats.
    divergence : float
        Jensen-Shannon divergence of the two, in nats: from 0 to log 2. The value is twice this,
        minus log 4.
    """

    probability: np.ndarray
    value: float
    divergence: float


def best_discriminator(p_data, p_generator) -> BestDiscriminator:
    """D(x) = p_data(x) / (p_data(x) + p_generator(x)), which no discriminator can beat.

    A generator that writes the data's distribution leaves it a probability of 1/2 everywhere and
    the value -log 4; one that shares no outcome with the data leaves it certainty and the value 0.

    Parameters
    ----------
    p_data, p_generator : (k,) array
        Probabilities of k outcomes; each sum to 1.

    Raises
    ------
    ValueError
        Negative numbers or NaN, other sums, lengths that differ, or outcomes in another order.

    References
    ----------
    Goodfellow et al., Generative adversarial nets, NeurIPS 2014 (proposition 1 and theorem 1).

    Examples
    --------
    >>> best_discriminator([0.5, 0.5, 0.0], [0.25, 0.25, 0.5]).probability.round(3).tolist()
    [0.667, 0.667, 0.0]
    >>> best_discriminator([0.5, 0.5], [0.5, 0.5]).value == -math.log(4)
    True
    """
    check_order(p_data, p_generator, "p_generator", "p_data")
    p, q = _distribution(p_data, "p_data"), _distribution(p_generator, "p_generator")
    if len(p) != len(q):
        raise ValueError(
            f"p_data has {len(p)} outcomes and p_generator {len(q)}: give the same outcomes to both"
        )
    whole = p + q
    d = np.divide(p, whole, out=np.full(len(p), math.nan), where=whole > 0)
    other = np.divide(q, whole, out=np.full(len(p), math.nan), where=whole > 0)  # 1 - d, unrounded
    value = float(xlogy(p, np.nan_to_num(d)).sum() + xlogy(q, np.nan_to_num(other)).sum())
    divergence = float(rel_entr(p, whole / 2).sum() + rel_entr(q, whole / 2).sum()) / 2
    return BestDiscriminator(d, value, divergence)


def _distribution(p, what: str) -> np.ndarray:
    p = numbers(p, what, "give probabilities as a list of numbers").astype(float)
    if p.ndim != 1 or not len(p):
        raise ValueError(f"{what} has shape {shown(p.shape)}: give a list of probabilities")
    wrong = ~(p >= 0)  # NaN too
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{what} is {p[row]:g} at {row}: give probabilities of 0 or more")
    if not abs(p.sum() - 1) < 1e-6:
        raise ValueError(f"{what} adds up to {p.sum():g}: give {what} / sum({what}), which is 1")
    return p / p.sum()
