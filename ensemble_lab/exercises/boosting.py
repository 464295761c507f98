"""Checks of notebook 09: a round of AdaBoost, and a step of gradient boosting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: a round of SAMME ------------------------------------------------------------------------


def _log_ratio(error: float) -> float:
    return float(np.log((1 - error) / error))


def _stage_weight(weights, wrong, classes) -> float:
    return _log_ratio(weights[wrong].sum()) + float(np.log(classes - 1))


def _without_classes(weights, wrong, classes) -> float:
    return _log_ratio(weights[wrong].sum())


STAGE_MISTAKES = (
    (lambda weights, wrong, k: _log_ratio(wrong.mean()) + np.log(k - 1),
     "Is the stage's error a share of the examples, or a share of their weight?"),
    (lambda weights, wrong, k: _log_ratio(wrong.mean()),
     "Is the error a share of the examples or of their weight, and where does the number of classes"
     " come in?"),
    (_without_classes,
     "What is the stage weight of a stage that guesses among k classes, and what should it be?"),
    (lambda weights, wrong, k: np.log(k - 1) - _without_classes(weights, wrong, k),
     "Does your stage weight grow or shrink when the stage makes fewer errors?"),
    (lambda *case: -_without_classes(*case),
     "Does your stage weight grow when the stage makes fewer errors, and where does the number of"
     " classes come in?"),
    (lambda *case: -_stage_weight(*case),
     "Which sign has the stage weight of a stage that is better than chance?"),
    (lambda weights, wrong, k: _stage_weight(weights, wrong, k + 1),
     "How many ways are there to be wrong among k classes?"),
    (lambda *case: _stage_weight(*case) / 2,
     "In the form for two classes the weights of right examples fall as well. Do they fall here?"),
    (lambda *case: _without_classes(*case) / 2,
     "Which form is this: the one for two classes of the text above, or the one for k classes?"),
    (lambda weights, wrong, k: _without_classes(weights, wrong, k) - np.log(k - 1),
     "Is the same error better or worse news when there are more classes to choose from?"),
    (lambda weights, wrong, k: _log_ratio(weights[wrong].sum()) * np.log(k - 1),
     "What happens to your stage weight when there are two classes, so that log(k - 1) is zero?"),
    (lambda weights, wrong, k: _stage_weight(weights, wrong, k) / np.log(2),
     "Which base has your logarithm, and which base has the e of the weights?"),
)  # fmt: skip


def _grown(weights, wrong, stage_weight) -> np.ndarray:
    return weights * np.exp(stage_weight * wrong)


def _normalised(weights) -> np.ndarray:
    return weights / weights.sum()


def _new_weights(weights, wrong, classes, stage_weight) -> np.ndarray:
    return _normalised(_grown(weights, wrong, stage_weight))


WEIGHT_MISTAKES = (
    (lambda w, wrong, k, a: _grown(w, wrong, a), "What do your new weights add up to?"),
    (lambda w, wrong, k, a: _grown(w, ~wrong, a),
     "Which examples became heavier: those the stage got right, or those it got wrong?"),
    (lambda w, wrong, k, a: _normalised(_grown(w, ~wrong, a)),
     "Which examples should the next stage look at, and which ones became heavier?"),
    (lambda w, wrong, k, a: _normalised(w * np.where(wrong, np.exp(a), np.exp(-a))),
     "By how much do the odds between a wrong and a right example change, if one rises and the"
     " other falls as well?"),
    (lambda w, wrong, k, a: _normalised(np.exp(a * wrong)),
     "What happened to the weights of the earlier rounds?"),
    (lambda w, wrong, k, a: _normalised(w * np.where(wrong, a, 1)),
     "Are the wrong examples multiplied by the stage weight, or by a power of e?"),
    (lambda w, wrong, k, a: _normalised(w + a * wrong),
     "Is the new weight a product or a sum?"),
    (lambda w, wrong, k, a: w / np.linalg.norm(_grown(w, wrong, a)) * np.exp(a * wrong),
     "What should add up to one: the weights, or their squares?"),
    (lambda w, wrong, k, a: _grown(w, wrong, a) / _grown(w, wrong, a).max(),
     "What do your new weights add up to, once they are divided?"),
    (lambda w, wrong, k, a: w, "Which of your lines changes the weights?"),
)  # fmt: skip


def _rounds():
    """Weights that add up to 1, where a stage is wrong, and the number of classes."""
    rng = draws(0)
    for classes, rows in ((2, 8), (3, 12), (10, 40)):
        wrong = rng.permutation(np.arange(rows) < rows // 4)
        yield rng.dirichlet(np.ones(rows)), wrong, classes


def _about_stage_weight(at, weights, wrong, classes) -> str:
    return f"with {classes} classes and an error of {weights[wrong].sum():.3f} the stage weight"


def _about_weight(at, weights, wrong, classes, stage_weight) -> str:
    kind = "wrong" if wrong[at] else "right"
    return f"the new weight of an example that is {kind}, and had {weights[at]:.4f},"


check_samme_round = Check(
    """Check a function that ends a round of AdaBoost.

    It takes ``(weights, wrong, classes)`` and returns (stage weight, new weights). `weights`
    (n,) add up to 1, `wrong` (n,) is True where the stage errs, `classes` is their number k.
    """,
    cases=_rounds,
    parts=[
        Part("the stage weight", _stage_weight, STAGE_MISTAKES, _about_stage_weight,
             key="stage_weight"),
        Part("the new weight of an example", _new_weights, WEIGHT_MISTAKES, _about_weight,
             key="weights"),
    ],
    success="on the new weights the stage is exactly as good as chance, so the next stage has to"
    " learn something else",
)  # fmt: skip

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
     "Does your residual point downhill in the loss, or uphill?"),
    (lambda y, scores, loss: y - scores,
     "For log loss: can a target of 0 or 1 be compared with log-odds as they are?"),
    (lambda y, scores, loss: scores - y,
     "Which way does the loss fall, and can a target of 0 or 1 be compared with log-odds?"),
    (lambda y, scores, loss: y - _sigmoid(scores),
     "For squared loss: are the scores predictions, or log-odds?"),
    (lambda y, scores, loss: y,
     "What do the scores so far already explain, and where is it taken off?"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (2 if loss == "squared" else 1),
     "What is the slope of half a square?"),
    (lambda y, scores, loss: _residual(y, scores, loss) * (
        _sigmoid(scores) * (1 - _sigmoid(scores)) if loss == "log" else 1),
     "Of which loss is this the slope: the squared error of a probability, or log loss?"),
    (lambda y, scores, loss: y - (scores > 0 if loss == "log" else scores),
     "For log loss: do the residuals compare the labels with probabilities, or with classes?"),
    (lambda y, scores, loss: _residual(y, scores, loss) / (
        _sigmoid(scores) * (1 - _sigmoid(scores)) if loss == "log" else 1),
     "Is a Newton step asked for, or the slope alone?"),
    (lambda y, scores, loss: np.abs(_residual(y, scores, loss)),
     "Can a stage learn in which direction the scores must move?"),
    (lambda y, scores, loss: (
        (y - scores) ** 2 / 2 if loss == "squared" else np.logaddexp(0, scores) - y * scores),
     "Is this the loss of each example, or minus its slope?"),
    (lambda y, scores, loss: y - (_sigmoid(-scores) if loss == "log" else scores),
     "Which probability belongs to a large positive score: one near 1, or one near 0?"),
))  # fmt: skip


def _step(learner, X, targets) -> np.ndarray:
    return learner.fit(X, targets).predict(X)


def _new_scores(learner, X, y, scores, loss, rate, residuals) -> np.ndarray:
    return scores + rate * _step(learner, X, residuals)


STEP_MISTAKES = (
    (lambda learner, X, y, scores, loss, rate, left: scores + _step(learner, X, left),
     "Where does the learning rate come in?"),
    (lambda learner, X, y, scores, loss, rate, left: scores - rate * _step(learner, X, left),
     "The residual is what is missing. Should it be added or taken away?"),
    (lambda learner, X, y, scores, loss, rate, left: rate * _step(learner, X, left),
     "What happened to the scores so far?"),
    (lambda learner, X, y, scores, loss, rate, left: scores * rate * _step(learner, X, left),
     "Are stages added to the scores, or multiplied with them?"),
    (lambda learner, X, y, scores, loss, rate, left: scores + rate * left,
     "Which residual would you add for a new example, whose target nobody knows?"),
    (lambda learner, X, y, scores, loss, rate, left: scores + rate * _step(learner, X, y),
     "What has your stage learned: the targets, or what is missing?"),
    (lambda learner, X, y, scores, loss, rate, left: (
        (1 - rate) * scores + rate * _step(learner, X, left)),
     "Do the scores so far count in full, or did they shrink as well?"),
    (lambda learner, X, y, scores, loss, rate, left: (
        scores + rate * _sigmoid(_step(learner, X, left))),
     "Is the prediction of a stage a step in scores, or a probability?"),
    (lambda learner, X, y, scores, loss, rate, left: scores,
     "Which of your lines changes the scores?"),
)  # fmt: skip


def _steps():
    """A tree of two leaves, rows, targets, scores so far, loss and learning rate."""
    from sklearn.tree import DecisionTreeRegressor

    for seed, (loss, rate) in enumerate((("squared", 0.1), ("log", 0.3), ("log", 1.0))):
        rng = draws(seed)
        X, scores = rng.normal(size=(30, 2)), rng.normal(size=30)
        y = X[:, 0] + rng.normal(size=30)
        y = (y > 0).astype(float) if loss == "log" else y
        yield DecisionTreeRegressor(max_depth=1), X, y, scores, loss, rate


def _about_residual(at, learner, X, y, scores, loss, rate) -> str:
    return f"for {loss} loss, a target of {y[at]:.2f} and a score of {scores[at]:.2f} the residual"


def _about_score(at, learner, X, y, scores, loss, rate, residuals) -> str:
    return f"for {loss} loss and a learning rate of {rate:g} the new score of example {at[0]}"


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
    success="a step downhill in the loss: a stage has learned it, and a part of it is added",
)
