"""A cascade that keeps what it paid for: an escalated item is answered by all stages together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ensemble_lab.answers.cascades.cascade import Cascade, Threshold
from ensemble_lab.answers.voting import voted
from ensemble_lab.core.decision import Choice
from ensemble_lab.core.errors import check_known
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged
from ensemble_lab.core.required import check_outcomes, require


@dataclass(frozen=True)
class CombiningCascade(Policy):
    """A `Cascade` whose escalated items are answered by a vote of all stages that were asked.

    Each stage votes for its answer with its weight times its confidence. A plain cascade ignores
    the answers of the earlier stages although they are paid for. A tie goes to the later stage. The
    last stage also needs a confidence here: an answer without one has a confidence of 1.

    Parameters
    ----------
    order, thresholds
        As in `Cascade`.
    weights : mapping of model to float, optional
        Learned by `fit`: each model's accuracy. By default equal.

    References
    ----------
    Wang et al., Tabi: An efficient multi-level inference system for large language models, EuroSys
    2023.
    """

    order: tuple[str, ...]
    thresholds: tuple[Threshold, ...] = ranged((), 0.0, 2.0, "defer below this confidence", 0.01)
    weights: Mapping[str, float] | None = ranged(None, 0.0, 1e12, "weight of each stage")

    def __post_init__(self):
        super().__post_init__()
        cascade = Cascade(self.order, self.thresholds)
        object.__setattr__(self, "order", cascade.order)
        object.__setattr__(self, "thresholds", cascade.thresholds)
        for name in self.weights or ():
            check_known(name, self.order, "model", "order, but in weights")

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn the weights: each model's accuracy on `outcomes`."""
        check_outcomes(outcomes)
        accuracy = outcomes.accuracy()[outcomes.columns(self.order)]
        return replace(self, weights=dict(zip(self.order, accuracy.tolist(), strict=True)))

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in self.order)

    def choose(self, outcomes: Outcomes) -> Choice:
        require(outcomes, "answer", "CombiningCascade")
        sure = require(outcomes, "confidence", "CombiningCascade")
        called = Cascade(self.order, self.thresholds).choose(outcomes).called
        columns = outcomes.columns(self.order)[::-1]  # a tie goes to the first of them
        weights = self.weights or dict.fromkeys(self.order, 1.0)
        weight = np.array([weights.get(name, 1.0) for name in self.order[::-1]])
        weight = weight * np.nan_to_num(sure[:, columns], nan=1.0)
        return voted(outcomes, columns, called[:, columns], weight, "CombiningCascade")
