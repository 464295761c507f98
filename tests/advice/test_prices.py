"""Other prices: the mean costs split by model, the choice made again, and where it turns."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.advice.page import advice_page
from ensemble_lab.advice.prices import turning_prices
from ensemble_lab.advice.scores import fitted
from tests.advice.tables import services
from tests.advice.test_page import words

rng = np.random.default_rng(5)
TABLE = services(150, cost=rng.gamma(4, [0.25, 1.0, 2.5], (150, 3)))  # each call has its own price


@cache
def advice(**more):
    return lab.advise(TABLE, progress=False, **more)


@cache
def called(**more):
    """Which models each candidate asked on each row (c, n, m), by a plain loop over the folds."""
    found = advice(**more)
    asked = np.zeros((len(found.candidates), len(TABLE), 3), bool)
    for j, candidate in enumerate(found.candidates):
        for k in range(found.scores.fold.max() + 1):
            here = found.scores.fold == k
            policy = fitted(candidate.policy, TABLE.take(~here))
            asked[j, here] = policy.decide(TABLE.take(here)).called
    return asked


def test_the_cost_of_each_candidate_is_split_by_model():
    found = advice()
    assert found.scores.paid.shape == (len(found.candidates), 3)
    split = np.where(called(), TABLE.cost, 0).mean(axis=1)
    assert np.allclose(found.scores.paid, split, rtol=1e-5)
    assert np.allclose(found.scores.paid.sum(axis=1), found.frontier["cost"], rtol=1e-5)


def test_forward_in_time_only_judged_rows_are_paid_for():
    found = lab.advise(TABLE, time=np.arange(150), progress=False)
    assert "online" in set(found.frontier["family"])
    assert np.allclose(found.scores.paid.sum(axis=1), found.frontier["cost"], rtol=1e-5)
    single = found.scores.names.index("middle")
    judged = found.scores.fold >= 0
    assert found.scores.paid[single] == pytest.approx([0, TABLE.cost[judged, 1].mean(), 0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 5), min_size=3, max_size=3))
def test_other_prices_are_a_table_with_other_prices(factors):
    found = advice(budget=3.0)
    cost = np.where(called(budget=3.0), TABLE.cost * factors, 0).sum(axis=2).mean(axis=1)
    right = found.frontier["accuracy"].to_numpy()
    named = dict(zip(TABLE.models, factors, strict=True))
    if cost.min() > 3.0001:
        with pytest.raises(ValueError, match=r"at these prices a budget of 3 .* raise it"):
            found.at_prices(named)
        return
    again = found.at_prices(named)
    assert np.allclose(again.frontier["cost"], cost, rtol=1e-4, atol=1e-6)
    sure = np.abs(cost - 3) > 1e-4  # at the budget itself the last digit decides
    assert (again.frontier["allowed"].to_numpy() == (cost <= 3))[sure].all()
    allowed = again.frontier[again.frontier["allowed"]]
    best = allowed[allowed["accuracy"] == allowed["accuracy"].max()]
    assert again.chosen in best["candidate"].tolist()
    if sure.all():
        assert right[found.scores.names.index(again.chosen)] == right[cost <= 3].max()


def test_a_table_that_was_read_at_other_prices_gives_the_same():
    """Votes and single models decide the same at any price, so all can be computed anew."""
    found = advice(budget=3.0)
    again = found.at_prices({"small": 2.0, "big": 0.25}).frontier.set_index("candidate")
    dearer = services(150, cost=TABLE.cost * [2, 1, 0.25])
    new = lab.advise(dearer, progress=False, budget=3.0).frontier.set_index("candidate")
    for name in ("small", "middle", "big", "majority vote of all", "stacking of all"):
        assert again.loc[name, "cost"] == pytest.approx(new.loc[name, "cost"], rel=1e-5)
        assert again.loc[name, "allowed"] == new.loc[name, "allowed"]
    assert list(again.columns) == ["family", "accuracy", "low", "high", "cost", "latency",
                                   "allowed"]  # fmt: skip


@pytest.mark.parametrize("limits", [{}, {"budget": 3.0}, {"latency": 0.5}])
def test_the_prices_of_today_change_nothing(limits):
    found = advice(**limits)
    for factors in ({}, {"small": 1, "big": 1.0}):
        same = found.at_prices(factors)
        assert same.chosen == found.chosen
        assert same.frontier.equals(found.frontier[same.frontier.columns])


def two(right, cost, **limits):
    table = lab.Outcomes(models=["small", "big"], items=range(40), correct=right, cost=[cost] * 40)
    return lab.advise(table, progress=False, **limits)


def test_turns_by_hand():
    """Right on 30 and 40 of 40 at 1 and 10 USD, with 5 to spend: big must cost half."""
    better = [[1, 1]] * 30 + [[0, 1]] * 10
    turns = turning_prices(two(better, (1, 10), budget=5)).set_index("model")
    assert list(turns.index) == ["small", "big"]  # the one that is asked comes first
    assert turns["price"].tolist() == [1, 10]
    assert turns.loc["big", "down"] == pytest.approx(0.5, rel=1e-4)
    assert turns.loc["big", "then_down"] == "big" and np.isnan(turns.loc["big", "up"])
    assert turns.loc["small", "up"] == pytest.approx(5, rel=1e-4)  # then none keeps the budget
    assert turns.loc["small", "then_up"] == "" and np.isnan(turns.loc["small", "down"])
    # Equally accurate at 1 and 10 USD: the cheaper one is advised, until it costs ten times more.
    turns = turning_prices(two([[1, 1]] * 40, (1, 10))).set_index("model")
    assert turns.loc["small", "up"] == pytest.approx(10, rel=1e-4)
    assert turns.loc["small", "then_up"] == "big"
    assert turns.loc["big", "down"] == pytest.approx(0.1, rel=1e-4)
    # The most accurate one without a budget: at any price.
    turns = turning_prices(two(better, (1, 10)))
    assert turns[["down", "up"]].isna().all(axis=None)
    free = turning_prices(two(better, (0, 10), budget=5))
    assert free["model"].tolist() == ["big"]  # a factor changes no price of 0


@pytest.mark.parametrize("budget", [1.5, 3.0, 6.0])
def test_between_the_turns_the_advice_stays_and_behind_them_it_does_not(budget):
    found = advice(budget=budget)
    turned = 0
    for turn in turning_prices(found).itertuples():
        low, high = np.nan_to_num(turn.down, nan=0.01), np.nan_to_num(turn.up, nan=100)
        for factor in np.geomspace(low * 1.0005, high / 1.0005, 30):
            assert found.at_prices({turn.model: factor}).chosen == found.chosen
        if turn.then_down:
            assert found.at_prices({turn.model: turn.down}).chosen == turn.then_down
            turned += 1
        if turn.then_up:
            assert found.at_prices({turn.model: turn.up}).chosen == turn.then_up
            turned += 1
    assert turned


def test_the_page_says_at_which_price_another_one_is_advised():
    found = advice(budget=3.0)
    text = words(advice_page(found))
    assert "decisions stay as they are" in text
    for turn in turning_prices(found).itertuples():
        for factor, then in ((turn.down, turn.then_down), (turn.up, turn.then_up)):
            if then and 0.1 <= factor <= 10:
                assert f"{factor:.3g} times: {then}" in text
    always = words(advice_page(two([[1, 1]] * 30 + [[0, 1]] * 10, (1, 10))))
    assert "Without a budget no change of one model's price changes the advice." in always


def test_a_price_that_is_not_known_has_no_factor():
    cost = TABLE.cost.copy()
    cost[:, 2] = np.nan
    found = lab.advise(services(150, cost=cost), progress=False, budget=3.0)
    assert (
        found.at_prices({"middle": 0.5}).frontier.set_index("candidate").loc["big"].isna()["cost"]
    )
    assert "big" not in turning_prices(found)["model"].tolist()
    with pytest.raises(ValueError, match="no price of 'big' is known"):
        found.at_prices({"big": 0.5})
    unpriced = lab.advise(services(60, cost=None), progress=False)
    with pytest.raises(ValueError, match="no prices to change; give advise outcomes with cost"):
        unpriced.at_prices({"big": 0.5})
    assert not len(turning_prices(unpriced))
