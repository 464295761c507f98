"""Stacking of recorded answers: a final model learns the right answer from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ensemble_lab.core.decision import ABSTAINED, COMBINED, Choice, or_unparsed
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names
from ensemble_lab.core.required import check_outcomes, require
from ensemble_lab.core.scales import centre_and_spread, finite_confidence, standardised
from ensemble_lab.core.states import ABSENT, UNPARSED

MOST_LABELS = 100


@dataclass(frozen=True)
class StackedAnswers(Policy):
    """The label that a final model predicts from all members' answers.

    It sees each member's probabilities or, where none are recorded, its answer and confidence. So
    it learns which member to trust about which label, and which answers of a member mean another
    label. The models were not trained on these items, so no folds are needed. Any label may win,
    also one that no member gave, or that the outcomes do not list. An answer that was not in the
    training items is ignored. Where all members are absent it abstains. Where one member's reply
    could not be read and no other answered, that is its answer, and is wrong.

    Confidences may be on any scale, also a different one for each member: each is standardised by
    the values of the fit. A missing confidence has its own feature; it is not read as a low one.

    It asks all members every time. With many members or labels and few items a `WeightedVote` is
    safer, and the best single model may be better than both.

    Parameters
    ----------
    members : tuple of str, optional
        By default every model of the outcomes that it is fitted on.
    estimator : scikit-learn classifier, optional
        Cloned by `fit`; by default a standardised logistic regression.
    labels : tuple, optional
        The labels that it predicts; learned by `fit`, as the next three.
    by_probability : bool
        Whether it reads probabilities.
    scales : tuple of (mean, spread), optional
        Of each member's confidences; None where there were none.
    fitted : optional

    References
    ----------
    Wolpert, Stacked generalization, Neural Networks 1992.
    """

    members: tuple[str, ...] | None = None
    estimator: Any = None
    labels: tuple | None = None
    by_probability: bool = False
    scales: tuple[tuple[float, float], ...] | None = None
    fitted: Any = None

    def __post_init__(self):
        super().__post_init__()
        if self.members is not None:
            object.__setattr__(self, "members", model_names(self.members, "members"))

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn from the items whose right answer is known and that a member answered.

        Raises
        ------
        ValueError
            No answers recorded, too many labels, or fewer than two right ones.
        """
        check_outcomes(outcomes)
        if len(outcomes.labels) > MOST_LABELS:
            raise ValueError(
                f"these outcomes have {len(outcomes.labels)} labels, and a final model must see"
                f" each of at most {MOST_LABELS} often: use a WeightedVote"
            )
        members = tuple(outcomes.models if self.members is None else self.members)
        learned = replace(
            self,
            members=members,
            labels=tuple(outcomes.labels),
            by_probability=outcomes.probability is not None,
            scales=None if outcomes.probability is not None else _scales(outcomes, members),
        )
        shown, right = learned._features(outcomes), _right(outcomes)
        rows = (right >= 0) & shown.any(axis=1)
        if len(np.unique(right[rows])) < 2:
            raise ValueError(
                f"the right answers of {rows.sum()} usable items are fewer than two different ones:"
                " fit on more items, or give truth"
            )
        final = clone(self.estimator) if self.estimator is not None else _logistic()
        return replace(learned, fitted=final.fit(shown[rows], right[rows]))

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return (tuple(models if self.members is None else self.members),)

    def choose(self, outcomes: Outcomes) -> Choice:
        if self.fitted is None:
            raise ValueError("this StackedAnswers is not fitted; call fit(outcomes) first")
        columns = outcomes.columns(self.members)
        called = np.zeros(outcomes.correct.shape, bool)
        called[:, columns] = True
        unlisted = [label for label in self.labels if label not in set(outcomes.labels)]
        labels = (*outcomes.labels, *unlisted)
        answer = self._elect(outcomes, labels)
        chosen = np.where(answer < 0, ABSTAINED, COMBINED)
        if outcomes.answer is not None:  # the first member that gave it
            gave = (outcomes.answer[:, columns] == answer[:, None]) & (answer >= 0)[:, None]
            chosen = np.where(gave.any(axis=1), columns[gave.argmax(axis=1)], chosen)
        return Choice(or_unparsed(chosen, outcomes, columns), called, answer, labels)

    def _elect(self, outcomes: Outcomes, labels: tuple) -> np.ndarray:
        """Code (n,) of the answer among `labels`, `ABSENT` where no member answered."""
        shown, answer = self._features(outcomes), np.full(len(outcomes), ABSENT)
        heard = shown.any(axis=1)
        if not heard.any():
            return answer
        place = {label: code for code, label in enumerate(labels)}
        codes = np.array([place[label] for label in self.labels])
        answer[heard] = codes[self.fitted.predict(shown[heard])]
        return answer

    def _features(self, outcomes: Outcomes) -> np.ndarray:
        """The final model's features (n, c): 0 where a member is absent."""
        columns = outcomes.columns(self.members)
        one_hot = self._answers(outcomes, columns)  # (n, m, k)
        if self.by_probability:
            return self._probabilities(outcomes, columns, one_hot).reshape(len(one_hot), -1)
        sure, unsaid = self._sureness(outcomes, columns)
        parts = [one_hot, one_hot * sure[..., None], one_hot * unsaid[..., None]]
        return np.concatenate(parts, axis=2).reshape(len(one_hot), -1)

    def _sureness(self, outcomes: Outcomes, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised confidences (n, m), and where a member has none (n, m)."""
        shape = len(outcomes), len(columns)
        if self.scales is None:  # no confidences in the fit
            return np.zeros(shape), np.zeros(shape, bool)
        if outcomes.confidence is None:
            return np.zeros(shape), np.ones(shape, bool)
        mean, spread = np.array(self.scales).T
        sure = standardised(finite_confidence(outcomes, "StackedAnswers", columns), mean, spread)
        # Nine digits, so that another unit's rounding does not matter.
        return np.nan_to_num(np.round(sure, 9)), np.isnan(sure)

    def _answers(self, outcomes: Outcomes, columns: np.ndarray) -> np.ndarray:
        """1 (n, m, k) for the label that a member gives, among the learned ones."""
        if outcomes.answer is None and self.by_probability:
            return np.zeros((len(outcomes), len(columns), len(self.labels)))
        given = require(outcomes, "answer", "StackedAnswers")[:, columns]
        place = {label: code for code, label in enumerate(self.labels)}
        codes = np.array([*(place.get(label, UNPARSED) for label in outcomes.labels), UNPARSED])
        given = codes[np.where(given < 0, len(outcomes.labels), given)]
        return (given[..., None] == np.arange(len(self.labels))).astype(float)

    def _probabilities(
        self, outcomes: Outcomes, columns: np.ndarray, one_hot: np.ndarray
    ) -> np.ndarray:
        """Probabilities (n, m, k); an answer without any counts with probability 1."""
        if outcomes.probability is None:
            return one_hot
        probabilities = outcomes.probability[:, columns]
        wide = np.zeros_like(one_hot)
        for code, label in enumerate(outcomes.labels):
            if label in self.labels:
                wide[..., self.labels.index(label)] = probabilities[..., code]
        return np.where(np.isnan(probabilities).any(axis=2, keepdims=True), one_hot, wide)


def _scales(outcomes: Outcomes, members: tuple[str, ...]) -> tuple | None:
    """Mean and standard deviation of each member's confidences; (0, 1) without any."""
    if outcomes.confidence is None:
        return None
    confidence = finite_confidence(outcomes, "StackedAnswers", outcomes.columns(members))
    return tuple(centre_and_spread(column) for column in confidence.T)


def _right(outcomes: Outcomes) -> np.ndarray:
    """Code (n,) of the right answer: the truth, else the answer of a model that was right."""
    if outcomes.truth is not None:
        return outcomes.truth
    answer = require(outcomes, "answer", "StackedAnswers without truth")
    right = (outcomes.correct == 1) & (answer >= 0)
    first = answer[np.arange(len(answer)), right.argmax(axis=1)]
    return np.where(right.any(axis=1), first, ABSENT)


def _logistic():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
