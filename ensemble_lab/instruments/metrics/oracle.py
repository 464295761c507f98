"""How much of what an ideal choice among models would gain a policy gains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.shares import real


class OracleGain(NamedTuple):
    """How much of what an ideal choice would gain a policy has gained."""

    share: float
    accuracy: float
    best_single: float
    oracle: float
    chance_oracle: float


def oracle_gain(decision: Decision, outcomes: Outcomes, options=None) -> OracleGain:
    """Share of the oracle's gain over the best single model that a policy has.

    The oracle is right where any model is. With many models it is high by luck, so the accuracy of
    an oracle over random guessers stands beside it (`Outcomes.chance_oracle`).

    Parameters
    ----------
    decision : Decision
        Of a policy on all of `outcomes`, with an answer to every item.
    outcomes : Outcomes
        Its models are those that the policy could choose from.
    options : int or array-like (n,), optional
        Options of each item, as in `Outcomes.chance_oracle`.

    Returns
    -------
    share, accuracy, best_single, oracle, chance_oracle : float
        Over the items on which the answer is graded. The best single model is picked on these
        items, in hindsight. `share` is NaN where the oracle gains nothing, `chance_oracle` where
        the number of options is not known.

    Raises
    ------
    ValueError
        A decision on other models or another number of items, with items that have no answer, or
        without any grade.
    """
    graded = _graded(decision, outcomes)
    part = outcomes.take(graded)
    known = options is not None or bool(outcomes.labels) or "n_options" in outcomes.features
    if options is not None:
        options = real(options, "options")
        options = options[graded] if options.shape == graded.shape else options
    accuracy, single, oracle = decision.accuracy, part.best_single().accuracy, part.oracle()
    gain = oracle - single
    return OracleGain(
        share=(accuracy - single) / gain if gain > 1e-12 else np.nan,
        accuracy=accuracy,
        best_single=single,
        oracle=oracle,
        chance_oracle=part.chance_oracle(options) if known else np.nan,
    )


def _graded(decision: Decision, outcomes: Outcomes) -> np.ndarray:
    """(n,) bool: the items to compare on; refuses a decision that cannot be compared."""
    check_outcomes(outcomes)
    if not isinstance(decision, Decision):
        raise ValueError(
            f"decision is {shown(decision)}; give what policy.decide(outcomes) returns"
        )
    if decision.models != outcomes.models or len(decision) != len(outcomes):
        raise ValueError(
            f"the decision has {len(decision)} items and {len(decision.models)} models, and these"
            f" {len(outcomes)} items and {len(outcomes.models)} models are others; give the"
            " outcomes that were decided"
        )
    if decision.abstained.any():
        raise ValueError(
            f"{decision.abstained.sum()} of {len(decision)} items have no answer, so the accuracy"
            " is that of other items than the oracle's; give a policy that answers all of them"
        )
    graded = ~np.isnan(decision.correct)
    if not graded.any():
        raise ValueError("no answer of this decision is graded; give outcomes with correct")
    return graded
