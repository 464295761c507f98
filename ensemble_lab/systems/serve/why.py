"""Which rule of a policy gave an answer."""

from __future__ import annotations

from collections.abc import Mapping

from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.routing.router import Router
from ensemble_lab.answers.voting import Vote
from ensemble_lab.core.decision import COMBINED, Decision
from ensemble_lab.core.policy import Policy
from ensemble_lab.systems.serve.hearing import Heard


def explained(
    policy: Policy, decision: Decision, heard: Mapping[str, Heard], question: str, row, group
) -> str:
    """Which rule gave this answer, in one line."""
    chosen = int(decision.chosen[0])
    by = decision.models[chosen] if chosen >= 0 else "combined" if chosen == COMBINED else "nobody"
    if isinstance(policy, Cascade):
        parts = []
        for name, level in zip(policy.order, (*policy.thresholds, None), strict=True):
            if name in heard:
                sure = heard[name].line["confidence"]
                said = "unknown" if sure is None else f"{sure:.3f}"
                bar = f" against {level:g}" if isinstance(level, int | float) else ""
                parts.append(f"{name} {said}{bar}")
        return f"{'; '.join(parts)}: {by} answered"
    if isinstance(policy, Vote):
        answers = [one.line.get("answer") for one in heard.values()]
        votes = sum(one == decision.answers[0] for one in answers)
        return f"{votes} of {len(answers)} gave the answer of {by}"
    if isinstance(policy, Router) and question.strip():
        return policy.route(question, features=row, group=group).why
    return f"{type(policy).__name__}: {by} answered"
