"""The checks of 10 and 10b refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from ensemble_lab.exercises.stacking import (
    check_ambiguity,
    check_leaking_rows,
    check_out_of_fold,
)


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


def averaged(models, X, y, folds):
    """The mean of all folds' models, which is how some predict new rows."""
    of_folds = [(X[folds != i], y[folds != i]) for i in range(folds.max() + 1)]
    said = [np.mean([clone(m).fit(*one).predict(X) for one in of_folds], 0) for m in models]
    return np.stack(said, axis=1)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *c: filled(*c, learns=lambda f, i: f >= 0), "seen the target of that row?"),
        (lambda models, X, y, folds: np.stack([m.fit(X, y).predict(X) for m in models], 1),
         "seen the target of that row?"),
        (lambda *c: filled(*c, learns=lambda f, i: f == i), "From which folds"),
        (lambda *c: filled(*c, learns=lambda f, i: f != (i + 1) % (f.max() + 1)), "neighbour?"),
        (lambda *c: filled(*c, learns=lambda f, i: f != (i - 1) % (f.max() + 1)), "that same row?"),
        (lambda *c: filled(*c, writes=lambda f, i: f >= 0), "are written in each round"),
        (lambda *c: filled(*c, learns=lambda f, i: f == i, writes=lambda f, i: f != i),
         "the large one or the small one?"),
        (averaged, "that you average"),
        (target_in_x, "that same row?"),
        (stacked_by_fold, "fold by fold?"),
        (lambda *c: filled(*c)[:, ::-1], "the first column"),
        (lambda models, *c: filled([models[0], models[0]], *c), "a model of its own?"),
        (lambda *c: filled(*c).T, "a row for each row"),
        (lambda *c: filled(*c)[:, 0], "a row for each row"),
        (lambda *c: np.zeros((len(c[1]), 2)), "all other folds"),
    ],
)  # fmt: skip
def test_wrong_features_are_refused_with_their_hint(wrong, hint):
    verdict = check_out_of_fold(wrong)
    assert not verdict and hint in verdict.message


# -- who has seen its own target ----------------------------------------------------------------


def changed(y, i, by=1.0):
    other = np.array(y)
    other[i] += by
    return other


def by_one_change(make, X, y, looks=lambda before, after, i: before[i] != after[i]):
    """The exercise in a loop, with what is looked at exchanged."""
    before = make(X, y)
    return [bool(looks(before, make(X, changed(y, i)), i)) for i in range(len(y))]


def by_slope(make, X, y):
    """Another right way: how much a feature follows a small change of its own target."""
    slopes = [(make(X, changed(y, i, 1e-3)) - make(X, y))[i] / 1e-3 for i in range(len(y))]
    return np.abs(slopes) > 1e-6


def test_other_ways_to_find_a_leak_pass():
    assert check_leaking_rows(by_one_change)
    assert check_leaking_rows(by_slope)
    assert check_leaking_rows(lambda make, X, y: [
        make(X, np.where(np.arange(len(y)) == i, -y, y))[i] != make(X, y)[i] for i in range(len(y))
    ])  # fmt: skip


def one_list_with_two_names(make, X, y):
    found = []
    for i in range(len(y)):
        other = y
        other[i] += 1
        found.append(bool(make(X, other)[i] != make(X, y)[i]))
        other[i] -= 1
    return found


def never_put_back(make, X, y):
    before, other = make(X, y), y.copy()
    found = []
    for i in range(len(y)):
        other[i] += 1
        found.append(bool(make(X, other)[i] != before[i]))
    return found


def changed_rows(make, X, y):
    """Another X instead of another target."""
    found = []
    for i in range(len(y)):
        other = X.copy()
        other[i] += 1
        found.append(bool(make(other, y)[i] != make(X, y)[i]))
    return found


def near_the_target(share):
    return lambda make, X, y: np.abs(make(X, y) - y) < share * y.std()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (one_list_with_two_names, "one list with two names?"),
        (lambda make, X, y: make(X, y) != make(X, y), "one list with two names?"),
        (never_put_back, "when you come to the last row?"),
        (changed_rows, "leaks in honest features"),
        (lambda make, X, y: make(X, y[::-1]) != make(X, y), "leaks in honest features"),
        (lambda make, X, y: make(X, y + 1 + np.arange(len(y))) != make(X, y),
         "leaks in honest features"),
        (lambda *c: by_one_change(*c, looks=lambda b, a, i: np.any(a != b)), "of other rows"),
        (lambda *c: by_one_change(*c, looks=lambda b, a, i: b[i] == a[i]), "What does True mean"),
        (lambda *c: [any(by_one_change(*c))] * len(c[2]), "Can one fold leak"),
        (lambda *c: [by_one_change(*c)[0]] * len(c[2]), "for each single row?"),
        (lambda make, X, y: np.isclose(make(X, y), y), "be equal to the target"),
        (near_the_target(0.2), "far from it?"),
        (near_the_target(0.5), "far from it?"),
        (lambda make, X, y: [np.corrcoef(make(X, y), y)[0, 1] > 0.8] * len(y), "far from it?"),
        (lambda *c: any(by_one_change(*c)), "15 times True or False"),
        (lambda *c: np.flatnonzero(by_one_change(*c)), "15 times True or False"),
    ],
)  # fmt: skip
def test_wrong_ways_to_find_a_leak_are_refused_with_their_hint(wrong, hint):
    verdict = check_leaking_rows(wrong)
    assert not verdict and hint in verdict.message


# -- the ambiguity ------------------------------------------------------------------------------


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
        (lambda p, y, w: (*split(p, y, w)[:2], split(p, y, w)[1]), "or from the ensemble?"),
        (lambda p, y, w: split(p, y, w, sign=-1), "less than nothing?"),
        (lambda p, y, w: split(p, y, alike(w)), "count alike in your ensemble?"),
        (lambda p, y, w: split(p, y, w, of_members=alike), "in your mean error?"),
        (lambda p, y, w: split(p, y, w, mean=alike, spread=alike), "in how many places?"),
        (lambda p, y, w: split(p, y, w, mean=alike), "With which mean"),
        (lambda p, y, w: split(p, y, w, spread=alike), "count twice?"),
        (lambda p, y, w: (*split(p, y, w)[:2], p.var(axis=0).mean()), "in how many places?"),
        (lambda p, y, w: (*split(p, y, w)[:2], p.var(axis=0, ddof=1).mean()), "of a sample"),
        (swapped, "Which comes first"),
        (lambda p, y, w: (split(p, y, w)[0],) * 2 + (0.0,), "the mean of the errors?"),
        (lambda p, y, w: (split(p, y, w)[0], len(w) * split(p, y, w)[1], 0.0), "sum over?"),
        (lambda p, y, w: len(y) * np.array(split(p, y, w)), "if every row came twice?"),
        (lambda p, y, w: np.sqrt(split(p, y, w)), "a root taken?"),
        (lambda p, y, w: (abs(w @ p - y).mean(), 0.0, 0.0), "or absolute?"),
        (lambda p, y, w: (0.0, 0.0, 0.0), "for 2 members and 5 rows the error"),
        (lambda p, y, w: (*split(p, y, w)[:2], float("nan")), "the ambiguity"),
        (lambda p, y, w: split(p, y, w)[:2], "return ensemble (one number), members"),
    ],
)  # fmt: skip
def test_wrong_splits_are_refused_with_their_hint(wrong, hint):
    verdict = check_ambiguity(wrong)
    assert not verdict and hint in verdict.message
