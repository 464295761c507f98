"""Checks of notebook 10: features whose models have not seen the row, and the ambiguity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part

# -- 1: out-of-fold features --------------------------------------------------------------------


def _filled(
    learns: Callable = lambda folds, fold: folds != fold,
    writes: Callable = lambda folds, fold: folds == fold,
):
    """Features (n, m) by rounds, one a fold, that learn from some rows and write into some."""

    def features(models, X, y, folds) -> np.ndarray:
        found = np.empty((len(X), len(models)))
        for fold in np.unique(folds):
            taught, held = learns(folds, fold), writes(folds, fold)
            for j, model in enumerate(models):
                found[held, j] = model.fit(X[taught], y[taught]).predict(X[held])
        return found

    return features


_features = _filled()


def _leaks(given, wanted, cases) -> str:
    """Whether the features of row 0 change with its own target, which differs in each two cases."""
    pairs = zip(given[::2], given[1::2], strict=True)
    if all(np.allclose(one[0], other[0]) for one, other in pairs):
        return ""
    return "a fold leaks: the features of a row change when the row's own target does"


FEATURE_MISTAKES = (
    (_filled(learns=lambda folds, fold: folds > -1),
     "these are in-fold: each model has learned from the very rows it speaks of, so one that"
     " learns by heart looks perfect; leave a fold out, and predict that fold alone"),
    (_filled(learns=lambda folds, fold: folds == fold),
     "each fold is predicted by models that learned from that same fold: learn from the others"),
    (_filled(learns=lambda folds, fold: folds != (fold + 1) % (folds.max() + 1)),
     "a fold leaks: the one left out is not the one predicted (off by one?), so the rows predicted"
     " were among those learned from"),
    (_filled(writes=lambda folds, fold: folds > -1),
     "all rows come from the models of the last fold, which have seen most of them: in each round"
     " write into the rows of the fold that was left out, and no others"),
    (_filled(lambda folds, fold: folds == fold, lambda folds, fold: folds != fold),
     "the folds are swapped: learn from all rows but the fold's, and predict the fold"),
    (lambda *case: _features(*case)[np.argsort(case[-1], kind="stable")],
     "the rows are in the order of the folds; row i of the features belongs to row i of X, or the"
     " final model learns with other rows' targets"),
    (lambda *case: _features(*case)[:, ::-1],
     "the columns are in the wrong order: column j belongs to models[j]"),
    _leaks,
)  # fmt: skip


def _tables():
    """Two members, one of which learns by heart, with rows, numbers and mixed folds.

    Each table comes twice, with another target of row 0.
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor

    for seed, count in ((0, 3), (1, 4)):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(26, 3))
        y = X[:, 0] + 0.5 * rng.normal(size=26)
        folds = rng.permutation(np.arange(26) % count)
        for more in (0.0, 10.0):
            target = np.where(np.arange(26) == 0, y + more, y)
            yield [LinearRegression(), KNeighborsRegressor(1)], X, target, folds


check_out_of_fold = Check(
    """Check a function that makes the features of a final model.

    It takes ``(models, X, y, folds)`` and returns features (n, m). `models` are m regressors that
    have not learned yet, `X` is (n, d), `y` (n,), and `folds` (n,) the fold of each row, from 0 on.
    """,
    cases=_tables,
    parts=[
        Part(
            "a feature",
            _features,
            FEATURE_MISTAKES,
            lambda at, *case: f"from all other folds' rows feature {at[1]} of row {at[0]}",
            asked="a row for each row of X and a column for each model, {} times {}",
        )
    ],
    success="no feature comes from a model that has seen the row's own target",
)

# -- 2: the ambiguity ---------------------------------------------------------------------------


def _together(predictions, y, weights) -> float:
    return float(np.mean((weights @ predictions - y) ** 2))


def _members(predictions, y, weights, *known) -> float:
    return float(weights @ np.mean((predictions - y) ** 2, axis=1))


def _ambiguity(predictions, y, weights, *known) -> float:
    return _members(predictions, weights @ predictions, weights)


def _even(part: Callable):
    """`part` with every member weighed alike."""
    return lambda predictions, y, weights, *known: part(
        predictions, y, np.full(len(weights), 1 / len(weights))
    )


def _sum_of(part: Callable) -> tuple[Callable, str]:
    return (
        lambda predictions, y, *rest: part(predictions, y, *rest) * len(y),
        "this is a sum over rows: take the mean",
    )


TOGETHER_MISTAKES = (
    (_members,
     "your error of the ensemble is the members': average the predictions first, then square"),
    (_even(_together), "the weights are forgotten in the ensemble's prediction"),
    _sum_of(_together),
)  # fmt: skip
MEMBERS_MISTAKES = (
    (lambda predictions, y, weights, together: together,
     "your mean error of the members is the ensemble's: square each member's error first"),
    (_even(_members), "the weights are forgotten in the mean over the members' errors"),
    _sum_of(_members),
)  # fmt: skip
AMBIGUITY_MISTAKES = (
    (_members,
     "these are squared differences to y; the ambiguity is how far the members are from their own"
     " weighted mean, and needs no y at all"),
    (lambda *case: -_ambiguity(*case),
     "the sign is wrong: the ambiguity is never negative; ensemble = members - ambiguity"),
    (_even(_ambiguity), "the weights are forgotten in the ambiguity"),
    (lambda p, y, w, *known: _members(p, p.mean(axis=0), w),
     "the weights are forgotten in the mean that the members are compared with"),
    (lambda p, y, w, *known: np.mean((p - w @ p) ** 2),
     "the weights are forgotten in the mean over the members' distances"),
    _sum_of(_ambiguity),
)  # fmt: skip


def _ensembles():
    rng = np.random.default_rng(0)
    for m, n in ((2, 5), (4, 7), (3, 1)):
        yield rng.normal(size=(m, n)), rng.normal(size=n), rng.dirichlet(np.ones(m))


check_ambiguity = Check(
    """Check a function that splits an ensemble's squared error.

    It takes ``(predictions, y, weights)`` and returns (error of the ensemble, mean error of the
    members, ambiguity), each a mean over rows. `predictions` is (m, n), `y` (n,), and `weights`
    (m,) sum to 1.
    """,
    cases=_ensembles,
    parts=[
        Part("the error of the ensemble", _together, TOGETHER_MISTAKES, key="ensemble"),
        Part("the mean error of the members", _members, MEMBERS_MISTAKES, key="members"),
        Part("the ambiguity", _ambiguity, AMBIGUITY_MISTAKES, key="ambiguity"),
    ],
    success="ensemble = members - ambiguity, whatever the weights",
)
