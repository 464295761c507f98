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


def not_chained(confidence, thresholds):
    """Who is asked by the threshold of the stage before alone, reached or not."""
    table = np.ones(confidence.shape, bool)
    for stage, threshold in enumerate(thresholds):
        table[:, stage + 1] = confidence[:, stage] < threshold
    return table


def of_those_asked(table, values):
    """The sum of each stage's mean over the items that reached it."""
    return sum(v[on].mean() if on.any() else 0.0 for on, v in zip(table.T, values.T, strict=True))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, t, p, w: ((asked(c, t) * p).sum(1).mean(), (asked(c, t) * w).max(1).mean()),
         "at the same time, or one after another"),
        (lambda c, t, p, w: ((asked(c, t) * p).max(1).mean(), (asked(c, t) * w).max(1).mean()),
         "How many of them are paid"),
        (lambda c, t, p, w: (answering(c, t, p).mean(), answering(c, t, w).mean()),
         "before the stage that answered"),
        (lambda c, t, p, w: (answering(c, t, p).mean(), (asked(c, t) * w).sum(1).mean()),
         "Is its call free"),
        (lambda c, t, p, w: (p.sum(1).mean(), w.sum(1).mean()), "Where does an item stop"),
        (lambda c, t, p, w: [(asked(c, np.add(t, 1e-9)) * v).sum(1).mean() for v in (p, w)],
         "exactly at the threshold"),
        (lambda c, t, p, w: [(not_chained(c, t) * v).sum(1).mean() for v in (p, w)],
         "stopped at the first"),
        (lambda c, t, p, w: [of_those_asked(asked(c, t), v) for v in (p, w)], "do you divide"),
        (lambda c, t, p, w: [(asked(c, t) * v).sum() for v in (p, w)], "one item, or for all"),
        (lambda c, t, p, w: [(asked(c, t) * v).sum(1).mean() for v in (w, p)], "comes first"),
        (lambda c, t, p, w: (1.0, 2.0), "the mean cost in USD"),
        (lambda c, t, p, w: 1.0, "two numbers"),
        (lambda c, t, p, w: ("a", "b"), "a mean for 'cost' is text"),
    ],
)  # fmt: skip
def test_wrong_totals_are_refused_with_their_hint(wrong, hint):
    verdict = check_totals(wrong)
    assert not verdict
    assert hint in verdict.message


def best(half, budget, passed_on=lambda c, t: ~(c >= t), small_call=1.0, escalated_pay=True):
    """The rule of the exercise with its parts exchanged: what a wrong solution amounts to."""
    confidence, correct = half
    found, most = 0.0, -1.0
    for level in [*np.unique(confidence[~np.isnan(confidence)]), 2.0]:
        on = passed_on(confidence, level)
        right = np.where(on, correct[:, 1], correct[:, 0]).mean()
        small = small_call if escalated_pay else (~on).mean() * small_call
        if small + 10 * on.mean() <= budget and right > most:
            found, most = float(level), right
    return found


def most_spent(half, budget):
    """The highest threshold within the budget."""
    confidence, found = half[0], 0.0
    for level in [*np.unique(confidence[~np.isnan(confidence)]), 2.0]:
        if 1 + 10 * (~(confidence >= level)).mean() <= budget:
            found = float(level)
    return found


def filled(half, value):
    return np.nan_to_num(half[0], nan=value), half[1]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda fit, test, b: best(test, b), "which half did you use"),
        (lambda fit, test, b: best(fit, b, lambda c, t: c < t), "no confidence"),
        (lambda fit, test, b: best(filled(fit, 1.0), b), "no confidence"),
        (lambda fit, test, b: best(fit, b, lambda c, t: ~(c > t)), "exactly at the threshold"),
        (lambda fit, test, b: best(fit, b, small_call=0.0), "asked about every item"),
        (lambda fit, test, b: best(fit, b, escalated_pay=False), "about an item that is passed on"),
        (lambda fit, test, b: best(fit, np.inf), "How much may an item cost"),
        (lambda fit, test, b: most_spent(fit, b), "spends the most"),
        (lambda fit, test, b: 0.0, "most accurate on `fit` of all"),
        (lambda fit, test, b: 2.0, "what is the budget"),
        (lambda fit, test, b: np.nanmedian(fit[0]), "?"),
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


def test_each_budget_tells_whether_escalated_items_pay_the_small_call():
    """The misconception that notebook 00 begins with finds another threshold in every half."""
    for fit, _, budget in list(check_threshold_under_budget.cases())[:3]:
        assert best(fit, budget) < best(fit, budget, escalated_pay=False)
    verdict = check_threshold_under_budget(lambda f, t, b: best(f, b, escalated_pay=False))
    assert not verdict and verdict.message.endswith("?") and len(verdict.more) == 2
