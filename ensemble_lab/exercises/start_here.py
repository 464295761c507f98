"""Checks of notebook 00: what a cascade costs in all, and which task it pays on."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the bill --------------------------------------------------------------------------------


def _bill(confidence, threshold, small_price, big_price) -> float:
    return float(len(confidence) * small_price + (confidence < threshold).sum() * big_price)


BILL_MISTAKES = (
    (lambda sure, t, small, big: np.where(sure < t, big, small).sum(),
     "Who was asked first about an escalated item, and who pays for that call?"),
    (lambda sure, t, small, big: len(sure) * small + (sure >= t).sum() * big,
     "Which items need the big model: the sure ones or the unsure ones?"),
    (lambda sure, t, small, big: len(sure) * small + (sure <= t).sum() * big,
     "An item exactly at the threshold: is it below the threshold?"),
    (lambda sure, t, small, big: small + (sure < t).mean() * big,
     "Is the bill for one item, or for all of them?"),
    (lambda sure, t, small, big: len(sure) * (small + big),
     "Was the big model asked about every item?"),
    (lambda sure, t, small, big: (sure < t).sum() * (small + big),
     "Who answered the items that were not escalated, and is that call free?"),
    (lambda sure, t, small, big: (sure < t).sum() * big,
     "Who was asked about every item, and is that call free?"),
    (lambda sure, t, small, big: len(sure) * big + (sure < t).sum() * small,
     "Which of the two models is asked about every item?"),
    (lambda sure, t, small, big: len(sure) * small,
     "Who answers an item below the threshold, and what does that call cost?"),
)  # fmt: skip


def _bills():
    """Confidences in steps of 0.05, so that some lie exactly on the threshold; none is absent."""
    rng = draws(0)
    for n, threshold in ((7, 0.5), (200, 0.25)):
        yield rng.integers(0, 21, n) / 20, threshold, 0.3, 5.0
    yield np.array([0.2, 0.9]), 0.0, 0.3, 5.0


def _about_bill(at, sure, threshold, small, big) -> str:
    return (
        f"for {len(sure)} items of which {(sure < threshold).sum()} are below the threshold, small"
        f" at {small} and big at {big} USD, the bill"
    )


check_total_cost = Check(
    """Check a function that bills a cascade.

    It takes ``(confidence, threshold, small_price, big_price)`` and returns the USD for all items:
    `confidence` is the small model's (n,), prices are USD a call.
    """,
    cases=_bills,
    parts=[
        Part(
            "the bill for all items",
            _bill,
            BILL_MISTAKES,
            _about_bill,
            asked="one number, the bill in USD",
        )
    ],
    success="the small model is paid on every item, the big one on escalated items",
)

# -- 2: does it pay? ----------------------------------------------------------------------------

N = 4000
LEVELS = np.append(np.linspace(0, 1, 101), 1.01)  # with the last one every item is escalated


def _replayed(task: Outcomes, threshold: float, small_call: bool = True) -> tuple[float, float]:
    """Accuracy and mean USD of the cascade at a threshold."""
    sure = task.confidence[:, 0] >= threshold
    small, big = task.cost.T
    return np.where(sure, *task.correct.T).mean(), (small_call * small + ~sure * big).mean()


def _level(fit: Outcomes) -> float:
    """The lowest threshold at which the cascade equals the big model."""
    return next(t for t in LEVELS if _replayed(fit, t)[0] >= fit.accuracy()[1])


def _judged(level: float, test: Outcomes, small_call: bool = True) -> tuple[bool, bool]:
    """Whether the cascade is right enough and whether it is cheap enough."""
    right, paid = _replayed(test, level, small_call)
    cheap = paid <= 0.9 * test.cost[:, 1].mean()
    return bool(right >= test.accuracy()[1] - 0.01), bool(cheap)


def _pays(fit: Outcomes, test: Outcomes) -> bool:
    return all(_judged(_level(fit), test))


def _ranks(fit: Outcomes, test: Outcomes) -> bool:
    """Whether the small model is mostly surer of right answers: what an AUC looks at."""
    sure, right = test.confidence[:, 0], test.correct[:, 0] == 1
    return bool(np.median(sure[right]) > 0.1 + np.median(sure[~right]))


PAYS_MISTAKES = (
    (lambda fit, test: all(_judged(_level(test), test)),
     "Which half may the threshold be chosen on, and which half did you use?"),
    (lambda fit, test: all(_judged(_level(fit), fit)),
     "On which half is the cascade judged, and which half did you use?"),
    (lambda fit, test: all(_judged(_level(fit), test, small_call=False)),
     "Who is asked about every item, and who pays for that call?"),
    (lambda fit, test: _judged(_level(fit), test)[0],
     "What does a cascade cost that must send nearly everything on?"),
    (lambda fit, test: _judged(_level(fit), test)[1],
     "A cascade that is cheap and often wrong: does it meet both conditions?"),
    (_ranks, "A small model knows when it is wrong. Does that pay at any price of its call?"),
)  # fmt: skip


def _task(rng, small_right, confidence, big_right, prices=(1e-6, 1e-3)) -> Outcomes:
    """A table of two models, ``small`` and ``big``."""
    correct = np.stack([small_right, big_right], axis=1).astype(float)  # (n, 2)
    sure = np.stack([confidence, np.ones(len(correct))], axis=1)
    cost = np.broadcast_to(prices, correct.shape)
    shuffled = rng.permutation(len(correct))
    return Outcomes(
        models=("small", "big"),
        items=np.arange(len(correct)),
        correct=correct[shuffled],
        confidence=sure[shuffled],
        cost=cost,
    )


def _tasks():
    """Pairs of a fit and a test half; each is one that some way of judging wrongly gets wrong."""
    rng = draws(1)

    def knows_itself(prices=(1e-6, 1e-3)):  # right on half of the items only, but it knows which
        right = rng.random(N) < 0.5
        sure = np.where(right, rng.uniform(0.6, 1, N), rng.uniform(0, 0.4, N))
        return _task(rng, right, sure, rng.random(N) < 0.9, prices)

    def blind():  # the most accurate small one here, with a confidence that says nothing
        return _task(rng, rng.random(N) < 0.75, rng.random(N), rng.random(N) < 0.97)

    def drifted():  # a threshold near 0.4 parts right from wrong on the first half only
        right = rng.random(N) < 0.5
        sure = np.where(right, rng.uniform(0.85, 1, N), rng.uniform(0.45, 0.8, N))
        return _task(rng, right, sure, rng.random(N) < 0.9)

    expensive = (0.8e-3, 1e-3)  # the small model costs nearly as much as the big one
    yield knows_itself(), knows_itself()
    yield blind(), blind()
    yield knows_itself(expensive), knows_itself(expensive)
    yield knows_itself(expensive), drifted()
    yield knows_itself(), blind()

    def other(right_sure, wrong_sure, prices=(1e-6, 1e-3), sure_and_wrong=0.0):
        right = rng.random(N) < 0.5
        sure = np.where(right, rng.uniform(*right_sure, N), rng.uniform(*wrong_sure, N))
        fooled = ~right & (rng.random(N) < 2 * sure_and_wrong)  # a share of all items
        sure[fooled] = rng.uniform(*right_sure, fooled.sum())
        return _task(rng, right, sure, rng.random(N) < 0.9, prices)

    yield knows_itself(), other((0.6, 1), (0, 0.4), sure_and_wrong=0.09)  # three points short
    yield (knows_itself((0.5e-3, 1e-3)),) * 2  # at 94 % of the price
    yield (knows_itself((0.25e-3, 1e-3)),) * 2  # at 69 % of the price
    yield knows_itself(), other((0.6, 1), (0, 0.3))  # five points better than the big one
    yield other((0.3, 0.45), (0, 0.25)), other((0.3, 0.45), (0, 0.25))  # all below 0.5
    yield (knows_itself((0.43e-3, 1e-3)),) * 2  # the most accurate threshold costs too much


# What a wrong verdict on each of the tasks asks for.
TASK_HINTS = (
    "A small model is often wrong, and its confidence says when. Can it be of use?",
    "A small model is often right, and its confidence says little. Whom do you send on?",
    "The small call is paid on every item. What is left of the saving?",
    "The threshold comes from `fit`. Does it do on `test` what it did there?",
    "The threshold comes from `fit`. Does it do on `test` what it did there?",
    "On `test` the cascade is three points short. How many points may it be short?",
    "The cascade costs 94 % of the big model's price. How much may it cost?",
    "The cascade costs 69 % of the big model's price. How much may it cost?",
    "On `test` the cascade is better than the big model. Does that speak against it?",
    "All confidences lie below 0.5. Where does your threshold come from?",
    "Several thresholds on `fit` equal the big model. Which of them does the task ask for?",
)


def _first_misjudged(given, wanted, cases) -> str:
    wrong = zip(given, wanted, TASK_HINTS, strict=True)
    return next(hint for got, right, hint in wrong if got != right)


def _about_task(at, fit: Outcomes, test: Outcomes) -> str:
    right, (small, big) = test.accuracy(), 1e4 * test.cost.mean(axis=0)
    return (
        f"on `test` the small model is right on {right[0]:.0%} for {small:.2f} USD per 10,000, the"
        f" big one on {right[1]:.0%} for {big:.0f}, and the threshold from `fit` is"
        f" {_level(fit):.2f}: whether it pays"
    )


check_which_task_pays = Check(
    """Check a function that says whether a cascade pays on a task.

    It takes ``(fit, test)``, two `Outcomes` with the models ``(small, big)`` in that order, and
    returns a bool: with the lowest threshold at which the cascade equals the big model on `fit`,
    is it on `test` within a point of the big model's accuracy, at nine tenths of its cost or less?
    """,
    cases=_tasks,
    parts=[Part("whether it pays", _pays, [*PAYS_MISTAKES, _first_misjudged], _about_task)],
    success="chosen on one half, judged on the other, and the small call paid for",
)
