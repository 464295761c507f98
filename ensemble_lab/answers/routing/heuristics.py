"""Routers that know nothing about quality: what every other one has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from ensemble_lab.answers.routing.features import complete
from ensemble_lab.answers.routing.router import ScoreRouter
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import ranged
from ensemble_lab.models.questions import length_feature


@dataclass(frozen=True)
class RandomRouter(ScoreRouter):
    """Chooses at random: the baseline without any knowledge.

    The scores are uniform in [0, 1]. They depend on `seed` and on the item's features (its name
    where there are none), so that a live run chooses as the replay does. Items with equal features
    get equal scores.
    """

    seed: int = ranged(0, 0, 2**32 - 1, "another seed, another random order", 1)

    def _learn(self, outcomes: Outcomes) -> None:
        return None

    def _score(self, state: None, outcomes: Outcomes) -> np.ndarray:
        models = self.fitted.models
        known = [outcomes.features[name].tolist() for name in sorted(outcomes.features)]
        rows = zip(*(known or [outcomes.items.tolist()]), strict=True)
        digests = [
            blake2b(repr((self.seed, row)).encode("utf-8", "replace"), digest_size=16).digest()
            for row in rows
        ]
        seeds = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
        # One hash an item; a multiplication by odd numbers spreads it over the models.
        steps = np.arange(1, len(models) + 1, dtype=np.uint64)
        mixed = _mixed(seeds[:, :1] + _mixed(seeds[:, 1:] + steps * np.uint64(0x9E3779B97F4A7C15)))
        return (mixed >> np.uint64(11)).astype(float) / 2.0**53


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _Lengths(NamedTuple):
    feature: str
    seen: np.ndarray  # sorted
    place: np.ndarray  # of each model, from cheap to expensive, in [0, 1]


@dataclass(frozen=True)
class LengthRouter(ScoreRouter):
    """The longer the question, the more expensive the model.

    A question's length is compared with those of the fit: its rank in [0, 1] is matched with the
    places of the models, from cheap to expensive. Nothing is learned about quality.

    Parameters
    ----------
    models : tuple of str, optional
        From cheap to expensive where the outcomes have no cost and no `prices` are given.
    feature : str, optional
        The length; by default the feature whose name ends in ``_chars``.
    """

    feature: str | None = None

    def _learn(self, outcomes: Outcomes) -> _Lengths:
        name = length_feature(outcomes) if self.feature is None else self.feature
        price = np.arange(len(outcomes.models), dtype=float)  # by default in the order given
        if self.prices is not None:
            price = np.array([self.prices.get(model, np.nan) for model in outcomes.models])
        elif outcomes.cost is not None:
            price = np.nanmean(outcomes.cost, axis=0)
        place = np.empty(len(price))
        place[np.argsort(price, kind="stable")] = np.linspace(0, 1, len(price))
        return _Lengths(name, np.sort(complete(outcomes, name)), place)

    def _score(self, state: _Lengths, outcomes: Outcomes) -> np.ndarray:
        length = complete(outcomes, state.feature)
        below, upto = (np.searchsorted(state.seen, length, side) for side in ("left", "right"))
        rank = (below + upto) / (2 * len(state.seen))
        return 1 - np.abs(rank[:, None] - state.place)

    def _why(self, table: Outcomes, scores: np.ndarray, first: int) -> str:
        state = self.fitted.state
        length, seen = float(complete(table, state.feature)[0]), state.seen
        if length > seen[-1]:
            return f"{state.feature} {length:g} is above all of the fit (at most {seen[-1]:g})"
        return f"{state.feature} {length:g} is longer than {np.mean(seen < length):.0%} of the fit"
