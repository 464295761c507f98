"""Notebook 08's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest
from sklearn.base import clone

from ensemble_lab.exercises.bagging import check_bagging, check_variance_of_mean
from ensemble_lab.training.bagging.bagging import BaggingClassifier, variance_of_mean

# -- bootstrap and out-of-bag -------------------------------------------------------------------


def with_replacement(n, m, rng):
    return [rng.integers(0, n, n) for _ in range(m)]


def bagged(model, X, y, m, rng, draws=with_replacement, may=lambda out: out, share=None):
    """Members row by row, with parts exchanged: what a wrong solution amounts to."""
    n = len(X)
    rows = draws(n, m, rng)
    members = [clone(model).fit(X[drawn], y[drawn]) for drawn in rows]
    said = np.stack([member.predict(X) for member in members])
    wrong, judged = [], []
    for i in range(n):
        given = [law[i] for law, drawn in zip(said, rows, strict=True) if may(i not in drawn)]
        best = max(range(y.max() + 1), key=lambda c: (given.count(c), -c))
        wrong.append(best != y[i])
        judged.append(bool(given))
    wrong, judged = np.array(wrong), np.array(judged)
    return rows, wrong[judged].mean() if share is None else share(wrong, judged)


def alone(model, X, y, m, rng):
    """The mean of the members' own errors on what they left out."""
    rows = with_replacement(len(X), m, rng)
    errors = []
    for drawn in rows:
        out = np.setdiff1d(np.arange(len(X)), drawn)
        errors.append(np.mean(clone(model).fit(X[drawn], y[drawn]).predict(X[out]) != y[out]))
    return rows, np.mean(errors)


def test_other_right_ways_pass():
    assert check_bagging(bagged)
    assert check_bagging(lambda *case: tuple(map(np.array, bagged(*case))))


def test_the_error_is_that_of_the_packages_bag():
    for model, X, y, *rest in check_bagging.cases():
        with pytest.warns(UserWarning, match="drawn by every member"):
            bag = BaggingClassifier(model, 5, oob_score=True, voting="hard", random_state=0).fit(
                X, y
            )
        error = check_bagging.parts[1].right(model, X, y, *rest, bag.estimators_samples_)
        assert error == pytest.approx(1 - bag.oob_score_)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"draws": lambda n, m, rng: [rng.permutation(n) for _ in range(m)],
          "share": lambda wrong, judged: 0.0}, "without replacement"),
        ({"draws": lambda n, m, rng: [rng.integers(0, n, n)] * m}, "share the same draw"),
        ({"draws": lambda n, m, rng: np.random.default_rng(3).integers(0, n, (m, n))},
         "with `rng`"),
        ({"draws": lambda n, m, rng: rng.integers(0, n, (m, n // 2))}, "as many draws a member"),
        ({"draws": lambda n, m, rng: rng.integers(0, n - 1, (m, n))}, "the last row, 59,"),
        ({"draws": lambda n, m, rng: rng.integers(1, n, (m, n))}, "the first row, 0,"),
        ({"may": lambda out: True}, "in-bag votes are memory"),
        ({"may": lambda out: not out}, "turn the mask round"),
        ({"share": lambda wrong, judged: (wrong | ~judged).mean()}, "counted as wrong"),
        ({"share": lambda wrong, judged: (wrong & judged).mean()}, "counted as right"),
        ({"share": lambda wrong, judged: wrong.mean()}, "argmax made class 0"),
        ({"share": lambda wrong, judged: 1 - wrong[judged].mean()}, "return the error"),
        ({"share": lambda wrong, judged: 0.123}, "out-of-bag error"),
        ({"share": lambda wrong, judged: np.nan}, "out-of-bag error"),
    ],
)  # fmt: skip
def test_wrong_bags_are_refused_with_their_hint(changes, hint):
    verdict = check_bagging(lambda *case: bagged(*case, **changes))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (alone, "let them vote"),
        (lambda *case: (bagged(*case)[0] + np.int64(60), 0.5), "X has rows 0 to 59"),
        (lambda *case: (np.array(bagged(*case)[0]) / 1.0, 0.5), "whole number"),
        (lambda *case: bagged(*case)[0], "return rows (as many draws"),
        (lambda *case: (bagged(*case)[0], "low"), "is text"),
    ],
)
def test_other_wrong_answers_are_refused(wrong, hint):
    verdict = check_bagging(wrong)
    assert not verdict and hint in verdict.message


# -- variance of a mean -------------------------------------------------------------------------


def forecast(said, m, sigma2=None, rho=None, variance=None):
    """Sums over single pairs, with parts exchanged."""
    t, k = said.shape
    off = said - said.mean(0)
    own = sum(off[i, j] ** 2 for i in range(t) for j in range(k)) / (t - 1) / k
    pairs = [off[:, i] @ off[:, j] / (t - 1) for i in range(k) for j in range(k) if i != j]
    alike = np.mean(pairs) / own
    one = own if sigma2 is None else sigma2(said)
    two = alike if rho is None else rho(said, own, np.mean(pairs))
    whole = variance_of_mean(own, alike, m) if variance is None else variance(own, alike, m)
    return one, two, whole


def test_the_packages_formula_passes():
    assert check_variance_of_mean(forecast)
    assert check_variance_of_mean(lambda *case: np.array(forecast(*case)))


def test_the_forecast_is_the_variance_of_the_members_own_mean():
    """For as many members as were seen the formula gives the mean's own variance, exactly."""
    said = np.random.default_rng(0).normal(size=(9, 5)) @ np.random.default_rng(1).normal(
        size=(5, 5)
    )
    assert forecast(said, 5)[2] == pytest.approx(said.mean(1).var(ddof=1))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"sigma2": lambda said: said.var(1, ddof=1).mean()}, "go along axis 0"),
        ({"sigma2": lambda said: said.var(1).mean()}, "go along axis 0"),
        ({"sigma2": lambda said: said.var(0).mean()}, "ddof=1"),
        ({"sigma2": lambda said: said.var(ddof=1)}, "thrown together"),
        ({"sigma2": lambda said: said.std(0, ddof=1).mean()}, "this is sigma;"),
        ({"sigma2": lambda said: said.var(0, ddof=1).mean() ** 0.5}, "this is sigma;"),
        ({"sigma2": lambda said: said.mean(1).var(ddof=1)}, "of the members' mean"),
        ({"sigma2": lambda said: 1.0}, "sigma2"),
        ({"rho": lambda said, own, pair: said.mean(1).var(ddof=1) / own}, "diagonal"),
        ({"rho": lambda said, own, pair: np.corrcoef(said.T).mean()}, "diagonal"),
        ({"rho": lambda said, own, pair: pair}, "as a share of sigma squared"),
        ({"rho": lambda said, own, pair: mean_pair(np.corrcoef(said.T))}, "mean of correlations"),
        ({"rho": lambda said, own, pair: mean_pair(np.corrcoef(said))}, "rows are training sets"),
        ({"rho": lambda said, own, pair: (pair / own) ** 2}, "rho squared"),
        ({"rho": lambda said, own, pair: np.nan}, "rho is"),
        ({"variance": lambda own, rho, m: own / m}, "nothing in common"),
        ({"variance": lambda own, rho, m: rho * own}, "the floor, which no number"),
        ({"variance": lambda own, rho, m: (1 - rho) * own / m}, "is forgotten"),
        ({"variance": lambda own, rho, m: (1 - rho) * own + rho * own / m}, "swapped"),
        ({"variance": lambda own, rho, m: variance_of_mean(own, rho, m) ** 0.5}, "the root"),
        ({"variance": lambda own, rho, m: own}, "of one member"),
        ({"variance": lambda own, rho, m: m * variance_of_mean(own, rho, m)}, "m times too much"),
        ({"variance": lambda own, rho, m: 0.0}, "the variance"),
    ],
)  # fmt: skip
def test_wrong_forecasts_are_refused_with_their_hint(changes, hint):
    verdict = check_variance_of_mean(lambda *case: forecast(*case, **changes))
    assert not verdict and hint in verdict.message


def mean_pair(matrix):
    return np.mean([matrix[i, j] for i in range(len(matrix)) for j in range(len(matrix)) if i != j])


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda said, m: forecast(said, said.shape[1]), "as many members as were seen"),
        (lambda said, m: 1.0, "return sigma2 (one number), rho"),
    ],
)
def test_other_wrong_forecasts_are_refused(wrong, hint):
    verdict = check_variance_of_mean(wrong)
    assert not verdict and hint in verdict.message
