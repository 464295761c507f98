"""Votes: every member answers, and one of the answers wins.

All of them share the rule of `ensemble_lab.core.votes`: a missing answer is not a vote, a tie goes
to the member listed first, and where no member's answer was recorded the policy abstains. Where no
reply could be read it gives the first reply, which is wrong.

References
----------
Kuncheva, Combining Pattern Classifiers, 2nd ed., Wiley 2014, chapters 4 and 5.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Self

import numpy as np

from ensemble_lab.core.decision import ABSTAINED, COMBINED, Choice, or_unparsed
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names, ranged
from ensemble_lab.core.required import check_outcomes, require
from ensemble_lab.core.scales import check_chances, check_scales
from ensemble_lab.core.votes import NO_WINNER, at_own, best_label, compact, first_best, plurality


@dataclass(frozen=True)
class Vote(Policy):
    """What all votes share: `members`, the models that are asked, most trusted first.

    Parameters
    ----------
    members : tuple of str, optional
        By default every model of the outcomes.
    """

    members: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.members is not None:
            object.__setattr__(self, "members", model_names(self.members, "members"))
        weights = getattr(self, "weights", None)
        if weights is not None and not isinstance(weights, Mapping):
            raise ValueError(
                f"weights is a {type(weights).__name__}, without the members' names; give a"
                " mapping: weights={member: weight, …}"
            )
        super().__post_init__()

    def fit(self, outcomes: Outcomes) -> Self:
        """Order the members by accuracy on `outcomes`, so that the most accurate breaks ties."""
        check_outcomes(outcomes)
        members = np.array(self._members(outcomes.models), object)  # text would lose a last NUL
        accuracy = outcomes.accuracy()[outcomes.columns(members.tolist())]
        ranked = members[np.argsort(-accuracy, kind="stable")]  # NaN sorts last
        return replace(self, members=tuple(ranked.tolist()))

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return (self._members(models),)

    def choose(self, outcomes: Outcomes) -> Choice:
        columns = outcomes.columns(self._members(outcomes.models))
        called = np.zeros(outcomes.correct.shape, bool)
        called[:, columns] = True
        winner, combined = self._elect(outcomes, columns)
        chosen = np.append(columns, ABSTAINED)[winner]  # NO_WINNER is -1: the last entry
        if combined is not None:
            chosen = np.where((winner == NO_WINNER) & (combined != NO_WINNER), COMBINED, chosen)
        return Choice(or_unparsed(chosen, outcomes, columns), called, combined)

    @abstractmethod
    def _elect(self, outcomes: Outcomes, columns: np.ndarray):
        """Position (n,) in `columns` of the member whose answer wins, or `NO_WINNER`.

        Also the winning codes (n,), where an answer that no member gave may win, else None.
        """

    def _codes(self, outcomes: Outcomes, columns: np.ndarray) -> np.ndarray:
        """The members' answers (m, n), `m` first; see `ensemble_lab.core.votes`."""
        answer = require(outcomes, "answer", type(self).__name__)
        return np.ascontiguousarray(answer[:, columns].T)

    def _members(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(models if self.members is None else self.members)


@dataclass(frozen=True)
class MajorityVote(Vote):
    """The answer that most members give (plurality).

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=[*"abc"], items=[0], correct=[[0, 1, 1]], answer=[[0, 1, 1]],
    ...                  labels=["cat", "dog"])
    >>> MajorityVote().decide(table).answers
    ['dog']
    """

    def _elect(self, outcomes: Outcomes, columns: np.ndarray):
        codes = self._codes(outcomes, columns)
        return plurality(codes, np.ones(len(codes)), len(outcomes.labels)), None


@dataclass(frozen=True)
class WeightedVote(Vote):
    """The answer with the largest total weight.

    `fit` learns the weights that are best for independent members with k equally likely mistakes:
    log(p (k - 1) / (1 - p)) for accuracy p. A member worse than chance gets a negative weight, and
    its vote counts against its answer.

    Parameters
    ----------
    members : tuple of str, optional
    weights : mapping of member to float, optional
        Learned by `fit` when not given.
    classes : int, optional
        The number of classes k; by default the number of labels.

    References
    ----------
    Nitzan and Paroush, Optimal decision rules in uncertain dichotomous choice situations, 1982.
    """

    weights: Mapping[str, float] | None = None
    classes: int | None = ranged(None, 2, 1_000_000, "number of classes", step=1)

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn the log-odds weights from the members' accuracies on `outcomes`.

        Raises
        ------
        ValueError
            No answer of a member is graded.
        """
        ordered = super().fit(outcomes)
        kept = outcomes.select(models=ordered.members)
        classes = self.classes or max(len(outcomes.labels), 2)
        labelled = (~np.isnan(kept.correct)).sum(axis=0)
        if not labelled.all():
            name = ordered.members[int(labelled.argmin())]
            raise ValueError(
                f"no answer of {shown(name)} is graded, so it has no weight: give correct, or truth"
                " with the answers, or leave it out of members"
            )
        # One more right and one more wrong answer (Laplace): so no weight is infinite.
        p = (np.nan_to_num(kept.correct).sum(axis=0) + 1) / (labelled + 2)
        weights = np.log(p * (classes - 1) / (1 - p))
        return replace(ordered, weights=dict(zip(ordered.members, weights.tolist(), strict=True)))

    def _elect(self, outcomes: Outcomes, columns: np.ndarray):
        if self.weights is None:
            raise ValueError("WeightedVote has no weights; give weights={model: …} or fit it")
        members = [outcomes.models[j] for j in columns]
        weight = _weights_of(members, self.weights, "WeightedVote")
        return plurality(self._codes(outcomes, columns), weight, len(outcomes.labels)), None


@dataclass(frozen=True)
class _LawVote(Vote):
    """Votes over probabilities, or over probabilities estimated from confidences.

    A confidence c is read as a distribution over the k labels: c for the member's answer and (1 -
    c) / (k - 1) for each other. A top answer has at least 1 / k, so a lower confidence counts as no
    information, 1 / k; calibrate first for better results. One outside [0, 1] is not a probability
    and is refused. Over confidences only an answer that a member gave can win. Where probabilities
    are recorded, an answer without any is also read from its confidence.
    """

    @abstractmethod
    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        """Score (k, n) of every label from each member's distribution (k, n), NaN where absent."""

    def _elect(self, outcomes: Outcomes, columns: np.ndarray):
        if outcomes.probability is not None:
            return self._elect_by_probability(outcomes, columns)
        confidence = require(outcomes, "confidence", type(self).__name__)
        check_scales(outcomes, columns)
        k = max(len(outcomes.labels), 1)
        codes, width = compact(self._codes(outcomes, columns), k)
        probabilities = {
            outcomes.models[column]: _distribution(codes[j], confidence[:, column], k, width)
            for j, column in enumerate(columns)
        }
        return first_best(at_own(self._combine(probabilities), codes)), None

    def _elect_by_probability(self, outcomes: Outcomes, columns: np.ndarray):
        probabilities = np.moveaxis(outcomes.probability[:, columns], 0, -1)  # (m, k, n)
        lacking = np.isnan(probabilities).any(axis=1)  # (m, n)
        if outcomes.answer is None:
            codes = np.full(lacking.shape, NO_WINNER)
        else:
            codes = self._codes(outcomes, columns)
        bare = lacking & (codes >= 0)
        if bare.any():
            probabilities = _with_confidences(probabilities, codes, bare, outcomes, columns)
        score = self._combine(
            {outcomes.models[column]: probabilities[j] for j, column in enumerate(columns)}
        )
        label = best_label(score, probabilities)
        agrees = (codes == label) & (label >= 0)
        winner = np.where(agrees.any(axis=0), agrees.argmax(axis=0), NO_WINNER)
        plain = lacking.all(axis=0) & bare.any(axis=0)
        if plain.any():  # no member gave probabilities for the item: vote over confidences
            own = first_best(at_own(score, codes))
            winner = np.where(plain, own, winner)
            label = np.where(plain, codes[own, np.arange(len(own))], label)
        return winner, label


@dataclass(frozen=True)
class MeanVote(_LawVote):
    """The label with the highest mean probability (soft voting).

    Parameters
    ----------
    members : tuple of str, optional
    weights : mapping of member to float, optional
        Equal by default.
    """

    weights: Mapping[str, float] | None = ranged(None, 0, 1e12, "weight of each member")

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        weights = (
            np.ones(len(probabilities))
            if self.weights is None
            else _weights_of(probabilities, self.weights, "MeanVote")
        )
        return sum(
            w * np.nan_to_num(proba)
            for w, proba in zip(weights, probabilities.values(), strict=True)
        )


@dataclass(frozen=True)
class ProductVote(_LawVote):
    """The label with the highest product of probabilities: right for independent members."""

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        # Logarithms, and no zero: a probability rounded to 0 is no veto.
        return sum(
            np.log(np.maximum(np.nan_to_num(proba, nan=1.0), 1e-12))
            for proba in probabilities.values()
        )


@dataclass(frozen=True)
class MaxVote(_LawVote):
    """The answer of the most confident member."""

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        return _fold(np.fmax, probabilities)


@dataclass(frozen=True)
class MinVote(_LawVote):
    """The label whose lowest probability is the highest: no member strongly disagrees."""

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        return _fold(np.fmin, probabilities)


@dataclass(frozen=True)
class MedianVote(_LawVote):
    """The label with the highest median probability: a single outlier does not matter."""

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        ranked = _ascending(probabilities.values())
        m = len(ranked)
        middle = (ranked[(m - 1) // 2] + ranked[m // 2]) / 2
        if np.isinf(ranked[-1]).any():  # absent members come last: the middle moves
            voters = np.isfinite(ranked).sum(axis=0)
            at = np.stack([np.maximum(voters - 1, 0) // 2, np.minimum(voters // 2, m - 1)])
            middle = np.take_along_axis(np.stack(ranked), at, axis=0).mean(axis=0)
            middle[voters == 0] = 0.0
        return middle


@dataclass(frozen=True)
class RankVote(_LawVote):
    """Borda count: from each member a label gets 1 point a label it beats, 1/2 for a tie.

    Needs probabilities of all labels: a single answer ranks nothing below the first place.
    """

    def _elect(self, outcomes: Outcomes, columns: np.ndarray):
        require(outcomes, "probability", "RankVote")
        return super()._elect(outcomes, columns)

    def _combine(self, probabilities: dict[str, np.ndarray]) -> np.ndarray:
        points = 0.0
        for proba in probabilities.values():
            for rival in proba:  # NaN compares false: absent members rank nothing
                points = points + (proba > rival) + 0.5 * (proba == rival)
        return points


def _with_confidences(
    probabilities, codes, bare, outcomes: Outcomes, columns: np.ndarray
) -> np.ndarray:
    """`probabilities` (m, k, n), read off the confidence where `bare` (m, n) answers have none."""
    confidence = np.full(bare.shape, np.nan)
    if outcomes.confidence is not None:
        confidence = np.where(bare, outcomes.confidence[:, columns].T, np.nan)
        check_chances(confidence, [outcomes.models[column] for column in columns])
    probabilities, k = probabilities.copy(), len(outcomes.labels)
    for proba, code, sure, here in zip(probabilities, codes, confidence, bare, strict=True):
        proba[:, here] = _distribution(code[here], sure[here], k, k)
    return probabilities


def _distribution(codes: np.ndarray, confidence: np.ndarray, k: int, width: int) -> np.ndarray:
    """One member's distribution (width, n) over the labels, or over the item's answers."""
    sure = np.fmin(np.fmax(confidence, 1 / k), 1.0)  # fmax: a missing confidence counts as 1 / k
    rest = (1 - sure) / max(k - 1, 1)
    missing = codes < 0
    if missing.any():
        sure, rest = np.where(missing, np.nan, [sure, rest])
    return np.stack([np.where(codes == code, sure, rest) for code in range(width)])


def _ascending(probabilities) -> list[np.ndarray]:
    """The members' distributions sorted element by element, NaN as inf.

    A sorting network: for few members and many items, minima and maxima of whole arrays are several
    times quicker than `numpy.sort` along the short axis.
    """
    ranked = [np.where(np.isnan(proba), np.inf, proba) for proba in probabilities]
    for step in range(len(ranked)):
        for i in range(step % 2, len(ranked) - 1, 2):
            low = np.minimum(ranked[i], ranked[i + 1])
            np.maximum(ranked[i], ranked[i + 1], out=ranked[i + 1])
            ranked[i] = low
    return ranked


def _fold(smaller_or_larger: np.ufunc, probabilities: dict[str, np.ndarray]) -> np.ndarray:
    return np.nan_to_num(functools.reduce(smaller_or_larger, probabilities.values()), nan=-1.0)


def _weights_of(members, weights: Mapping[str, float], who: str) -> np.ndarray:
    """Weights of `members`, scaled so that the largest is near 2**900: only ratios count.

    There sums do not overflow, and small weights keep their digits next to an absent member's large
    one.
    """
    lacking = [name for name in members if name not in weights]
    if lacking:
        raise ValueError(f"{who} has no weight for member {shown(lacking[0])}; add it to weights")
    for name in members:
        if not isinstance(weights[name], Real) or not math.isfinite(weights[name]):
            value = shown(weights[name])
            raise ValueError(f"the weight of {shown(name)} is {value}; it must be a finite number")
    plain = np.array([weights[name] for name in members], float)
    return np.ldexp(plain, 900 - np.frexp(np.abs(plain).max())[1])


def voted(
    outcomes: Outcomes, columns: np.ndarray, asked: np.ndarray, weight: np.ndarray, who: str
) -> Choice:
    """Ask the models `asked` (n, p) among `columns` (p,); the answer with the most `weight` wins.

    A tie goes to the model that is listed first. Where no reply of theirs could be read, the first
    one counts as the answer, and is wrong.
    """
    answer = require(outcomes, "answer", who)[:, columns]
    called = np.zeros(outcomes.correct.shape, bool)
    called[:, columns] = asked
    codes, weight = np.where(asked, answer, ABSTAINED).T, weight.T
    score = np.array([((codes == own) * weight).sum(axis=0) for own in codes])
    winner = first_best(np.where(codes >= 0, score, -np.inf))
    chosen = np.append(columns, ABSTAINED)[winner]  # NO_WINNER is -1: the last entry
    unread = asked & outcomes.unparsed[:, columns]
    first = np.where(unread.any(axis=1), columns[unread.argmax(axis=1)], ABSTAINED)
    return Choice(np.where(chosen == ABSTAINED, first, chosen), called)
