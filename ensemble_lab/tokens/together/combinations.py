"""How the next-token distributions of several models become one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.settings import number

if TYPE_CHECKING:
    import torch


class Combination(ABC):
    """What the combinations have in common.

    Attributes
    ----------
    roles : tuple of str
        The models that it needs, in this order; empty where any number will do.
    """

    roles: tuple[str, ...] = ()

    def check(self, models: int) -> None:
        """Raise `ValueError` unless it can combine so many models."""
        if self.roles and models != len(self.roles):
            raise ValueError(
                f"{type(self).__name__} takes {len(self.roles)} models ({', '.join(self.roles)}),"
                f" not {models}"
            )

    @abstractmethod
    def combined(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities (…, V) from the logits (…, V) of every model."""


@dataclass(frozen=True)
class Averaging(Combination):
    """The weighted arithmetic mean of the models' probabilities.

    Parameters
    ----------
    weights : sequence of float, optional
        One a model, from 0 up; they are divided by their sum. By default all are equal.

    Raises
    ------
    ValueError
        A weight that is negative or not finite, weights that sum to 0, or, with the models, another
        number of weights than of models.

    Examples
    --------
    >>> import torch
    >>> p, q = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    >>> [round(x, 3) for x in Averaging((3, 1)).combined([p.log(), q.log()]).exp().tolist()]
    [0.325, 0.275, 0.225, 0.175]
    """

    weights: Sequence[float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "weights", _checked_weights(self.weights))

    def check(self, models):
        _check_count(self.weights, models)

    def combined(self, logits):
        import torch

        scores = [
            one.log_softmax(-1) + math.log(share)
            for one, share in zip(logits, shares_of(self.weights, len(logits)), strict=True)
            if share
        ]
        return torch.stack(scores).logsumexp(0)


@dataclass(frozen=True)
class ProductOfExperts(Combination):
    """The weighted geometric mean of the models' probabilities, normalised.

    A token to which one model gives 0 has probability 0.

    Parameters
    ----------
    weights : sequence of float, optional
        As in `Averaging`.

    Raises
    ------
    ValueError
        As in `Averaging`.

    References
    ----------
    Hinton, Training products of experts by minimizing contrastive divergence, 2002. There the
    product is not rooted: its weights are 1, here they sum to 1.
    """

    weights: Sequence[float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "weights", _checked_weights(self.weights))

    def check(self, models):
        _check_count(self.weights, models)

    def combined(self, logits):
        scores = sum(
            share * one.log_softmax(-1)
            for one, share in zip(logits, shares_of(self.weights, len(logits)), strict=True)
            if share
        )
        return scores.log_softmax(-1)


@dataclass(frozen=True)
class ContrastiveDecoding(Combination):
    """What an expert finds likelier than an amateur, among the tokens plausible to the expert.

    First only the tokens x with p(x) >= alpha max p are kept, p the expert's distribution. With s
    the logits, their score is then

    - ``"original"``: log p(x) - beta s_amateur(x) (Li et al.),
    - ``"reasoning"``: (1 + beta) s_expert(x) - beta s_amateur(x) (O'Brien and Lewis).

    beta = 0 is the expert within the plausible tokens, and so is an amateur that equals the expert
    in the second form. alpha = 1 is the expert's likeliest token.

    Parameters
    ----------
    beta : float
        From 0 up: the strength of the contrast.
    alpha : float
        In [0, 1]; 0 keeps all tokens.
    form : {"reasoning", "original"}

    Raises
    ------
    ValueError
        A number out of its range, another form, or, with the models, not an expert and an amateur.

    References
    ----------
    Li et al., Contrastive decoding: open-ended text generation as optimization, ACL 2023; there
    beta is lambda over the amateur's temperature. O'Brien and Lewis, Contrastive decoding improves
    reasoning in large language models, 2023.

    Examples
    --------
    The third token is the one that the expert likes more than the amateur does, and plausible:

    >>> import torch
    >>> expert, amateur = torch.tensor([0.5, 0.1, 0.35, 0.05]), torch.tensor([0.6, 0.2, 0.1, 0.1])
    >>> rule = ContrastiveDecoding(1.0, alpha=0.5, form="original")
    >>> [round(x, 3) for x in rule.combined([expert.log(), amateur.log()]).exp().tolist()]
    [0.192, 0.0, 0.808, 0.0]
    """

    beta: float = 0.5
    alpha: float = 0.1
    form: str = "reasoning"
    roles = ("expert", "amateur")

    def __post_init__(self):
        _check_strength("beta", self.beta)
        if not 0 <= number(self.alpha, "alpha") <= 1:
            raise ValueError(f"alpha={self.alpha} is not in [0, 1]; 0 keeps all tokens")
        if self.form not in ("reasoning", "original"):
            raise ValueError(f'form={shown(self.form)}; use "reasoning" or "original"')

    def combined(self, logits):
        expert, amateur = logits[0].log_softmax(-1), logits[1]
        least = math.log(self.alpha) if self.alpha else -math.inf
        kept = (expert >= expert.amax(-1, keepdim=True) + least) & (expert > -math.inf)
        scores = expert * (1 + self.beta) if self.form == "reasoning" else expert
        if self.beta:
            scores = scores - self.beta * amateur
        return scores.where(kept, -math.inf).log_softmax(-1)


@dataclass(frozen=True)
class ProxyTuning(Combination):
    """A base model, shifted by what tuning changed in a smaller one.

    With s the logits: s_base + alpha (s_tuned - s_untuned).

    Parameters
    ----------
    alpha : float
        From 0 up; 0 is the base model.

    Raises
    ------
    ValueError
        An alpha out of its range or, with the models, not a base, a tuned and an untuned model.

    References
    ----------
    Liu et al., Tuning language models by proxy, COLM 2024. Liu et al., DExperts: decoding-time
    controlled text generation with experts and anti-experts, ACL 2021.
    """

    alpha: float = 1.0
    roles = ("base", "tuned", "untuned")

    def __post_init__(self):
        _check_strength("alpha", self.alpha)

    def combined(self, logits):
        base, tuned, untuned = logits
        if not self.alpha:
            return base.log_softmax(-1)
        scores = base + self.alpha * (tuned - untuned)
        return scores.where(base > -math.inf, -math.inf).log_softmax(-1)


def _checked_weights(weights) -> tuple[float, ...] | None:
    if weights is None:
        return None
    found = tuple(number(weight, "a weight") for weight in several(weights, "weights"))
    if any(not 0 <= weight < math.inf for weight in found):
        raise ValueError(f"weights={shown(found)} holds one that is not from 0 up")
    if not sum(found):
        raise ValueError(f"weights={shown(found)} sum to 0; give one model a weight above 0")
    return found


def _check_count(weights: Sequence[float] | None, models: int) -> None:
    if weights is not None and len(weights) != models:
        raise ValueError(f"{len(weights)} weights for {models} models; give one a model")


def shares_of(weights: Sequence[float] | None, models: int) -> list[float]:
    """Weights that sum to 1."""
    weights = weights or [1] * models
    return [weight / sum(weights) for weight in weights]


def _check_strength(name: str, value: float) -> None:
    if not 0 <= number(value, name) < math.inf:
        raise ValueError(f"{name}={value} is not a finite number from 0 up; 0 changes nothing")
