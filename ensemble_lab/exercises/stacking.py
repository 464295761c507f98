"""Checks of notebook 10: features whose models have not seen the row, and the ambiguity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import array, judged, number, parts, returned

# -- 1: out-of-fold features --------------------------------------------------------------------


def _features(models, X, y, folds, learns=lambda folds, fold: folds != fold) -> np.ndarray:
    """Each fold (n, m) by models that learned from the rows that `learns` names."""
    found = np.empty((len(X), len(models)))
    for fold in np.unique(folds):
        held, taught = folds == fold, learns(folds, fold)
        for j, model in enumerate(models):
            found[held, j] = model.fit(X[taught], y[taught]).predict(X[held])
    return found


def _by_the_last(models, X, y, folds) -> np.ndarray:
    """Every row by the models that left the last fold out."""
    taught = folds != folds.max()
    return np.stack([model.fit(X[taught], y[taught]).predict(X) for model in models], axis=1)


def _swapped(models, X, y, folds) -> np.ndarray:
    """Learned from one fold, predicted the others; what comes later writes over it."""
    found = np.empty((len(X), len(models)))
    for fold in np.unique(folds):
        held = folds == fold
        for j, model in enumerate(models):
            found[~held, j] = model.fit(X[held], y[held]).predict(X[~held])
    return found


FEATURE_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (lambda *case: _features(*case, learns=lambda folds, fold: folds > -1),
     "these are in-fold: each model has learned from the very rows it speaks of, so one that"
     " learns by heart looks perfect; leave a fold out, and predict that fold alone"),
    (lambda *case: _features(*case, learns=lambda folds, fold: folds == fold),
     "each fold is predicted by models that learned from that same fold: learn from the others"),
    (lambda *case: _features(*case, learns=lambda folds, f: folds != (f + 1) % (folds.max() + 1)),
     "a fold leaks: the one left out is not the one predicted (off by one?), so the rows predicted"
     " were among those learned from"),
    (_by_the_last,
     "all rows come from the models of the last fold, which have seen most of them: in each round"
     " write into the rows of the fold that was left out, and no others"),
    (_swapped, "the folds are swapped: learn from all rows but the fold's, and predict the fold"),
    (lambda *case: _features(*case)[np.argsort(case[-1], kind="stable")],
     "the rows are in the order of the folds; row i of the features belongs to row i of X, or the"
     " final model learns with other rows' targets"),
    (lambda *case: _features(*case)[:, ::-1],
     "the columns are in the wrong order: column j belongs to models[j]"),
)  # fmt: skip


def _tables():
    """Two members, one of which learns by heart, with rows, numbers and mixed folds."""
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor

    for seed, count in ((0, 3), (1, 4)):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(26, 3))
        y = X[:, 0] + 0.5 * rng.normal(size=26)
        folds = rng.permutation(np.arange(26) % count)
        yield [LinearRegression(), KNeighborsRegressor(1)], X, y, folds


@judged
def check_out_of_fold(answer_function: Callable) -> Verdict:
    """Check a function that makes the features of a final model.

    Parameters
    ----------
    answer_function : callable
        ``(models, X, y, folds)`` to features (n, m). `models` are m regressors that have not
        learned yet, `X` is (n, d), `y` (n,), and `folds` (n,) the fold of each row, from 0 on.

    Returns
    -------
    Verdict
    """
    for case in _tables():
        if hint := _feature_hint(_given(answer_function, _copied(case)), case, answer_function):
            return Verdict(False, hint)
    return Verdict(True, "no feature comes from a model that has seen the row's own target")


def _given(answer_function: Callable, case: tuple) -> np.ndarray:
    """The features (n, m) that the reader's function makes of a case that it may change."""
    wanted = len(case[1]), len(case[0])
    told = f"a row for each row of X and a column for each model, {wanted[0]} times {wanted[1]}"
    return array(
        returned(answer_function, *case, wanted="features (n, m)"), wanted, "a feature", told
    )


def _copied(case: tuple) -> tuple:
    from sklearn.base import clone

    return [clone(model) for model in case[0]], *(part.copy() for part in case[1:])


def _feature_hint(got: np.ndarray, case: tuple, answer_function: Callable) -> str:
    """What is wrong with these features; empty where nothing is."""
    right = _features(*_copied(case))
    if np.allclose(got, right):
        return ""
    for mistake, hint in FEATURE_MISTAKES:
        if np.allclose(got, mistake(*_copied(case))):
            return hint
    models, X, y, folds = _copied(case)
    y[0] += 10.0  # seen from outside: do the features of row 0 know its target?
    again = _given(answer_function, (models, X, y, folds))
    if not np.allclose(again[0], got[0]):
        return "a fold leaks: the features of a row change when the row's own target does"
    row, column = np.argwhere(~np.isclose(got, right))[0]
    told = f"feature {column} of row {row} is {right[row, column]:.3f}"
    return f"{told}, from all other folds' rows, not {got[row, column]:.3f}"


# -- 2: the ambiguity ---------------------------------------------------------------------------


def _together(predictions, y, weights) -> float:
    return float(np.mean((weights @ predictions - y) ** 2))


def _members(predictions, y, weights) -> float:
    return float(weights @ np.mean((predictions - y) ** 2, axis=1))


def _ambiguity(predictions, y, weights) -> float:
    return _members(predictions, weights @ predictions, weights)


def _even(part: Callable) -> Callable:
    """`part` with every member weighed alike."""
    return lambda predictions, y, weights: part(predictions, y, 0 * weights + 1 / len(weights))


PARTS = {
    "the error of the ensemble": _together,
    "the mean error of the members": _members,
    "the ambiguity": _ambiguity,
}
# The part, what people write at first, and what to say to it.
SPLIT_MISTAKES: tuple[tuple[Callable, Callable, str], ...] = (
    (_together, _members,
     "your error of the ensemble is the members': average the predictions first, then square"),
    (_together, _even(_together), "the weights are forgotten in the ensemble's prediction"),
    (_members, _together,
     "your mean error of the members is the ensemble's: square each member's error first"),
    (_members, _even(_members), "the weights are forgotten in the mean over the members' errors"),
    (_ambiguity, _members,
     "these are squared differences to y; the ambiguity is how far the members are from their own"
     " weighted mean, and needs no y at all"),
    (_ambiguity, lambda *case: -_ambiguity(*case),
     "the sign is wrong: the ambiguity is never negative; ensemble = members - ambiguity"),
    (_ambiguity, _even(_ambiguity), "the weights are forgotten in the ambiguity"),
    (_ambiguity, lambda p, y, w: _members(p, p.mean(axis=0), w),
     "the weights are forgotten in the mean that the members are compared with"),
    (_ambiguity, lambda p, y, w: float(np.mean((p - w @ p) ** 2)),
     "the weights are forgotten in the mean over the members' distances"),
)  # fmt: skip


@judged
def check_ambiguity(answer_function: Callable) -> Verdict:
    """Check a function that splits an ensemble's squared error.

    Parameters
    ----------
    answer_function : callable
        ``(predictions, y, weights)`` to (error of the ensemble, mean error of the members,
        ambiguity), each a mean over rows. `predictions` is (m, n), `y` (n,), and `weights` (m,)
        sum to 1.

    Returns
    -------
    Verdict
    """
    rng, given = np.random.default_rng(0), []
    cases = [
        (rng.normal(size=(m, n)), rng.normal(size=n), rng.dirichlet(np.ones(m)))
        for m, n in ((2, 5), (4, 7), (3, 1))
    ]
    for case in cases:
        copies = [part.copy() for part in case]
        got = returned(answer_function, *copies, wanted="three numbers")
        three = parts(got, ("ensemble", "members", "ambiguity"), "three numbers")
        given.append([number(*one) for one in zip(three, PARTS, strict=True)])
    if hint := _split_hint(np.array(given).T, cases):
        return Verdict(False, hint)
    return Verdict(True, "ensemble = members - ambiguity, whatever the weights")


def _split_hint(given: np.ndarray, cases: list[tuple]) -> str:
    """Which mistake made these numbers (3, cases); empty where all are right."""
    for (name, part), numbers in zip(PARTS.items(), given, strict=True):
        right = np.array([part(*case) for case in cases])
        if np.allclose(numbers, right):
            continue
        for of, mistake, hint in SPLIT_MISTAKES:
            if of is part and np.allclose(numbers, [mistake(*case) for case in cases]):
                return hint
        if np.allclose(numbers, right * [len(y) for _, y, _ in cases]):
            return f"{name} is a sum over rows: take the mean"
        return f"{name} is {right[0]:.3f} in one case, not {numbers[0]:.3f}"
    return ""
