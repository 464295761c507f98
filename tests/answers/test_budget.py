"""`BudgetCascade` against brute force, under budgets it must keep."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brute

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from tests.support.strategies import outcomes


@pytest.fixture(scope="module")
def speech():
    """A tenth of the recorded speech services, so that brute force stays short."""
    return lab.load_outcomes("audiomnist-services").split(0.1, seed=0)[0]


def brute_force(table, order, budget, levels):
    """Best training accuracy of one order by scipy, over `levels` thresholds a stage."""

    def loss(thresholds):
        decision = lab.Cascade(order, tuple(thresholds)).decide(table)
        return -decision.accuracy if decision.mean_cost <= budget else 1.0

    ranges = ((0.0, 1.0),) * (len(order) - 1)
    return -brute(loss, ranges, Ns=levels, finish=None, full_output=True)[1]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_at_least_as_accurate_as_scipy_brute(speech, share):
    budget = share * speech.cost[0].max()
    fitted = lab.BudgetCascade(budget).fit(speech)
    decision = fitted.decide(speech)
    assert decision.mean_cost <= budget * (1 + 1e-9)
    orders = [o for s in (2, 3) for o in permutations(speech.models, s)]
    best = max(brute_force(speech, order, budget, 8) for order in orders)
    assert decision.accuracy >= best - 1e-12


@settings(max_examples=60, deadline=None)
@given(outcomes(min_items=2, min_models=2, max_models=3, labels=3, complete=True), st.data())
def test_on_small_tables_it_is_the_exact_best_of_one_threshold(table, data):
    """Every value of the confidence as a threshold, every order of two: nothing is better."""
    prices = table.cost.mean(axis=0)
    budget = float(prices.min() + data.draw(st.floats(0, 1)) * prices.sum())
    limit = budget * (1 + 1e-9)  # costs are summed in different orders
    fitted = lab.BudgetCascade(budget, max_stages=2).fit(table)
    levels = [*np.unique(table.confidence), 2.0]
    affordable = [table.correct[:, j].mean() for j in np.flatnonzero(prices <= limit)]
    for order in permutations(table.models, 2):
        for level in levels:
            decision = lab.Cascade(order, (level,)).decide(table)
            if decision.mean_cost <= limit:
                affordable.append(decision.accuracy)
    assert fitted.decide(table).accuracy == pytest.approx(max(affordable), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(outcomes(min_items=3, min_models=2, max_models=3, labels=3, complete=True), st.booleans())
def test_the_budget_is_kept_and_the_fitted_cascade_is_plain(table, per_label):
    budget = float(table.cost.mean(axis=0).min() * 1.5)
    fitted = lab.BudgetCascade(budget, per_label=per_label).fit(table)
    decision = fitted.decide(table)
    assert decision.mean_cost <= budget * (1 + 1e-9)
    plain = lab.Cascade(fitted.order, fitted.thresholds).decide(table)
    np.testing.assert_array_equal(plain.called, decision.called)


def test_more_money_is_never_less_accurate(speech):
    most = speech.cost[0].max()
    accuracy = [
        lab.BudgetCascade(share * most).fit(speech).decide(speech).accuracy
        for share in (0.001, 0.02, 0.1, 0.5, 1.0)
    ]
    assert accuracy == sorted(accuracy)


def test_thresholds_by_label_win_where_labels_differ():
    """One model is always right about cats and guesses dogs, whatever it says of its confidence."""
    rng = np.random.default_rng(0)
    n, truth = 1000, rng.integers(0, 2, 1000)
    small = np.where(truth == 0, rng.choice(2, n, p=[0.8, 0.2]), 1)  # says cat only of cats
    table = Outcomes(
        models=("small", "big"),
        items=np.arange(n),
        correct=np.stack([small == truth, np.ones(n)], axis=1),
        answer=np.stack([small, truth], axis=1),
        labels=("cat", "dog"),
        truth=truth,
        confidence=rng.random((n, 2)),
        cost=np.broadcast_to([1.0, 10.0], (n, 2)),
    )
    train, test = table.split(0.5, seed=1)
    one = lab.BudgetCascade(8.0).fit(train).decide(test)
    each = lab.BudgetCascade(8.0, per_label=True).fit(train).decide(test)
    assert each.accuracy > one.accuracy + 0.02


def test_bad_input_is_named(speech):
    with pytest.raises(ValueError, match=r"budget of 1e-09 USD .* 'DeepSpeech' at 2e-06"):
        lab.BudgetCascade(1e-9).fit(speech)
    with pytest.raises(ValueError, match="BudgetCascade.budget is -1"):
        lab.BudgetCascade(-1)
    with pytest.raises(ValueError, match="BudgetCascade.max_stages is 4"):
        lab.BudgetCascade(1.0, max_stages=4)
    with pytest.raises(ValueError, match="not fitted"):
        lab.BudgetCascade(1.0).decide(speech)
    free = Outcomes(models=("a",), items=[0], correct=[[1]])
    with pytest.raises(ValueError, match="BudgetCascade needs 'cost'"):
        lab.BudgetCascade(1.0).fit(free)
