"""Checks of notebook 02: what a chain of models takes, and the threshold that a budget buys."""

from __future__ import annotations

import numpy as np

from ensemble_lab.exercises.calling import Unfit
from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.given import number

# -- 1: the bill and the wait -------------------------------------------------------------------


def _called(confidence, thresholds, sure=np.greater_equal) -> np.ndarray:
    """(n, stages) the stages that are asked: up to the first that is sure."""
    unsure = ~sure(confidence[:, :-1], thresholds)
    return np.cumprod(np.c_[np.ones(len(confidence)), unsure], axis=1) > 0


# What a mean adds up: functions of the stages' values and of those called, both (n, stages).
def _all_called(values, called) -> float:
    return (values * called).sum(axis=1).mean()


def _largest(values, called) -> float:
    return (values * called).max(axis=1).mean()


def _last_only(values, called) -> float:
    return values[np.arange(len(values)), called.sum(axis=1) - 1].mean()


def _both(of_cost, of_latency, sure=np.greater_equal):
    """A function of a case to mean USD and mean seconds an item, (2,)."""

    def totals(confidence, thresholds, cost, latency) -> np.ndarray:
        called = _called(confidence, thresholds, sure)
        return np.array([of_cost(cost, called), of_latency(latency, called)])

    return totals


_totals = _both(_all_called, _all_called)

TOTALS_MISTAKES = (
    (_both(_all_called, _largest),
     "the wait is the slowest stage's here, but stages run one after another: add them up"),
    (_both(_largest, _largest),
     "the dearest and the slowest stage were taken: every stage that was called adds to both"),
    (_both(_last_only, _last_only),
     "only the stage that answered was counted; those before it were asked as well"),
    (_both(_last_only, _all_called),
     "the wait is right, but stages that were asked and did not answer are paid for too"),
    (lambda c, t, cost, latency: np.array([cost.sum(1).mean(), latency.sum(1).mean()]),
     "every stage was counted for every item; an item stops at the first that is sure"),
    (_both(_all_called, _all_called, sure=np.greater),
     "an item exactly at the threshold is sure enough: it goes no further"),
    (lambda confidence, *case: _totals(confidence, *case) * len(confidence),
     "these are the sums over all items; return the means an item"),
)  # fmt: skip


def _chains():
    rng = np.random.default_rng(0)
    for n, thresholds in ((6, (0.5,)), (300, (0.6, 0.4)), (50, (0.0, 1.0))):
        stages = len(thresholds) + 1
        confidence = rng.integers(0, 21, (n, stages)) / 20  # some lie exactly on a threshold
        cost = rng.uniform(0.5, 1.5, (n, stages)) * 10.0 ** np.arange(stages)
        # The last stage is the quickest, so that the slowest and the last differ.
        latency = rng.uniform(0.5, 1.5, (n, stages)) / (1 + np.arange(stages))
        yield confidence, thresholds, cost, latency


def _about_total(at, confidence, thresholds, cost, latency) -> str:
    which = ("cost in USD", "wait in seconds")[at[0]]
    return f"for {len(confidence)} items and thresholds {thresholds} the mean {which}"


check_totals = Check(
    """Check a function that adds up what a cascade takes.

    It takes ``(confidence, thresholds, cost, latency)`` and returns (mean USD, mean seconds) an
    item. Arrays are (n, stages), `thresholds` has one number fewer than there are stages.
    """,
    cases=_chains,
    parts=[
        Part(
            "a mean",
            _totals,
            TOTALS_MISTAKES,
            _about_total,
            asked="two numbers, mean USD and mean seconds",
            names=lambda *case: ("cost", "latency"),
        )
    ],
    success="every stage that was called is paid for and waited for, and no other",
)

# -- 2: the threshold under a budget ------------------------------------------------------------

SMALL_PRICE, BIG_PRICE = 1.0, 10.0
SLACK = 1 + 1e-9


def _accuracy_cost(confidence, correct, deferred) -> tuple[float, float]:
    right = np.where(deferred, correct[:, 1], correct[:, 0])
    return float(right.mean()), SMALL_PRICE + float(deferred.mean()) * BIG_PRICE


def _below(confidence, threshold) -> np.ndarray:
    """(n,) the items passed on; absent confidence (NaN) is passed on, too."""
    return ~(confidence >= threshold)


def _best(confidence, correct, budget, deferred=_below) -> float:
    """The threshold of highest accuracy within the budget, of all that act differently."""
    levels = np.append(np.unique(confidence[~np.isnan(confidence)]), 2.0)
    seen = [(*_accuracy_cost(confidence, correct, deferred(confidence, t)), t) for t in levels]
    within = [(right, -paid, t) for right, paid, t in seen if paid <= budget * SLACK]
    return max(within)[2] if within else 0.0


def _threshold(fit, test, budget) -> float:
    return float(_best(*fit, budget))


def _as_good(threshold: float, fit, budget: float) -> bool:
    """Whether it acts on `fit` as well as the best."""
    right, paid = _accuracy_cost(*fit, _below(fit[0], threshold))
    best = _accuracy_cost(*fit, _below(fit[0], _best(*fit, budget)))
    return paid <= budget * SLACK and right >= best[0] - 1e-12


def _act_alike(a: float, b: float, fit, test, budget) -> bool:
    """Whether both pass the same items on, or are both as good as the best."""
    same = (_below(fit[0], a) == _below(fit[0], b)).all()
    return bool(same) or (_as_good(a, fit, budget) and _as_good(b, fit, budget))


def _other_threshold(given, wanted, cases) -> str:
    for got, right, (fit, _, budget) in zip(given, wanted, cases, strict=True):
        if not _as_good(got, fit, budget):
            mine, best = (_accuracy_cost(*fit, _below(fit[0], t)) for t in (got, right))
            return (
                f"on `fit` the threshold {got:.3g} is right on {mine[0]:.1%} for {mine[1]:.2f} USD"
                f" an item; the best within {budget:g} USD is right on {best[0]:.1%} for"
                f" {best[1]:.2f}"
            )
    return ""


BUDGET_MISTAKES = (
    (lambda fit, test, budget: _best(*test, budget),
     "this threshold was chosen on the test rows; choose it on `fit` and leave `test` alone"),
    (lambda fit, test, budget: _best(*fit, budget, lambda c, t: c < t),
     "items without a confidence were read as sure (`nan < threshold` is False): absent means"
     " unsure, so they are passed on"),
    (lambda fit, test, budget: _best(*fit, budget, lambda c, t: ~(c > t)),
     "the wrong side of ties: an item exactly at the threshold is sure and stays"),
    (lambda fit, test, budget: _best(*fit, budget + SMALL_PRICE),
     "the small call on every item was forgotten: it comes out of the same budget"),
    (lambda fit, test, budget: _best(*fit, np.inf),
     "this threshold is the most accurate there is, but it spends more than the budget"),
    _other_threshold,
)  # fmt: skip


def _halves(n: int = 1000, big: float = 0.95):
    """(confidence, correct) for fitting and for testing, and the budget."""
    rng = np.random.default_rng(3)
    # How much the test confidences move, and the share of absent ones.
    for shift, absent, budget in ((0.0, 0.0, 5.0), (0.0, 0.25, 5.5), (0.3, 0.1, 6.0)):
        halves = []
        for moved in (0.0, shift):
            correct = np.stack([rng.random(n) < 0.6, rng.random(n) < big], axis=1) * 1.0  # (n, 2)
            sure = rng.integers(0, 7, n) + 3.0 * correct[:, 0]  # ten levels: ties everywhere
            confidence = np.clip(sure / 10 + moved, 0, 1).round(2)
            lost = rng.random(n) < absent
            correct[lost, 0] = 0.0  # who gave no confidence was wrong
            halves.append((np.where(lost, np.nan, confidence), correct))
        yield *halves, budget


def _level(value, what: str) -> float:
    level = number(value, what, nan=True)
    if level != level:
        raise Unfit("the threshold is NaN; leave absent confidences out of the levels")
    return level


check_threshold_under_budget = Check(
    """Check a function that chooses the threshold that a budget buys.

    It takes ``(fit, test, budget)`` and returns a threshold. `fit` and `test` are pairs of
    confidence (n,), NaN where absent, and correct (n, 2), small model first. The small call costs
    1 USD and the big one 10; `budget` is the mean USD an item. An item stays with the small model
    where its confidence is at least the threshold.
    """,
    cases=_halves,
    parts=[
        Part(
            "the threshold",
            _threshold,
            BUDGET_MISTAKES,
            asked="one number, the threshold",
            alike=_act_alike,
            read=_level,
        )
    ],
    success="within the budget, chosen on `fit`, ties kept and absent passed on",
)
