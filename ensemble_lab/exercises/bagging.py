"""Checks of notebook 08: bootstrap draws and their out-of-bag error, and the variance of a mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import array, judged, number, parts, returned, whole

# -- 1: bootstrap and out-of-bag ----------------------------------------------------------------

MEMBERS = 5  # few, so that some rows are in every bag


def _votes(model, X, y, rows, counts: Callable) -> np.ndarray:
    """Votes (n, k) of members that learned from `rows`, where `counts` lets them vote."""
    from sklearn.base import clone

    n, votes = len(X), np.zeros((len(X), int(y.max()) + 1))
    for drawn in rows:
        said = clone(model).fit(X[drawn], y[drawn]).predict(X)
        may = counts(np.isin(np.arange(n), drawn))
        votes[np.flatnonzero(may), said[may]] += 1
    return votes


def _out(inside: np.ndarray) -> np.ndarray:
    return ~inside


def _wrong(votes: np.ndarray, y: np.ndarray) -> np.ndarray:
    return votes.argmax(1) != y


def _error(model, X, y, rows) -> float:
    """The share of wrong votes among rows that some member did not draw."""
    votes = _votes(model, X, y, rows, _out)
    return float(_wrong(votes, y)[votes.any(1)].mean())


def _never_out_as_wrong(model, X, y, rows) -> float:
    votes = _votes(model, X, y, rows, _out)
    return float((_wrong(votes, y) | ~votes.any(1)).mean())


def _never_out_as_right(model, X, y, rows) -> float:
    votes = _votes(model, X, y, rows, _out)
    return float((_wrong(votes, y) & votes.any(1)).mean())


def _never_out_as_first_class(model, X, y, rows) -> float:
    return float(_wrong(_votes(model, X, y, rows, _out), y).mean())


def _each_alone(model, X, y, rows) -> float:
    """Members' own out-of-bag errors, averaged: nobody votes."""
    votes = [_votes(model, X, y, [drawn], _out) for drawn in rows]
    return float(np.mean([_wrong(one, y)[one.any(1)].mean() for one in votes]))


ERROR_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (lambda *case: float(_wrong(_votes(*case, np.ones_like), case[2]).mean()),
     "all members voted on every row, also those that learned from it: in-bag votes are memory and"
     " flatter; a row is judged by those that did not draw it"),
    (lambda *case: float(_wrong(_votes(*case, np.array), case[2]).mean()),
     "the in-bag votes were counted and the out-of-bag ones were not: turn the mask round"),
    (_never_out_as_wrong,
     "rows that are in every bag were counted as wrong: nobody can judge them, so they leave the"
     " average"),
    (_never_out_as_right,
     "rows that are in every bag were counted as right: nobody can judge them, so divide by the"
     " number of rows that were judged"),
    (_never_out_as_first_class,
     "rows that are in every bag have no vote, and argmax made class 0 of that: leave them out"),
    (_each_alone,
     "this is the mean of the members' own out-of-bag errors: let them vote on each row first"),
    (lambda *case: 1 - _error(*case), "this is the share that is right; return the error"),
)  # fmt: skip


def _tables():
    """A member that learns by heart, with rows of two overlapping classes, and of three."""
    from sklearn.neighbors import KNeighborsClassifier

    for seed, classes in enumerate((2, 3, 3)):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, classes, 60)
        yield KNeighborsClassifier(1), rng.normal(size=(60, 2)) + y[:, None], y


@judged
def check_bagging(answer_function: Callable) -> Verdict:
    """Check a function that draws rows for members and judges each row out-of-bag.

    Parameters
    ----------
    answer_function : callable
        ``(model, X, y, m, rng)`` to (rows, error): `rows` (m, n) are the indices that each of m
        clones of `model` learned from, drawn by the generator `rng`; `error` is the share of wrong
        votes of the members that did not draw a row, among rows with at least one such member. A
        tie goes to the lowest class; `y` (n,) holds the classes 0, 1, ….

    Returns
    -------
    Verdict
    """
    drawn = []
    for seed, case in enumerate(_tables()):
        found = []
        for generator in (seed, seed + 10):
            told = "the rows (m, n) and a number, the error"
            rng = np.random.default_rng(generator)
            got = returned(answer_function, *_copied(case), MEMBERS, rng, wanted=told)
            rows, share = parts(got, ("rows", "error"), told)
            found.append((_read_rows(rows, len(case[1])), number(share, "the out-of-bag error")))
        (rows, share), (others, _) = found
        if hint := _rows_hint(rows, others, len(case[1])) or _error_hint(share, (*case, rows)):
            return Verdict(False, hint)
        drawn.append(rows)
    if hint := _reach_hint(np.stack(drawn)):
        return Verdict(False, hint)
    return Verdict(True, "drawn with replacement, apart for each, and judged by those left out")


def _copied(case: tuple) -> tuple:
    from sklearn.base import clone

    model, *arrays = case
    return clone(model), *(part.copy() for part in arrays)


def _read_rows(rows, n: int) -> np.ndarray:
    return array(
        rows,
        (MEMBERS, n),
        "each of the rows",
        f"rows, as many draws a member as X has rows ({MEMBERS} times {n})",
        whole,
    )


def _rows_hint(rows: np.ndarray, others: np.ndarray, n: int) -> str:
    """What is wrong with these draws, made with one generator and with another."""
    if rows.min() < 0 or rows.max() >= n:
        return f"rows name {rows.min()} to {rows.max()}, but X has rows 0 to {n - 1}"
    if (rows == rows[0]).all():
        return (
            "all members share the same draw: they learn the same thing, and their mean wins"
            " nothing; draw inside the loop"
        )
    if any(len(np.unique(one)) == n for one in rows):
        return (
            "a member has every row once: this is drawn without replacement, and nothing is left"
            " out to judge by; bootstrap means with replacement"
        )
    if np.array_equal(rows, others):
        return "another generator gives the same rows: draw them with `rng`"
    return ""


def _error_hint(share: float, case: tuple) -> str:
    wanted = _error(*case)
    if np.isclose(share, wanted):
        return ""
    for mistake, hint in ERROR_MISTAKES:
        if np.isclose(share, mistake(*case)):
            return hint
    return f"for the rows that you drew the out-of-bag error is {wanted:.3f}, not {share:.3f}"


def _reach_hint(drawn: np.ndarray) -> str:
    """Rows at an end that hundreds of draws (tables, m, n) never reach: an end is cut off."""
    n = drawn.shape[-1]
    for row, end in ((n - 1, "last"), (0, "first")):
        if not (drawn == row).any():
            return f"in {drawn.size} draws the {end} row, {row}, never comes: mind the range's ends"
    return ""


# -- 2: variance of a mean ----------------------------------------------------------------------


def _covariance(said) -> np.ndarray:
    return np.cov(said, rowvar=False)


def _sigma2(said, m) -> float:
    return float(np.diag(_covariance(said)).mean())


def _pairs(matrix: np.ndarray) -> float:
    """Mean over pairs of different members."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def _rho(said, m) -> float:
    return _pairs(_covariance(said)) / _sigma2(said, m)


def _variance(said, m, floor=True, falls=True) -> float:
    sigma2, rho = _sigma2(said, m), _rho(said, m)
    return sigma2 * (floor * rho + falls * (1 - rho) / m)


# Each part with its mistakes: functions of (said, m).
PARTS: tuple[tuple[str, Callable, tuple[tuple[Callable, str], ...]], ...] = (
    ("sigma2", _sigma2, (
        (lambda said, m: float(np.var(said, axis=1, ddof=1).mean()),
         "this is how far members of one training set are apart; sigma squared is how one member"
         " varies from training set to training set: go along axis 0"),
        (lambda said, m: float(np.var(said, axis=1).mean()),
         "this is how far members of one training set are apart: go along axis 0"),
        (lambda said, m: float(np.var(said, axis=0).mean()),
         "a mean was taken off each member, so divide by t - 1: ddof=1"),
        (lambda said, m: float(np.var(said, ddof=1)),
         "everything was thrown together: take each member's variance over the training sets, then"
         " the mean over members"),
        (lambda said, m: float(np.std(said, axis=0, ddof=1).mean()),
         "this is sigma; sigma squared is asked for"),
        (lambda said, m: float(_sigma2(said, m) ** 0.5),
         "this is sigma; sigma squared is asked for"),
        (lambda said, m: float(_covariance(said).mean()),
         "this is the variance of the members' mean; sigma squared is that of one member"),
    )),
    ("rho", _rho, (
        (lambda said, m: float(_covariance(said).mean()) / _sigma2(said, m),
         "each member was paired with itself as well: leave the diagonal out"),
        (lambda said, m: float(np.corrcoef(said, rowvar=False).mean()),
         "each member was paired with itself as well: leave the diagonal out"),
        (lambda said, m: _pairs(_covariance(said)),
         "this is the covariance of two members; as a share of sigma squared it is rho"),
        (lambda said, m: _pairs(np.corrcoef(said, rowvar=False)),
         "nearly: this is the mean of correlations; the formula needs the mean covariance over the"
         " mean variance"),
        (lambda said, m: _pairs(np.corrcoef(said)),
         "rows are training sets: this correlates those, not the members (rowvar=False)"),
        (lambda said, m: _rho(said, m) ** 2, "this is rho squared"),
    )),
    ("the variance", _variance, (
        (lambda said, m: _sigma2(said, m) / m,
         "sigma squared over m is for members that have nothing in common; these are correlated,"
         " and what they share is not averaged away"),
        (lambda said, m: _variance(said, m, falls=False),
         "this is the floor, which no number of members gets below; m of them have not reached it"),
        (lambda said, m: _variance(said, m, floor=False),
         "this is only what falls with m: the floor, rho sigma squared, is forgotten"),
        (lambda said, m: _sigma2(said, m) * (1 - _rho(said, m) + _rho(said, m) / m),
         "rho and 1 - rho are swapped: what members have in common stays"),
        (lambda said, m: _variance(said, said.shape[1]),
         "this is for as many members as were seen; m of them are asked for"),
        (lambda said, m: _variance(said, m) ** 0.5,
         "this is a standard deviation: do not take the root"),
        (lambda said, m: _sigma2(said, m),
         "this is the variance of one member, not of the mean of m"),
        (lambda said, m: _variance(said, m) * m,
         "this is m times too much: divide the sum of all covariances by m twice"),
    )),
)  # fmt: skip


def _repetitions():
    """What k members said of one row in t repetitions (t, k), and how many will be averaged."""
    for seed, (t, k, m) in enumerate(((12, 4, 32), (30, 6, 3))):
        rng = np.random.default_rng(seed)
        scale = rng.uniform(0.5, 2.0, k)
        common = rng.normal(size=(t, 1))
        yield 3 + (0.8 * common + rng.normal(size=(t, k))) * scale, m


@judged
def check_variance_of_mean(answer_function: Callable) -> Verdict:
    """Check a function that forecasts the variance of the mean of m members from a few of them.

    Parameters
    ----------
    answer_function : callable
        ``(said, m)`` to (sigma2, rho, variance). `said` (t, k) is what k members said of one row,
        each time after learning from another training set. `sigma2` is the mean of the members'
        variances over the t training sets, with t - 1; `rho` the mean covariance of two different
        members over `sigma2`; `variance` that of the mean of m such members.

    Returns
    -------
    Verdict
    """
    cases, given = list(_repetitions()), []
    for said, m in cases:
        told = "three numbers, sigma2, rho, variance"
        got = returned(answer_function, said.copy(), m, wanted=told)
        three = parts(got, ("sigma2", "rho", "variance"), told)
        names = (name for name, _, _ in PARTS)
        given.append([number(*one) for one in zip(three, names, strict=True)])
    for (name, right, mistakes), numbers in zip(PARTS, np.transpose(given), strict=True):
        wanted = [right(*case) for case in cases]
        if np.allclose(numbers, wanted):
            continue
        for mistake, hint in mistakes:
            if np.allclose(numbers, [mistake(*case) for case in cases]):
                return Verdict(False, f"{name}: {hint}")
        i = int(np.flatnonzero(~np.isclose(numbers, wanted))[0])
        told = f"{name} is {wanted[i]:.4f}, not {numbers[i]:.4f}"
        return Verdict(False, f"for {len(cases[i][0])} training sets and m = {cases[i][1]} {told}")
    return Verdict(True, "what members share stays, and only the rest falls with m")
