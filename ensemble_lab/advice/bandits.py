"""Bandits that are tried where a table has a clock: they learn while they answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.answers.online.linear import LinThompson, LinUCB
from ensemble_lab.answers.online.means import UCB1, EpsilonGreedy
from ensemble_lab.answers.online.offers import LARGEST
from ensemble_lab.answers.online.thompson import Thompson
from ensemble_lab.answers.routing.features import numbers, numeric_names
from ensemble_lab.core.errors import shown
from ensemble_lab.core.online import Feedback, OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes

MOST_ROWS = 100_000  # replayed by every bandit: a bandit answers some 30,000 items a second
MOST_NUMBERS = 30_000  # that a bandit reads for one choice, about 0.05 ms
MOST_THOROUGH = 1_000_000  # the same with `thorough`


def bandits(outcomes: Outcomes, thorough: bool = False) -> dict[str, OnlinePolicy]:
    """Every bandit that the fields of `outcomes` allow, by name; no grade is looked at.

    Parameters
    ----------
    outcomes : Outcomes
    thorough : bool
        Also bandits that take more than a second for 10,000 items.
    """
    m, most = len(outcomes.models), MOST_THOROUGH if thorough else MOST_NUMBERS
    found: dict[str, OnlinePolicy] = {
        "follow the leader": EpsilonGreedy(0.0),  # asks each once, then the best so far
        "Thompson sampling": Thompson(),
    }
    if len(outcomes) > MOST_ROWS and not thorough:
        return found
    found |= {"epsilon-greedy": EpsilonGreedy(), "UCB1": UCB1()}
    found["Thompson sampling that forgets"] = Thompson(discount=0.99)
    groups = _groups(outcomes)
    if groups and 2 * m * len(groups) <= most:
        found["Thompson sampling by group"] = Thompson(by="group")
    names, centre, spread = _features(outcomes)
    if (names or groups) and m * (1 + len(names) + len(groups)) ** 2 <= most:
        for name, kind in (("LinUCB", LinUCB), ("linear Thompson sampling", LinThompson)):
            of = kind(features=names, groups=groups)
            found[name] = Scaled(of, centre, spread) if names else of
    return found


def _groups(outcomes: Outcomes) -> tuple:
    """The groups in the order of their first items; none where there is one, or no text or int."""
    if outcomes.group is None or "group" in outcomes.features:
        return ()
    found = tuple(dict.fromkeys(outcomes.group.tolist()))
    return found if len(found) > 1 and all(type(one) in (str, int) for one in found) else ()


def _features(outcomes: Outcomes) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """Features that are known for all items and differ, with their means and deviations."""
    try:
        named = numeric_names(outcomes)
    except ValueError:  # no feature is a number
        return (), (), ()
    columns = {name: numbers(outcomes, name) for name in named}
    with np.errstate(over="ignore", invalid="ignore"):
        scales = {name: (float(x.mean()), float(x.std())) for name, x in columns.items()}
    kept = {name: scale for name, scale in scales.items()
            if np.isfinite(scale).all() and scale[1] > 1e-12 * abs(scale[0])}  # fmt: skip
    centre, spread = zip(*kept.values(), strict=True) if kept else ((), ())
    return tuple(kept), centre, spread


@dataclass(frozen=True)
class Scaled(OnlinePolicy):
    """A linear bandit that sees each of its features less `centre`, divided by `spread`.

    Its penalty on the weights is the same for all features, so a length in tokens and a share must
    be brought to one scale.

    Parameters
    ----------
    of : LinUCB or LinThompson
    centre, spread : tuple of float
        One of each for every feature of `of`.
    """

    of: LinUCB | LinThompson
    centre: tuple[float, ...]
    spread: tuple[float, ...]

    def begin(self, models: tuple[str, ...], rng: np.random.Generator) -> ScaledLearner:
        """An untrained learner."""
        return ScaledLearner(self, self.of.begin(models, rng))

    def resume(self, path: str | os.PathLike, models: tuple[str, ...]) -> ScaledLearner:
        """The learner that `save` wrote; see `Bandit.resume`."""
        return ScaledLearner(self, self.of.resume(path, models))


class ScaledLearner:
    """What a `Scaled` bandit has learned."""

    def __init__(self, policy: Scaled, of: BanditLearner):
        self.policy, self.of, self.models = policy, of, of.models

    @property
    def last(self) -> int:
        """Time of the newest item."""
        return self.of.last

    def choose(
        self, features: Mapping[str, Any], time: int, *, available=None, prices=None
    ) -> tuple[int, ...]:
        """The position of the model to ask; features that are no numbers are refused there."""
        if not hasattr(features, "keys"):
            raise ValueError(f"features are {shown(features)}; give a mapping, such as {{}}")
        policy, seen = self.policy, dict(features)
        for name, centre, spread in zip(policy.of.features, policy.centre, policy.spread,
                                        strict=True):  # fmt: skip
            value = seen.get(name)
            if isinstance(value, Real | np.bool_) and -LARGEST <= value <= LARGEST:
                seen[name] = (float(value) - centre) / spread
        return self.of.choose(seen, time, available=available, prices=prices)

    def learn(self, feedback: Feedback) -> None:
        """Learn from one grade."""
        self.of.learn(feedback)

    def with_models(self, models: tuple[str, ...]) -> ScaledLearner:
        """The learner from now on for other models; see `BanditLearner.with_models`."""
        return ScaledLearner(self.policy, self.of.with_models(models))

    def save(self, path: str | os.PathLike):
        """Write what was learned, without the scale, to a JSON file."""
        return self.of.save(path)
