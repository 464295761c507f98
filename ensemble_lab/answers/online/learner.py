"""What a bandit has learned: checked choices, checked feedback, a state in a file.

A model that was asked and never graded has no mean. It is treated as if its replies were wrong,
until its first grade. So a model that never replies is asked less and less.
"""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ensemble_lab.answers.online.offers import check_amounts, flags, usd
from ensemble_lab.core.errors import shown
from ensemble_lab.core.online import Feedback
from ensemble_lab.core.policy import model_names
from ensemble_lab.core.whole import write_whole

if TYPE_CHECKING:
    from ensemble_lab.answers.online.bandit import Learning

FORMAT = "ensemble_lab bandit 1"


def described(policy: Learning) -> list:
    """The policy as it stands in a file: its kind and its settings."""
    settings = {f.name: getattr(policy, f.name) for f in fields(policy)}
    settings |= {k: described(v) for k, v in settings.items() if is_dataclass(v)}
    return [type(policy).__name__, json.loads(json.dumps(settings, default=np.generic.item))]


class BanditLearner(ABC):
    """What a bandit has learned. Subclasses define `_scores` and `_learn`, and list `ARRAYS`.

    A learner is for one thread at a time: `choose`, `learn` and `save` change what they share. A
    server with several threads holds a lock around each of these calls.
    """

    ARRAYS: tuple[str, ...] = ("asked", "graded")  # what `save` writes; the first axis is (m,)
    TRIES_ALL = False  # whether each model is asked once first
    at_random = False  # whether the newest scores are no estimates: then prices do not count

    def __init__(self, policy: Learning, models: tuple[str, ...], rng: np.random.Generator):
        self.policy, self.models, self.rng, m = policy, models, rng, len(models)
        self.asked, self.graded = np.zeros(m), np.zeros(m)
        self.last = -1  # time of the newest item
        self.pending: dict[tuple[int, int], Any] = {}  # what was known, by time and model

    def choose(
        self, features: Mapping[str, Any], time: int, *, available=None, prices=None
    ) -> tuple[int, ...]:
        """The position of the model to ask; empty where none is available.

        Parameters
        ----------
        features : mapping
            What is known of the item.
        time : int
            Its place in the stream; later than the last one.
        available : sequence of m bool, optional
            Which models can be asked now; all by default.
        prices : sequence of m float, optional
            What a reply of each model costs now, in USD.

        Raises
        ------
        ValueError
            A time that is no whole number, or not later than the last one; flags or prices that
            do not fit the models; a negative or unknown price.
        """
        if not isinstance(time, Integral) or isinstance(time, bool) or time < 0:
            raise ValueError(f"time is {shown(time)}; give the item's place in the stream")
        if time <= self.last:
            raise ValueError(
                f"time is {shown(time)} after {self.last}; give each item a later time"
            )
        if not hasattr(features, "keys"):
            raise ValueError(f"features are {shown(features)}; give a mapping, such as {{}}")
        context = self._context(features)
        available = None if available is None else flags(available, self.models)
        prices = None if prices is None else usd(prices, self.models)
        time = int(time)
        if available is not None and not available.any():
            asked = ()
        else:
            asked = self._pick(time, context, available, prices)
        self.last = time
        for arm in asked:
            self.pending[time, arm] = context
            self.asked[arm] += 1
        return asked

    def learn(self, feedback: Feedback) -> None:
        """Learn from one grade, which may come late; NaN is unknown and teaches nothing.

        Give 0, not NaN, for a model that failed to answer, if a failure counts.

        Raises
        ------
        ValueError
            A reply that was not asked for, or that has been graded; a grade outside 0 to 1; a
            negative or infinite cost or latency.
        """
        try:
            time, model, grade, cost, latency = feedback
        except (TypeError, ValueError):
            raise ValueError(
                f"feedback is {shown(feedback)}; give Feedback(time, model, grade, cost, latency)"
            ) from None
        check_amounts(grade, cost, latency)
        try:
            context = self.pending.pop((time, model))
        except (KeyError, TypeError):
            asked = [arm for when, arm in self.pending if when == time]
            if asked:
                raise ValueError(
                    f"at time {time} model {asked[0]} was asked, not {shown(model)}; name it"
                ) from None
            raise ValueError(
                f"no reply at time {shown(time)} waits for its grade; give each grade once"
            ) from None
        arm = int(model)
        self._pay(int(time), arm, float(cost))
        if not math.isnan(grade):
            self.graded[arm] += 1
            self._learn(arm, context, float(grade))

    def with_models(self, models: tuple[str, ...]) -> Self:
        """The learner from now on for other models: a new one joins, one that has left is dropped.

        Models that stay keep all that was learned of them. Replies of the others that still wait
        for a grade are forgotten. Use the returned learner, and no longer this one. A policy of
        little optimism, such as LinUCB with a small scale, may never ask the new one.

        Parameters
        ----------
        models : tuple of str
            The models from now on, in their new order.
        """
        new = self.policy._learner(model_names(models, "models"), self.rng)
        place = {name: j for j, name in enumerate(new.models)}
        moved = {i: place[name] for i, name in enumerate(self.models) if name in place}
        before, after = list(moved), list(moved.values())
        for name in self.ARRAYS:
            getattr(new, name)[after] = getattr(self, name)[before]
        new.last = self.last
        new.pending = {
            (time, moved[arm]): context
            for (time, arm), context in self.pending.items() if arm in moved
        }  # fmt: skip
        new._take(self, moved)
        return new

    def save(self, path: str | os.PathLike) -> Path:
        """Write everything that was learned, and the state of `rng`, to a JSON file.

        The file is complete or the old one is kept. `resume` of the policy reads it.
        """
        rng = self.rng.bit_generator.state
        if rng["bit_generator"] != "PCG64":
            raise ValueError(f"the rng is a {rng['bit_generator']}; begin with default_rng(seed)")
        found = {
            "format": FORMAT,
            "policy": described(self.policy),
            "models": list(self.models),
            "rng": rng,
            "last": self.last,
            "pending": [[*asked, context] for asked, context in self.pending.items()],
            **self._state(),
        }
        return write_whole(path, json.dumps(found, allow_nan=False))

    def _restore(self, found: Mapping) -> None:
        self.rng.bit_generator.state = found["rng"]
        self.last = found["last"]
        if type(self.last) is not int or not -1 <= self.last < 2**63:
            raise ValueError(f"its last is {shown(self.last)}, which is the time of no item")
        self._restore_state(found)
        self.pending = {(time, arm): context for time, arm, context in found["pending"]}
        if not all(type(number) is int for asked in self.pending for number in asked) or not all(
            0 <= time <= self.last and 0 <= arm < len(self.models) for time, arm in self.pending
        ):
            raise ValueError("its pending replies are of no item or no model")
        for context in self.pending.values():
            self._check_context(context)

    def _restore_state(self, found: Mapping) -> None:
        for name in self.ARRAYS:
            values = np.array(found["learned"][name], float)
            if values.shape != getattr(self, name).shape or not np.isfinite(values).all():
                raise ValueError(f"its {name} does not fit {len(self.models)} models")
            setattr(self, name, values)
        if (self.asked < self.graded).any() or (self.graded < 0).any():
            raise ValueError("it has more grades than replies")
        counts = np.stack([self.asked, self.graded])
        if (counts % 1).any() or (counts > found["last"] + 1).any():
            raise ValueError("its numbers of replies are not those of its items")

    def _state(self) -> dict:
        """What `save` writes of all that was learned; `_restore_state` reads it."""
        return {"learned": {name: getattr(self, name).tolist() for name in self.ARRAYS}}

    def _context(self, features: Mapping[str, Any]) -> Any:
        """What is kept of an item until its grade comes; JSON must hold it."""
        return None

    def _check_context(self, context: Any) -> None:
        """Refuse what `_context` does not return."""
        return

    def _pick(
        self, time: int, context: Any, available: np.ndarray | None, prices: np.ndarray | None
    ) -> tuple[int, ...]:
        """The models to ask, of which at least one is available."""
        usable = np.arange(len(self.models)) if available is None else np.flatnonzero(available)
        if self.TRIES_ALL and (new := usable[self.asked[usable] == 0]).size:
            return (int(new[0]),)
        weight = self.policy.cost_weight
        if weight and prices is None:
            raise ValueError(
                f"cost_weight is {weight:g} and no prices are given; choose(…, prices=[…])"
            )
        scores = self._scores(context)
        if weight and not self.at_random:
            scores = scores - weight * prices
        return (int(usable[scores[usable].argmax()]),)

    @abstractmethod
    def _scores(self, context: Any) -> np.ndarray:
        """The score of each model, (m,): the greatest is asked."""

    @abstractmethod
    def _learn(self, arm: int, context: Any, grade: float) -> None:
        """Take the grade of a model that was asked."""

    def _pay(self, time: int, arm: int, cost: float) -> None:
        """Take the cost of a reply; NaN where it is unknown."""
        return

    def _take(self, old: Self, moved: Mapping[int, int]) -> None:
        """Take what `old` has learned besides its arrays; `moved` maps its models to these."""
        return
