"""Checks of notebook 02: what a chain of models takes, and the threshold that a budget buys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import judged, number, parts, returned

# -- 1: the bill and the wait -------------------------------------------------------------------


def _totals(confidence, thresholds, cost, latency, same_side=np.less) -> tuple[float, float]:
    """Mean USD and mean seconds an item; all arrays are (n, stages)."""
    running = np.ones(len(confidence), bool)
    paid = np.zeros(len(confidence))
    waited = np.zeros(len(confidence))
    for stage in range(confidence.shape[1]):
        paid += running * cost[:, stage]
        waited += running * latency[:, stage]
        if stage < len(thresholds):
            running = running & same_side(confidence[:, stage], thresholds[stage])
    return float(paid.mean()), float(waited.mean())


def _exit(confidence, thresholds) -> np.ndarray:
    """(n,) the stage that answers."""
    sure = confidence[:, :-1] >= np.asarray(thresholds)
    return np.where(sure.any(axis=1), sure.argmax(axis=1), len(thresholds))


def _called(confidence, thresholds) -> np.ndarray:
    return np.arange(confidence.shape[1]) <= _exit(confidence, thresholds)[:, None]


def _last_only(values, confidence, thresholds) -> float:
    return values[np.arange(len(values)), _exit(confidence, thresholds)].mean()


# What people write at first, for cost and latency, and what to say to each.
TOTALS_MISTAKES: tuple[tuple[Callable, Callable, str], ...] = (
    (
        lambda c, t, cost, wait: _totals(c, t, cost, wait)[0],
        lambda c, t, cost, wait: (wait * _called(c, t)).max(axis=1).mean(),
        "the wait is the slowest stage's here, but stages run one after another: add them up",
    ),
    (
        lambda c, t, cost, wait: (cost * _called(c, t)).max(axis=1).mean(),
        lambda c, t, cost, wait: (wait * _called(c, t)).max(axis=1).mean(),
        "the dearest and the slowest stage were taken: every stage that was called adds to both",
    ),
    (
        lambda c, t, cost, wait: _last_only(cost, c, t),
        lambda c, t, cost, wait: _last_only(wait, c, t),
        "only the stage that answered was counted; those before it were asked as well",
    ),
    (
        lambda c, t, cost, wait: _last_only(cost, c, t),
        lambda c, t, cost, wait: _totals(c, t, cost, wait)[1],
        "the wait is right, but stages that were asked and did not answer are paid for too",
    ),
    (
        lambda c, t, cost, wait: cost.sum(axis=1).mean(),
        lambda c, t, cost, wait: wait.sum(axis=1).mean(),
        "every stage was counted for every item; an item stops at the first that is sure",
    ),
    (
        lambda c, t, cost, wait: _totals(c, t, cost, wait, np.less_equal)[0],
        lambda c, t, cost, wait: _totals(c, t, cost, wait, np.less_equal)[1],
        "an item exactly at the threshold is sure enough: it goes no further",
    ),
    (
        lambda c, t, cost, wait: _totals(c, t, cost, wait)[0] * len(c),
        lambda c, t, cost, wait: _totals(c, t, cost, wait)[1] * len(c),
        "these are the sums over all items; return the means an item",
    ),
)


@judged
def check_totals(answer_function: Callable) -> Verdict:
    """Check a function that adds up what a cascade takes.

    Parameters
    ----------
    answer_function : callable
        ``(confidence, thresholds, cost, latency)`` to (mean USD, mean seconds) an item. Arrays
        are (n, stages), `thresholds` has one number fewer than there are stages.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(0)
    for n, thresholds in ((6, (0.5,)), (300, (0.6, 0.4)), (50, (0.0, 1.0))):
        stages = len(thresholds) + 1
        confidence = rng.integers(0, 21, (n, stages)) / 20  # some lie exactly on a threshold
        cost = rng.uniform(0.5, 1.5, (n, stages)) * 10.0 ** np.arange(stages)
        # The last stage is the quickest, so that the slowest and the last differ.
        latency = rng.uniform(0.5, 1.5, (n, stages)) / (1 + np.arange(stages))
        case = (confidence, thresholds, cost, latency)
        copies = confidence.copy(), thresholds, cost.copy(), latency.copy()
        got = returned(answer_function, *copies, wanted="(mean USD, mean seconds)")
        both = parts(got, ("cost", "latency"), "two numbers, mean USD and mean seconds")
        got = [number(*one) for one in zip(both, ("mean USD", "mean seconds"), strict=True)]
        if not np.allclose(got, _totals(*case)):
            return Verdict(False, _totals_hint(got, case))
    return Verdict(True, "every stage that was called is paid for and waited for, and no other")


def _totals_hint(got, case: tuple) -> str:
    for cost, latency, hint in TOTALS_MISTAKES:
        if np.allclose(got, (cost(*case), latency(*case))):
            return hint
    paid, waited = _totals(*case)
    return (
        f"for {len(case[0])} items and thresholds {case[1]} the means are {paid:.3f} USD and"
        f" {waited:.3f} s, not {got[0]:.3f} and {got[1]:.3f}"
    )


# -- 2: the threshold under a budget ------------------------------------------------------------

SMALL_PRICE, BIG_PRICE = 1.0, 10.0
SLACK = 1 + 1e-9


def _accuracy_cost(confidence, correct, threshold, defer=None) -> tuple[float, float]:
    """What a threshold gives and takes; absent confidence (NaN) defers, as does one below it."""
    defer = ~(confidence >= threshold) if defer is None else defer
    right = np.where(defer, correct[:, 1], correct[:, 0])
    return float(right.mean()), SMALL_PRICE + float(defer.mean()) * BIG_PRICE


def _best(confidence, correct, budget, deferred=None) -> float:
    """The threshold of highest accuracy within the budget, of all that act differently."""
    levels = np.append(np.unique(confidence[~np.isnan(confidence)]), 2.0)
    deferred = deferred or (lambda c, t: ~(c >= t))
    seen = [(_accuracy_cost(confidence, correct, t, deferred(confidence, t)), t) for t in levels]
    within = [(right, -paid, t) for (right, paid), t in seen if paid <= budget * SLACK]
    return max(within)[2] if within else 0.0


def _halves(rng, n: int, shift: float, absent: float, big: float = 0.95):
    """(confidence, correct) for fitting and for testing; `shift` moves the test confidences."""
    halves = []
    for moved in (0.0, shift):
        correct = np.stack([rng.random(n) < 0.6, rng.random(n) < big], axis=1) * 1.0  # (n, 2)
        sure = rng.integers(0, 7, n) + 3.0 * correct[:, 0]  # ten levels: ties everywhere
        confidence = np.clip(sure / 10 + moved, 0, 1).round(2)
        lost = rng.random(n) < absent
        correct[lost, 0] = 0.0  # who gave no confidence was wrong
        halves.append((np.where(lost, np.nan, confidence), correct))
    return halves


BUDGET_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda fit, test, budget: _best(*test, budget),
        "this threshold was chosen on the test rows; choose it on `fit` and leave `test` alone",
    ),
    (
        lambda fit, test, budget: _best(*fit, budget, lambda c, t: c < t),
        "items without a confidence were read as sure (`nan < threshold` is False): absent means"
        " unsure, so they are passed on",
    ),
    (
        lambda fit, test, budget: _best(*fit, budget, lambda c, t: ~(c > t)),
        "the wrong side of ties: an item exactly at the threshold is sure and stays",
    ),
    (
        lambda fit, test, budget: _best(*fit, budget + SMALL_PRICE),
        "the small call on every item was forgotten: it comes out of the same budget",
    ),
    (
        lambda fit, test, budget: _best(*fit, np.inf),
        "this threshold is the most accurate there is, but it spends more than the budget",
    ),
)


@judged
def check_threshold_under_budget(answer_function: Callable) -> Verdict:
    """Check a function that chooses the threshold that a budget buys.

    Parameters
    ----------
    answer_function : callable
        ``(fit, test, budget)`` to a threshold. `fit` and `test` are pairs of confidence (n,),
        NaN where absent, and correct (n, 2), small model first. The small call costs 1 USD and
        the big one 10; `budget` is the mean USD an item. An item stays with the small model
        where its confidence is at least the threshold.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(3)
    for shift, absent, budget in ((0.0, 0.0, 5.0), (0.0, 0.25, 5.5), (0.3, 0.1, 6.0)):
        fit, test = _halves(rng, 1000, shift, absent)
        given = [tuple(part.copy() for part in half) for half in (fit, test)]
        got = returned(answer_function, *given, budget, wanted="one number, the threshold")
        got = number(got, "the threshold", nan=True)
        if np.isnan(got):
            return Verdict(
                False, "the threshold is NaN; leave absent confidences out of the levels"
            )
        if not _as_good(got, fit, budget):
            return Verdict(False, _budget_hint(got, fit, test, budget))
    return Verdict(True, "within the budget, chosen on `fit`, ties kept and absent passed on")


def _as_good(threshold: float, fit, budget: float) -> bool:
    """Whether it acts on `fit` as well as the best; any number between two levels acts alike."""
    right, paid = _accuracy_cost(*fit, threshold)
    return paid <= budget * SLACK and right >= _accuracy_cost(*fit, _best(*fit, budget))[0] - 1e-12


def _budget_hint(got: float, fit, test, budget: float) -> str:
    for mistake, hint in BUDGET_MISTAKES:
        wrong = mistake(fit, test, budget)
        if np.isclose(got, wrong) or _act_alike(got, wrong, fit[0]):
            return hint
    right, paid = _accuracy_cost(*fit, got)
    best = _accuracy_cost(*fit, _best(*fit, budget))
    return (
        f"on `fit` the threshold {got:.3g} is right on {right:.1%} for {paid:.2f} USD an item;"
        f" the best within {budget:g} USD is right on {best[0]:.1%} for {best[1]:.2f}"
    )


def _act_alike(a: float, b: float, confidence) -> bool:
    return bool(((confidence >= a) == (confidence >= b)).all())
