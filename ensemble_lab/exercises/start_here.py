"""Checks of notebook 00: what a cascade costs in all, and which task it pays on."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.exercises.check import Check, Part

# -- 1: the bill --------------------------------------------------------------------------------


def _bill(confidence, threshold, small_price, big_price) -> float:
    return float(len(confidence) * small_price + (confidence < threshold).sum() * big_price)


BILL_MISTAKES = (
    (lambda sure, t, small, big: np.where(sure < t, big, small).sum(),
     "escalated items were charged the big call only, but the small model had been asked first"),
    (lambda sure, t, small, big: len(sure) * small + (sure >= t).sum() * big,
     "the sure items were escalated; it is the unsure ones that go to the big model"),
    (lambda sure, t, small, big: len(sure) * small + (sure <= t).sum() * big,
     "an item exactly at the threshold is sure enough: it stays with the small model"),
    (lambda sure, t, small, big: small + (sure < t).mean() * big,
     "this is the mean price of an item; the bill is for all of them"),
    (lambda sure, t, small, big: len(sure) * (small + big),
     "every item was charged both calls; the big model is asked below the threshold only"),
    (lambda sure, t, small, big: (sure < t).sum() * (small + big),
     "items that stay with the small model are not free: it was asked there too"),
)  # fmt: skip


def _bills():
    """Confidences in steps of 0.05, so that some lie exactly on the threshold; none is absent."""
    rng = np.random.default_rng(0)
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


def _replayed(task: Outcomes, threshold: float) -> tuple[float, float]:
    """Accuracy and mean USD of the cascade at a threshold."""
    sure = task.confidence[:, 0] >= threshold
    small, big = task.cost.T
    return np.where(sure, *task.correct.T).mean(), (small + ~sure * big).mean()


def _pays(fit: Outcomes, test: Outcomes) -> bool:
    level = next(t for t in LEVELS if _replayed(fit, t)[0] >= fit.accuracy()[1])
    right, paid = _replayed(test, level)
    return bool(right >= test.accuracy()[1] - 0.01 and paid <= 0.9 * test.cost[:, 1].mean())


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
    rng = np.random.default_rng(1)

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
    yield knows_itself(), drifted()


# What a wrong verdict on each of the tasks means.
TASK_HINTS = (
    "a small model that is often wrong pays if its confidence says when",
    "an accurate small model does not pay if its confidence says little",
    "the small call is paid on every item: count it against the saving",
    "choose the threshold on `fit` alone: on rows of its own it looks better than it is",
)


def _first_misjudged(given, wanted, cases) -> str:
    wrong = zip(given, wanted, TASK_HINTS, strict=True)
    return next(hint for got, right, hint in wrong if got != right)


check_which_task_pays = Check(
    """Check a function that says whether a cascade pays on a task.

    It takes ``(fit, test)``, two `Outcomes` with the models ``(small, big)`` in that order, and
    returns a bool: with the lowest threshold at which the cascade equals the big model on `fit`,
    is it on `test` within a point of the big model's accuracy, at nine tenths of its cost or less?
    """,
    cases=_tasks,
    parts=[Part("whether it pays", _pays, [_first_misjudged])],
    success="chosen on one half, judged on the other, and the small call paid for",
)
