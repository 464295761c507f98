"""Notebook 00's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import ensemble_lab as lab
from ensemble_lab.exercises.start_here import check_total_cost, check_which_task_pays

LEVELS = np.round(np.linspace(0, 1.01, 102), 2)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, t, s, b: np.where(c < t, b, s).sum(), "asked first about an escalated"),
        (lambda c, t, s, b: sum(b if x < t else s for x in c), "asked first about an escalated"),
        (lambda c, t, s, b: len(c) * s + (c >= t).sum() * b, "unsure ones"),
        (lambda c, t, s, b: len(c) * s + sum(b for x in c if x <= t), "exactly at the threshold"),
        (lambda c, t, s, b: (s + (c < t) * b).mean(), "for one item, or for all"),
        (lambda c, t, s, b: len(c) * (s + b), "asked about every item"),
        (lambda c, t, s, b: (c < t).sum() * (s + b), "not escalated, and is that call free"),
        (lambda c, t, s, b: b * np.count_nonzero(c < t), "about every item, and is that call free"),
        (lambda c, t, s, b: sum(b + (x < t) * s for x in c), "Which of the two"),
        (lambda c, t, s, b: s * c.size, "below the threshold, and what"),
        (lambda c, t, s, b: s + (c < t) * b, "one number"),
        (lambda c, t, s, b: 42.0, "the bill"),
    ],
)
def test_wrong_bills_are_refused_with_their_hint(wrong, hint):
    verdict = check_total_cost(wrong)
    assert not verdict
    assert hint in verdict.message


def test_the_first_hint_is_a_question_without_the_number():
    verdict = check_total_cost(lambda c, t, s, b: np.where(c < t, b, s).sum())
    assert verdict.message.endswith("?") and "bill" in verdict.more[-1]
    for right in (
        lambda c, t, s, b: sum(s + b if x < t else s for x in c),
        lambda c, t, s, b: np.full(len(c), s).sum() + b * np.count_nonzero(~(c >= t)),
    ):
        assert check_total_cost(right)


def cascade_pays(
    tuned_on, judged_on, small_call=True, price=0.9, points=0.01, either=False, level=None
):
    """The rule of the exercise with its parts exchanged: what a wrong solution amounts to."""
    table = lab.frontier(lab.Cascade(tuned_on.models, (0.5,)), tuned_on, thresholds=LEVELS.tolist())
    enough = table[table["accuracy"] >= tuned_on.accuracy()[1]]
    if level == "best":
        level = table["thresholds"].loc[table["accuracy"].idxmax()]
    elif level is None:
        level = (enough if len(enough) else table.tail(1))["thresholds"].iloc[0]
    decision = lab.Cascade(judged_on.models, level).decide(judged_on)
    small, big = judged_on.cost.mean(axis=0)
    cost = decision.mean_cost - (0 if small_call else small)
    ahead = decision.accuracy - judged_on.accuracy()[1]
    return (abs(ahead) <= points if either else ahead >= -points) and cost <= price * big


def auc(task):
    return roc_auc_score(task.correct[:, 0], task.confidence[:, 0])


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda fit, test: test.accuracy()[0] > 0.7, "often wrong, and its confidence says when"),
        (lambda fit, test: test.accuracy()[0] > 0.4, "often right, and its confidence says little"),
        (lambda fit, test: cascade_pays(test, test), "which half did you use"),
        (lambda fit, test: cascade_pays(fit, fit), "On which half is the cascade judged"),
        (lambda fit, test: cascade_pays(fit, test, small_call=False), "who pays for that call"),
        (lambda fit, test: cascade_pays(fit, test, price=np.inf), "nearly everything"),
        (lambda fit, test: cascade_pays(fit, test, points=1.0), "both conditions"),
        (lambda fit, test: auc(test) > 0.7, "at any price"),
        (lambda fit, test: cascade_pays(fit, test, points=0.1), "How many points may it be short"),
        (lambda fit, test: cascade_pays(fit, test, price=1.0), "94 % of the big model's price"),
        (lambda fit, test: cascade_pays(fit, test, price=0.5), "69 % of the big model's price"),
        (lambda fit, test: cascade_pays(fit, test, either=True), "Does that speak against it"),
        (lambda fit, test: cascade_pays(fit, test, level=0.5), "Where does your threshold"),
        (lambda fit, test: cascade_pays(fit, test, level="best"), "Which of them"),
        (lambda fit, test: auc(fit) > 0.9, "left of the saving"),
        (lambda fit, test: True, "often right, and its confidence says little"),
        (lambda fit, test: np.array(True), "often right, and its confidence says little"),
        (lambda fit, test: False, "often wrong, and its confidence says when"),
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
    pays = [True, False, False, False, False, False, False, True, True, True, True]
    assert told == [(one,) for one in pays]
