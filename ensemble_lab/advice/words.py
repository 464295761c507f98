"""A policy and what it promises, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.answers.cascades.agreement import AgreementCascade
from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.diversity import error_correlation, mean_pairwise
from ensemble_lab.answers.routing.selectors import LearnedSelector
from ensemble_lab.core.errors import excerpt
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy

if TYPE_CHECKING:
    from ensemble_lab.advice.advice import Advice
    from ensemble_lab.advice.scores import Scores

TEMPTING = ("vote", "committee", "stacking", "cascade", "router", "selector")


def described(policy: Policy | OnlinePolicy, name: str) -> str:
    """What a fitted policy does, as an instruction; by its name where that says it best."""
    if isinstance(policy, Cascade):
        return _cascade(policy)
    if isinstance(policy, AgreementCascade):
        first, last = policy.tiers[0], policy.tiers[-1]
        return f"ask {listed(first)}; where they do not agree ask {listed(last)}"
    if isinstance(policy, LearnedSelector):
        return (
            f"ask {excerpt(policy.big, 40)} where {excerpt(policy.small, 40)} is right with a"
            f" predicted chance below {policy.threshold:g}, else {excerpt(policy.small, 40)}"
        )
    if isinstance(policy, OnlinePolicy):
        return f"let {name} choose a model for each request, and tell it the grades"
    members = getattr(policy, "members", None) or getattr(policy, "order", None)
    return f"use the {name}" + (f" ({listed(members)})" if members else "")


def _cascade(policy: Cascade) -> str:
    steps = [f"ask {excerpt(policy.order[0], 40)}"]
    for level, name in zip(policy.thresholds, policy.order[1:], strict=True):
        below = (
            f"below {level:.3g}" if isinstance(level, float | int) else "below its label's level"
        )
        steps.append(f"{below} ask {excerpt(name, 40)}")
    return "; ".join(steps)


def listed(names: Sequence[str], most: int = 4) -> str:
    """A few names in words."""
    short = [excerpt(name, 40) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(short)} and {len(names) - most} more"
    return " and ".join([", ".join(short[:-1]), short[-1]] if len(short) > 1 else short)


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage; one below 1 is never rounded to 100 %."""
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:
        return f"over {100 - 10**-digits:.{digits}f} %"
    return f"{text} %"


def counted(number: float, what: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{number:,.0f} {what}" + ("" if number == 1 else "s")


def bargain_told(advice: Advice) -> str:
    """What costs less and cannot be told from the advised candidate, in words; or nothing."""
    cheaper = advice.bargain()
    if not cheaper:
        return ""
    known = advice.frontier.set_index("candidate").loc
    one, other = known[cheaper], known[advice.chosen]
    return (
        f"Cheaper: {excerpt(cheaper, 60)} costs {100 * one['cost'] / other['cost']:.3g} % of that"
        f" and is right on {percent(one['accuracy'])}, the advised one on"
        f" {percent(other['accuracy'])} of the same rows: within one standard error."
    )


def what_not(outcomes: Outcomes, scores: Scores, families: dict[str, str], means: np.ndarray,
             costs: np.ndarray, single: int) -> str:  # fmt: skip
    """The most tempting candidate that loses against the best single model, and why.

    Votes and other ways of asking everybody tempt first; then cascades and routers.
    """
    for wanted in (TEMPTING[:3], TEMPTING[3:]):
        losing = [j for j, name in enumerate(scores.names)
                  if families[name] in wanted and means[j] < means[single]]  # fmt: skip
        if not losing:
            continue
        worst = min(losing, key=lambda j: means[j])
        lost = 100 * float(means[single] - means[worst])
        text = (
            f"{excerpt(scores.names[worst], 60)} would lose {lost:.1f} points against"
            f" {excerpt(scores.names[single], 40)}"
        )
        if costs[single] > 0 and np.isfinite(costs[worst]):
            text += f" at {costs[worst] / costs[single]:.2g} times its price"
        return text + _reason(outcomes, families[scores.names[worst]])
    return ""


def _reason(outcomes: Outcomes, family: str) -> str:
    if family not in TEMPTING[:3] or len(outcomes.models) > 200:
        return ""
    known = outcomes.accuracy()
    together = mean_pairwise(error_correlation(outcomes))
    spread = 100 * float(np.nanmax(known) - np.nanmin(known))
    parts = [] if np.isnan(together) else [f"errors correlate at {together:.2g}"]
    parts.append(f"the models differ by {spread:.1f} points")
    return ": " + " and ".join(parts)
