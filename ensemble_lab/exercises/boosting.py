"""Checks of notebook 09: a round of AdaBoost, and a step of gradient boosting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part

# -- 1: a round of SAMME ------------------------------------------------------------------------


def _log_ratio(error: float) -> float:
    return float(np.log((1 - error) / error))


def _say(weights, wrong, classes) -> float:
    return _log_ratio(weights[wrong].sum()) + float(np.log(classes - 1))


def _without_classes(weights, wrong, classes) -> float:
    return _log_ratio(weights[wrong].sum())


SAY_MISTAKES = (
    (lambda weights, wrong, k: _log_ratio(wrong.mean()) + np.log(k - 1),
     "the error is the share of the *weight* on the rows that are wrong, not the share of rows: a"
     " stage that errs on the heavy ones is worse"),
    (_without_classes,
     "log(k - 1) is forgotten: among k classes a stage with an error of one half is far better"
     " than chance, and at chance, 1 - 1 / k, the say must be 0"),
    (lambda weights, wrong, k: np.log(k - 1) - _without_classes(weights, wrong, k),
     "the ratio in the log is inverted: (1 - error) / error, so that fewer errors give more say"),
    (lambda *case: -_without_classes(*case),
     "the ratio in the log is inverted, (1 - error) / error, and log(k - 1) is forgotten"),
    (lambda *case: -_say(*case),
     "the sign is wrong: a stage better than chance has a say above 0"),
    (lambda weights, wrong, k: _say(weights, wrong, k + 1),
     "there are k - 1 ways to be wrong, not k: add log(k - 1)"),
    (lambda *case: _say(*case) / 2,
     "this is half of it: the half belongs to the form for two classes whose weights both rise"
     " and fall; here only the wrong ones rise"),
    (lambda *case: _without_classes(*case) / 2,
     "log(k - 1) is forgotten, and the half belongs to the form for two classes"),
    (lambda weights, wrong, k: _without_classes(weights, wrong, k) - np.log(k - 1),
     "log(k - 1) has the wrong sign: with more classes chance is worse, and the same error says"
     " more"),
)  # fmt: skip


def _grown(weights, wrong, say) -> np.ndarray:
    return weights * np.exp(say * wrong)


def _normalised(weights) -> np.ndarray:
    return weights / weights.sum()


def _new_weights(weights, wrong, classes, say) -> np.ndarray:
    return _normalised(_grown(weights, wrong, say))


WEIGHT_MISTAKES = (
    (lambda w, wrong, k, say: _grown(w, wrong, say),
     "the weights are not normalised: divide by their sum, so that they add up to 1"),
    (lambda w, wrong, k, say: _grown(w, ~wrong, say),
     "the rows that are right were raised, and the weights not normalised"),
    (lambda w, wrong, k, say: _normalised(_grown(w, ~wrong, say)),
     "the rows that are right were raised: the next stage must look at what this one got wrong"),
    (lambda w, wrong, k, say: _normalised(w * np.where(wrong, np.exp(say), np.exp(-say))),
     "right rows fell as well as wrong ones rose, so that the odds moved twice: leave the right"
     " ones as they are and normalise"),
    (lambda w, wrong, k, say: _normalised(np.exp(say * wrong)),
     "the old weights are forgotten: multiply them, so that what was hard before stays heavy"),
    (lambda w, wrong, k, say: _normalised(w * np.where(wrong, say, 1)),
     "multiply the wrong rows by e^say, not by the say itself"),
    (lambda w, wrong, k, say: _normalised(w + say * wrong),
     "multiply the wrong rows by e^say; nothing is added"),
    (lambda w, wrong, k, say: w, "the weights are the old ones"),
)  # fmt: skip


def _rounds():
    """Weights that add up to 1, where a stage is wrong, and the number of classes."""
    rng = np.random.default_rng(0)
    for classes, rows in ((2, 8), (3, 12), (10, 40)):
        wrong = rng.permutation(np.arange(rows) < rows // 4)
        yield rng.dirichlet(np.ones(rows)), wrong, classes


def _about_say(at, weights, wrong, classes) -> str:
    return f"with {classes} classes and an error of {weights[wrong].sum():.3f} the say"


def _about_weight(at, weights, wrong, classes, say) -> str:
    kind = "wrong" if wrong[at] else "right"
    return f"the new weight of a row that is {kind}, and had {weights[at]:.4f},"


check_samme_round = Check(
    """Check a function that ends a round of AdaBoost.

    It takes ``(weights, wrong, classes)`` and returns (the stage's say, new weights). `weights`
    (n,) add up to 1, `wrong` (n,) is True where the stage errs, `classes` is their number k.
    """,
    cases=_rounds,
    parts=[
        Part("the say", _say, SAY_MISTAKES, _about_say, key="say"),
        Part(
            "the new weight of a row", _new_weights, WEIGHT_MISTAKES, _about_weight, key="weights"
        ),
    ],
    success="with these weights the stage is as good as chance: it has said its all",
)

# -- 2: a step of gradient boosting -------------------------------------------------------------


def _sigmoid(scores) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


def _residual(y, scores, loss) -> np.ndarray:
    return y - (_sigmoid(scores) if loss == "log" else scores)


def _of_case(residual: Callable):
    """A function of (y, scores, loss) as one of a whole case."""
    return lambda learner, X, y, scores, loss, learning_rate: residual(y, scores, loss)


def _residuals(learner, X, y, scores, loss, learning_rate) -> np.ndarray:
    return _residual(y, scores, loss)


RESIDUAL_MISTAKES = tuple((_of_case(makes), hint) for makes, hint in (
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
    (lambda y, scores, loss: y,
     "these are the targets: what the scores already say must be taken off"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (2 if loss == "squared" else 1),
     "twice too much for squared loss: it is half the square here, so the 2 goes away"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (
        _sigmoid(scores) * (1 - _sigmoid(scores)) if loss == "log" else 1),
     "that is the slope of the *squared* error of the probability; of log loss it is y - p alone"),
    (lambda y, scores, loss: y - (scores > 0 if loss == "log" else scores),
     "compare the labels with probabilities, not with the classes they are rounded to"),
))  # fmt: skip


def _step(learner, X, targets) -> np.ndarray:
    return learner.fit(X, targets).predict(X)


def _new_scores(learner, X, y, scores, loss, rate, residuals) -> np.ndarray:
    return scores + rate * _step(learner, X, residuals)


STEP_MISTAKES = (
    (lambda learner, X, y, scores, loss, rate, left: scores + _step(learner, X, left),
     "the step is not shrunk: add learning_rate times what the stage predicts"),
    (lambda learner, X, y, scores, loss, rate, left: scores - rate * _step(learner, X, left),
     "the step goes the wrong way: what is missing must be added to the scores"),
    (lambda learner, X, y, scores, loss, rate, left: rate * _step(learner, X, left),
     "this is the step alone: add it to the scores so far"),
    (lambda learner, X, y, scores, loss, rate, left: scores + rate * left,
     "the residuals themselves were added: new rows have none, so the stage must learn them and"
     " its *predictions* are added"),
    (lambda learner, X, y, scores, loss, rate, left: scores + rate * _step(learner, X, y),
     "the stage has learned the targets: let it learn the residuals"),
    (lambda learner, X, y, scores, loss, rate, left: scores, "the scores are the old ones"),
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


def _about_residual(at, learner, X, y, scores, loss, rate) -> str:
    return f"for {loss} loss, a target of {y[at]:.2f} and a score of {scores[at]:.2f} the residual"


def _about_score(at, learner, X, y, scores, loss, rate, residuals) -> str:
    return f"for {loss} loss and a learning rate of {rate:g} the new score of row {at[0]}"


check_boosting_step = Check(
    """Check a function that makes a step of gradient boosting.

    It takes ``(learner, X, y, scores, loss, learning_rate)`` and returns (pseudo-residuals, new
    scores), both (n,). `learner` is a regressor that has not learned yet; `loss` is ``"squared"``,
    half of (y - score)², or ``"log"``, where `y` is 0 or 1 and scores are log-odds.
    """,
    cases=_steps,
    parts=[
        Part("the residual", _residuals, RESIDUAL_MISTAKES, _about_residual, key="residuals"),
        Part("the new score", _new_scores, STEP_MISTAKES, _about_score, key="scores"),
    ],
    success="downhill in the loss, learned by a stage, and a part of it added",
)
