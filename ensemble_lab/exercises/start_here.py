"""Checks of notebook 00: what a cascade costs in all, and which task it pays on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import judged, number, returned, yes_or_no

# -- 1: the bill --------------------------------------------------------------------------------


def _bill(sure, threshold, small_price, big_price) -> float:
    return float(len(sure) * small_price + (sure < threshold).sum() * big_price)


# What people write at first, and what to say to each.
BILL_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda sure, t, small, big: np.where(sure < t, big, small).sum(),
        "escalated items were charged the big call only, but the small model had been asked first",
    ),
    (
        lambda sure, t, small, big: len(sure) * small + (sure >= t).sum() * big,
        "the sure items were escalated; it is the unsure ones that go to the big model",
    ),
    (
        lambda sure, t, small, big: len(sure) * small + (sure <= t).sum() * big,
        "an item exactly at the threshold is sure enough: it stays with the small model",
    ),
    (
        lambda sure, t, small, big: small + (sure < t).mean() * big,
        "this is the mean price of an item; the bill is for all of them",
    ),
    (
        lambda sure, t, small, big: len(sure) * (small + big),
        "every item was charged both calls; the big model is asked below the threshold only",
    ),
    (
        lambda sure, t, small, big: (sure < t).sum() * (small + big),
        "items that stay with the small model are not free: it was asked there too",
    ),
)


@judged
def check_total_cost(answer_function: Callable) -> Verdict:
    """Check a function that bills a cascade.

    Parameters
    ----------
    answer_function : callable
        ``(confidence, threshold, small_price, big_price)`` to the USD for all items:
        `confidence` is the small model's (n,), prices are USD a call.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(0)
    # Confidences in steps of 0.05, so that some lie exactly on the threshold; none is absent.
    cases = [(rng.integers(0, 21, n) / 20, t, 0.3, 5.0) for n, t in ((7, 0.5), (200, 0.25))]
    for case in [*cases, (np.array([0.2, 0.9]), 0.0, 0.3, 5.0)]:
        got = returned(answer_function, case[0].copy(), *case[1:], wanted="the bill in USD")
        got = number(got, "the bill for all items")
        if not np.isclose(got, _bill(*case)):
            return Verdict(False, _hint(got, case))
    return Verdict(True, "the small model is paid on every item, the big one on escalated items")


def _hint(got: float, case: tuple) -> str:
    for mistake, hint in BILL_MISTAKES:
        if np.isclose(got, mistake(*case)):
            return hint
    sure, threshold, small, big = case
    return (
        f"for {len(sure)} items of which {(sure < threshold).sum()} are below the threshold, small"
        f" at {small} and big at {big} USD, the bill is {_bill(*case):.2f}, not {got:.2f}"
    )


# -- 2: does it pay? ----------------------------------------------------------------------------

# Tasks with a known answer, each of which one way of judging wrongly gets wrong.
N = 4000


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


def _knows_itself(rng, right) -> np.ndarray:
    return np.where(right, rng.uniform(0.6, 1, len(right)), rng.uniform(0, 0.4, len(right)))


def _pairs() -> list[tuple[bool, Outcomes, Outcomes, str]]:
    """(pays, fit half, test half, what a wrong verdict on it means)."""
    rng = np.random.default_rng(1)

    def both(make):
        return make(), make()

    def weak():  # right on half of the items only, but it knows which
        right = rng.random(N) < 0.5
        return _task(rng, right, _knows_itself(rng, right), rng.random(N) < 0.9)

    def blind():  # the most accurate small one here, with a confidence that says nothing
        return _task(rng, rng.random(N) < 0.75, rng.random(N), rng.random(N) < 0.97)

    def dear():  # knows itself, but costs nearly as much as the big one
        right = rng.random(N) < 0.5
        sure = _knows_itself(rng, right)
        return _task(rng, right, sure, rng.random(N) < 0.9, (0.8e-3, 1e-3))

    def drifted():  # a threshold near 0.4 parts right from wrong on the first half only
        right = rng.random(N) < 0.5
        before = _task(rng, right, _knows_itself(rng, right), rng.random(N) < 0.9)
        sure = np.where(right, rng.uniform(0.85, 1, N), rng.uniform(0.45, 0.8, N))
        return before, _task(rng, right, sure, rng.random(N) < 0.9)

    return [
        (True, *both(weak), "a small model that is often wrong pays if its confidence says when"),
        (False, *both(blind), "an accurate small model does not pay if its confidence says little"),
        (False, *both(dear), "the small call is paid on every item: count it against the saving"),
        (
            False,
            *drifted(),
            "choose the threshold on `fit` alone: on rows of its own it looks better than it is",
        ),
    ]


@judged
def check_which_task_pays(answer_function: Callable) -> Verdict:
    """Check a function that says whether a cascade pays on a task.

    Parameters
    ----------
    answer_function : callable
        ``(fit, test)``, two `Outcomes` with the models ``(small, big)`` in that order, to bool:
        with the lowest threshold at which the cascade equals the big model on `fit`, is it on
        `test` within a point of the big model's accuracy, at nine tenths of its cost or less?

    Returns
    -------
    Verdict
    """
    for pays, fit, test, hint in _pairs():
        got = returned(answer_function, fit, test, wanted="True or False")
        if yes_or_no(got, "True or False") != pays:
            return Verdict(False, hint)
    return Verdict(True, "chosen on one half, judged on the other, and the small call paid for")
