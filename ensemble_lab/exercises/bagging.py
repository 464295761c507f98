"""Checks of notebook 08: bootstrap draws and their out-of-bag error, and the variance of a mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part

# -- 1: bootstrap and out-of-bag ----------------------------------------------------------------

MEMBERS = 5  # few, so that some rows are in every bag


def _votes(model, X, y, rows, counts: Callable = np.logical_not) -> np.ndarray:
    """Votes (n, k) of members that learned from `rows`; `counts` of in-bag (n,) may vote."""
    from sklearn.base import clone

    n, votes = len(X), np.zeros((len(X), int(y.max()) + 1))
    for drawn in rows:
        said = clone(model).fit(X[drawn], y[drawn]).predict(X)
        may = np.flatnonzero(counts(np.isin(np.arange(n), drawn)))
        votes[may, said[may]] += 1
    return votes


def _draws(model, X, y, m, rng) -> np.ndarray:
    return rng.integers(0, len(X), (m, len(X)))


def _judged(share: Callable, counts: Callable = np.logical_not):
    """A function of a case and its rows to `share` of (wrong, judged), both (n,) bool."""

    def error(model, X, y, m, rng, rows) -> float:
        votes = _votes(model, X, y, rows, counts)
        return float(share(votes.argmax(1) != y, votes.any(1)))

    return error


_error = _judged(lambda wrong, judged: wrong[judged].mean())


def _each_alone(model, X, y, m, rng, rows) -> float:
    """Members' own out-of-bag errors, averaged: nobody votes."""
    return float(np.mean([_error(model, X, y, m, rng, [drawn]) for drawn in rows]))


ERROR_MISTAKES = (
    (_judged(lambda wrong, judged: wrong.mean(), np.ones_like),
     "all members voted on every row, also those that learned from it: in-bag votes are memory and"
     " flatter; a row is judged by those that did not draw it"),
    (_judged(lambda wrong, judged: wrong[judged].mean(), np.array),
     "the in-bag votes were counted and the out-of-bag ones were not: turn the mask round"),
    (_judged(lambda wrong, judged: (wrong | ~judged).mean()),
     "rows that are in every bag were counted as wrong: nobody can judge them, so they leave the"
     " average"),
    (_judged(lambda wrong, judged: (wrong & judged).mean()),
     "rows that are in every bag were counted as right: nobody can judge them, so divide by the"
     " number of rows that were judged"),
    (_judged(lambda wrong, judged: wrong.mean()),
     "rows that are in every bag have no vote, and argmax made class 0 of that: leave them out"),
    (_each_alone,
     "this is the mean of the members' own out-of-bag errors: let them vote on each row first"),
    (lambda *case: 1 - _error(*case), "this is the share that is right; return the error"),
)  # fmt: skip


def _bad_draws(given, wanted, cases) -> str:
    """What is wrong with draws of which each two share their table."""
    n = given[0].shape[1]
    for rows in given:
        if rows.min() < 0 or rows.max() >= n:
            return f"they name {rows.min()} to {rows.max()}, but X has rows 0 to {n - 1}"
        if (rows == rows[0]).all():
            return (
                "all members share the same draw: they learn the same thing, and their mean wins"
                " nothing; draw inside the loop"
            )
        if any(len(np.unique(one)) == n for one in rows):
            return (
                "a member has every row once: this is drawn without replacement, and nothing is"
                " left out to judge by; bootstrap means with replacement"
            )
    if any(map(np.array_equal, given[::2], given[1::2])):
        return "another generator gives the same rows: draw them with `rng`"
    # Hundreds of draws reach both ends, unless one is cut off.
    drawn = np.stack(given)
    for row, end in ((n - 1, "last"), (0, "first")):
        if not (drawn == row).any():
            return f"in {drawn.size} draws the {end} row, {row}, never comes: mind the range's ends"
    return ""


def _tables():
    """A member that learns by heart, rows of overlapping classes, and two generators for each."""
    from sklearn.neighbors import KNeighborsClassifier

    for seed, classes in enumerate((2, 3, 3)):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, classes, 60)
        X = rng.normal(size=(60, 2)) + y[:, None]
        for generator in (seed, seed + 10):
            yield KNeighborsClassifier(1), X, y, MEMBERS, np.random.default_rng(generator)


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
            lambda at, *case: "for the rows that you drew the out-of-bag error",
            key="error",
        ),
    ],
    success="drawn with replacement, apart for each, and judged by those left out",
)

# -- 2: variance of a mean ----------------------------------------------------------------------


def _covariance(said) -> np.ndarray:
    return np.cov(said, rowvar=False)


def _pairs(matrix: np.ndarray) -> float:
    """Mean over pairs of different members."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def _sigma2(said, m) -> float:
    return float(np.diag(_covariance(said)).mean())


def _rho(said, m, sigma2) -> float:
    return _pairs(_covariance(said)) / sigma2


def _variance(said, m, sigma2, rho) -> float:
    return sigma2 * (rho + (1 - rho) / m)


SIGMA2_MISTAKES = (
    (lambda said, m: np.var(said, axis=1, ddof=1).mean(),
     "this is how far members of one training set are apart; sigma squared is how one member"
     " varies from training set to training set: go along axis 0"),
    (lambda said, m: np.var(said, axis=1).mean(),
     "this is how far members of one training set are apart: go along axis 0"),
    (lambda said, m: np.var(said, axis=0).mean(),
     "a mean was taken off each member, so divide by t - 1: ddof=1"),
    (lambda said, m: np.var(said, ddof=1),
     "everything was thrown together: take each member's variance over the training sets, then the"
     " mean over members"),
    (lambda said, m: np.std(said, axis=0, ddof=1).mean(),
     "this is sigma; sigma squared is asked for"),
    (lambda said, m: _sigma2(said, m) ** 0.5, "this is sigma; sigma squared is asked for"),
    (lambda said, m: _covariance(said).mean(),
     "this is the variance of the members' mean; sigma squared is that of one member"),
)  # fmt: skip
RHO_MISTAKES = (
    (lambda said, m, sigma2: _covariance(said).mean() / sigma2,
     "each member was paired with itself as well: leave the diagonal out"),
    (lambda said, m, sigma2: np.corrcoef(said, rowvar=False).mean(),
     "each member was paired with itself as well: leave the diagonal out"),
    (lambda said, m, sigma2: _pairs(_covariance(said)),
     "this is the covariance of two members; as a share of sigma squared it is rho"),
    (lambda said, m, sigma2: _pairs(np.corrcoef(said, rowvar=False)),
     "nearly: this is the mean of correlations; the formula needs the mean covariance over the mean"
     " variance"),
    (lambda said, m, sigma2: _pairs(np.corrcoef(said)),
     "rows are training sets: this correlates those, not the members (rowvar=False)"),
    (lambda *case: _rho(*case) ** 2, "this is rho squared"),
)  # fmt: skip
VARIANCE_MISTAKES = (
    (lambda said, m, sigma2, rho: sigma2 / m,
     "sigma squared over m is for members that have nothing in common; these are correlated, and"
     " what they share is not averaged away"),
    (lambda said, m, sigma2, rho: rho * sigma2,
     "this is the floor, which no number of members gets below; m of them have not reached it"),
    (lambda said, m, sigma2, rho: (1 - rho) * sigma2 / m,
     "this is only what falls with m: the floor, rho sigma squared, is forgotten"),
    (lambda said, m, sigma2, rho: _variance(said, m, sigma2, 1 - rho),
     "rho and 1 - rho are swapped: what members have in common stays"),
    (lambda said, m, sigma2, rho: _variance(said, said.shape[1], sigma2, rho),
     "this is for as many members as were seen; m of them are asked for"),
    (lambda *case: _variance(*case) ** 0.5,
     "this is a standard deviation: do not take the root"),
    (lambda said, m, sigma2, rho: sigma2,
     "this is the variance of one member, not of the mean of m"),
    (lambda said, m, *known: m * _variance(said, m, *known),
     "this is m times too much: divide the sum of all covariances by m twice"),
)  # fmt: skip


def _repetitions():
    """What k members said of one row in t repetitions (t, k), and how many will be averaged."""
    for seed, (t, k, m) in enumerate(((12, 4, 32), (30, 6, 3))):
        rng = np.random.default_rng(seed)
        scale = rng.uniform(0.5, 2.0, k)
        common = rng.normal(size=(t, 1))
        yield 3 + (0.8 * common + rng.normal(size=(t, k))) * scale, m


def _forecast_part(key: str, what: str, right: Callable, mistakes: tuple) -> Part:
    def about(at, said, m, *known) -> str:
        return f"for {len(said)} training sets and m = {m} {what}"

    return Part(what, right, mistakes, about, key=key)


check_variance_of_mean = Check(
    """Check a function that forecasts the variance of the mean of m members from a few of them.

    It takes ``(said, m)`` and returns (sigma2, rho, variance). `said` (t, k) is what k members
    said of one row, each time after learning from another training set. `sigma2` is the mean of
    the members' variances over the t training sets, with t - 1; `rho` the mean covariance of two
    different members over `sigma2`; `variance` that of the mean of m such members.
    """,
    cases=_repetitions,
    parts=[
        _forecast_part("sigma2", "sigma2", _sigma2, SIGMA2_MISTAKES),
        _forecast_part("rho", "rho", _rho, RHO_MISTAKES),
        _forecast_part("variance", "the variance", _variance, VARIANCE_MISTAKES),
    ],
    success="what members share stays, and only the rest falls with m",
)
