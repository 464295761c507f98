"""A cascade that stops where several cheap models agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.decision import ABSTAINED, Choice, or_unparsed
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.votes import support


@dataclass(frozen=True)
class AgreementCascade(Policy):
    """Tiers of models: a tier that agrees gives the answer; otherwise the next tier is asked.

    Agreement needs no confidence and no training. A tier answers with its plurality where at least
    a share `agreement` of its members gave that answer (an absent member counts as disagreeing);
    the last tier always answers. Where no reply of any tier could be read, the first reply counts
    as the answer, and is wrong.

    Parameters
    ----------
    tiers : tuple of tuples of str
    agreement : float
        Share of a tier, in (0, 1].

    References
    ----------
    Kolawole et al., Agreement-based cascading for efficient inference, arXiv 2407.02348.
    """

    tiers: tuple[tuple[str, ...], ...]
    agreement: float = ranged(1.0, 0.0, 1.0, "share of a tier that must agree", 0.05)

    def __post_init__(self):
        super().__post_init__()
        tiers = self.tiers if isinstance(self.tiers, str) else several(self.tiers, "tiers")
        if isinstance(tiers, str) or any(isinstance(tier, str) for tier in tiers):
            raise ValueError(f"tiers={shown(tiers)}; give tuples of model names, none empty")
        tiers = tuple(tuple(several(tier, "a tier")) for tier in tiers)
        if not all(tiers):
            raise ValueError(f"tiers={shown(tiers)}; give tuples of model names, none empty")
        names = [name for tier in tiers for name in tier]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"tiers={shown(tiers)}; name each model once, and at least one")
        object.__setattr__(self, "tiers", tiers)

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(tier) for tier in self.tiers)

    def choose(self, outcomes: Outcomes) -> Choice:
        answer = require(outcomes, "answer", "AgreementCascade")
        rows = np.arange(len(outcomes))
        running = np.ones(len(outcomes), bool)
        chosen = np.full(len(outcomes), ABSTAINED)
        called = np.zeros(answer.shape, bool)
        for tier in self.tiers:
            columns = outcomes.columns(tier)
            called[np.ix_(running, columns)] = True
            votes = support(answer[:, columns].T, np.ones(len(tier)), len(outcomes.labels))
            best = votes.argmax(axis=0)  # the first member with the most votes
            share = votes[best, rows] / len(tier)
            chosen = np.where(running & (share > 0), columns[best], chosen)
            running &= ~((share > 0) & (share >= self.agreement - 1e-9))
        everybody = outcomes.columns([name for tier in self.tiers for name in tier])
        return Choice(or_unparsed(chosen, outcomes, everybody), called)
