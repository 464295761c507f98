"""Which policies a table allows: the candidates of an advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensemble_lab.advice.bandits import bandits
from ensemble_lab.advice.recipes import (
    AgreeThenAsk,
    AmongBest,
    LearnedCascade,
    PairCascade,
    SmallOrBest,
    by_price,
    prices,
)
from ensemble_lab.answers.cascades.budget import BudgetCascade
from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.committees.best_of import BestOfN
from ensemble_lab.answers.committees.chain import ChainEnsemble
from ensemble_lab.answers.committees.stopping import AdaptiveConsistency
from ensemble_lab.answers.routing.budgeted import BudgetRouter
from ensemble_lab.answers.routing.features import numeric_names
from ensemble_lab.answers.routing.groups import ClusterRouter, GroupRouter
from ensemble_lab.answers.routing.labels import LabelRouter
from ensemble_lab.answers.routing.neighbours import DynamicSelection, NeighbourRouter
from ensemble_lab.answers.routing.predicted import FactorRouter, GapRouter, QualityRouter
from ensemble_lab.answers.stacking import MOST_LABELS, StackedAnswers
from ensemble_lab.answers.voting import (
    MajorityVote,
    MaxVote,
    MeanVote,
    MedianVote,
    MinVote,
    ProductVote,
    RankVote,
    WeightedVote,
)
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.scales import scale_fault

PAIRED = 4  # models of which every pair gets a cascade of its own
TOGETHER = 12  # most models that are asked together; of more the best of the fit
STACKED = 150  # members times labels: above it stacking takes minutes
SHARES = (0.1, 0.25, 0.5)  # of the most expensive model's price: budgets of cascades and routers


@dataclass(frozen=True)
class Candidate:
    """A policy that is tried.

    Parameters
    ----------
    name : str
        What a reader calls it, such as ``"cascade small → big"``.
    family : str
        ``"single"``, ``"vote"``, ``"cascade"``, ``"selector"``, ``"router"``, ``"stacking"``,
        ``"committee"`` or ``"online"``.
    policy : Policy or OnlinePolicy
        Not fitted. What `fit` returns may be of another class.
    """

    name: str
    family: str
    policy: Policy | OnlinePolicy


def candidates(
    outcomes: Outcomes,
    thorough: bool = False,
    *,
    budget: float | None = None,
    online: bool = False,
) -> tuple[Candidate, ...]:
    """Every policy that the fields of `outcomes` allow; grades and truth are not looked at.

    Parameters
    ----------
    outcomes : Outcomes
    thorough : bool
        Also policies that take longer, or that are seldom the best.
    budget : float, optional
        Mean USD an item: cascades and routers within it are added.
    online : bool
        Whether the items are in the order of time, so that policies that learn while they answer
        can be judged.

    Returns
    -------
    tuple of Candidate
        The single models first.

    Examples
    --------
    >>> table = Outcomes(models=["small", "big"], items=[0, 1], correct=[[1, 1], [0, 1]],
    ...                  confidence=[[0.9, 1], [0.4, 1]], cost=[[1, 10], [1, 10]])
    >>> [c.name for c in candidates(table)][:3]
    ['small', 'big', 'cascade small → big']
    """
    check_outcomes(outcomes)
    singles = [Candidate(name, "single", Cascade((name,))) for name in outcomes.models]
    if len(singles) < 2:
        return tuple(singles)
    found = [
        *_votes(outcomes, thorough),
        *_cascades(outcomes, thorough, _budgets(outcomes, budget)),
        *_routers(outcomes, thorough, _budgets(outcomes, budget)),
        *_stacking(outcomes, thorough),
        *_committees(outcomes, thorough),
    ]
    if online:
        found += (Candidate(k, "online", v) for k, v in bandits(outcomes, thorough).items())
    return tuple(singles + found)


def _votes(outcomes: Outcomes, thorough: bool) -> Iterator[Candidate]:
    m, sure = len(outcomes.models), outcomes.confidence is not None and not scale_fault(outcomes)
    answers = outcomes.answer is not None
    kinds: dict[str, Policy] = {}
    if answers and m > 2:
        kinds |= {"majority vote": MajorityVote(), "weighted vote": WeightedVote()}
    if outcomes.probability is not None or (answers and sure):
        kinds["mean of probabilities"] = MeanVote()
        if m == 2 or thorough:
            kinds["most confident answer"] = MaxVote()
        if thorough:
            kinds |= {"product of probabilities": ProductVote(), "lowest wins": MinVote()}
            kinds["median of probabilities"] = MedianVote()
    if thorough and outcomes.probability is not None:
        kinds["Borda count"] = RankVote()
    for name, policy in kinds.items():
        everybody = f"{name} of all" if m <= TOGETHER else f"{name} of the best {TOGETHER}"
        yield Candidate(everybody, "vote", policy if m <= TOGETHER else AmongBest(policy, TOGETHER))
    for size in (3, 5, 7) if thorough else (3, 5):
        if answers and size < min(m, TOGETHER):
            policy = AmongBest(WeightedVote(), size)
            yield Candidate(f"weighted vote of the best {size}", "vote", policy)


def _cascades(outcomes: Outcomes, thorough: bool, budgets: list[float]) -> Iterator[Candidate]:
    m = len(outcomes.models)
    if outcomes.confidence is not None and not scale_fault(outcomes):
        pairs = list(combinations(by_price(outcomes), 2)) if m <= PAIRED else []
        for small, big in pairs:
            yield Candidate(f"cascade {small} → {big}", "cascade", PairCascade(small, big))
        stages = 3 if thorough else 2
        for budget in budgets:
            policy = LearnedCascade(BudgetCascade(budget, stages))
            yield Candidate(f"cascade within {budget:.3g} USD", "cascade", policy)
        if m > PAIRED or thorough:
            policy = LearnedCascade(BudgetCascade(1e9, stages))
            yield Candidate("most accurate cascade", "cascade", policy)
        if thorough and outcomes.answer is not None:
            for budget in budgets:
                policy = LearnedCascade(BudgetCascade(budget, 2, per_label=True))
                name = f"cascade by label within {budget:.3g} USD"
                yield Candidate(name, "cascade", policy)
    if outcomes.answer is not None and m > 2:
        yield Candidate("ask the best where two disagree", "cascade", AgreeThenAsk(2))
        if thorough and m > 3:
            yield Candidate("ask the best where three disagree", "cascade", AgreeThenAsk(3))


def _routers(outcomes: Outcomes, thorough: bool, budgets: list[float]) -> Iterator[Candidate]:
    scored: dict[str, Policy] = {}
    grouped = outcomes.group is not None and len(set(outcomes.group.tolist())) > 1
    if grouped:
        scored["router by group"] = GroupRouter()
    if _numeric(outcomes):
        scored |= {"router by predicted quality": QualityRouter(groups=grouped)}
        scored |= {"router by predicted gap": GapRouter(groups=grouped)}
        if thorough:
            scored |= {"router by factors": FactorRouter(), "router by cluster": ClusterRouter()}
            scored |= {"router by neighbours": NeighbourRouter()}
            scored |= {"dynamic selection": DynamicSelection()}
        for threshold in (0.5, 0.7, 0.85):
            name = f"selector at {threshold:g}"
            yield Candidate(name, "selector", SmallOrBest(threshold))
    m = len(outcomes.models)

    def among(policy: Policy) -> Policy:
        return policy if m <= TOGETHER else AmongBest(policy, TOGETHER, cheapest=True)

    for name, policy in scored.items():
        yield Candidate(name, "router", among(policy))
    for name in ("router by group", "router by predicted quality"):
        for budget in budgets if name in scored else ():
            policy = among(BudgetRouter(budget, scored[name]))
            yield Candidate(f"{name} within {budget:.3g} USD", "router", policy)
    if outcomes.confidence is not None and outcomes.answer is not None:
        first = by_price(outcomes)[0]
        if len(outcomes.labels) <= MOST_LABELS:
            policy = LabelRouter(first=first)
            yield Candidate(f"router by the answer of {first}", "router", policy)


def _stacking(outcomes: Outcomes, thorough: bool) -> Iterator[Candidate]:
    k, m = len(outcomes.labels), len(outcomes.models)
    if (outcomes.answer is None and outcomes.probability is None) or not 2 <= k <= MOST_LABELS:
        return
    if m * k <= STACKED or thorough:
        yield Candidate("stacking of all", "stacking", StackedAnswers())
    elif 3 * k <= STACKED:
        yield Candidate("stacking of the best 3", "stacking", AmongBest(StackedAnswers(), 3))


def _committees(outcomes: Outcomes, thorough: bool) -> Iterator[Candidate]:
    m = len(outcomes.models)
    if outcomes.answer is None:
        return
    if m > 2:
        policy = AdaptiveConsistency()
        yield Candidate("ask until the lead is safe", "committee",
                        policy if m <= TOGETHER else AmongBest(policy, TOGETHER))  # fmt: skip
    if outcomes.confidence is not None and (thorough or scale_fault(outcomes)):
        yield Candidate("highest score", "committee", BestOfN())
        if m <= TOGETHER:
            links = tuple(by_price(outcomes))
            yield Candidate("chain from cheap to expensive", "committee", ChainEnsemble(links))


def _budgets(outcomes: Outcomes, budget: float | None) -> list[float]:
    """Mean USD an item at which cascades and routers are tried; none without prices."""
    if outcomes.cost is None:
        return []
    price = prices(outcomes)
    price = price[~np.isnan(price)]
    if not len(price) or price.max() == price.min():
        return []
    limits = [share * float(price.max()) for share in SHARES]
    if budget is not None:  # a little below it, as the cost on other items may be higher
        budget = min(budget, float(price.sum()))  # more cannot be spent
        limits += [budget, 0.95 * budget]
    return sorted({limit for limit in limits if limit >= price.min()})


def _numeric(outcomes: Outcomes) -> bool:
    try:
        return all(np.isfinite(outcomes.features[n].astype(float)).all()
                   for n in numeric_names(outcomes))  # fmt: skip
    except ValueError:  # no feature is a number
        return False
