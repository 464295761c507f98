"""Notebook 08's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest
from sklearn.base import clone

from ensemble_lab.exercises.bagging import check_bagging, check_variance_of_mean
from ensemble_lab.training.bagging.bagging import BaggingClassifier, variance_of_mean

# -- bootstrap and out-of-bag -------------------------------------------------------------------


def with_replacement(n, m, rng):
    return [rng.integers(0, n, n) for _ in range(m)]


def bagged(model, X, y, m, rng, draws=with_replacement, may=lambda out: out, share=None,
           winner=lambda c: -c, fitted=lambda X, y, drawn: (X[drawn], y[drawn])):  # fmt: skip
    """Members row by row, with parts exchanged: what a wrong solution amounts to."""
    n = len(X)
    rows = draws(n, m, rng)
    members = [clone(model).fit(*fitted(X, y, drawn)) for drawn in rows]
    said = np.stack([member.predict(X) for member in members])
    wrong, judged = [], []
    for i in range(n):
        given = [one[i] for one, drawn in zip(said, rows, strict=True) if may(i not in drawn)]
        best = max(range(y.max() + 1), key=lambda c: (given.count(c), winner(c)))
        wrong.append(best != y[i])
        judged.append(bool(given))
    wrong, judged = np.array(wrong), np.array(judged)
    return rows, wrong[judged].mean() if share is None else share(wrong, judged)


def members_out(model, X, y, m, rng):
    """The rows, and of every member what it left out and what it says there."""
    rows, told = with_replacement(len(X), m, rng), []
    for drawn in rows:
        out = np.setdiff1d(np.arange(len(X)), drawn)
        told.append((out, clone(model).fit(X[drawn], y[drawn]), X[out], y[out]))
    return rows, told


def alone(*case):
    """The mean of the members' own errors on what they left out."""
    rows, told = members_out(*case)
    return rows, np.mean([np.mean(member.predict(x) != y) for _, member, x, y in told])


def pooled(*case):
    """All answers on what was left out, in one list."""
    rows, told = members_out(*case)
    return rows, np.mean(np.concatenate([member.predict(x) != y for _, member, x, y in told]))


def overwritten(model, X, y, *rest):
    """`votes[out] = …` where `votes[out, answer] += 1` was meant."""
    rows, told = members_out(model, X, y, *rest)
    last = {i: c for out, member, x, _ in told for i, c in zip(out, member.predict(x))}
    return rows, np.mean([c != y[i] for i, c in last.items()])


def soft(model, X, y, *rest):
    """Probabilities averaged, as the notebook's loop does."""
    rows, told = members_out(model, X, y, *rest)
    total = np.zeros((len(X), y.max() + 1))
    for out, member, x, _ in told:
        for i, chances in zip(out, member.predict_proba(x)):
            total[i, member.classes_] += chances
    judged = total.sum(1) > 0
    return rows, np.mean(total.argmax(1)[judged] != y[judged])


def inverted(model, X, y, m, rng):
    """`out = ~drawn`, which are indices from the end."""
    rows = with_replacement(len(X), m, rng)
    votes = np.zeros((len(X), y.max() + 1))
    for drawn in rows:
        member = clone(model).fit(X[drawn], y[drawn])
        votes[~drawn, member.predict(X[~drawn])] += 1
    judged = votes.any(1)
    return rows, np.mean(votes.argmax(1)[judged] != y[judged])


def test_other_right_ways_pass():
    assert check_bagging(bagged)
    assert check_bagging(lambda *case: tuple(map(np.array, bagged(*case))))
    assert check_bagging(lambda *case: bagged(*case, draws=by_choice))


def by_choice(n, m, rng):
    return np.array([rng.choice(n, n) for _ in range(m)])


def test_the_error_is_that_of_the_packages_bag():
    for model, X, y, *rest in check_bagging.cases():
        with pytest.warns(UserWarning, match="drawn by every member"):
            bag = BaggingClassifier(model, 5, oob_score=True, voting="hard", random_state=0).fit(
                X, y
            )
        error = check_bagging.parts[1].right(model, X, y, *rest, bag.estimators_samples_)
        assert error == pytest.approx(1 - bag.oob_score_)


def other(n, m, rng):
    return np.random.default_rng(3).integers(0, n, (m, n))


def half_of_the_first_half(n, m, rng):
    """Half of the draws are made from the first half of the rows, the others from all."""
    return np.hstack([rng.integers(0, n // 2, (m, n // 2)), rng.integers(0, n, (m, n - n // 2))])


def half_of_each_half(n, m, rng):
    return np.hstack([rng.integers(0, n // 2, (m, n // 2)), rng.integers(n // 2, n, (m, n // 2))])


def test_draws_that_leave_nothing_out_are_told_so():
    """A member that judges the rows it left out has none to judge."""

    def without_replacement(model, X, y, m, rng):
        rows = np.array([rng.choice(len(X), len(X), replace=False) for _ in range(m)])
        wrong = []
        for drawn in rows:
            out = np.setdiff1d(np.arange(len(X)), drawn)
            wrong += list(clone(model).fit(X[drawn], y[drawn]).predict(X[out]) != y[out])
        return rows, np.mean(wrong)

    verdict = check_bagging(without_replacement)
    assert not verdict and "can a row come twice in your draws?" in verdict.message
    assert "sample" not in verdict.message


def test_hundreds_of_honest_generators_pass():
    """Whichever the generator, draws by chance alone are not called uneven."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        given = [with_replacement(n, 5, rng) for n in (12, 12, 60, 60, 60, 60)]
        assert check_bagging.parts[0].mistakes[0]([np.array(rows) for rows in given], [], []) == ""


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"draws": lambda n, m, rng: [rng.permutation(n) for _ in range(m)],
          "share": lambda wrong, judged: 0.0}, "come twice"),
        ({"draws": lambda n, m, rng: [rng.choice(n, n, replace=False) for _ in range(m)],
          "share": lambda wrong, judged: 0.0}, "come twice"),
        ({"draws": lambda n, m, rng: [rng.integers(0, n, n)] * m}, "averaging copies"),
        ({"draws": other}, "which generator"),
        ({"draws": lambda n, m, rng: rng.integers(0, n, (m, n // 2))}, "as many draws a member"),
        ({"draws": lambda n, m, rng: rng.integers(0, n - 1, (m, n))}, "the last row of X"),
        ({"draws": lambda n, m, rng: rng.integers(1, n, (m, n))}, "the first row of X"),
        ({"draws": half_of_the_first_half}, "from which rows is each draw taken"),
        ({"draws": half_of_each_half}, "from which rows is each draw taken"),
        ({"may": lambda out: True}, "which members have learned from a row"),
        ({"may": lambda out: not out}, "does your mask hold"),
        ({"share": lambda wrong, judged: (wrong | ~judged).mean()}, "is that a wrong vote"),
        ({"share": lambda wrong, judged: (wrong & judged).mean()}, "do you divide"),
        ({"share": lambda wrong, judged: wrong.mean()}, "what does argmax return"),
        ({"share": lambda wrong, judged: 1 - wrong[judged].mean()}, "or of right ones"),
        ({"winner": lambda c: c}, "which of them wins"),
        ({"fitted": lambda X, y, drawn: (X, y)}, "which rows of X did each member learn from"),
        ({"share": lambda wrong, judged: 0.123}, "work out by hand"),
        ({"share": lambda wrong, judged: np.nan}, "is NaN in one case"),
    ],
)  # fmt: skip
def test_wrong_bags_are_refused_with_their_hint(changes, hint):
    verdict = check_bagging(lambda *case: bagged(*case, **changes))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (alone, "mean of the members' own errors"),
        (pooled, "wrong answers by single members"),
        (overwritten, "overwrite the last"),
        (soft, "did you average probabilities"),
        (inverted, "turns the index"),
        (lambda *case: (bagged(*case)[0] + np.int64(60), 0.5), "X has rows 0 to 11"),
        (lambda *case: (np.array(bagged(*case)[0]) / 1.0, 0.5), "whole number"),
        (lambda *case: bagged(*case)[0], "return rows (as many draws"),
        (lambda *case: (bagged(*case)[0], "low"), "is text"),
    ],
)
def test_other_wrong_answers_are_refused(wrong, hint):
    verdict = check_bagging(wrong)
    assert not verdict and hint in verdict.message


def test_the_first_hint_is_a_question_and_the_last_has_the_number():
    verdict = check_bagging(lambda *case: bagged(*case, may=lambda out: True))
    assert verdict.message.endswith("?") and len(verdict.more) == 2
    assert "for your draws, of 5 members from 12 rows each" in verdict.more[0]
    assert not any(figure.isdigit() for figure in verdict.message)
    verdict = check_variance_of_mean(lambda *case: forecast(*case, sigma2=lambda said: 1.0))
    case = "for predictions = [[1.0, 2.0], [3.0, 7.0], [5.0, 3.0]] and m = 4, sigma2"
    assert verdict.message == f"sigma2: work out by hand: {case}"


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
        ({"sigma2": lambda said: said.var(1, ddof=1).mean()}, "along axis 0"),
        ({"sigma2": lambda said: said.var(1).mean()}, "along axis 0"),
        ({"sigma2": lambda said: said.var(0).mean()}, "by t or by t - 1"),
        ({"sigma2": lambda said: said.var(ddof=1)}, "different means"),
        ({"sigma2": lambda said: said.var()}, "different means"),
        ({"sigma2": lambda said: said.std(0, ddof=1).mean()}, "a standard deviation"),
        ({"sigma2": lambda said: said.var(0, ddof=1).mean() ** 0.5}, "a standard deviation"),
        ({"sigma2": lambda said: said.mean(1).var(ddof=1)}, "of the members' mean"),
        ({"sigma2": lambda said: said.var(0, ddof=1).sum()}, "the sum of the members'"),
        ({"sigma2": lambda said: said[:, 0].var(ddof=1)}, "this is the first member"),
        ({"sigma2": lambda said: 1.0}, "work out by hand"),
        ({"rho": lambda said, own, pair: said.mean(1).var(ddof=1) / own}, "with itself"),
        ({"rho": lambda said, own, pair: np.corrcoef(said.T).mean()}, "with itself"),
        ({"rho": lambda said, own, pair: pair}, "is this a covariance"),
        ({"rho": lambda said, own, pair: mean_pair(np.corrcoef(said.T))}, "mean of ratios"),
        ({"rho": lambda said, own, pair: mean_pair(np.corrcoef(said))}, "rows of `predictions`"),
        ({"rho": lambda said, own, pair: np.triu(np.cov(said.T), 1).sum() / own
          / (said.shape[1] * (said.shape[1] - 1))}, "how many pairs"),
        ({"rho": lambda said, own, pair: 2 * pair / own}, "how many pairs"),
        ({"rho": lambda said, own, pair: mean_pair(np.cov(said.T, bias=True)) / own},
         "divide by the same number"),
        ({"rho": lambda said, own, pair: max(pair, 0.0) / own}, "which sign"),
        ({"rho": lambda said, own, pair: abs(pair) / own}, "which sign"),
        ({"rho": lambda said, own, pair: (pair / own) ** 2}, "or its square"),
        ({"rho": lambda said, own, pair: np.nan}, "is NaN in one case"),
        ({"variance": lambda own, rho, m: own / m}, "without correlation"),
        ({"variance": lambda own, rho, m: rho * own}, "this is the floor"),
        ({"variance": lambda own, rho, m: (1 - rho) * own / m}, "which part does not"),
        ({"variance": lambda own, rho, m: (1 - rho) * own + rho * own / m}, "which part falls"),
        ({"variance": lambda own, rho, m: rho**2 * own + (1 - rho**2) * own / m}, "the square"),
        ({"variance": lambda own, rho, m: own / m + own * rho / m}, "how many of them"),
        ({"variance": lambda own, rho, m: own / m + rho * own}, "how many of them"),
        ({"variance": lambda own, rho, m: variance_of_mean(own, rho, m) ** 0.5},
         "a standard deviation"),
        ({"variance": lambda own, rho, m: own}, "of one member"),
        ({"variance": lambda own, rho, m: m * variance_of_mean(own, rho, m)}, "do you divide"),
        ({"variance": lambda own, rho, m: m * own + m * (m - 1) * rho * own}, "of the sum"),
        ({"variance": lambda own, rho, m: 0.0}, "work out by hand"),
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
        (lambda said, m: forecast(said, said.shape[1]), "the members that you saw"),
        (lambda said, m: 1.0, "return sigma2 (one number), rho"),
    ],
)
def test_other_wrong_forecasts_are_refused(wrong, hint):
    verdict = check_variance_of_mean(wrong)
    assert not verdict and hint in verdict.message
