"""Checks of notebooks 10 and 10b: out-of-fold features, who leaks, and the ambiguity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

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
    return "Which of your lines lets the target of a row reach the features of that same row?"


def _mean_of_folds(models, X, y, folds) -> np.ndarray:
    """The mean over the models of all folds, as for new rows; most of them have seen the row."""
    learned = [(folds != fold, model) for fold in np.unique(folds) for model in models]
    said = [model.fit(X[which], y[which]).predict(X) for which, model in learned]
    return np.mean(np.reshape(said, (-1, len(models), len(X))), axis=0).T


FEATURE_MISTAKES = (
    (_filled(learns=lambda folds, fold: folds > -1),
     "Has the model that predicts a row seen the target of that row?"),
    (_filled(learns=lambda folds, fold: folds == fold),
     "From which folds did the model learn that predicts fold 0?"),
    (_filled(learns=lambda folds, fold: folds != (fold + 1) % (folds.max() + 1)),
     "Is the fold that is left out the same one that is predicted, or its neighbour?"),
    (_filled(writes=lambda folds, fold: folds > -1),
     "Which rows are written in each round, and what happens to those of the round before?"),
    (_filled(lambda folds, fold: folds == fold, lambda folds, fold: folds != fold),
     "Which part do the models learn from: the large one or the small one?"),
    (_mean_of_folds,
     "How many of the models that you average have seen the target of the row?"),
    (lambda *case: _features(*case)[np.argsort(case[-1], kind="stable")],
     "In which order are your rows: in that of X, or fold by fold?"),
    (lambda *case: _features(*case)[:, ::-1], "Which model does the first column belong to?"),
    (lambda models, X, y, folds: _filled()(models[:1] * len(models), X, y, folds),
     "Does each column have a model of its own?"),
    _leaks,
)  # fmt: skip


def _tables():
    """Two members, one of which learns by heart, with rows, numbers and mixed folds.

    Each table comes twice, with another target of row 0.
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor

    for seed, count in ((0, 3), (1, 4)):
        rng = draws(seed)
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

# -- 2: who has seen its own target -------------------------------------------------------------


def _least_squares(X, y, new, ridge: float = 0.0) -> np.ndarray:
    """What a linear model that learned from X, y says of `new`."""
    X, new = (np.c_[np.ones(len(rows)), rows] for rows in (X, new))
    return new @ np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ y)


def _by_folds(seen: tuple[int, ...] = (), ridge: float = 1e-6) -> Callable:
    """A function of X, y to features by three folds; those in `seen` were learned from as well."""

    def make(X, y) -> np.ndarray:
        folds, features = np.arange(len(X)) % 3, np.empty(len(X))
        for fold in range(3):
            learn = (folds != fold) | (fold in seen)
            features[folds == fold] = _least_squares(X[learn], y[learn], X[folds == fold], ridge)
        return features

    return make


def _neighbour(X, y) -> np.ndarray:
    """The target of the nearest other row: right or not, it is never the row's own."""
    apart = ((X[:, None] - X) ** 2).sum(-1) + np.diag(np.full(len(X), np.inf))
    return y[apart.argmin(1)]


def _memory(X, y) -> np.ndarray:
    """The target of the nearest row, which is the row itself."""
    return y + 0.0 * X[:, 0]


MAKERS = {
    "out-of-fold features": (_by_folds(), 0.05),
    "out-of-fold features of noise": (_by_folds(), 5.0),
    "features of a model that saw all targets": (_by_folds((0, 1, 2)), 0.05),
    "features of a stiff model that saw all targets": (_by_folds((0, 1, 2), 300.0), 5.0),
    "features of three folds, one of which was not left out": (_by_folds((1,)), 1.0),
    "features of each row's nearest neighbour": (_neighbour, 1.0),
    "features of a memory": (_memory, 1.0),
}
HONEST = "out-of-fold features", "out-of-fold features of noise"


def _makers():
    """Ways to make a feature, with rows and targets that are near a line or far from it."""
    for seed, (make, noise) in enumerate(MAKERS.values()):
        rng = draws(seed)
        X = rng.normal(size=(15, 2))
        yield make, X, 3 + X[:, 0] + noise * rng.normal(size=15)


def _leaking(make, X, y) -> np.ndarray:
    return _moved(make, X, y, lambda before, after, i: before[i] != after[i])


def _moved(make, X, y, judge: Callable, change: Callable = lambda y, i: y[i] + 1) -> np.ndarray:
    """For each row what `judge` says of the features before and after its target is changed."""
    before, found = make(X, y), []
    for i in range(len(y)):
        other = y.copy()
        other[i] = change(y, i)
        found.append(bool(judge(before, make(X, other), i)))
    return np.array(found)


def _without_restoring(make, X, y) -> np.ndarray:
    """The changed targets of earlier rows stay changed."""
    before, other, found = make(X, y), y.copy(), []
    for i in range(len(y)):
        other[i] += 1
        found.append(bool(make(X, other)[i] != before[i]))
    return np.array(found)


def _by_nearness(given, wanted, cases) -> str:
    """Whether features are judged by how near they come to the targets."""
    verdict = dict(zip(MAKERS, (np.mean(one) for one in given), strict=True))
    near, far = (verdict[name] for name in HONEST)
    if near > far:
        return "Can an honest feature be close to its target, and can a leaking one be far from it?"
    return ""


def _everywhere(given, wanted, cases) -> str:
    """Whether honest features are said to leak, near the targets or far from them."""
    verdict = dict(zip(MAKERS, (np.mean(one) for one in given), strict=True))
    if min(verdict[name] for name in HONEST) < 0.5:
        return ""
    return (
        "You find leaks in honest features. When the target of row 0 alone changes, whose features"
        " may change, and whose may not?"
    )


LEAK_MISTAKES = (
    (lambda make, X, y: np.zeros(len(y), bool),
     "When you compare the features before and after: are there really two different lists of"
     " targets, or one list with two names?"),
    (lambda make, X, y: ~_leaking(make, X, y),
     "What does True mean in your answer, and what does the task ask it to mean?"),
    (_without_restoring,
     "How many targets differ from the real ones when you come to the last row?"),
    (lambda make, X, y: _moved(make, X, y, lambda before, after, i: (before != after).any()),
     "When the target of row 0 changes, may the features of other rows change?"),
    (lambda make, X, y: _moved(make, X, y, lambda b, a, i: (np.delete(b != a, i)).any()),
     "Which row's feature do you look at, once the target of row 0 has changed?"),
    (lambda make, X, y: np.full(len(y), _leaking(make, X, y).any()),
     "Can one fold leak while the others do not?"),
    (lambda make, X, y: np.full(len(y), _leaking(make, X, y).all()),
     "Does the first row, or do all rows together, speak for each single row?"),
    (lambda make, X, y: np.isclose(make(X, y), y),
     "Must a feature be equal to the target to have learned from it?"),
    _everywhere,
    _by_nearness,
)  # fmt: skip


def _about_leak(at, make, X, y) -> str:
    kind = next(name for name, (maker, _) in MAKERS.items() if maker is make)
    return f"of {kind} the entry of row {at[0]}"


check_leaking_rows = Check(
    """Check a function that finds the rows whose feature has seen their own target.

    It takes ``(make, X, y)`` and returns (n,) True or False. ``make(X, y)`` returns one feature a
    row, (n,), always the same for the same rows and targets; `X` is (n, d) and `y` (n,).
    """,
    cases=_makers,
    parts=[
        Part("an entry", _leaking, LEAK_MISTAKES, _about_leak, asked="{} times True or False"),
    ],
    success="only a row's own target was changed, and only its own feature was looked at; so you"
    " can test anybody's features, whatever made them",
)

# -- of notebook 10b: the ambiguity -------------------------------------------------------------


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
        "Would your number double if every row came twice?",
    )


TOGETHER_MISTAKES = (
    (_members, "Which comes first: the mean over the members, or the square?"),
    (_even(_together), "Do all members count alike in your ensemble?"),
    _sum_of(_together),
    (lambda p, y, w: float(np.sqrt(_together(p, y, w))),
     "Is the error asked for in squared units, or is a root taken?"),
    (lambda p, y, w: float(np.mean(np.abs(w @ p - y))), "Is the error squared, or absolute?"),
)  # fmt: skip
MEMBERS_MISTAKES = (
    (lambda predictions, y, weights, together: together,
     "Is this the error of the mean, or the mean of the errors?"),
    (_even(_members), "Does a member with twice the weight count twice in your mean error?"),
    _sum_of(_members),
    (lambda p, y, w, *known: _members(p, y, w) * len(w),
     "The weights sum to one already. What else do you sum over?"),
)  # fmt: skip
AMBIGUITY_MISTAKES = (
    (_members, "From what are the distances measured: from the targets, or from the ensemble?"),
    (lambda *case: -_ambiguity(*case), "Can members disagree by less than nothing?"),
    (_even(_ambiguity), "Where do the weights count in the ambiguity, and in how many places?"),
    (lambda p, y, w, *known: _members(p, p.mean(axis=0), w),
     "With which mean are the members compared: the plain one, or that of the ensemble?"),
    (lambda p, y, w, *known: np.mean((p - w @ p) ** 2),
     "Does the distance of a member with twice the weight count twice?"),
    _sum_of(_ambiguity),
    (lambda p, y, w, *known: float(np.mean(p.var(axis=0, ddof=1))),
     "Is this the variance of a sample, or the weighted distance to the ensemble?"),
)  # fmt: skip


def _ensembles():
    rng = draws(0)
    for m, n in ((2, 5), (4, 7), (3, 1)):
        yield rng.normal(size=(m, n)), rng.normal(size=n), rng.dirichlet(np.ones(m))


def _of_case(what: str) -> Callable[..., str]:
    return lambda at, p, y, w, *known: f"for {len(p)} members and {len(y)} rows {what}"


check_ambiguity = Check(
    """Check a function that splits an ensemble's squared error.

    It takes ``(predictions, y, weights)`` and returns (error of the ensemble, mean error of the
    members, ambiguity), each a mean over rows. `predictions` is (m, n), `y` (n,), and `weights`
    (m,) sum to 1.
    """,
    cases=_ensembles,
    parts=[
        Part("the error of the ensemble", _together, TOGETHER_MISTAKES,
             _of_case("the error of the ensemble"), key="ensemble"),
        Part("the mean error of the members", _members, MEMBERS_MISTAKES,
             _of_case("the mean error of the members"), key="members"),
        Part("the ambiguity", _ambiguity, AMBIGUITY_MISTAKES,
             _of_case("the ambiguity"), key="ambiguity"),
    ],
    success="ensemble = members - ambiguity, whatever the weights",
)  # fmt: skip
