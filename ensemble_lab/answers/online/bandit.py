"""What all bandits have in common: one model an item, checked feedback, a state in a file.

A model that was asked and never graded has no mean. It is treated as if its replies were wrong,
until its first grade. So a model that is never available is asked less and less.
"""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.online import Feedback, OnlinePolicy
from ensemble_lab.core.policy import model_names
from ensemble_lab.core.whole import write_whole

FORMAT = "ensemble_lab bandit 1"


@dataclass(frozen=True)
class Bandit(OnlinePolicy):
    """An online policy that asks one model an item. Subclasses define `_learner`."""

    @abstractmethod
    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> BanditLearner:
        """An untrained learner."""

    def begin(self, models: tuple[str, ...], rng: np.random.Generator) -> BanditLearner:
        """An untrained learner with `choose`, `learn` and `save`.

        Parameters
        ----------
        models : tuple of m str
        rng : numpy.random.Generator
            Where all random numbers come from.
        """
        if not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng is {shown(rng)}; give a Generator: default_rng(seed)")
        return self._learner(model_names(models, "models"), rng)

    def resume(self, path: str | os.PathLike, models: tuple[str, ...]) -> BanditLearner:
        """The learner that `save` wrote: it chooses as if it had never stopped.

        Parameters
        ----------
        path : path
            A file that `save` of a learner of this policy wrote.
        models : tuple of m str
            The models that it chose from, in the same order.

        Raises
        ------
        ValueError
            No such file or another one, another policy, other settings or other models.
        """
        if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
            raise ValueError(f"there is no file {shown(str(path), 150)}; give one that save wrote")
        try:
            found = json.loads(Path(path).read_bytes())
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise ValueError("it was not written by save")
            for name, now in (("policy", self._described()), ("models", list(models))):
                if found[name] != now:
                    raise ValueError(f"its {name} is {shown(found[name])}, not {shown(now)}")
            learner = self.begin(models, np.random.default_rng())
            learner._restore(found)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError,
                RecursionError) as error:  # fmt: skip
            why = excerpt(f"{error.args[0] if error.args else error}", 180)
            raise ValueError(
                f"{shown(Path(path).name, 40)} cannot be resumed: {why}; begin anew"
            ) from None
        return learner

    def _described(self) -> list:
        return [type(self).__name__, json.loads(json.dumps(asdict(self)))]


class BanditLearner(ABC):
    """What a bandit has learned. Subclasses define `_arm` and `_learn`, and list their `ARRAYS`."""

    ARRAYS: tuple[str, ...] = ("asked", "graded")  # what `save` writes

    def __init__(self, policy: Bandit, models: tuple[str, ...], rng: np.random.Generator):
        self.policy, self.models, self.rng, m = policy, models, rng, len(models)
        self.asked, self.graded = np.zeros(m), np.zeros(m)
        self.last = -1  # time of the newest item
        self.pending: dict[int, tuple[int, Any]] = {}  # by time: the model, and what was known

    def choose(self, features: Mapping[str, Any], time: int) -> tuple[int]:
        """The position of the model to ask.

        Raises
        ------
        ValueError
            A time that is no whole number, or not later than the last one.
        """
        if not isinstance(time, Integral) or isinstance(time, bool) or time < 0:
            raise ValueError(f"time is {shown(time)}; give the item's place in the stream")
        if time <= self.last:
            raise ValueError(
                f"time is {shown(time)} after {self.last}; give each item a later time"
            )
        context = self._context(features)
        arm = int(self._arm(context))
        self.last = time = int(time)
        self.pending[time] = arm, context
        self.asked[arm] += 1
        return (arm,)

    def learn(self, feedback: Feedback) -> None:
        """Learn from one grade; it may come late. A grade of NaN is unknown and teaches nothing.

        Give 0, not NaN, for a model that failed to answer, if a failure counts.

        Raises
        ------
        ValueError
            A reply that was not asked for, or that has been graded; a grade outside 0 to 1; a
            negative cost or latency.
        """
        time, model, grade, cost, latency = feedback
        for name, value in (("grade", grade), ("cost", cost), ("latency", latency)):
            if isinstance(value, bool) or not isinstance(value, Real) or value < 0:
                raise ValueError(f"{name} is {shown(value)}; give a number from 0 up, or NaN")
        if grade > 1:
            raise ValueError(f"grade is {shown(grade)}; grades lie between 0 and 1")
        try:
            arm, context = self.pending[time]
        except (KeyError, TypeError):
            raise ValueError(
                f"no reply at time {shown(time)} waits for its grade; give each grade once"
            ) from None
        if model != arm:
            raise ValueError(f"at time {time} model {arm} was asked, not {shown(model)}; name it")
        del self.pending[time]
        if not math.isnan(grade):
            self.graded[arm] += 1
            self._learn(arm, context, float(grade))

    def save(self, path: str | os.PathLike) -> Path:
        """Write everything that was learned, and the state of `rng`, to a JSON file.

        The file is complete or the old one is kept. `resume` of the policy reads it.
        """
        rng = self.rng.bit_generator.state
        if rng["bit_generator"] != "PCG64":
            raise ValueError(f"the rng is a {rng['bit_generator']}; begin with default_rng(seed)")
        found = {
            "format": FORMAT,
            "policy": self.policy._described(),
            "models": list(self.models),
            "rng": rng,
            "last": self.last,
            "pending": [[time, *asked] for time, asked in self.pending.items()],
            "learned": {name: getattr(self, name).tolist() for name in self.ARRAYS},
            **self._more(),
        }
        return write_whole(path, json.dumps(found, allow_nan=False))

    def _restore(self, found: Mapping) -> None:
        self.rng.bit_generator.state = found["rng"]
        for name in self.ARRAYS:
            values = np.array(found["learned"][name], float)
            if values.shape != getattr(self, name).shape or not np.isfinite(values).all():
                raise ValueError(f"its {name} does not fit {len(self.models)} models")
            setattr(self, name, values)
        self.last = found["last"]
        self.pending = {time: (arm, context) for time, arm, context in found["pending"]}
        whole = [self.last, *(number for time, (arm, _) in self.pending.items()
                              for number in (time, arm))]  # fmt: skip
        if not all(type(number) is int for number in whole) or not all(
            0 <= time <= self.last and 0 <= arm < len(self.models)
            for time, (arm, _) in self.pending.items()
        ):
            raise ValueError("its pending replies are of no item or no model")
        if (self.asked < self.graded).any() or (self.graded < 0).any():
            raise ValueError("it has more grades than replies")

    def _context(self, features: Mapping[str, Any]) -> Any:
        """What is kept of an item until its grade comes; JSON must hold it."""
        return None

    @abstractmethod
    def _arm(self, context: Any) -> int:
        """The model to ask."""

    @abstractmethod
    def _learn(self, arm: int, context: Any, grade: float) -> None:
        """Take the grade of a model that was asked."""

    def _more(self) -> dict:
        """What `save` writes besides the arrays."""
        return {}
