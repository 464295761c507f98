"""Stacks over real rows, worked out once: what the final model saw, and what came of it.

The members are linear models that each see a part of the columns, and a tree that may learn by
heart. The final model is a ridge regression on the members' probabilities, one output a class
(Ting and Witten's multi-response regression): quick, and its weights can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.tree import DecisionTreeClassifier

DEPTHS = range(1, 13)
KINDS = ("out-of-fold", "in-fold")
SEEDS = range(5)
TREE = "tree"
FOLDS = 5


@dataclass(frozen=True)
class Problem:
    """Rows X (n, d) of classes y (n,), and which columns each linear member sees."""

    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    views: dict[str, slice]


@dataclass(frozen=True, eq=False)
class Stacks:
    """Every stack of one problem with so many rows to learn from; shares are in [0, 1].

    Axes: 5 splits, depth of the tree, kind of features, member (the tree last), class.
    """

    members: tuple[str, ...]
    classes: tuple[str, ...]
    seen: np.ndarray  # (5, depths, kinds, m), right on what the final model learned from
    alone: np.ndarray  # (5, depths, m), right on held-out rows
    # (5, depths, kinds, m, k): by how much a class's score rises when the member moves all its
    # probability to it from the other classes.
    weights: np.ndarray
    stack: np.ndarray  # (5, depths, kinds), held-out accuracy
    average: np.ndarray  # (5, depths), that of the mean of all members' probabilities: no learning
    product: np.ndarray  # (5, depths), that of their product
    views: np.ndarray  # (5,), that of the product of the linear members alone

    @property
    def best(self) -> np.ndarray:
        """Held-out accuracy (5, depths) of the member that was the best out-of-fold."""
        named = self.seen[:, :, KINDS.index("out-of-fold")].argmax(-1)
        return np.take_along_axis(self.alone, named[..., None], -1)[..., 0]

    def trust(self, depth: int, kind: int) -> np.ndarray:
        """Each member's share (m,) of the positive weights, mean over splits."""
        weight = np.maximum(self.weights[:, depth, kind], 0).sum(-1)  # (5, m)
        return (weight / weight.sum(-1, keepdims=True)).mean(0)


@cache
def problem(name: str) -> Problem:
    """Digits by the halves of their image, or tumours by three kinds of measurements."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        halves = {"upper half": slice(0, 32), "lower half": slice(32, 64)}
        return Problem(X, y, tuple("0123456789"), halves)
    data = load_breast_cancer()
    kinds = {"means": slice(0, 10), "spreads": slice(10, 20), "extremes": slice(20, 30)}
    return Problem(data.data, data.target, tuple(data.target_names), kinds)


PROBLEMS = ("digits", "breast cancer")


@cache
def stacks(data: str, rows: int) -> Stacks:
    """All depths and both kinds of features, over five splits of which `rows` are learned from."""
    where = problem(data)
    splits = [_split(where, rows, seed) for seed in SEEDS]
    columns = [np.stack(column) for column in zip(*splits, strict=True)]
    return Stacks((*where.views, TREE), where.classes, *columns)


def _split(where: Problem, rows: int, seed: int) -> tuple[np.ndarray, ...]:
    """One split's arrays, in the order of `Stacks`."""
    X, new, y, truth = train_test_split(
        where.X, where.y, train_size=rows, random_state=seed, stratify=where.y
    )
    said = asked(where.views, X, y, np.concatenate([new, X]))
    held, inside = said[:, : len(new)], said[:, len(new) :]
    outside = np.empty_like(inside)
    for learn, left_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, y):
        outside[:, left_out] = asked(where.views, X[learn], y[learn], X[left_out])
    shown = np.stack([outside, inside], axis=1)  # (depths, kinds, n, m, k)
    weights, accuracy = np.empty((*shown.shape[:2], *shown.shape[3:])), np.empty(shown.shape[:2])
    for at in np.ndindex(accuracy.shape):
        weights[at], accuracy[at] = final(shown[at], y, held[at[0]], truth)
    seen = np.stack([right(outside, y), right(inside, y)], axis=1)
    logs = np.log(np.maximum(held, 1e-12))
    average, product, views = (
        (said.argmax(-1) == truth).mean(-1)
        for said in (held.mean(2), logs.sum(2), logs[0, :, :-1].sum(1))
    )
    return seen, right(held, truth), weights, accuracy, average, product, views


def right(said: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Accuracy (depths, m) of every member from probabilities (depths, n, m, k)."""
    return (said.argmax(-1) == y[:, None]).mean(1)


def asked(views: dict[str, slice], X, y, new) -> np.ndarray:
    """What members that learned from X, y say of `new`: (depths, n, m, k), the tree last."""
    linear = [
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        .fit(X[:, columns], y)
        .predict_proba(new[:, columns])
        for columns in views.values()
    ]
    tree = cut(DecisionTreeClassifier(random_state=0).fit(X, y).tree_, new)  # (depths, n, k)
    return np.stack([*(np.broadcast_to(one, tree.shape) for one in linear), tree], axis=2)


def cut(tree, X: np.ndarray) -> np.ndarray:
    """Probabilities (depths, n, k) of one fitted tree, cut at every depth."""
    X, rows, node = X.astype(np.float32), np.arange(len(X)), np.zeros(len(X), int)
    found = []
    for _ in DEPTHS:
        leaf = tree.children_left[node] < 0
        left = X[rows, np.maximum(tree.feature[node], 0)] <= tree.threshold[node]
        child = np.where(left, tree.children_left[node], tree.children_right[node])
        node = np.where(leaf, node, child)
        found.append(tree.value[node, 0] / tree.value[node, 0].sum(-1, keepdims=True))
    return np.stack(found)


def final(shown, y, said, truth) -> tuple[np.ndarray, float]:
    """The final model of features `shown` (n, m, k): its weights (m, k) and held-out accuracy."""
    n, m, k = shown.shape
    model = Ridge().fit(shown.reshape(n, m * k), np.eye(k)[y])
    coef = model.coef_.reshape(k, m, k)  # (class scored, member, class named)
    own = coef[np.arange(k), :, np.arange(k)]  # (k, m)
    # Probabilities sum to 1, so a constant is no opinion: count against the others' mean.
    weights = (k * own - coef.sum(-1)) / (k - 1)
    elected = model.predict(said.reshape(len(said), m * k)).argmax(-1)
    return weights.T, float((elected == truth).mean())
