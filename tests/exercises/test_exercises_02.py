"""Notebook 02's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest

from ensemble_lab.exercises.cascades import check_threshold_under_budget, check_totals


def asked(confidence, thresholds):
    """(n, stages) bool, by a loop over items: another way than the check's own."""
    table = np.zeros(confidence.shape, bool)
    for i, row in enumerate(confidence):
        for stage in range(len(row)):
            table[i, stage] = True
            if stage < len(thresholds) and row[stage] >= thresholds[stage]:
                break
    return table


def test_another_right_way_passes():
    assert check_totals(
        lambda c, t, cost, wait: [(asked(c, t) * v).sum(1).mean() for v in (cost, wait)]
    )


def answering(confidence, thresholds, values):
    """(n,) the values of the stage that answered."""
    stage = asked(confidence, thresholds).sum(axis=1) - 1
    return values[np.arange(len(values)), stage]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, t, p, w: ((asked(c, t) * p).sum(1).mean(), (asked(c, t) * w).max(1).mean()),
         "one after another"),
        (lambda c, t, p, w: ((asked(c, t) * p).max(1).mean(), (asked(c, t) * w).max(1).mean()),
         "adds to both"),
        (lambda c, t, p, w: (answering(c, t, p).mean(), answering(c, t, w).mean()),
         "asked as well"),
        (lambda c, t, p, w: (answering(c, t, p).mean(), (asked(c, t) * w).sum(1).mean()),
         "paid for too"),
        (lambda c, t, p, w: (p.sum(1).mean(), w.sum(1).mean()), "first that is sure"),
        (lambda c, t, p, w: [(asked(c, np.add(t, 1e-9)) * v).sum(1).mean() for v in (p, w)],
         "exactly at the threshold"),
        (lambda c, t, p, w: [(asked(c, t) * v).sum() for v in (p, w)], "sums over all items"),
        (lambda c, t, p, w: (1.0, 2.0), "the mean cost in USD"),
        (lambda c, t, p, w: 1.0, "two numbers"),
        (lambda c, t, p, w: ("a", "b"), "a mean for 'cost' is text"),
    ],
)  # fmt: skip
def test_wrong_totals_are_refused_with_their_hint(wrong, hint):
    verdict = check_totals(wrong)
    assert not verdict
    assert hint in verdict.message


def best(half, budget, passed_on=lambda c, t: ~(c >= t), small_call=1.0):
    """The rule of the exercise with its parts exchanged: what a wrong solution amounts to."""
    confidence, correct = half
    found, most = 0.0, -1.0
    for level in [*np.unique(confidence[~np.isnan(confidence)]), 2.0]:
        on = passed_on(confidence, level)
        right = np.where(on, correct[:, 1], correct[:, 0]).mean()
        if small_call + 10 * on.mean() <= budget and right > most:
            found, most = float(level), right
    return found


def filled(half, value):
    return np.nan_to_num(half[0], nan=value), half[1]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda fit, test, b: best(test, b), "on the test rows"),
        (lambda fit, test, b: best(fit, b, lambda c, t: c < t), "read as sure"),
        (lambda fit, test, b: best(filled(fit, 1.0), b), "read as sure"),
        (lambda fit, test, b: best(fit, b, lambda c, t: ~(c > t)), "wrong side of ties"),
        (lambda fit, test, b: best(fit, b, small_call=0.0), "small call on every item"),
        (lambda fit, test, b: best(fit, np.inf), "spends more than the budget"),
        (lambda fit, test, b: 0.0, "the best within"),
        (lambda fit, test, b: float("nan"), "NaN"),
        (lambda fit, test, b: np.array([0.5]), "one number"),
    ],
)
def test_wrong_thresholds_are_refused_with_their_hint(wrong, hint):
    verdict = check_threshold_under_budget(wrong)
    assert not verdict
    assert hint in verdict.message


def test_a_number_between_two_levels_is_as_good():
    assert check_threshold_under_budget(lambda fit, test, b: best(fit, b) - 1e-6)
