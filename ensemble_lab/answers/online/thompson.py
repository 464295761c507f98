"""Thompson sampling: ask each model as often as it is likely to be the best one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np

from ensemble_lab.answers.online.bandit import Bandit
from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class Thompson(Bandit):
    """Draw an accuracy of each model from its posterior; ask the model with the highest draw.

    The prior is Beta(1, 1), and a grade g adds g to the first number and 1 - g to the second. With
    `discount` or `window` old grades are forgotten, so that a change of the models is noticed.

    With `by`, each group of items has its own posterior, whose prior also has the grades of the
    model in all other groups (a power prior). They count in full up to `strength` grades, and as
    `strength` grades beyond.

    Parameters
    ----------
    discount : float
        Each new grade multiplies the weight of all old ones by this: the memory is about
        ``1 / (1 - discount)`` grades. 1 forgets nothing.
    window : int, optional
        Only so many newest grades count. Not together with `discount`.
    by : str, optional
        The feature that holds an item's group; ``"group"`` is that of `Outcomes.group`.
    strength : float
        How many grades those of the other groups count as. 0 learns every group alone.

    References
    ----------
    Thompson, On the likelihood that one unknown probability exceeds another, 1933. Raj and Kalyani,
    Taming non-stationary bandits, arXiv 1707.09727. Garivier and Moulines, On upper-confidence
    bound policies for switching bandit problems, ALT 2011. Ibrahim and Chen, Power prior
    distributions for regression models, 2000.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["a", "b"], items=range(100), correct=[[0, 1]] * 100)
    >>> int((Thompson().decide(table).chosen == 1).sum()) > 90
    True
    """

    discount: float = ranged(1.0, 0, 1, "the weight of old grades after one new grade", 0.005)
    window: int | None = ranged(None, 1, 10**6, "only so many newest grades count", 1)
    by: str | None = None
    strength: float = ranged(100.0, 0, 1e9, "how many grades those of the other groups count as")

    def __post_init__(self):
        super().__post_init__()
        if self.window is not None:
            if not isinstance(self.window, Integral) or isinstance(self.window, bool):
                raise ValueError(f"Thompson.window is {shown(self.window)}; give a whole number")
            if self.discount != 1:
                raise ValueError(
                    f"Thompson has discount {shown(self.discount)} and window"
                    f" {shown(self.window)}; give one of them"
                )
        if self.by is not None and not isinstance(self.by, str):
            raise ValueError(f"Thompson.by is {shown(self.by)}; give the name of a feature")

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> _Thompson:
        return _Thompson(self, models, rng)


class _Thompson(BanditLearner):
    def __init__(self, policy: Thompson, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        self.groups: dict = {}  # their places in `counts`
        self.counts = np.zeros((0, 2, len(models)))  # right and wrong replies of each group
        self.newest: deque = deque()  # group, model and grade, where there is a window

    def _context(self, features: Mapping[str, Any]) -> Any:
        name = self.policy.by
        if name is None:
            return None
        check_known(name, features, "feature", "item")
        group = features[name]
        group = group.item() if isinstance(group, np.generic) else group
        if not isinstance(group, str | int | float | None) or group in (math.inf, -math.inf):
            raise ValueError(f"{shown(name)} is {shown(group)}; give a text, a number or None")
        return None if group != group else group  # NaN, which is not equal to itself

    def _check_context(self, context: Any) -> None:
        if not isinstance(context, str | int | float | None) or (
            isinstance(context, float) and not math.isfinite(context)
        ):
            raise ValueError(f"it has the group {shown(context)}")

    def _place(self, group: Any) -> int:
        if group not in self.groups:
            self.groups[group] = len(self.groups)
            self.counts = np.concatenate([self.counts, np.zeros((1, *self.counts.shape[1:]))])
        return self.groups[group]

    def _beta(self, group: Any) -> np.ndarray:
        """The two numbers of each model's posterior in a group, (2, m)."""
        place = self._place(group)
        own = self.counts[place]
        beta = 1 + own
        if len(self.groups) > 1:
            rest = self.counts.sum(axis=0) - own
            number = rest.sum(axis=0)  # (m,) grades in other groups
            beta += rest * np.minimum(1, self.policy.strength / np.maximum(number, 1e-12))
        never = self.graded == 0
        beta[1, never] += self.asked[never]  # as if wrong, until the first grade
        return beta

    def _scores(self, group: Any) -> np.ndarray:
        return self.rng.beta(*self._beta(group))

    def _learn(self, arm: int, group: Any, grade: float) -> None:
        place, policy = self._place(group), self.policy
        if policy.discount != 1:
            self.counts *= policy.discount
        self.counts[place, :, arm] += grade, 1 - grade
        if policy.window is not None:
            self.newest.append((place, arm, grade))
            if len(self.newest) > policy.window:
                place, arm, grade = self.newest.popleft()
                left = self.counts[place, :, arm] - (grade, 1 - grade)
                self.counts[place, :, arm] = np.maximum(left, 0)  # not -1e-17

    def _state(self) -> dict:
        return super()._state() | {
            "groups": list(self.groups),
            "counts": self.counts.tolist(),
            "newest": list(self.newest),
        }

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        if not isinstance(found["groups"], list):
            raise ValueError("its groups are no list")
        self.groups = {group: place for place, group in enumerate(found["groups"])}
        for group in self.groups:
            self._check_context(group)
        shape = (len(self.groups), 2, len(self.models))
        counts = np.array(found["counts"], float).reshape(shape)
        total = counts.sum(axis=(0, 1))  # (m,)
        most = self.graded * (1 + 1e-9) + 1e-9
        if len(self.groups) != len(found["groups"]) or not (counts >= 0).all():
            raise ValueError("its counts do not fit its groups")
        if not (total <= most).all():
            raise ValueError("its counts are more than its grades")
        self.counts = counts
        self.newest = deque((int(g), int(arm), float(grade)) for g, arm, grade in found["newest"])
        if not all(g in range(shape[0]) and arm in range(shape[2]) and 0 <= grade <= 1
                   for g, arm, grade in self.newest):  # fmt: skip
            raise ValueError("its window has a grade of no group or no model")
        most = self.policy.window or 0
        arms = np.array([arm for _, arm, _ in self.newest], int)
        if len(self.newest) > most or (
            most and not np.allclose(np.bincount(arms, minlength=shape[2]), total)
        ):
            raise ValueError("its window does not fit its counts")

    def _take(self, old: Self, moved: Mapping[int, int]) -> None:
        self.groups = dict(old.groups)
        self.counts = np.zeros((len(self.groups), 2, len(self.models)))
        self.counts[:, :, list(moved.values())] = old.counts[:, :, list(moved)]
        self.newest = deque((g, moved[arm], grade) for g, arm, grade in old.newest if arm in moved)
