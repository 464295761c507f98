"""`OnlinePolicy`: a rule that learns while it answers, one item after another.

A `Policy` sees a complete table at once and is fitted on other rows. An online policy sees the
items in order, and learns how good a reply was only where it asked for that reply, perhaps later.
Replay does the same: no grade, price or time of a model that was not asked ever reaches the policy.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import numpy as np

from ensemble_lab.core.by_model import by_model
from ensemble_lab.core.decision import ABSTAINED, Choice, Decision, graded
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes


class Feedback(NamedTuple):
    """Feedback on one reply.

    Parameters
    ----------
    time : int
        Position of the item for which the model was asked.
    model : int
        Its position in `models`.
    grade : float
        Its correctness, in [0, 1]; NaN where unknown.
    cost, latency : float
        USD and seconds of this reply; NaN where unknown.
    """

    time: int
    model: int
    grade: float
    cost: float
    latency: float


class Learner(Protocol):
    """What `OnlinePolicy.begin` returns: it stores what is learned.

    A learner is for one thread at a time. A server with several threads holds a lock around each
    `choose` and each `learn`; between the two, while a model answers, it needs none.
    """

    def choose(self, features: Mapping[str, Any], time: int) -> Sequence[int]:
        """Positions of the models to ask, each once; the first one's answer is given.

        Empty where no model is asked. A learner may also take the keywords `available` and
        `prices`: a flag and a price in USD of each model, as they are at this time.
        """

    def learn(self, feedback: Feedback) -> None:
        """Learn from the feedback on one reply."""


@dataclass(frozen=True)
class OnlinePolicy(ABC):
    """A frozen dataclass of settings; the learner that `begin` makes stores what is learned.

    Subclasses define `begin`. So one policy can be replayed many times, and one learner can
    continue from table to table.

    References
    ----------
    Lai and Robbins, Asymptotically efficient adaptive allocation rules, 1985. Joulani et al.,
    Online learning under delayed feedback, ICML 2013.
    """

    __post_init__ = Policy.__post_init__  # the same declared ranges

    @abstractmethod
    def begin(self, models: tuple[str, ...], rng: np.random.Generator) -> Learner:
        """An untrained learner; all its randomness comes from `rng`."""

    def decide(
        self,
        outcomes: Outcomes,
        *,
        delay: int | Sequence[int] = 0,
        seed: int = 0,
        parallel: bool = True,
        available=None,
        prices=None,
    ) -> Decision:
        """Replay the policy on recorded outcomes, item by item in the order of the table.

        Parameters
        ----------
        outcomes : Outcomes
            n items by m models. The policy sees an item's features before it chooses. Of the item's
            cells it sees only those of the models that it asked. An item's group is its feature
            ``"group"``, unless there is another feature of this name.
        delay : int, or sequence of n ints
            How many further items are answered before the feedback on an item arrives.
        seed : int
            Of the learner's random numbers.
        parallel : bool
            Whether models asked together run at the same time, as in `Policy.decide`.
        available : array-like of bool, (n, m) or (m,), optional
            Which models can be asked at each item; all by default.
        prices : array-like of float, (n, m) or (m,), optional
            USD of a reply, as the policy is told before it chooses. It learns the recorded cost
            after it, where it asked.

        Returns
        -------
        Decision
            An item is not answered where its first model is absent or no model was asked.

        Raises
        ------
        ValueError
            A delay that is not a whole number from 0 up, a choice of no such model, flags or
            prices of another shape or for a policy that takes none.
        """
        offers = {"available": available, "prices": prices}
        _, chosen, called = self._replayed(outcomes, delay, seed, offers)
        absent = outcomes.absent[np.arange(len(outcomes)), np.maximum(chosen, 0)]
        return graded(
            Choice(np.where(absent, ABSTAINED, chosen), called),
            outcomes,
            (tuple(range(len(outcomes.models))),),
            parallel,
        )

    def learned(
        self,
        outcomes: Outcomes,
        *,
        delay: int | Sequence[int] = 0,
        seed: int = 0,
        available=None,
        prices=None,
    ) -> Learner:
        """The learner after it has answered every item of recorded outcomes, for those to come.

        Parameters
        ----------
        outcomes, delay, seed, available, prices
            As in `decide`. The next item has the time n; feedback that arrives later than that
            is not learned.

        Raises
        ------
        ValueError
            As in `decide`.
        """
        offers = {"available": available, "prices": prices}
        return self._replayed(outcomes, delay, seed, offers, after=True)[0]

    def _replayed(self, outcomes: Outcomes, delay, seed: int, offers: dict, after: bool = False):
        """The learner, whom it chose (n,), and whom it asked (n, m).

        With `after` it also hears what arrives between the last item and the next one.
        """
        check_outcomes(outcomes)
        n, m = outcomes.correct.shape
        late = _delays(delay, n)
        learner = self.begin(outcomes.models, np.random.default_rng(checked_seed(seed)))
        features = {name: column.tolist() for name, column in outcomes.features.items()}
        if outcomes.group is not None:
            features.setdefault("group", outcomes.group.tolist())
        known = {
            name: np.full((n, m), np.nan) if values is None else values
            for name, values in zip(Feedback._fields[2:], _revealed(outcomes), strict=True)
        }
        offers = _offers(learner, offers, n, outcomes.models)
        chosen, called, due = np.full(n, ABSTAINED), np.zeros((n, m), bool), []
        for time in range(n + after):
            while due and due[0][0] <= time:  # feedback since the last item
                _, asked, model = heapq.heappop(due)
                cells = (float(values[asked, model]) for values in known.values())
                learner.learn(Feedback(asked, model, *cells))
            if time == n:
                break
            offer = {name: rows[time] for name, rows in offers.items()}
            known_now = {name: column[time] for name, column in features.items()}
            asked = _asked(learner.choose(known_now, time, **offer), m)
            called[time, asked] = True
            chosen[time] = asked[0] if asked else ABSTAINED
            for model in asked:
                heapq.heappush(due, (time + 1 + late[time], time, model))
        return learner, chosen, called


def _revealed(outcomes: Outcomes) -> tuple:
    return outcomes.correct, outcomes.cost, outcomes.latency


def _asked(choice, m: int) -> list[int]:
    """The positions that a learner chose, checked."""
    asked = [choice] if isinstance(choice, Integral) else several(choice, "choose(…)")
    for model in asked:
        if not isinstance(model, Integral) or isinstance(model, bool) or not 0 <= model < m:
            raise ValueError(f"choose(…) named {shown(model)}; models are 0 to {m - 1}")
    if len(set(asked)) < len(asked):
        raise ValueError(f"choose(…) named a model twice: {shown(asked)}; name each once")
    return [int(model) for model in asked]


def _offers(learner: Learner, given: dict, n: int, models: tuple[str, ...]):
    """What is said before each choice, a row an item, in shape (n, m)."""
    m = len(models)
    offers = {
        name: by_model(values, models, name) for name, values in given.items() if values is not None
    }
    for name, values in offers.items():
        if values.shape not in ((m,), (n, m)):
            raise ValueError(
                f"{name} has the shape {values.shape}; give ({m},), one for each model, or"
                f" ({n}, {m}), a row an item"
            )
        if name not in signature(learner.choose).parameters:
            raise ValueError(
                f"this policy takes no {name}; give a bandit that does, such as Thompson"
            )
    return {name: np.broadcast_to(values, (n, m)) for name, values in offers.items()}


def _delays(delay, n: int) -> list[int]:
    late = [delay] * n if isinstance(delay, Integral) else several(delay, "delay")
    if len(late) != n:
        raise ValueError(f"delay has {len(late)} numbers for {n} items; give one an item, or one")
    for number in late:
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 0:
            raise ValueError(f"delay is {shown(number)}; give a whole number of items from 0 up")
    return [int(number) for number in late]
