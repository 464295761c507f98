"""Checks of notebook 09: a round of AdaBoost, and a step of gradient boosting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import array, judged, number, parts, returned

# -- 1: a round of SAMME ------------------------------------------------------------------------


def _error(weights, wrong, classes) -> float:
    return float(weights[wrong].sum() / weights.sum())


def _unweighted(weights, wrong, classes) -> float:
    return float(wrong.mean())


def _say(weights, wrong, classes, error: Callable = _error) -> float:
    e = error(weights, wrong, classes)
    return float(np.log((1 - e) / e) + np.log(classes - 1))


def _without_classes(weights, wrong, classes) -> float:
    return _say(weights, wrong, 2)


def _inverse(weights, wrong, classes) -> float:
    return 2 * np.log(classes - 1) - _say(weights, wrong, classes)


SAY_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (lambda *case: _say(*case, error=_unweighted),
     "the error is the share of the *weight* on the rows that are wrong, not the share of rows: a"
     " stage that errs on the heavy ones is worse"),
    (_without_classes,
     "log(k - 1) is forgotten: among k classes a stage with an error of one half is far better"
     " than chance, and at chance, 1 - 1 / k, the say must be 0"),
    (_inverse,
     "the ratio in the log is inverted: (1 - error) / error, so that fewer errors give more say"),
    (lambda *case: -_without_classes(*case),
     "the ratio in the log is inverted, (1 - error) / error, and log(k - 1) is forgotten"),
    (lambda *case: -_say(*case),
     "the sign is wrong: a stage better than chance has a say above 0"),
    (lambda w, wrong, k: _say(w, wrong, k + 1),
     "there are k - 1 ways to be wrong, not k: add log(k - 1)"),
    (lambda *case: _say(*case) / 2,
     "this is half of it: the half belongs to the form for two classes whose weights both rise"
     " and fall; here only the wrong ones rise"),
    (lambda w, wrong, k: _without_classes(w, wrong, k) / 2,
     "log(k - 1) is forgotten, and the half belongs to the form for two classes"),
    (lambda w, wrong, k: _without_classes(w, wrong, k) - np.log(k - 1),
     "log(k - 1) has the wrong sign: with more classes chance is worse, and the same error says"
     " more"),
)  # fmt: skip


def _grown(weights, wrong, say) -> np.ndarray:
    return weights * np.exp(say * wrong)


def _new_weights(weights, wrong, say) -> np.ndarray:
    return _normalised(_grown(weights, wrong, say))


def _normalised(weights) -> np.ndarray:
    return weights / weights.sum()


WEIGHT_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (_grown, "the weights are not normalised: divide by their sum, so that they add up to 1"),
    (lambda w, wrong, say: _grown(w, ~wrong, say),
     "the rows that are right were raised, and the weights not normalised"),
    (lambda w, wrong, say: _new_weights(w, ~wrong, say),
     "the rows that are right were raised: the next stage must look at what this one got wrong"),
    (lambda w, wrong, say: _normalised(w * np.where(wrong, np.exp(say), np.exp(-say))),
     "right rows fell as well as wrong ones rose, so that the odds moved twice: leave the right"
     " ones as they are and normalise"),
    (lambda w, wrong, say: _new_weights(np.ones(len(w)), wrong, say),
     "the old weights are forgotten: multiply them, so that what was hard before stays heavy"),
    (lambda w, wrong, say: _normalised(w * np.where(wrong, say, 1)),
     "multiply the wrong rows by e^say, not by the say itself"),
    (lambda w, wrong, say: _normalised(w + say * wrong),
     "multiply the wrong rows by e^say; nothing is added"),
    (lambda w, wrong, say: w, "the weights are the old ones"),
)  # fmt: skip


def _rounds():
    """Weights that add up to 1, where a stage is wrong, and the number of classes."""
    rng = np.random.default_rng(0)
    for classes, rows in ((2, 8), (3, 12), (10, 40)):
        wrong = rng.permutation(np.arange(rows) < rows // 4)
        yield rng.dirichlet(np.ones(rows)), wrong, classes


@judged
def check_samme_round(answer_function: Callable) -> Verdict:
    """Check a function that ends a round of AdaBoost.

    Parameters
    ----------
    answer_function : callable
        ``(weights, wrong, classes)`` to (the stage's say, new weights). `weights` (n,) add up to
        1, `wrong` (n,) is True where the stage errs, `classes` is their number k.

    Returns
    -------
    Verdict
    """
    cases, given = list(_rounds()), []
    for case in cases:
        copies = case[0].copy(), case[1].copy(), case[2]
        told = f"a number and {len(case[0])} weights"
        got = returned(answer_function, *copies, wanted="a say and weights")
        say, weights = parts(got, ("say", "weights"), told)
        weights = array(weights, case[0].shape, "the new weight of a row", told)
        given.append((number(say, "the say"), weights))
    says, weights = zip(*given, strict=True)
    after = [(w, wrong, say) for (w, wrong, _), say in zip(cases, says, strict=True)]
    hint = _matched(says, _say, SAY_MISTAKES, cases, _about_say) or _matched(
        weights, _new_weights, WEIGHT_MISTAKES, after, _about_weight
    )
    if hint:
        return Verdict(False, hint)
    return Verdict(True, "with these weights the stage is as good as chance: it has said its all")


def _about_say(row, weights, wrong, classes) -> str:
    return f"with {classes} classes and an error of {_error(weights, wrong, classes):.3f} the say"


def _about_weight(row, weights, wrong, say) -> str:
    kind = "wrong" if wrong[row] else "right"
    return f"the new weight of a row that is {kind}, and had {weights[row]:.4f},"


def _matched(given, right: Callable, mistakes: tuple, cases: list, about: Callable) -> str:
    """Which mistake made these numbers, case by case; empty where all are right."""
    wanted = [right(*case) for case in cases]
    if _alike(given, wanted):
        return ""
    for mistake, hint in mistakes:
        if _alike(given, [mistake(*case) for case in cases]):
            return hint
    for one, other, case in zip(given, wanted, cases, strict=True):
        differs = np.flatnonzero(~np.isclose(one, other))
        if len(differs):
            row = int(differs[0])
            told = np.atleast_1d(other)[row], np.atleast_1d(one)[row]
            return f"{about(row, *case)} is {told[0]:.4f}, not {told[1]:.4f}"


def _alike(some, others) -> bool:
    return all(np.allclose(one, other) for one, other in zip(some, others, strict=True))


# -- 2: a step of gradient boosting -------------------------------------------------------------


def _sigmoid(scores) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


def _expected(scores, loss) -> np.ndarray:
    return _sigmoid(scores) if loss == "log" else scores


def _residual(y, scores, loss) -> np.ndarray:
    return y - _expected(scores, loss)


RESIDUAL_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (lambda *case: -_residual(*case),
     "the sign is wrong: that is the gradient, which points uphill; a stage learns what is"
     " *missing*, y less what the scores say of it"),
    (lambda y, scores, loss: y - scores,
     "for log loss the scores are log-odds: y is a 0 or a 1 and must be compared with the"
     " probability, the sigmoid of the score"),
    (lambda y, scores, loss: scores - y,
     "the sign is wrong, and for log loss scores must go through the sigmoid first"),
    (lambda y, scores, loss: y - _sigmoid(scores),
     "for squared loss the scores are the predictions themselves: no sigmoid there"),
    (lambda y, scores, loss: y + 0 * scores,
     "these are the targets: what the scores already say must be taken off"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (2 if loss == "squared" else 1),
     "twice too much for squared loss: it is half the square here, so the 2 goes away"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (
        _sigmoid(scores) * (1 - _sigmoid(scores)) if loss == "log" else 1),
     "that is the slope of the *squared* error of the probability; of log loss it is y - p alone"),
    (lambda y, scores, loss: y - (scores > 0) if loss == "log" else y - scores,
     "compare the labels with probabilities, not with the classes they are rounded to"),
)  # fmt: skip


def _steps():
    """A tree of two leaves, rows, targets, scores so far, loss and learning rate."""
    from sklearn.tree import DecisionTreeRegressor

    for seed, (loss, rate) in enumerate((("squared", 0.1), ("log", 0.3), ("log", 1.0))):
        rng = np.random.default_rng(seed)
        X, scores = rng.normal(size=(30, 2)), rng.normal(size=30)
        y = X[:, 0] + rng.normal(size=30)
        y = (y > 0).astype(float) if loss == "log" else y
        yield DecisionTreeRegressor(max_depth=1), X, y, scores, loss, rate


def _step(learner, X, residual) -> np.ndarray:
    from sklearn.base import clone

    return clone(learner).fit(X, residual).predict(X)


def _after(learner, X, y, scores, loss, rate) -> np.ndarray:
    return scores + rate * _step(learner, X, _residual(y, scores, loss))


# Functions of (learner, X, y, scores, loss, rate) to new scores.
STEP_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (lambda learner, X, y, scores, loss, rate:
        scores + _step(learner, X, _residual(y, scores, loss)),
     "the step is not shrunk: add learning_rate times what the stage predicts"),
    (lambda learner, X, y, scores, loss, rate:
        scores - rate * _step(learner, X, _residual(y, scores, loss)),
     "the step goes the wrong way: what is missing must be added to the scores"),
    (lambda learner, X, y, scores, loss, rate: rate * _step(learner, X, _residual(y, scores, loss)),
     "this is the step alone: add it to the scores so far"),
    (lambda learner, X, y, scores, loss, rate: scores + rate * _residual(y, scores, loss),
     "the residuals themselves were added: new rows have none, so the stage must learn them and"
     " its *predictions* are added"),
    (lambda learner, X, y, scores, loss, rate: scores + rate * _step(learner, X, y),
     "the stage has learned the targets: let it learn the residuals"),
    (lambda learner, X, y, scores, loss, rate: scores, "the scores are the old ones"),
)  # fmt: skip


@judged
def check_boosting_step(answer_function: Callable) -> Verdict:
    """Check a function that makes a step of gradient boosting.

    Parameters
    ----------
    answer_function : callable
        ``(learner, X, y, scores, loss, learning_rate)`` to (pseudo-residuals, new scores), both
        (n,). `learner` is a regressor that has not learned yet; `loss` is ``"squared"``, half of
        (y - score)², or ``"log"``, where `y` is 0 or 1 and scores are log-odds.

    Returns
    -------
    Verdict
    """
    cases, given = list(_steps()), []
    for learner, X, y, scores, loss, rate in _steps():
        wanted, told = "residuals and scores", f"two arrays of {len(y)} numbers"
        got = returned(answer_function, learner, X, y, scores, loss, rate, wanted=wanted)
        both = parts(got, ("residuals", "scores"), told)
        names = ("the residual", "the new score")
        given.append([array(*one, told) for one in zip(both, [y.shape] * 2, names, strict=True)])
    residuals, scores = zip(*given, strict=True)
    hint = _matched(
        residuals, _residual, RESIDUAL_MISTAKES, [case[2:5] for case in cases], _about_residual
    ) or _matched(scores, _after, STEP_MISTAKES, cases, _about_score)
    if hint:
        return Verdict(False, hint)
    return Verdict(True, "downhill in the loss, learned by a stage, and a part of it added")


def _about_residual(row, y, scores, loss) -> str:
    return (
        f"for {loss} loss, a target of {y[row]:.2f} and a score of {scores[row]:.2f} the residual"
    )


def _about_score(row, learner, X, y, scores, loss, rate) -> str:
    return f"for {loss} loss and a learning rate of {rate:g} the new score of row {row}"
