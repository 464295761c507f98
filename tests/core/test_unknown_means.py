"""What nobody knows makes a mean unknown: in decisions, frontiers, budgets, summaries and words."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core import decision as decision_module
from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT
from ensemble_lab.core.unknown import mean_of_known
from tests.support.policies import every_policy
from tests.support.strategies import outcomes

nan = np.nan


def pair(big_price, n=400, **more):
    """The small model is unsure of the first half of the items, the big one is always right."""
    sure = np.linspace(0, 1, n)
    return Outcomes(
        models=["small", "big"],
        items=range(n),
        cost=np.column_stack([np.full(n, 1.0), np.broadcast_to(big_price, n)]),
        correct=np.column_stack([sure > 0.5, np.ones(n)]).astype(float),
        confidence=np.column_stack([sure, np.ones(n)]),
        **more,
    )


CASCADE = lab.Cascade(("small", "big"), (0.5,))
HALF_PRICED = np.where(np.arange(400) % 2, 10.0, nan)


# -- decisions ----------------------------------------------------------------------------------


def test_an_unpriced_model_makes_the_mean_price_unknown():
    decision = CASCADE.decide(pair(nan))
    assert np.isnan(decision.mean_cost) and decision.known["cost"] == 0.5
    assert "mean cost unknown (priced on 50%)" in repr(decision)
    for seed in (None, 0):
        assert np.isnan(decision.interval("cost", seed=seed)).all()
    assert not np.isnan(decision.interval()).any()


def test_half_the_prices_give_the_true_mean_when_filled_and_none_before():
    table = pair(HALF_PRICED)
    assert np.isnan(CASCADE.decide(table).mean_cost)
    filled = CASCADE.decide(table.filled("cost"))
    assert filled.mean_cost == 6.0 and filled.known == {"accuracy": 1, "cost": 1, "latency": 0}
    low, high = filled.interval("cost")
    assert low < 6.0 < high


def test_only_calls_that_were_made_count():
    decision = lab.Cascade(("small", "big"), (0.0,)).decide(pair(nan))
    assert decision.mean_cost == 1.0 and decision.known["cost"] == 1.0


def test_a_share_is_never_rounded_to_all():
    price = np.full(400, 10.0)
    price[0] = nan
    assert "(priced on over 99%)" in repr(CASCADE.decide(pair(price)))


def against_a_plain_loop(policy, table):
    """Means and shares known of one policy, counted call by call."""
    decision = policy.decide(table, parallel=False)
    for name, mean in (("cost", decision.mean_cost), ("latency", decision.mean_latency)):
        values = getattr(table, name)
        if values is None:
            assert np.isnan(mean) and decision.known[name] == 0
            continue
        rows = zip(values.tolist(), decision.called)
        paid = [[v for v, asked in zip(row, called) if asked] for row, called in rows]
        known = [not any(v != v for v in row) for row in paid]
        assert decision.known[name] == pytest.approx(sum(known) / len(known))
        expected = sum(map(sum, paid)) / len(paid) if all(known) else nan
        assert mean == pytest.approx(expected, nan_ok=True)
    graded = ~np.isnan(decision.correct)
    assert decision.known["accuracy"] == pytest.approx(graded.mean())


@settings(max_examples=60, deadline=None)
@given(outcomes(min_models=3, max_models=4, labels=3))
def test_every_policy_counts_what_it_called_as_a_plain_loop_does(table):
    proba = np.random.default_rng(0).dirichlet(np.ones(3), table.answer.shape)
    features = {"length": np.arange(len(table)) * 97 % 500}
    table = replace(table, probability=proba, features=features)
    for policy in every_policy(table.models, table.labels):
        against_a_plain_loop(policy, table)


def test_the_loop_catches_a_mean_over_the_rest(monkeypatch):
    against_a_plain_loop(CASCADE, pair(HALF_PRICED))
    monkeypatch.setattr(decision_module, "mean_of_all", mean_of_known)
    with pytest.raises(AssertionError):
        against_a_plain_loop(CASCADE, pair(HALF_PRICED))


# -- filling ------------------------------------------------------------------------------------


def test_filled_says_what_it_does():
    table = Outcomes(
        models=("a", "b", "never"),
        items=range(3),
        correct=[[1, 1, 1], [0, nan, 1], [1, 0, 1]],
        answer=[[0, 0, 0], [1, ABSENT, 0], [0, 1, 0]],
        labels="xy",
        cost=[[1, nan, nan], [nan, nan, nan], [3, 8, nan]],
        latency=[[1, 1, 1], [2, nan, 2], [nan, 3, 3]],
        tokens=[[10, nan, nan]] * 3,
    )
    filled = table.filled("cost")
    # An absent pair has no price, and nobody knows that of `never`.
    np.testing.assert_array_equal(filled.cost, [[1, 8, nan], [2, nan, nan], [3, 8, nan]])
    assert filled.cost_is_estimated and not table.cost_is_estimated
    np.testing.assert_array_equal(filled.latency, table.latency)
    asked = table.filled("cost", absent=True)
    np.testing.assert_array_equal(asked.cost, [[1, 8, nan], [2, 8, nan], [3, 8, nan]])
    both = table.filled()
    np.testing.assert_array_equal(both.latency, [[1, 1, 1], [2, nan, 2], [1.5, 3, 3]])
    np.testing.assert_array_equal(both.tokens, table.tokens)
    np.testing.assert_array_equal(table.filled("tokens").tokens, [[10, nan, nan]] * 3)


def test_filled_changes_nothing_where_all_is_known():
    table = pair(10.0)
    assert table.filled() is table
    assert Outcomes(models=["a"], items=[0], correct=[[1]]).filled().cost is None


def test_what_cannot_be_filled_is_named():
    table = pair(10.0)
    with pytest.raises(KeyError, match="no field 'prize'"):
        table.filled("prize")
    with pytest.raises(KeyError, match="no field 'confidence'"):
        table.filled("confidence")
    with pytest.raises(ValueError, match="filled needs 'latency'"):
        table.filled("latency")


def test_a_summary_is_over_what_a_model_has_and_strict_there():
    table = Outcomes(
        models=("whole", "gap", "absent"),
        items=range(2),
        correct=[[1, 1, nan], [1, 1, 1]],
        cost=[[1, nan, nan], [3, 4, 5]],
    )
    np.testing.assert_array_equal(table.summary()["mean cost"], [2, nan, 5])


# -- frontiers ----------------------------------------------------------------------------------


def test_the_cheapest_setting_is_not_the_one_that_asks_the_unpriced_model_more():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        front = lab.frontier(CASCADE, pair(nan), thresholds=[0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(front["cost"], [1, nan, nan, nan])
    assert front["pareto"].tolist() == [True, False, False, False]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, nan]), st.sampled_from([0.1, 0.5, 0.9, nan])),
        min_size=1,
    )
)
def test_unknown_spend_is_never_efficient_and_hides_no_other(points):
    spent, right = np.array(points).T
    kept, known = pareto(spent, right), ~np.isnan(spent)
    assert not kept[~known].any()
    if known.any():
        np.testing.assert_array_equal(kept[known], pareto(spent[known], right[known]))


def test_where_no_setting_has_a_price_that_is_said():
    table = pair(nan, latency=np.ones((400, 2)))
    always = {"thresholds": [0.9, 1.5]}
    with pytest.raises(ValueError, match=r"against='cost': no setting's mean cost.*against='lat"):
        lab.frontier(CASCADE, table, against="cost", **always)
    with pytest.warns(UserWarning, match="pareto is against latency here"):
        front = lab.frontier(CASCADE, table, **always)
    assert front["pareto"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lab.frontier(CASCADE, table, against="calls", **always)["pareto"].any()
        unpriced = replace(table, cost=None)  # nothing recorded is nothing to speak of
        assert lab.frontier(CASCADE, unpriced, **always)["pareto"].any()
    with pytest.raises(ValueError, match="against='price'; it is one of cost, latency, calls"):
        lab.frontier(CASCADE, table, against="price", **always)


# -- budgets ------------------------------------------------------------------------------------


def test_a_model_without_a_price_is_not_affordable_and_raises_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lab.BudgetCascade(5).fit(pair(nan)).order == ("small",)
        with pytest.raises(ValueError, match=r"'small' at 1;.*without any price is left out"):
            lab.BudgetCascade(0.5).fit(pair(nan))
        with pytest.raises(ValueError, match="no model here has a price"):
            lab.BudgetCascade(5).fit(pair(nan).select(models=["big"]))


@settings(max_examples=25, deadline=None)
@given(outcomes(min_items=3, min_models=2, max_models=3, labels=2), st.booleans())
def test_a_budget_is_reckoned_with_filled_prices_and_kept(table, per_label):
    if np.isnan(table.correct).all():
        with pytest.raises(ValueError, match="no answer here is graded"):
            lab.BudgetCascade(1.0).fit(table)
        return
    full = table.filled("cost", absent=True)
    table = replace(table, confidence=np.nan_to_num(table.confidence, nan=0.3))
    budget = float(np.nanmax(full.cost)) * 1.5 if not np.isnan(full.cost).all() else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fitted = lab.BudgetCascade(budget, per_label=per_label).fit(table)
        except ValueError as error:
            assert np.isnan(table.cost).all() and "has a price" in str(error)
            return
    graded = full.take(~np.isnan(full.correct).all(axis=1))
    confident = table.take(~np.isnan(table.correct).all(axis=1)).confidence
    spent = fitted.decide(replace(graded, confidence=confident)).mean_cost
    assert spent <= budget * (1 + 1e-9)
    again = lab.BudgetCascade(budget, per_label=per_label).fit(table.filled("cost", absent=True))
    assert again.order == fitted.order and again.thresholds == fitted.thresholds


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("per_label", [False, True])
def test_the_currency_does_not_matter(factor, per_label):
    table = lab.load_outcomes("rafdb-services").take(range(2000))
    scaled = replace(table, cost=table.cost * factor)
    budget = 0.4 * float(table.cost[0].max())
    plain = lab.BudgetCascade(budget, per_label=per_label).fit(table)
    other = lab.BudgetCascade(budget * factor, per_label=per_label).fit(scaled)
    assert plain.order == other.order and plain.thresholds == other.thresholds


def test_what_fit_reads_cannot_be_run_through_afterwards():
    table = pair(10.0)
    with pytest.raises(ValueError, match="budget is what fit reads"):
        lab.frontier(lab.BudgetCascade(5).fit(table), table, budget=[1, 5])


# -- explorers ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_explorers_say_that_a_price_is_not_known():
    table = pair(HALF_PRICED)
    start = {"small": "small", "big": "big"}
    cascade = lab.explore("cascade", table, **start, threshold=0.5)
    assert "For a price that is not known here" in cascade.picture().finding
    assert "outcomes.filled()" in cascade.picture().text and "nan" not in cascade.picture().text
    filled = lab.explore("cascade", table.filled(), **start, threshold=0.5).picture()
    assert "of its price" in filled.finding
    escalate = lab.explore("escalate", table)
    assert "For a price that is not known here" in escalate.picture(share=50).finding
    assert "nan" not in escalate.picture(share=50).text
    assert "% of its price" in lab.explore("escalate", table.filled()).picture(share=50).finding


@pytest.mark.filterwarnings("error")
def test_an_expensive_model_without_a_price_is_shown_in_words():
    picture = lab.explore("escalate", pair(nan)).picture(share=100)
    assert "big alone unknown" in str(picture.layout) and "nan" not in picture.text
    free = lab.explore("escalate", pair(0.0)).picture(share=0)
    assert "For 10000.00 USD per 10,000" in free.finding


def test_the_explorer_agrees_with_the_policy_on_what_is_unknown():
    table = pair(HALF_PRICED)
    _, shown = table.split()
    swept = lab.explore("cascade", table, small="small", big="big").table()
    prices = swept["cost (USD per 10,000 items)"]
    for level, price in zip(swept["threshold 1"], prices, strict=True):
        decision = lab.Cascade(("small", "big"), (level,)).decide(shown)
        assert 1e-4 * price == pytest.approx(decision.mean_cost, nan_ok=True)
