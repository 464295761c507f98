"""Notebook 00's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.start_here import check_total_cost, check_which_task_pays

LEVELS = np.round(np.linspace(0, 1.01, 102), 2)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, t, s, b: np.where(c < t, b, s).sum(), "small model had been asked first"),
        (lambda c, t, s, b: sum(b if x < t else s for x in c), "small model had been asked first"),
        (lambda c, t, s, b: len(c) * s + (c >= t).sum() * b, "unsure"),
        (lambda c, t, s, b: len(c) * s + (c <= t).sum() * b, "exactly at the threshold"),
        (lambda c, t, s, b: (s + (c < t) * b).mean(), "mean price"),
        (lambda c, t, s, b: len(c) * (s + b), "every item was charged both"),
        (lambda c, t, s, b: (c < t).sum() * (s + b), "not free"),
        (lambda c, t, s, b: s + (c < t) * b, "one number"),
        (lambda c, t, s, b: 42.0, "the bill"),
    ],
)
def test_wrong_bills_are_refused_with_their_hint(wrong, hint):
    verdict = check_total_cost(wrong)
    assert not verdict
    assert hint in verdict.message


def cascade_pays(tuned_on, judged_on, small_call=True):
    """The rule of the exercise with its parts exchanged: what a wrong solution amounts to."""
    table = lab.frontier(lab.Cascade(tuned_on.models, (0.5,)), tuned_on, thresholds=LEVELS.tolist())
    enough = table[table["accuracy"] >= tuned_on.accuracy()[1]]
    level = (enough if len(enough) else table.tail(1))["thresholds"].iloc[0]
    decision = lab.Cascade(judged_on.models, level).decide(judged_on)
    small, big = judged_on.cost.mean(axis=0)
    cost = decision.mean_cost - (0 if small_call else small)
    return decision.accuracy >= judged_on.accuracy()[1] - 0.01 and cost <= 0.9 * big


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda fit, test: test.accuracy()[0] > 0.7, "often wrong pays"),
        (lambda fit, test: test.accuracy()[0] > 0.4, "does not pay if its confidence"),
        (lambda fit, test: cascade_pays(test, test), "on `fit` alone"),
        (lambda fit, test: cascade_pays(fit, fit), "on `fit` alone"),
        (lambda fit, test: cascade_pays(fit, test, small_call=False), "on every item"),
        (lambda fit, test: True, "does not pay if its confidence"),
        (lambda fit, test: np.array(True), "does not pay if its confidence"),
        (lambda fit, test: False, "often wrong pays"),
    ],
)
def test_wrong_ways_of_judging_a_task_are_refused_with_their_hint(wrong, hint):
    verdict = check_which_task_pays(wrong)
    assert not verdict
    assert hint in verdict.message


@pytest.mark.parametrize("answer", [1, 0, "True", np.array([True]), [True], 1.0], ids=repr)
def test_what_is_no_yes_or_no(answer):
    verdict = check_which_task_pays(lambda fit, test: answer)
    assert not verdict and "return True or False" in verdict.message


def test_each_task_has_the_answer_that_its_hint_speaks_of():
    told = [check_which_task_pays.right(*halves) for halves in check_which_task_pays.cases()]
    assert told == [(True,), (False,), (False,), (False,)]
