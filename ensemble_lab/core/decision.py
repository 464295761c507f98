"""`Decision`: what a policy did with every item, and its accuracy, cost and time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.intervals import checked_seed, resampled, score_interval, share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reach import Reach, Takes, seen_reach
from ensemble_lab.core.shares import checked_level
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.core.unknown import mean_of_all, mean_of_known, share_known

COMBINED = -1
ABSTAINED = -2


@dataclass(frozen=True, eq=False)
class Choice:
    """A policy's choices for n items, made without knowing what is right.

    Parameters
    ----------
    chosen : ndarray of int (n,)
        Column of the model whose answer is given; `COMBINED` where no single model gave it (then
        `answer` has it), `ABSTAINED` where there is no answer.
    called : ndarray of bool (n, m)
        Which models were asked, and are paid for.
    answer : ndarray of int (n,), optional
        Codes of the combined answers, read only where `chosen` is `COMBINED`.
    labels : tuple, optional
        The labels of the codes in `answer`, where an answer may be a label that the table does not
        list: then the labels of the table and others. By default those of the table.
    """

    chosen: np.ndarray
    called: np.ndarray
    answer: np.ndarray | None = None
    labels: tuple[Hashable, ...] | None = None


@dataclass(frozen=True, eq=False)
class Decision(Frozen):
    """A policy's answers to n items, with their correctness, cost and time.

    Parameters
    ----------
    models : tuple of str, length m
    labels : tuple
        The labels of the codes in `answer`.
    answer : ndarray of int (n,) or None
        Code of the answer given, `ABSENT` where the policy abstained, `UNPARSED` where no reply
        contained an answer.
    chosen : ndarray of int (n,)
        The model that gave the answer: a column, `COMBINED` or `ABSTAINED`.
    called : ndarray of bool (n, m)
    correct : ndarray (n,)
        In [0, 1]; NaN where the policy abstained or correctness is unknown.
    cost : ndarray (n,) or None
        USD, of every model called.
    latency : ndarray (n,) or None
        Seconds: a sum over models asked in sequence, a maximum over those asked in parallel.
    takes : mapping of str to Takes
        The ``"cost"`` and ``"latency"`` of every possible call, where recorded: intervals need
        their range.
    """

    models: tuple[str, ...]
    labels: tuple[Hashable, ...]
    answer: np.ndarray | None
    chosen: np.ndarray
    called: np.ndarray
    correct: np.ndarray
    cost: np.ndarray | None
    latency: np.ndarray | None
    takes: Mapping[str, Takes] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def abstained(self) -> np.ndarray:
        """(n,) bool: the policy gave no answer."""
        return self.chosen == ABSTAINED

    @property
    def coverage(self) -> float:
        """Share of the items that got an answer."""
        return float(1 - self.abstained.mean())

    @property
    def accuracy(self) -> float:
        """Mean correctness of the items that got an answer and can be graded."""
        return mean_of_known(self.correct)

    @property
    def mean_cost(self) -> float:
        """USD an item; NaN where the price of one call is not known (`Outcomes.filled`)."""
        return mean_of_all(self.cost)

    @property
    def mean_latency(self) -> float:
        """Seconds an item; NaN where the time of one call is not known (`Outcomes.filled`)."""
        return mean_of_all(self.latency)

    @property
    def known(self) -> dict[str, float]:
        """Share of the items whose accuracy, cost and latency are known; 0 if not recorded."""
        parts = {"accuracy": self.correct, "cost": self.cost, "latency": self.latency}
        return {name: share_known(values) for name, values in parts.items()}

    @property
    def calls(self) -> dict[str, float]:
        """Share of the items on which each model was asked."""
        return dict(zip(self.models, self.called.mean(axis=0).tolist(), strict=True))

    @property
    def answers(self) -> list:
        """The answers as labels, None where the policy abstained or no reply could be read."""
        if self.answer is None:
            raise ValueError("these outcomes record correctness only: the answers are not known")
        return [self.labels[code] if code >= 0 else None for code in self.answer]

    def interval(self, of: str = "accuracy", level: float = 0.95, seed: int | None = None):
        """Interval of the mean of ``"accuracy"``, ``"cost"`` or ``"latency"``.

        Analytic by default: `share_interval` for accuracy, else `score_interval`, which for a
        cascade of two prices is the interval of the share escalated. With a `seed` it is at least
        as wide as `score_interval` and as a bootstrap over items.

        Prices and times lie between the least that an item takes and the price of asking all
        models, by the table, and are never negative. An interval has no width only where all
        possible calls have the same price.

        Both ends are NaN where no valid interval exists, and `no_interval` gives the reason: the
        mean is not known; there are fewer than ten items and their prices all differ; or a model
        that may be asked has no known price at all. An interval cannot include what no call in the
        table shows, such as a price that is high once in a thousand calls of the same model.

        Raises
        ------
        ValueError
            Another name, one that is not recorded, a level outside (0, 1), a seed that is not a
            whole number from 0 up.
        """
        level, seed = checked_level(level), None if seed is None else checked_seed(seed)
        found = self._reach(of)
        if isinstance(found, str):
            return float("nan"), float("nan")
        values, reach = found
        if of == "accuracy" and seed is None:
            low, high = share_interval(self.accuracy, len(values), level)
            return float(low), float(high)
        ends = score_interval(values, reach.low, reach.high, reach.exact, level)
        return ends if seed is None else resampled(values, ends, level, seed=seed)

    def no_interval(self, of: str = "accuracy") -> str:
        """Why `interval` is NaN for ``"accuracy"``, ``"cost"`` or ``"latency"``; else empty."""
        found = self._reach(of)
        return found if isinstance(found, str) else ""

    def _reach(self, of: str) -> tuple[np.ndarray, Reach] | str:
        values = {"accuracy": self.correct, "cost": self.cost, "latency": self.latency}
        if not isinstance(of, str) or of not in values:
            raise ValueError(f"interval of {shown(of)}; it is one of {', '.join(values)}: name one")
        known = values[of]
        if known is None:
            raise ValueError(f"there is no {of} in this decision; the outcomes did not have it")
        if of == "accuracy":
            known = known[~np.isnan(known)]
            return (known, Reach(0.0, 1.0, True)) if len(known) else "no answer is graded"
        if np.isnan(known).any() or not len(known):
            return f"the {of} of some calls is not known: outcomes.filled()"
        takes = self.takes.get(of)
        reach = seen_reach(known) if takes is None else takes.reach(known, self.called)
        return f"{of}: {reach}" if isinstance(reach, str) else (known, reach)

    def __repr__(self) -> str:
        known = self.known
        right = "unknown" if np.isnan(self.accuracy) else f"{self.accuracy:.4f}"
        parts = [f"{len(self)} items", f"accuracy {right}"]
        if known["accuracy"] < 1:
            parts[-1] += f" (graded on {_percent(known['accuracy'])})"
        if self.cost is not None:
            parts.append(f"mean cost {self.mean_cost:.3g} USD")
            if known["cost"] < 1:
                parts[-1] = f"mean cost unknown (priced on {_percent(known['cost'])})"
        if self.latency is not None:
            parts.append(f"mean latency {self.mean_latency:.3g} s")
            if known["latency"] < 1:
                parts[-1] = f"mean latency unknown (timed on {_percent(known['latency'])})"
        if self.abstained.any():
            parts.append(f"coverage {self.coverage:.3f}")
        parts.append(f"{self.called.sum() / len(self):.2f} calls an item")
        return f"Decision({', '.join(parts)})"


def graded(
    choice: Choice, outcomes: Outcomes, waves: tuple[tuple[int, ...], ...], parallel: bool
) -> Decision:
    """Grade a `choice` and add up its price: only here answers are compared with the truth.

    `waves` are the columns asked together, one tuple after the other.
    """
    called, codes_given, truth = choice.called, outcomes.answer, outcomes.truth
    if choice.labels is not None:  # the same labels with other codes
        codes_given, truth = (
            _recoded(codes, outcomes.labels, choice.labels) for codes in (codes_given, truth)
        )
    return Decision(
        models=outcomes.models,
        labels=outcomes.labels if choice.labels is None else choice.labels,
        answer=_answers(choice, codes_given),
        chosen=choice.chosen,
        called=called,
        correct=_correct(choice, outcomes.correct, truth),
        cost=None if outcomes.cost is None else _sum(outcomes.cost, called),
        latency=None
        if outcomes.latency is None
        else _time(outcomes.latency, called, waves, parallel),
        takes={
            name: Takes(values, waves, parallel and name == "latency")
            for name in ("cost", "latency")
            if (values := getattr(outcomes, name)) is not None
        },
    )


def _recoded(codes: np.ndarray | None, labels: tuple, wanted: tuple) -> np.ndarray | None:
    """`codes` into `labels`, translated to codes into `wanted`; negative ones are kept."""
    if codes is None:
        return None
    place = {label: code for code, label in enumerate(wanted)}
    code = np.array([*(place[label] for label in labels), UNPARSED, ABSENT])
    return code[codes]  # the two negative codes index from the end


def _answers(choice: Choice, codes_given: np.ndarray | None) -> np.ndarray | None:
    if choice.answer is None and codes_given is None:
        return None
    combined = np.full(len(choice.chosen), ABSENT) if choice.answer is None else choice.answer
    own = combined if codes_given is None else _pick(codes_given, choice.chosen)
    given = np.where(choice.chosen == COMBINED, combined, own)
    return np.where(choice.chosen == ABSTAINED, ABSENT, given)


def or_unparsed(chosen: np.ndarray, outcomes: Outcomes, columns: np.ndarray) -> np.ndarray:
    """`chosen` (n,); where no model is chosen, the first of `columns` with an unparsed reply.

    An unparsed reply counts as a wrong answer, as in `Outcomes.accuracy`: a policy abstains only
    where it asked no model, or decides to give no answer.
    """
    unread = outcomes.unparsed[:, columns]
    first = np.where(unread.any(axis=1), columns[unread.argmax(axis=1)], ABSTAINED)
    return np.where(chosen == ABSTAINED, first, chosen)


def _correct(choice: Choice, graded: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
    """The chosen model's correctness; a combined answer is compared with the truth."""
    correct = np.where(choice.chosen < 0, np.nan, _pick(graded, choice.chosen))
    combined = choice.chosen == COMBINED
    if truth is not None and combined.any():
        known = combined & (truth >= 0)
        correct[known] = choice.answer[known] == truth[known]
    return correct


def _pick(matrix: np.ndarray, column: np.ndarray) -> np.ndarray:
    # Negative columns mean no model: the callers mask what is read for them.
    return matrix[np.arange(len(matrix)), np.maximum(column, 0)]


def _sum(values: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Sum over called models: NaN where one of them is unknown, not 0."""
    total = np.zeros(len(values))
    for j in np.flatnonzero(called.any(axis=0)):
        total += np.where(called[:, j], values[:, j], 0.0)
    return total


def _time(values: np.ndarray, called: np.ndarray, waves, parallel: bool) -> np.ndarray:
    if not parallel:
        return _sum(values, called)
    total = np.zeros(len(values))
    for wave in waves:
        slowest = np.zeros(len(values))
        for j in wave:
            slowest = np.maximum(slowest, np.where(called[:, j], values[:, j], 0.0))
        total += slowest
    return total


def _percent(share: float) -> str:
    """A percentage; a share below 1 is never rounded to 100 %."""
    return f"{100 * share:.0f}%" if share < 0.995 else "over 99%"
