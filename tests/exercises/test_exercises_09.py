"""Notebook 09's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest

from ensemble_lab.exercises.boosting import check_boosting_step, check_samme_round
from ensemble_lab.training.boosting.adaboost import reweighted, stage_weight

# -- a round of SAMME ---------------------------------------------------------------------------


def by_the_package(weights, wrong, classes):
    """The exercise by what the estimator itself uses."""
    say = stage_weight(weights[wrong].sum(), classes)
    return say, reweighted(weights, wrong, say)


def by_rows(weights, wrong, classes, say=None, factor=np.exp, right=1.0, total=True):
    """A round row by row, with its parts exchanged: what a wrong solution amounts to."""
    error = sum(w for w, bad in zip(weights, wrong, strict=True) if bad)
    share = np.log((1 - error) / error) + np.log(classes - 1) if say is None else say(error)
    new = [w * (factor(share) if bad else right) for w, bad in zip(weights, wrong, strict=True)]
    return share, [w / sum(new) for w in new] if total else new


def test_other_right_ways_pass():
    assert check_samme_round(by_the_package)
    assert check_samme_round(by_rows)


def raised(kind, total=True):
    """Weights by their row's kind; the say is right."""

    def answer(weights, wrong, classes):
        say = by_rows(weights, wrong, classes)[0]
        new = kind(weights, wrong, say)
        return say, new / new.sum() if total else new

    return answer


def half(weights, wrong, classes):
    say = by_rows(weights, wrong, classes)[0] / 2
    new = weights * np.exp(np.where(wrong, say, -say))
    return say, new / new.sum()


def logs(error, classes, ratio=1, more=1, scale=1.0):
    return scale * (ratio * np.log((1 - error) / error) + more * np.log(classes - 1))


def logarithm_of_two(weights, wrong, classes):
    return by_rows(weights, wrong, classes, lambda e: logs(e, classes) / np.log(2))


def raised_by_half(weights, wrong, classes):
    """The half of the form for two classes, and only the wrong ones raised; seen in notes."""
    return by_rows(weights, wrong, classes, lambda e: logs(e, classes, more=0, scale=0.5))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, -1)), "fewer errors?"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, -1, 0)), "and where does the"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, more=0)), "guesses among k classes"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, more=-1)), "better or worse news"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k + 1)), "How many ways"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, scale=-1)), "Which sign"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(x.mean(), k)), "share of their weight?"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(x.mean(), k, more=0)), "or of their"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: logs(e, k, more=0) * np.log(k - 1)),
         "log(k - 1) is zero?"),
        (logarithm_of_two, "Which base"),
        (half, "Do they fall here?"),
        (raised_by_half, "Which form is this"),
        (lambda w, x, k: by_rows(w, x, k, lambda e: 1 - e), "an error of"),
        (lambda w, x, k: by_rows(w, x, k, total=False), "add up to?"),
        (raised(lambda w, x, say: w * np.exp(say * ~x)), "next stage look at"),
        (raised(lambda w, x, say: w * np.exp(say * ~x), total=False), "became heavier: those the"),
        (raised(lambda w, x, say: w * np.exp(np.where(x, say, -say))), "the odds between"),
        (raised(lambda w, x, say: np.exp(say * x)), "the earlier rounds?"),
        (raised(lambda w, x, say: w * np.where(x, say, 1)), "a power of e?"),
        (raised(lambda w, x, say: w + say * x), "a product or a sum?"),
        (raised(lambda w, x, say: w), "Which of your lines"),
        (raised(lambda w, x, say: w * np.exp(-say * x)), "next stage look at"),
        (raised(lambda w, x, say: w * np.exp(say * x) / np.sqrt(np.sum(
            (w * np.exp(say * x)) ** 2)), total=False), "their squares?"),
        (raised(lambda w, x, say: w * np.exp(say * x) / np.max(w * np.exp(say * x)), total=False),
         "once they are divided?"),
        (raised(lambda w, x, say: w * np.where(x, 2, 1)), "the new weight of an example that is"),
        (lambda w, x, k: (by_rows(w, x, k)[0], w * np.nan), "the new weight of an example"),
        (lambda w, x, k: (float("nan"), w), "the stage weight is"),
        (lambda w, x, k: (1.0, w[:-1]), "weights (8 numbers), not 7 of them"),
        (lambda w, x, k: 1.0, "return stage_weight (one number) and weights"),
        (lambda w, x, k: (w, 1.0), "the stage weight is [0.03"),
    ],
)  # fmt: skip
def test_wrong_rounds_are_refused_with_their_hint(wrong, hint):
    verdict = check_samme_round(wrong)
    assert not verdict and hint in verdict.message


# -- a step of gradient boosting ----------------------------------------------------------------


def by_gradient(y, scores, loss):
    """Downhill, by finite differences of the losses: what a right solution amounts to."""

    def losses(f):
        return (y - f) ** 2 / 2 if loss == "squared" else np.logaddexp(0, f) - y * f

    return (losses(scores - 1e-5) - losses(scores + 1e-5)) / 2e-5


def step(learner, X, y, scores, loss, rate, residual=None, learned=None, add=None):
    """A step with its parts exchanged."""
    left = (residual or by_gradient)(y, scores, loss)
    said = learner.fit(X, left if learned is None else learned(y, left)).predict(X)
    return left, scores + rate * said if add is None else add(scores, rate, said, left)


def test_a_step_down_the_measured_gradient_passes():
    assert check_boosting_step(step)
    assert check_boosting_step(lambda *case: np.array(step(*case)))


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def slope_at(f, loss):
    return sigmoid(f) * (1 - sigmoid(f)) if loss == "log" else 1


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"residual": lambda y, f, loss: -by_gradient(y, f, loss)}, "or uphill?"),
        ({"residual": lambda y, f, loss: y - f}, "with log-odds as they are?"),
        ({"residual": lambda y, f, loss: f - y}, "Which way does the loss fall"),
        ({"residual": lambda y, f, loss: y - sigmoid(f)}, "predictions, or log-odds?"),
        ({"residual": lambda y, f, loss: y}, "already explain"),
        ({"residual": lambda y, f, loss: (1 + (loss == "squared")) * by_gradient(y, f, loss)},
         "half a square?"),
        ({"residual": lambda y, f, loss: by_gradient(y, f, loss) * slope_at(f, loss)},
         "Of which loss"),
        ({"residual": lambda y, f, loss: by_gradient(y, f, loss) / slope_at(f, loss)},
         "Newton step"),
        ({"residual": lambda y, f, loss: y - (f > 0 if loss == "log" else f)}, "or with classes?"),
        ({"residual": lambda y, f, loss: abs(by_gradient(y, f, loss))}, "in which direction"),
        ({"residual": lambda y, f, loss: (
            -y * np.log(sigmoid(f)) - (1 - y) * np.log(1 - sigmoid(f)) if loss == "log"
            else 0.5 * (y - f) ** 2)}, "minus its slope?"),
        ({"residual": lambda y, f, loss: y - (1 / (1 + np.exp(f)) if loss == "log" else f)},
         "large positive score"),
        ({"residual": lambda y, f, loss: y * np.nan, "learned": lambda y, left: y},
         "the residual is"),
        ({"add": lambda f, rate, said, left: f + said}, "learning rate come in"),
        ({"add": lambda f, rate, said, left: f - rate * said}, "taken away?"),
        ({"add": lambda f, rate, said, left: rate * said}, "happened to the scores"),
        ({"add": lambda f, rate, said, left: f * (rate * said)}, "multiplied with them?"),
        ({"add": lambda f, rate, said, left: f + rate * left}, "for a new example"),
        ({"add": lambda f, rate, said, left: f * (1 - rate) + rate * said}, "shrink as well?"),
        ({"add": lambda f, rate, said, left: f + rate * sigmoid(said)}, "or a probability?"),
        ({"learned": lambda y, left: y}, "has your stage learned"),
        ({"add": lambda f, rate, said, left: f}, "changes the scores?"),
        ({"add": lambda f, rate, said, left: f + 0.5 * said}, "the new score of example"),
    ],
)  # fmt: skip
def test_wrong_steps_are_refused_with_their_hint(wrong, hint):
    verdict = check_boosting_step(lambda *case: step(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *case: case[3], "return residuals (30 numbers) and scores"),
        (lambda *case: (case[3], 1.0), "return scores (30 numbers), not 1.0"),
    ],
)
def test_other_wrong_answers_are_refused(wrong, hint):
    verdict = check_boosting_step(wrong)
    assert not verdict and hint in verdict.message
