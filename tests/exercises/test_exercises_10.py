"""Notebook 10's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from ensemble_lab.exercises.stacking import check_ambiguity, check_out_of_fold


def by_scikit_learn(models, X, y, folds):
    """The exercise in two lines: what a right solution amounts to."""
    split = PredefinedSplit(folds)
    return np.stack([cross_val_predict(m, X, y, cv=split) for m in models], axis=1)


def test_another_right_way_passes():
    assert check_out_of_fold(by_scikit_learn)
    assert check_out_of_fold(lambda *case: by_scikit_learn(*case).tolist())


def filled(models, X, y, folds, learns=lambda f, i: f != i, writes=lambda f, i: f == i):
    """Features fold by fold, with its parts exchanged: what a wrong solution amounts to."""
    out = np.zeros((len(X), len(models)))
    for i in range(folds.max() + 1):
        for j, model in enumerate(models):
            fitted = clone(model).fit(X[learns(folds, i)], y[learns(folds, i)])
            out[writes(folds, i), j] = fitted.predict(X[writes(folds, i)])
    return out


def target_in_x(models, X, y, folds):
    """Out-of-fold, but the rows carry their own target."""
    return filled(models, np.c_[X, y], y, folds)


def stacked_by_fold(models, X, y, folds):
    """The parts of all folds, one behind the other."""
    right = filled(models, X, y, folds)
    return np.concatenate([right[folds == i] for i in range(folds.max() + 1)])


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *c: filled(*c, learns=lambda f, i: f >= 0), "in-fold"),
        (lambda models, X, y, folds: np.stack([m.fit(X, y).predict(X) for m in models], 1),
         "in-fold"),
        (lambda *c: filled(*c, learns=lambda f, i: f == i), "that same fold"),
        (lambda *c: filled(*c, learns=lambda f, i: f != (i + 1) % (f.max() + 1)), "off by one"),
        (lambda *c: filled(*c, learns=lambda f, i: f != (i - 1) % (f.max() + 1)), "own target"),
        (lambda *c: filled(*c, writes=lambda f, i: f >= 0), "last fold"),
        (lambda *c: filled(*c, learns=lambda f, i: f == i, writes=lambda f, i: f != i), "swapped"),
        (target_in_x, "own target"),
        (stacked_by_fold, "order of the folds"),
        (lambda *c: filled(*c)[:, ::-1], "columns"),
        (lambda *c: filled(*c).T, "a row for each row"),
        (lambda *c: filled(*c)[:, 0], "a row for each row"),
        (lambda *c: np.zeros((len(c[1]), 2)), "all other folds"),
    ],
)  # fmt: skip
def test_wrong_features_are_refused_with_their_hint(wrong, hint):
    verdict = check_out_of_fold(wrong)
    assert not verdict and hint in verdict.message


def split(predictions, y, weights, mean=None, spread=None, sign=1, of_members=None):
    """The three numbers row by row, with their parts exchanged."""
    mean = weights if mean is None else mean(weights)
    spread = weights if spread is None else spread(weights)
    of_members = weights if of_members is None else of_members(weights)
    together = members = ambiguity = 0.0
    for row, truth in zip(predictions.T, y, strict=True):
        together += (row @ weights - truth) ** 2 / len(y)
        members += of_members @ (row - truth) ** 2 / len(y)
        ambiguity += sign * spread @ (row - row @ mean) ** 2 / len(y)
    return together, members, ambiguity


def alike(weights):
    return np.full(len(weights), 1 / len(weights))


def test_a_split_row_by_row_passes():
    assert check_ambiguity(split)
    assert check_ambiguity(lambda *case: np.array(split(*case)))


def swapped(*case):
    together, members, ambiguity = split(*case)
    return members, together, ambiguity


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, y, w: (*split(p, y, w)[:2], split(p, y, w)[1]), "squared differences to y"),
        (lambda p, y, w: split(p, y, w, sign=-1), "sign"),
        (lambda p, y, w: split(p, y, alike(w)), "forgotten in the ensemble"),
        (lambda p, y, w: split(p, y, w, of_members=alike), "mean over the members' errors"),
        (lambda p, y, w: split(p, y, w, mean=alike, spread=alike), "forgotten in the ambiguity"),
        (lambda p, y, w: split(p, y, w, mean=alike), "compared with"),
        (lambda p, y, w: split(p, y, w, spread=alike), "members' distances"),
        (lambda p, y, w: (*split(p, y, w)[:2], p.var(axis=0).mean()), "forgotten in the ambiguity"),
        (swapped, "average the predictions first"),
        (lambda p, y, w: (split(p, y, w)[0],) * 2 + (0.0,), "square each member's error first"),
        (lambda p, y, w: len(y) * np.array(split(p, y, w)), "take the mean"),
        (lambda p, y, w: (0.0, 0.0, 0.0), "in one case"),
        (lambda p, y, w: (*split(p, y, w)[:2], float("nan")), "in one case"),
        (lambda p, y, w: split(p, y, w)[:2], "return ensemble (one number), members"),
    ],
)  # fmt: skip
def test_wrong_splits_are_refused_with_their_hint(wrong, hint):
    verdict = check_ambiguity(wrong)
    assert not verdict and hint in verdict.message
