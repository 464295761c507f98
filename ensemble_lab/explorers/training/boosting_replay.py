"""AdaBoost on rows of two measures, every round of it worked out when a setting is first seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from ensemble_lab.explorers.training.moons import CELLS, MAP, moons
from ensemble_lab.training.boosting.adaboost import AdaBoostClassifier

ROUNDS = range(1, 61)
DRAWS = range(5)
ROWS, HELD_OUT = 120, 2000
NOISE = 0.25  # standard deviation around the half circles


@dataclass(frozen=True, eq=False)
class Rounds:
    """Every round of five draws of rows; what belongs to single rows is of the first draw.

    A boosting that stops early is held at its last stage.
    """

    X: np.ndarray  # (n, 2)
    label: np.ndarray  # (n,), 0 or 1, as they are learned from
    turned: np.ndarray  # (n,), where that is not the true one
    weights: np.ndarray  # (rounds, n), what that round's stage learned from; their sum is 1
    wrong: np.ndarray  # (rounds, n), where the stage is
    margins: np.ndarray  # (rounds, n)
    stage: np.ndarray  # (rounds, cells, cells), where the stage says 1 on the map, rows from below
    whole: np.ndarray  # (rounds, cells, cells), where the whole does
    train: np.ndarray  # (5, rounds), share of errors of the whole on rows with turned labels
    held: np.ndarray  # (5, rounds), the same on new rows without
    stage_error: np.ndarray  # (5, rounds), of the stage, on the rows by their weights
    burden: np.ndarray  # (5, rounds), share of all weight on turned labels; NaN without any
    stages: np.ndarray  # (5,), how many there are before it stops
    tree: np.ndarray  # (5,), held-out share of errors of one full-grown tree

    @property
    def settled(self) -> int:
        """The first round, from 0 on, with the fewest training errors of the first draw."""
        return int(self.train[0].argmin())


@cache
def rounds(depth: int, noise: float, learning_rate: float) -> Rounds:
    """AdaBoost of trees of that depth on five draws, with that share of labels turned over."""
    drawn = [_draw(seed, noise) for seed in DRAWS]
    fitted = [_fitted(depth, learning_rate, seed, *drawn[seed]) for seed in DRAWS]
    new, truth = moons(HELD_OUT, len(DRAWS), NOISE)
    columns = zip(*map(_judged, fitted, drawn, [(new, truth)] * len(DRAWS)), strict=True)
    train, held, stage_error, burden = (np.stack(column) for column in columns)
    X, label, turned = drawn[0]
    return Rounds(
        X,
        label,
        turned,
        **_first(fitted[0], X, label),
        train=train,
        held=held,
        stage_error=stage_error,
        burden=burden,
        stages=np.array([len(one.estimators_) for one in fitted]),
        tree=_full_grown(noise),
    )


def _draw(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, labels and which labels are turned; more noise turns the same ones and others."""
    X, y = moons(ROWS, seed, NOISE)
    turned = np.random.default_rng(seed).permutation(ROWS) < round(noise * ROWS)
    return X, np.where(turned, 1 - y, y), turned


def _fitted(depth: int, learning_rate: float, seed: int, X, label, _):
    tree = DecisionTreeClassifier(max_depth=depth)
    boosted = AdaBoostClassifier(tree, len(ROUNDS), learning_rate=learning_rate, random_state=seed)
    return boosted.fit(X, label)


@cache
def _full_grown(noise: float) -> np.ndarray:
    new, truth = moons(HELD_OUT, len(DRAWS), NOISE)
    shares = []
    for seed in DRAWS:
        X, label, _ = _draw(seed, noise)
        tree = DecisionTreeClassifier(random_state=seed).fit(X, label)
        shares.append(1 - tree.score(new, truth))
    return np.array(shares)


def _judged(boosted, drawn, held) -> tuple[np.ndarray, ...]:
    """Errors on rows learned from and on new ones, of each stage, and the weight on turned ones."""
    X, label, turned = drawn
    train, new = (1 - np.array(list(boosted.staged_score(*rows))) for rows in ((X, label), held))
    burden = boosted.sample_weights_[:, turned].sum(1)
    if not turned.any():
        burden = np.full(len(train), np.nan)
    return tuple(map(held_on, (train, new, boosted.estimator_errors_, burden)))


def _first(boosted, X, label) -> dict[str, np.ndarray]:
    """What is shown of single rows and of the map."""
    found = {
        "weights": boosted.sample_weights_,
        "wrong": [stage.predict(X) != label for stage in boosted.estimators_],
        "margins": list(boosted.staged_margins(X, label)),
        "stage": [stage.predict(MAP).reshape(CELLS, CELLS) == 1 for stage in boosted.estimators_],
        "whole": [said.reshape(CELLS, CELLS) == 1 for said in boosted.staged_predict(MAP)],
    }
    return {name: held_on(np.array(values)) for name, values in found.items()}


def held_on(values: np.ndarray) -> np.ndarray:
    """Values (stages, …) for all rounds: the last ones stand after boosting has stopped."""
    return values[np.minimum(np.arange(len(ROUNDS)), len(values) - 1)]
