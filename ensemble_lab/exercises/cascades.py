"""Checks of notebook 02: what a chain of models takes, and the threshold that a budget buys."""

from __future__ import annotations

import numpy as np

from ensemble_lab.exercises.calling import Unfit
from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws
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


def _of_those_asked(values, called) -> float:
    return float(((values * called).sum(axis=0) / np.maximum(called.sum(axis=0), 1)).sum())


def _not_chained(confidence, thresholds, cost, latency) -> np.ndarray:
    """A stage is asked where the one before it was unsure, asked or not."""
    asked = np.c_[np.ones(len(confidence)), confidence[:, :-1] < thresholds]
    return np.array([_all_called(cost, asked), _all_called(latency, asked)])


_totals = _both(_all_called, _all_called)

TOTALS_MISTAKES = (
    (_both(_all_called, _largest),
     "Do the stages run at the same time, or one after another?"),
    (_both(_largest, _largest),
     "An item asked three stages. How many of them are paid, and how many are waited for?"),
    (_both(_last_only, _last_only),
     "Who was asked before the stage that answered, and were those calls free?"),
    (_both(_last_only, _all_called),
     "A stage was asked and did not answer. Is its call free?"),
    (lambda c, t, cost, latency: np.array([cost.sum(1).mean(), latency.sum(1).mean()]),
     "Where does an item stop, and who is asked after that?"),
    (_both(_all_called, _all_called, sure=np.greater),
     "An item exactly at the threshold: has its confidence reached the threshold?"),
    (_not_chained,
     "Can the third stage be asked about an item that stopped at the first?"),
    (_both(_of_those_asked, _of_those_asked),
     "By how many items do you divide: by all of them, or by those that reached the stage?"),
    (lambda confidence, *case: _totals(confidence, *case) * len(confidence),
     "Is the answer for one item, or for all of them?"),
    (lambda confidence, *case: _totals(confidence, *case)[::-1],
     "Which of the two numbers comes first?"),
)  # fmt: skip


def _chains():
    rng = draws(0)
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


def _accuracy_cost(confidence, correct, deferred, small_call=(1.0, 1.0)) -> tuple[float, float]:
    """Accuracy and USD an item; `small_call` is what items that stay and escalated ones pay."""
    right = np.where(deferred, correct[:, 1], correct[:, 0])
    small = SMALL_PRICE * np.where(deferred, small_call[1], small_call[0]).mean()
    return float(right.mean()), float(small + deferred.mean() * BIG_PRICE)


def _below(confidence, threshold) -> np.ndarray:
    """(n,) the items passed on; absent confidence (NaN) is passed on, too."""
    return ~(confidence >= threshold)


def _best(confidence, correct, budget, deferred=_below, small_call=(1.0, 1.0)) -> float:
    """The threshold of highest accuracy within the budget, of all that act differently."""
    levels = np.append(np.unique(confidence[~np.isnan(confidence)]), 2.0)
    passed = [deferred(confidence, t) for t in levels]
    seen = [
        (*_accuracy_cost(confidence, correct, on, small_call), t)
        for on, t in zip(passed, levels, strict=True)
    ]
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
    for got, (fit, _, budget) in zip(given, cases, strict=True):
        if _accuracy_cost(*fit, _below(fit[0], got))[1] > budget * SLACK:
            return f"What does an item cost on `fit` at {got:.3g}, and what is the budget?"
        if not _as_good(got, fit, budget):
            return f"Is {got:.3g} the most accurate on `fit` of all thresholds within the budget?"
    return ""


def _most_spent(fit, test, budget) -> float:
    """The lowest threshold that the budget pays for."""
    confidence, correct = fit
    levels = np.append(np.unique(confidence[~np.isnan(confidence)]), 2.0)
    costs = [_accuracy_cost(confidence, correct, _below(confidence, t))[1] for t in levels]
    return float(max((t for t, paid in zip(levels, costs, strict=True) if paid <= budget),
                     default=0.0))  # fmt: skip


BUDGET_MISTAKES = (
    (lambda fit, test, budget: _best(*test, budget),
     "Which half may the threshold be chosen on, and which half did you use?"),
    (lambda fit, test, budget: _best(*fit, budget, lambda c, t: c < t),
     "An item has no confidence. Is it sure? And what is `nan < 0.5`?"),
    (lambda fit, test, budget: _best(*fit, budget, lambda c, t: ~(c > t)),
     "An item is exactly at the threshold. Does it stay, or is it passed on?"),
    (lambda fit, test, budget: _best(*fit, budget, small_call=(0.0, 0.0)),
     "Who is asked about every item, and does that call come out of the budget?"),
    (lambda fit, test, budget: _best(*fit, budget, small_call=(1.0, 0.0)),
     "Who was asked first about an item that is passed on, and who pays for that call?"),
    (lambda fit, test, budget: _best(*fit, np.inf),
     "How much may an item cost, and what does it cost at this threshold?"),
    (_most_spent, "Is the threshold that spends the most always the most accurate?"),
    _other_threshold,
)  # fmt: skip


def _halves(n: int = 1000):
    """(confidence, correct) for fitting and for testing, and the budget.

    Each budget lies between what a level really costs and what it costs where escalated items do
    not pay the small call. In the last case a threshold below the budget is the most accurate.
    """
    rng = draws(3)
    # How much the test confidences move, the share of absent ones, how often the big one is right.
    for shift, absent, big, budget in (
        (0.0, 0.0, 0.95, 5.5), (0.0, 0.25, 0.95, 6.2), (0.3, 0.1, 0.95, 5.7), (0.0, 0.0, 0.7, 9.7)
    ):  # fmt: skip
        halves = []
        for moved in (0.0, shift):
            correct = np.stack([rng.random(n) < 0.6, rng.random(n) < big], axis=1) * 1.0  # (n, 2)
            sure = rng.integers(0, 7, n) + 3.0 * correct[:, 0]  # ten levels: ties everywhere
            confidence = np.clip(sure / 10 + moved, 0, 1).round(2)
            lost = rng.random(n) < absent
            correct[lost, 0] = 0.0  # who gave no confidence was wrong
            halves.append((np.where(lost, np.nan, confidence), correct))
        yield *halves, budget


def _about_threshold(at, fit, test, budget) -> str:
    confidence = fit[0]
    levels = np.unique(confidence[~np.isnan(confidence)])
    return (
        f"for {len(confidence)} items, {np.isnan(confidence).sum()} of them without a confidence"
        f" and the others at {len(levels)} levels, and {budget:g} USD an item, the threshold"
    )


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
            _about_threshold,
            asked="one number, the threshold",
            alike=_act_alike,
            read=_level,
        )
    ],
    success="within the budget, chosen on `fit`, ties kept and absent passed on",
)
