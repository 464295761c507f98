"""Token-level deferral: a small model writes, and where it is unsure a large one writes the token.

A rule looks at the small model's distribution q of the next token and says whether to ask the large
model. What is written then follows p, the large model's distribution, and elsewhere q. Whether to
ask depends on the text alone, so the combined distribution is known at every position, and any
draft can be verified against it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.models.settings import number
from ensemble_lab.tokens.together.combinations import Combination

if TYPE_CHECKING:
    import torch

FEATURES = ("max probability", "margin", "entropy")


class TokenDeferral(Combination):
    """What the rules have in common."""

    roles = ("large", "small")

    @abstractmethod
    def asks(self, small: torch.Tensor) -> torch.Tensor:
        """Whether to ask the large model (…), from the small one's logits (…, V)."""

    def combined(self, logits):
        large, small = logits
        return (large.where(self.asks(small)[..., None], small)).log_softmax(-1)


@dataclass(frozen=True)
class ConfidenceDeferral(TokenDeferral):
    """Ask the large model where the small one's confidence is below a threshold.

    The confidence is in [0, 1], computed from q at temperature 1, whatever temperature is sampled:

    - ``"max probability"``: max q,
    - ``"margin"``: max q less the second largest probability,
    - ``"entropy"``: 1 - H(q) / log V, H the entropy and V the number of tokens.

    Parameters
    ----------
    measure : {"max probability", "margin", "entropy"}
    threshold : float
        In [0, 1]: 0 is the small model, 1 the large one.

    Raises
    ------
    KeyError
        There is no measure of this name.
    ValueError
        A threshold outside [0, 1].

    Notes
    -----
    As a combination (`CombinedModel`) it works with any draft and keeps its distribution, but both
    models read every token. `defer_tokens` reads with the large one only where it is asked.

    References
    ----------
    Zhang et al., Fast and slow generating: an empirical study on large and small language models
    collaborative decoding, 2024.

    Examples
    --------
    >>> import torch
    >>> sure, unsure = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]]).log()
    >>> rule = ConfidenceDeferral("max probability", 0.5)
    >>> rule.asks(torch.stack([sure, unsure])).tolist()
    [False, True]
    """

    measure: str = "max probability"
    threshold: float = 0.6

    def __post_init__(self):
        check_known(self.measure, FEATURES, "measure", "package")
        check_threshold(self.threshold)

    def asks(self, small):
        found = features_of(small)[..., FEATURES.index(self.measure)]
        if self.measure == "entropy":
            found = 1 - found / math.log(max(small.shape[-1], 2))
        threshold = float(self.threshold)
        return (found < threshold) | (threshold == 1)


@dataclass(frozen=True)
class LearnedDeferral(TokenDeferral):
    """Ask the large model where a gate finds it likely that the small one would write wrongly.

    The gate is a logistic regression on three features of q at temperature 1: its maximum, the
    margin to the second largest, and the entropy in nats. z = weights · features + bias, and the
    large model is asked where sigmoid(z) > threshold. `fit_deferral` learns one.

    Parameters
    ----------
    weights : sequence of three float
    bias : float
    threshold : float
        In [0, 1]: 0 is the large model, 1 the small one.
    trained_on : str
        What the gate was learned from, for labelling results.

    Raises
    ------
    ValueError
        Not three finite weights, a bias that is not finite, a threshold outside [0, 1], or a
        description that is not text.

    Notes
    -----
    The gate of Co-LLM reads the small model's last states; this one reads its logits, so that it
    works on a reader of any models. For its costs see `ConfidenceDeferral`.

    References
    ----------
    Shen et al., Learning to decode collaboratively with multiple language models, ACL 2024.

    Examples
    --------
    A gate that asks where the largest probability is below one half:

    >>> import torch
    >>> rule = LearnedDeferral((-20, 0, 0), 10)
    >>> q = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    >>> [round(x, 2) for x in rule.chances(q.log()).tolist()]
    [0.0, 0.88]
    """

    weights: Sequence[float]
    bias: float
    threshold: float = 0.5
    trained_on: str = "not said"

    def __post_init__(self):
        found = tuple(number(weight, "a weight") for weight in several(self.weights, "weights"))
        if len(found) != len(FEATURES) or not all(map(math.isfinite, found)):
            raise ValueError(
                f"weights={shown(found)}; give three finite numbers, for {', '.join(FEATURES)}"
            )
        object.__setattr__(self, "weights", found)
        if not math.isfinite(number(self.bias, "bias")):
            raise ValueError(f"bias={self.bias} is not finite")
        check_threshold(self.threshold)
        if not isinstance(self.trained_on, str):
            raise ValueError(f"trained_on={shown(self.trained_on)} is not text")

    def scores(self, small: torch.Tensor) -> torch.Tensor:
        """Z (…) from logits (…, V)."""
        import torch

        found = features_of(small)
        return found @ torch.tensor(self.weights).to(found) + float(self.bias)

    def chances(self, small: torch.Tensor) -> torch.Tensor:
        """The chance (…) that the small model would write another token, from logits (…, V)."""
        return self.scores(small).sigmoid()

    def asks(self, small):
        threshold = float(self.threshold)
        least = {0.0: -math.inf, 1.0: math.inf}.get(threshold)
        if least is None:  # compared as z, which does not round to 0 or 1
            least = math.log(threshold) - math.log1p(-threshold)
        return self.scores(small) > least


def features_of(logits: torch.Tensor) -> torch.Tensor:
    """The features (…, 3) of distributions given as logits (…, V), at temperature 1."""
    import torch

    q = logits.softmax(-1)
    first, second = q.topk(2).values.unbind(-1) if q.shape[-1] > 1 else (q[..., 0], 0 * q[..., 0])
    entropy = -torch.xlogy(q, q).sum(-1)
    return torch.stack([first, first - second, entropy], -1)


def check_threshold(threshold: float) -> None:
    """Raise `ValueError` for a threshold outside [0, 1]."""
    if not 0 <= number(threshold, "threshold") <= 1:
        raise ValueError(f"threshold={threshold} is not in [0, 1]; its ends are the two models")
