"""What the votes explorer knows of a table, worked out once, and one vote replayed on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache

import numpy as np

from ensemble_lab.answers import voting
from ensemble_lab.answers.diversity import error_correlation, mean_pairwise
from ensemble_lab.answers.voting import Vote
from ensemble_lab.core.decision import Decision
from ensemble_lab.core.outcomes import Outcomes, _replace_unchecked
from ensemble_lab.core.states import ABSENT
from ensemble_lab.core.unknown import mean_of_known
from ensemble_lab.widgets.explorer import Failing

RULES: dict[str, Vote] = {
    "majority": voting.MajorityVote(),
    "log-odds weights": voting.WeightedVote(),
    "mean confidence": voting.MeanVote(),
    "product of confidences": voting.ProductVote(),
    "highest confidence": voting.MaxVote(),
    "least doubt": voting.MinVote(),
    "median confidence": voting.MedianVote(),
    "Borda count": voting.RankVote(),
}
RIGHT_OR_WRONG = "right or wrong only"
"""A majority over correctness, as if all wrong answers were the same: no policy, a reference."""

SEED = 0  # which half is which


@dataclass(frozen=True, eq=False)
class Tally:
    """One vote on one half of the items."""

    members: tuple[str, ...]  # in the order of trust
    best: str  # the member that was the best alone on the fit half
    hindsight: str  # the one that is on this half
    alone: np.ndarray  # (n,), correctness of `best`; NaN where absent or unlabelled
    alone_in_hindsight: np.ndarray  # (n,)
    voted: np.ndarray  # (n,)
    supporters: np.ndarray  # (n,) of int, how many members are right
    accuracies: np.ndarray  # (m,)
    oracle: float  # NaN where not known
    chance: float  # the same of an oracle over guessers
    correlation: np.ndarray  # (m, m), of the members' errors

    @cached_property
    def mean_correlation(self) -> float:
        """Over all pairs."""
        return mean_pairwise(self.correlation)

    @cached_property
    def by_likeness(self) -> np.ndarray:
        """The order of the members (m,) in which those whose errors go together are neighbours."""
        return by_likeness(self.correlation)


class Replay:
    """A table in two halves with every rule that it allows fitted on the first.

    Parameters
    ----------
    outcomes : Outcomes
    policy : Vote, optional
        A vote of the reader's own: its members are trusted in its order, its weights count.

    Raises
    ------
    ValueError
        A policy that needs what these outcomes do not have, or no graded answer at all.
    """

    def __init__(self, outcomes: Outcomes, policy: Vote | None = None):
        if np.isnan(outcomes.correct).all():
            raise ValueError("no answer here is graded; give correct, or truth with the answers")
        self.outcomes = outcomes
        self.halved = len(outcomes) > 1
        self.fit, self.shown = outcomes.split(0.5, SEED) if self.halved else (outcomes, outcomes)
        self.skill = skill_of(self.fit)
        self.policies, self.lacking = self._policies(policy)
        # Members in an order, weights: nobody knows on which items they were fitted.
        self.chosen = policy is not None and any(
            repr(getattr(policy, f.name)) != repr(f.default) for f in fields(policy)
        )
        self.graded = {id(t): graded_answers(t) for t in (outcomes, self.fit, self.shown)}
        # Kept while other controls are moved.
        self.tally = lru_cache(32)(self._tally)
        self.reach = lru_cache(32)(self._reach)
        self.correlation = {id(t): error_correlation(t) for t in (self.fit, self.shown)}

    def _policies(self, own: Vote | None) -> tuple[dict[str, Vote], dict[str, str]]:
        """Rule to its fitted policy, and the rules that cannot be, each with the reason."""
        wanted = dict(RULES)
        self.started = None
        if own is not None:  # a vote of the reader's own goes by its class
            names = {type(known): rule for rule, known in RULES.items()}
            self.started = names.get(type(own), type(own).__name__)
            wanted[self.started] = own
        possible, lacking, telling = {}, {}, _telling(self.outcomes)
        for rule, policy in wanted.items():
            try:
                fitted = _fitted(policy, self.fit)
                fitted.decide(telling)  # raises where a field is missing, or on another scale
            except ValueError as error:
                if rule == self.started:
                    raise
                lacking[rule] = str(error)
            else:
                possible[rule] = fitted
        possible[RIGHT_OR_WRONG] = voting.MajorityVote().fit(self.fit)
        return possible, lacking

    def decide(self, members: Sequence[str], rule: str, table: Outcomes) -> tuple[Vote, Decision]:
        """The vote of `members` on `table`, as the policy that was used and what it decided."""
        fitted = self.policies[rule]
        policy = replace(fitted, members=tuple(m for m in fitted.members if m in set(members)))
        if rule == RIGHT_OR_WRONG:
            table = self.graded.get(id(table)) or graded_answers(table)
        return policy, policy.decide(table)

    def most_trusted(self, members: Sequence[str], rule: str, share: int) -> tuple[str, ...]:
        """The first `share` per cent of `members`, at least one, in the order of trust."""
        ranked = tuple(name for name in self.policies[rule].members if name in set(members))
        return ranked[: max(1, -(-len(ranked) * share // 100))]  # -(-a // b) rounds up

    def _tally(self, members: tuple[str, ...], rule: str, table: Outcomes | None = None) -> Tally:
        """What the vote of `members` by `rule` did with every item of `table`, the shown half."""
        table = self.shown if table is None else table
        policy, decision = self.decide(members, rule, table)
        columns = table.columns(policy.members)
        part = of_members(table, policy.members)
        known = skill_of(part)
        best = max(policy.members, key=self.skill.get)
        hindsight = max(policy.members, key=lambda name: (known[name], name == best))
        return Tally(
            members=policy.members,
            best=best,
            hindsight=hindsight,
            alone=part.correct[:, policy.members.index(best)],
            alone_in_hindsight=part.correct[:, policy.members.index(hindsight)],
            voted=decision.correct,
            supporters=(part.correct >= 0.5).sum(axis=1),
            accuracies=part.accuracy(),
            oracle=or_nan(part.oracle),
            chance=or_nan(part.chance_oracle),
            correlation=self.correlation[id(table)][np.ix_(columns, columns)],
        )

    def _reach(self, members: tuple[str, ...]) -> tuple[np.ndarray, tuple[float, float]]:
        """Each one's accuracy and an oracle's, and the least and most correlation of two.

        Correlations are to one digit, outwards.
        """
        part, columns = of_members(self.shown, members), self.shown.columns(members)
        pairs = self.correlation[id(self.shown)][np.ix_(columns, columns)]
        pairs = pairs[np.triu_indices(len(pairs), 1)]
        pairs = pairs[~np.isnan(pairs)] if not np.isnan(pairs).all() else np.array([0.0, 1.0])
        low = float(np.floor(10 * pairs.min()) / 10)
        high = max(float(np.ceil(10 * pairs.max()) / 10), low + 0.1)
        return np.array([*part.accuracy(), or_nan(part.oracle)]), (low, high)

    def gain(self, members: Sequence[str], rule: str) -> float:
        """Accuracy over the best member's on the fit half: for choosing what to look at."""
        tally = self.tally(tuple(members), rule, self.fit)
        return float(np.nan_to_num(mean_of_known(tally.voted - tally.alone)))


def presets(replay: Replay) -> dict[str, dict]:
    """Views worth seeing, found on the fit half; one of them fails, or pays the least."""
    models = replay.outcomes.models
    ranked = sorted(models, key=replay.skill.get, reverse=True)
    ranked = [name for name in ranked if replay.skill[name] >= 0] or list(models)
    groups = {}
    if len(ranked) > 10:
        groups["the ten weakest"] = ranked[-10:]
    elif len(ranked) > 2:
        groups["all except the best"] = ranked[1:]
    if len(ranked) > 5:
        groups["the five best"] = ranked[:5]
    if len(ranked) > 3:
        groups["three most alike"] = most_alike(replay, 3)
    rules = [rule for rule in replay.policies if rule != RIGHT_OR_WRONG] or [RIGHT_OR_WRONG]
    found = {title: {"members": group, "rule": rules[0]} for title, group in groups.items()}
    everybody = f"all {len(models)}" if len(models) > 1 else "the only model"
    # Everybody by the worst rule if that loses, else the worst of all that is here.
    tried = {(everybody, rule): replay.gain(models, rule) for rule in rules}
    if min(tried.values()) >= 0:
        tried |= {(g, r): replay.gain(members, r) for g, members in groups.items() for r in rules}
    title, rule = min(tried, key=tried.get)
    named = title if rule == rules[0] else f"{title}, worst rule"
    return found | {named: Failing(members=groups.get(title, models), rule=rule)}


def of_members(table: Outcomes, members: Sequence[str]) -> Outcomes:
    """`table.select(models=members)` without a second check, which takes longer than the vote."""
    columns = table.columns(members)
    parts = {f.name: getattr(table, f.name) for f in fields(table)}
    pairs = {name: part[:, columns] for name, part in parts.items()
             if isinstance(part, np.ndarray) and part.ndim > 1}  # fmt: skip
    return _replace_unchecked(table, models=tuple(members), model_group=None, **pairs)


def skill_of(table: Outcomes) -> dict[str, float]:
    """Each model's accuracy; -1 of those that answer too few items to be compared."""
    accuracy, coverage = table.accuracy(), table.coverage()
    known = (coverage >= 0.9 * coverage.max()) & ~np.isnan(accuracy)
    return dict(zip(table.models, np.where(known, accuracy, -1.0).tolist(), strict=True))


def by_likeness(correlation: np.ndarray) -> np.ndarray:
    """The order of members (m, m) in which those whose errors go together stand together."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 3:
        return np.arange(len(correlation))
    apart = squareform(1 - np.nan_to_num(correlation), checks=False)
    order = leaves_list(linkage(apart, "average", optimal_ordering=True))
    return order if order[0] < order[-1] else order[::-1]  # the most trusted rather at the top


def most_alike(replay: Replay, size: int) -> list[str]:
    """The models whose errors go together most: the closest pair, then the nearest to it."""
    close = replay.correlation[id(replay.fit)].copy()
    np.fill_diagonal(close, np.nan)
    close = np.nan_to_num(close, nan=-1.0)
    group = list(np.unravel_index(close.argmax(), close.shape))
    while len(group) < size:
        total = close[group].sum(axis=0)
        total[group] = -np.inf
        group.append(total.argmax())
    return [replay.outcomes.models[j] for j in group]


def graded_answers(outcomes: Outcomes) -> Outcomes:
    """The same table with "right" and "wrong" for answers, so that wrong ones are all alike."""
    code = np.where(np.isnan(outcomes.correct), ABSENT, outcomes.correct >= 0.5).astype(int)
    parts = {name: getattr(outcomes, name) for name in ("models", "items", "correct")}
    return Outcomes(**parts, answer=code, labels=("wrong", "right"))


def _telling(outcomes: Outcomes) -> Outcomes:
    """One to three items that show what a policy would refuse: the most extreme confidences."""
    if outcomes.confidence is None:
        return outcomes.take([0])
    known = np.nan_to_num(outcomes.confidence, nan=0.5, posinf=np.inf, neginf=-np.inf)
    return outcomes.take(np.unique([known.max(axis=1).argmax(), known.min(axis=1).argmin()]))


def _fitted(policy: Vote, fit: Outcomes) -> Vote:
    """`policy` fitted for every model: what it says of some of them stands, the rest is learned."""
    weights = getattr(policy, "weights", None)
    nothing = {name: None for name in ("members", "weights") if hasattr(policy, name)}
    learned = replace(policy, **nothing).fit(fit)
    first = policy.members or ()
    order = (*first, *(name for name in learned.members if name not in first))
    if weights:
        weights = (learned.weights or dict.fromkeys(fit.models, 1.0)) | dict(weights)
        learned = replace(learned, weights=weights)
    return replace(learned, members=order)


def or_nan(bound) -> float:
    """What a bound is, NaN where it is not known."""
    try:
        return bound()
    except ValueError:  # nothing graded, or the number of options is not known
        return float("nan")
