"""Bags of members on rows of two features, computed when a setting is first seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.explorers.training.moons import CELLS, MAP, moons
from ensemble_lab.training.bagging.bagging import BaggingClassifier
from ensemble_lab.training.bagging.bootstrap import outside
from ensemble_lab.training.networks import NetworkClassifier

MOST = 32
SIZES = np.arange(1, MOST + 1)
DRAWS = range(5)
ROWS, HELD_OUT = 120, 1000
NOISE = 0.3  # standard deviation around the half circles
NETWORK = "small network"
LEARNERS = ("tree", "stump", "nearest neighbours", NETWORK)


@dataclass(frozen=True, eq=False)
class Bags:
    """Bags of 32 on five draws of rows; errors of smaller bags are means over who comes first.

    Squared errors are of the probability of class 1, against the true one at new places; they are
    means over places.
    """

    X: np.ndarray  # (n, 2), the rows of the first draw
    label: np.ndarray  # (n,) of int
    member: np.ndarray  # (32, cells, cells), where each predicts 1 on the map, rows from below
    chance: np.ndarray  # (32, cells, cells) of class 1 by the first 1, 2, … members
    held: np.ndarray  # (5, 32), share of errors on new rows
    out_of_bag: np.ndarray  # (5, 32), the same on rows that a member has not seen
    alone: np.ndarray  # (5,), share of errors of one learner that sees every row once
    squared: np.ndarray  # (5, 32), squared error of the mean of the first members
    bias2: float
    sigma2: float  # variance of one member over draws and bootstraps
    rho: float  # correlation of two members of a bag

    @property
    def floor(self) -> float:
        """The squared error that no number of members goes below."""
        return self.bias2 + self.rho * self.sigma2


@cache
def bags(learner: str, depth: int, share: float) -> Bags:
    """Five bags of `learner`; `depth` is that of trees, `share` how many rows a bootstrap has."""
    places, _ = moons(HELD_OUT, len(DRAWS), NOISE)
    truth = chance_of_one(places)
    said, out_of_bag, alone = [], [], []
    for seed in DRAWS:
        X, y = moons(ROWS, seed, NOISE)
        one = _estimator(learner, depth, seed)
        bag = BaggingClassifier(one, MOST, max_samples=share, random_state=seed).fit(X, y)
        said.append(chances(bag, places))
        out_of_bag.append(_unseen(bag, X, y))
        alone.append(missed(one.fit(X, y).predict_proba(places)[:, 1], truth))
        if seed == DRAWS[0]:
            there = chances(bag, MAP).reshape(MOST, CELLS, CELLS)
            first = {"X": X, "label": y, "member": there > 0.5, "chance": running_mean(there)}
    said = np.stack(said)  # (draws, members, places)
    means = [running_mean(rolled, axis=1) for rolled in rotated(said, axis=1)]
    return Bags(
        **first,
        held=np.mean([missed(mean, truth) for mean in means], axis=0),
        out_of_bag=np.stack(out_of_bag),
        alone=np.array(alone),
        squared=np.mean([((mean - truth) ** 2).mean(-1) for mean in means], axis=0),
        **parts(said, truth),
    )


def chance_of_one(places: np.ndarray) -> np.ndarray:
    """The true probability of class 1 at places (n, 2): two half circles, noise around them."""
    t = np.linspace(0, np.pi, 200)
    arcs = (np.cos(t), np.sin(t)), (1 - np.cos(t), 0.5 - np.sin(t))
    away = [(places[:, :1] - x) ** 2 + (places[:, 1:] - y) ** 2 for x, y in arcs]  # (n, 200)
    zero, one = (np.exp(-each / (2 * NOISE**2)).sum(1) for each in away)
    return one / (zero + one)


def missed(chance: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Expected share of errors (…) of a decision by `chance` (…, n), where `truth` is (n,).

    A tie, as two trees may have, is decided at random.
    """
    return np.where(chance == 0.5, 0.5, np.where(chance > 0.5, 1 - truth, truth)).mean(-1)


def running_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Means of the first 1, 2, … entries along an axis."""
    shape = [1] * values.ndim
    shape[axis] = -1
    return values.cumsum(axis) / np.arange(1, values.shape[axis] + 1).reshape(shape)


def rotated(values: np.ndarray, axis: int) -> Iterator[np.ndarray]:
    """The same members, beginning with each of them in turn: a bag of m is any m of them."""
    return (np.roll(values, -first, axis) for first in range(values.shape[axis]))


def chances(bag, X: np.ndarray) -> np.ndarray:
    """Probability (m, n) of class 1 by every member; 0 by one that has never seen it."""
    members = bag.estimators_
    return np.stack([one.predict_proba(X)[:, -1] * (one.classes_[-1] == 1) for one in members])


def parts(said: np.ndarray, truth: np.ndarray) -> dict:
    """What the squared error of chances (draws, m, n) is made of, without the draws' own luck."""
    draws, m, _ = said.shape
    within = said.var(1, ddof=1).mean()
    whole = said.mean(1)
    spread = whole.var(0, ddof=1).mean()
    shared = max(spread - within / m, 0.0)
    return {
        "bias2": float(((whole.mean(0) - truth) ** 2).mean() - spread / draws),
        "sigma2": float(shared + within),
        "rho": float(shared / (shared + within)) if shared + within else 0.0,
    }


def _estimator(learner: str, depth: int, seed: int):
    if learner == "nearest neighbours":
        return KNeighborsClassifier(9)
    if learner == NETWORK:
        settings = {"epochs": 60, "batch_size": ROWS, "learning_rate": 0.1}
        return NetworkClassifier(**settings, random_state=seed)
    return DecisionTreeClassifier(max_depth=1 if learner == "stump" else depth, random_state=seed)


def _unseen(bag, X, y) -> np.ndarray:
    """Share of errors on rows that some of the first 1, 2, … members have not seen."""
    out = outside(bag.estimators_samples_, len(X))
    both = np.stack([out, np.where(out, chances(bag, X), 0.0)], axis=1)  # (members, 2, rows)
    shares = []
    for rolled in rotated(both, axis=0):
        heard, total = rolled.cumsum(0).swapaxes(0, 1)
        wrong = np.where(2 * total == heard, 0.5, (2 * total > heard) != y)
        shares.append((wrong * (heard > 0)).sum(1) / (heard > 0).sum(1))
    return np.mean(shares, axis=0)
