"""How evenly experts are used: losses to train with, and figures to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.experts.routing import Routing

if TYPE_CHECKING:
    import torch


def balance_loss(routings: Routing | Sequence[Routing]) -> torch.Tensor:
    """Auxiliary loss of balance: the mean over layers of E sum f_e P_e.

    f_e is the share of choices that fell on expert e, dropped or not, and P_e the mean of its
    probability over all tokens. The loss is 1 where the use is even, and with k = 1 it is E where
    one sure expert is always chosen. Its gradient comes from P_e alone.

    Each layer is taken by itself. Where layers are pooled before the product, as in transformers,
    two layers that always use one expert each, but different ones, count as half as uneven as they
    are. There the shares also sum to k, so the loss is k at balance.

    Parameters
    ----------
    routings : Routing or sequence of Routing
        Of one layer, or of each layer.

    Returns
    -------
    () tensor

    Raises
    ------
    ValueError
        There is no routing, or one without tokens.

    References
    ----------
    Fedus, Zoph and Shazeer, Switch transformers: scaling to trillion parameter models with simple
    and efficient sparsity, JMLR 2022 (equations 4 to 6).
    """
    import torch

    losses = []
    for routing in each(routings):
        mean = routing.probabilities.flatten(0, -2).mean(0)
        share = routing.counts.to(mean) / routing.choices.numel()
        losses.append(len(mean) * (share * mean).sum())
    return torch.stack(losses).mean()


def router_z_loss(routings: Routing | Sequence[Routing]) -> torch.Tensor:
    """Mean over tokens and layers of logsumexp(logits)², which keeps logits small.

    Parameters, returned tensor and errors are those of `balance_loss`.

    References
    ----------
    Zoph et al., ST-MoE: designing stable and transferable sparse expert models, 2022 (equation 5).
    """
    import torch

    return torch.stack([of.logits.logsumexp(-1).square().mean() for of in each(routings)]).mean()


def max_violation(counts) -> float:
    """MaxVio: how far the busiest expert is above the mean, as a share of the mean.

    0 is even use; E - 1 is one expert for everything.

    Parameters
    ----------
    counts : Routing, or (E,) sequence
        How often each expert was chosen.

    Raises
    ------
    ValueError
        Nothing was chosen, or counts are negative.

    References
    ----------
    Wang et al., Auxiliary-loss-free load balancing strategy for mixture-of-experts, 2024.
    """
    shares = shares_of(counts)
    return float(shares.max() * len(shares) - 1)


def usage_entropy(counts) -> float:
    """Entropy of the experts' use, in nats: from 0 to log E.

    Its exponential is the number of experts that would be used if all of them were used evenly.
    Parameters and errors are those of `max_violation`.
    """
    shares = shares_of(counts)
    used = shares[shares > 0]
    return float(-(used * np.log(used)).sum()) + 0.0  # not -0.0


def shares_of(counts) -> np.ndarray:
    """The shares (E,) of all choices that each expert has."""
    if isinstance(counts, Routing):
        counts = counts.counts.tolist()
    try:
        found = np.asarray(counts, float)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any() or not found.sum():
        raise ValueError(
            f"counts={shown(counts, 60)}: give how often each expert was chosen, or a routing"
        )
    return found / found.sum()


def each(routings) -> list[Routing]:
    """The routings as a list; refuses what is none."""
    found = [routings] if isinstance(routings, Routing) else list(_several(routings))
    for one in found:
        if not isinstance(one, Routing) or not one.choices.numel():
            raise ValueError(
                f"{shown(one, 60)} is no routing with tokens: give what layers of experts return,"
                " and leave dense layers out"
            )
    if not found:
        raise ValueError("there is no routing: give one for each layer of experts")
    return found


def _several(routings):
    return routings if isinstance(routings, (list, tuple)) else [routings]
