"""Checks of notebook 08: bootstrap draws and their out-of-bag error, and the variance of a mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: bootstrap and out-of-bag ----------------------------------------------------------------

MEMBERS = 5  # few, so that some rows are in every bag


def _answers(model, X, y, rows) -> np.ndarray:
    """Classes (m, n) by the members that learned from `rows`."""
    from sklearn.base import clone

    return np.stack([clone(model).fit(X[drawn], y[drawn]).predict(X) for drawn in rows])


def _inside(drawn, n: int) -> np.ndarray:
    """Which of n rows a member drew, (n,) bool."""
    return np.isin(np.arange(n), drawn)


def _outside(drawn, n: int) -> np.ndarray:
    return ~_inside(drawn, n)


def _every(drawn, n: int) -> np.ndarray:
    return np.ones(n, bool)


def _inverted(drawn, n: int) -> np.ndarray:
    """Rows ~i of the drawn i: Python counts those from the end."""
    return np.isin(np.arange(n), n + ~drawn)


def _votes(answers, rows, classes: int, may: Callable = _outside) -> np.ndarray:
    """Votes (n, classes) of members on the rows that they `may` judge."""
    n, votes = answers.shape[1], np.zeros((answers.shape[1], classes))
    for answer, drawn in zip(answers, rows, strict=True):
        judged = np.flatnonzero(may(drawn, n))
        votes[judged, answer[judged]] += 1
    return votes


def _draws(model, X, y, m, rng) -> np.ndarray:
    return rng.integers(0, len(X), (m, len(X)))


def _of_judged(wrong, judged) -> float:
    return wrong[judged].mean()


def _last_of_ties(votes, axis: int) -> np.ndarray:
    return votes.shape[axis] - 1 - np.flip(votes, axis).argmax(axis)


def _judged(share: Callable = _of_judged, may: Callable = _outside, winner: Callable = np.argmax):
    """A function of a case and its rows to `share` of (wrong, judged), both (n,) bool."""

    def error(model, X, y, m, rng, rows) -> float:
        votes = _votes(_answers(model, X, y, rows), rows, int(y.max()) + 1, may)
        return float(share(winner(votes, 1) != y, votes.any(1)))

    return error


_error = _judged()


def _each_alone(model, X, y, m, rng, rows) -> float:
    """Members' own out-of-bag errors, averaged: nobody votes."""
    return float(np.mean([_error(model, X, y, m, rng, [drawn]) for drawn in rows]))


def _all_answers(model, X, y, m, rng, rows) -> float:
    """The share of wrong answers among all out-of-bag answers: nobody votes."""
    out = np.stack([_outside(drawn, len(X)) for drawn in rows])
    return float((_answers(model, X, y, rows) != y)[out].mean())


def _last_judge(model, X, y, m, rng, rows) -> float:
    """Each answer overwrites the one before."""
    last = np.full(len(X), -1)
    for answer, drawn in zip(_answers(model, X, y, rows), rows, strict=True):
        last = np.where(_outside(drawn, len(X)), answer, last)
    return float(_of_judged(last != y, last >= 0))


def _mean_of_probabilities(model, X, y, m, rng, rows) -> float:
    from sklearn.base import clone

    total = np.zeros((len(X), int(y.max()) + 1))
    for drawn in rows:
        member, out = clone(model).fit(X[drawn], y[drawn]), _outside(drawn, len(X))
        total[np.ix_(out, member.classes_)] += member.predict_proba(X[out])
    return float(_of_judged(total.argmax(1) != y, total.any(1)))


def _learned_all(model, X, y, m, rng, rows) -> float:
    """Every member learns from all rows; the draws only say who votes."""
    answers = _answers(model, X, y, [np.arange(len(X))] * m)
    votes = _votes(answers, rows, int(y.max()) + 1)
    return float(_of_judged(votes.argmax(1) != y, votes.any(1)))


ERROR_MISTAKES = (
    (_judged(lambda wrong, judged: wrong.mean(), _every),
     "which members have learned from a row, and what is their vote on it worth?"),
    (_judged(may=_inside),
     "does your mask hold the rows that a member drew, or those that it did not draw?"),
    (_judged(may=_inverted),
     "`~` turns the index i into -i - 1: which row of X is that?"),
    (_judged(lambda wrong, judged: (wrong | ~judged).mean()),
     "all members drew some of the rows, so nobody can judge those: is that a wrong vote?"),
    (_judged(lambda wrong, judged: (wrong & judged).mean()),
     "by how many rows do you divide, and can every one of them be judged?"),
    (_judged(lambda wrong, judged: wrong.mean()),
     "what does argmax return for a row without any vote, and should that row count?"),
    (_each_alone,
     "is this the error of the vote, or the mean of the members' own errors?"),
    (_all_answers,
     "is this the share of wrong votes, or of wrong answers by single members?"),
    (_last_judge,
     "several members may judge a row: does the next answer add a vote, or overwrite the last?"),
    (_mean_of_probabilities,
     "does each member vote with one class, or did you average probabilities?"),
    (_judged(winner=_last_of_ties),
     "two classes have as many votes: which of them wins in your function, and in the task?"),
    (_learned_all,
     "which rows of X did each member learn from?"),
    (lambda *case: 1 - _error(*case),
     "is this the share of wrong votes, or of right ones?"),
)  # fmt: skip


def _bad_draws(given, wanted, cases) -> str:
    """What is wrong with draws of which each two share their table."""
    for rows in given:
        n = rows.shape[1]
        if rows.min() < 0 or rows.max() >= n:
            return f"X has rows 0 to {n - 1}: where does {max(rows.max(), -rows.min())} come from?"
        if (rows == rows[0]).all():
            return "all members have the same rows: what do you win by averaging copies?"
        if any(len(np.unique(one)) == n for one in rows):
            return "a member has every row once: can a row come twice in your draws?"
    if any(map(np.array_equal, given[::2], given[1::2])):
        return "another `rng` gives the same rows: which generator draws yours?"
    # Hundreds of draws reach both ends, unless one is cut off.
    for name, end in (("last", -1), ("first", 0)):
        if not any((rows == range(rows.shape[1])[end]).any() for rows in given):
            return f"the {name} row of X never comes: where does the range of your draws end?"
    if _uneven(given) or all((2 * (rows < rows.shape[1] / 2).mean(1) == 1).all() for rows in given):
        return "a part of the rows has draws of its own: from which rows is each draw taken?"
    return ""


def _uneven(given) -> bool:
    """Whether some rows come more often than chance allows (Pearson's test, 6 deviations)."""
    counts = [np.bincount(rows.ravel(), minlength=rows.shape[1]) for rows in given]
    off = sum(((count - count.mean()) ** 2).sum() / count.mean() for count in counts)
    freedom = sum(len(count) - 1 for count in counts)
    return bool(off > freedom + 6 * np.sqrt(2 * freedom))


def _neighbours(near: int):
    """A classifier that learns by heart or nearly; a member without rows to judge is told why."""
    from sklearn.neighbors import KNeighborsClassifier

    class Neighbours(KNeighborsClassifier):
        def predict(self, X):
            return super().predict(some(X))

        def predict_proba(self, X):
            return super().predict_proba(some(X))

    def some(X):
        if len(X) == 0:
            raise ValueError("a member left no row out: can a row come twice in your draws?")
        return X

    return Neighbours(near)


def _tables():
    """Rows of overlapping classes, members that learn by heart or nearly, two generators each."""
    for seed, (n, classes, near) in enumerate(((12, 2, 1), (60, 3, 1), (60, 3, 3))):
        rng = draws(seed)
        y = rng.integers(0, classes, n)
        X = rng.normal(size=(n, 2)) + y[:, None]
        for generator in (seed, seed + 10):
            yield _neighbours(near), X, y, MEMBERS, draws(generator)


check_bagging = Check(
    """Check a function that draws rows for members and judges each row out-of-bag.

    It takes ``(model, X, y, m, rng)`` and returns (rows, error): `rows` (m, n) are the indices
    that each of m clones of `model` learned from, drawn by the generator `rng`; `error` is the
    share of wrong votes of the members that did not draw a row, among rows with at least one such
    member. A tie goes to the lowest class; `y` (n,) holds the classes 0, 1, ….
    """,
    cases=_tables,
    parts=[
        Part(
            "each of the rows",
            _draws,
            [_bad_draws],
            key="rows",
            asked="as many draws a member as X has rows, {} times {}",
            alike=None,
        ),
        Part(
            "the out-of-bag error",
            _error,
            ERROR_MISTAKES,
            lambda at, model, X, y, m, rng, rows: (
                f"for your draws, of {m} members from {len(X)} rows each, the out-of-bag error"
            ),
            key="error",
        ),
    ],
    success="rows are drawn with replacement, and each row is judged by those that never saw it",
)

# -- 2: variance of a mean ----------------------------------------------------------------------


def _covariance(predictions) -> np.ndarray:
    return np.cov(predictions, rowvar=False)


def _pairs(matrix: np.ndarray) -> float:
    """Mean over pairs of different members."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def _sigma2(predictions, m) -> float:
    return float(np.diag(_covariance(predictions)).mean())


def _rho(predictions, m, sigma2) -> float:
    return _pairs(_covariance(predictions)) / sigma2


def _variance(predictions, m, sigma2, rho) -> float:
    return sigma2 * (rho + (1 - rho) / m)


ACROSS = "what runs along axis 0 of `predictions`, and what along axis 1?"
SIGMA2_MISTAKES = (
    (lambda p, m: np.var(p, axis=1, ddof=1).mean(), ACROSS),
    (lambda p, m: np.var(p, axis=1).mean(), ACROSS),
    (lambda p, m: np.var(p, axis=0).mean(),
     "the mean was estimated from the same t numbers: do you divide by t or by t - 1?"),
    (lambda p, m: np.var(p, ddof=1),
     "are the members' different means part of your variance?"),
    (lambda p, m: np.var(p),
     "are the members' different means part of your variance?"),
    (lambda p, m: np.std(p, axis=0, ddof=1).mean(),
     "is this a variance or a standard deviation?"),
    (lambda p, m: _sigma2(p, m) ** 0.5,
     "is this a variance or a standard deviation?"),
    (lambda p, m: _covariance(p).mean(),
     "is this the variance of one member, or of the members' mean?"),
    (lambda p, m: np.trace(_covariance(p)),
     "is this the sum of the members' variances, or their mean?"),
    (lambda p, m: _covariance(p)[0, 0],
     "this is the first member: have the others the same variance?"),
)  # fmt: skip
ITSELF = "does your mean hold pairs of a member with itself?"
RHO_MISTAKES = (
    (lambda p, m, sigma2: _covariance(p).mean() / sigma2, ITSELF),
    (lambda p, m, sigma2: np.corrcoef(p, rowvar=False).mean(), ITSELF),
    (lambda p, m, sigma2: _pairs(_covariance(p)),
     "is this a covariance, or the share that it has of sigma squared?"),
    (lambda p, m, sigma2: _pairs(np.corrcoef(p, rowvar=False)),
     "is this the mean of ratios, or the ratio of two means?"),
    (lambda p, m, sigma2: _pairs(np.corrcoef(p)),
     "does `corrcoef` correlate rows or columns, and what are the rows of `predictions`?"),
    (lambda p, m, sigma2: _rho(p, m, sigma2) / 2,
     "how many pairs did you add up, and by how many did you divide?"),
    (lambda p, m, sigma2: _rho(p, m, sigma2) * 2,
     "how many pairs did you add up, and by how many did you divide?"),
    (lambda p, m, sigma2: _rho(p, m, sigma2) * (len(p) - 1) / len(p),
     "do covariance and variance divide by the same number?"),
    (lambda p, m, sigma2: max(_rho(p, m, sigma2), 0.0),
     "can members differ more than by chance, and which sign has rho then?"),
    (lambda p, m, sigma2: abs(_rho(p, m, sigma2)),
     "can members differ more than by chance, and which sign has rho then?"),
    (lambda *case: _rho(*case) ** 2, "is this rho, or its square?"),
)  # fmt: skip
SQUARE = "the variance is the mean of m times m covariances: how many of them are of two members?"
VARIANCE_MISTAKES = (
    (lambda p, m, sigma2, rho: sigma2 / m,
     "this is right for members without correlation: what happens to the error that they share?"),
    (lambda p, m, sigma2, rho: rho * sigma2,
     "this is the floor, for endless members: where is the part that falls with m?"),
    (lambda p, m, sigma2, rho: (1 - rho) * sigma2 / m,
     "this part goes to zero with m: which part does not?"),
    (lambda p, m, sigma2, rho: _variance(p, m, sigma2, 1 - rho),
     "which part falls with m: the one that members share, or the other?"),
    (lambda p, m, sigma2, rho: _variance(p, m, sigma2, rho**2),
     "the covariance of two members is rho times sigma squared: where does the square come from?"),
    (lambda p, m, sigma2, rho: _variance(p, p.shape[1], sigma2, rho),
     "is this for the members that you saw, or for m of them?"),
    (lambda p, m, sigma2, rho: sigma2 * (1 + rho) / m, SQUARE),
    (lambda p, m, sigma2, rho: sigma2 * (1 + m * rho) / m, SQUARE),
    (lambda p, m, *known: np.sqrt(_variance(p, m, *known)),
     "is this a variance or a standard deviation?"),
    (lambda p, m, sigma2, rho: sigma2,
     "is this the variance of one member, or of the mean of m?"),
    (lambda p, m, *known: m * _variance(p, m, *known),
     "is this the variance of the mean? By what do you divide the sum of all covariances?"),
    (lambda p, m, *known: m * m * _variance(p, m, *known),
     "is this the variance of the sum, or of the mean?"),
)  # fmt: skip


def _repetitions():
    """What k members predict for one row in t repetitions (t, k), and how many will be averaged."""
    yield np.array([[1.0, 2.0], [3.0, 7.0], [5.0, 3.0]]), 4
    for seed, (t, k, m, common) in enumerate(((12, 4, 32, 0.8), (30, 6, 3, 0.8), (20, 3, 2, 0.0))):
        rng = draws(seed)
        scale = rng.uniform(0.5, 2.0, k)
        own = rng.normal(size=(t, k))
        if not common:
            own -= 0.8 * own.mean(axis=1, keepdims=True)  # what one has more, the others have less
        yield 3 + (common * rng.normal(size=(t, 1)) + own) * scale, m


def _forecast_part(key: str, what: str, right: Callable, mistakes: tuple) -> Part:
    def about(at, predictions, m, *known) -> str:
        told = (
            predictions.tolist()
            if predictions.size < 10
            else "{} training sets of {} members".format(*predictions.shape)
        )
        return f"for predictions = {told} and m = {m}, {what}"

    return Part(what, right, mistakes, about, key=key)


check_variance_of_mean = Check(
    """Check a function that forecasts the variance of the mean of m members from a few of them.

    It takes ``(predictions, m)`` and returns (sigma2, rho, variance). `predictions` (t, k) are
    those of k members for one row, each time after learning from another training set. `sigma2`
    is the mean of the members' variances over the t training sets, with t - 1; `rho` the mean
    covariance of two different members over `sigma2`; `variance` that of the mean of m of them.
    """,
    cases=_repetitions,
    parts=[
        _forecast_part("sigma2", "sigma2", _sigma2, SIGMA2_MISTAKES),
        _forecast_part("rho", "rho", _rho, RHO_MISTAKES),
        _forecast_part("variance", "the variance of the mean", _variance, VARIANCE_MISTAKES),
    ],
    success="what members share stays, and only the rest falls with m",
)
