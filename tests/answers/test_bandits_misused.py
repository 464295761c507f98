"""What a user may give a bandit by mistake: it is refused with the mend, or understood by name."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.support.policies import bandits, budget_bandits

NAN = math.nan
MODELS = ("a", "b", "c")
TABLE = lab.Outcomes(models=["a", "b"], items=range(40), correct=[[0, 1]] * 40)


def begun(policy, models=MODELS):
    return policy.begin(models, np.random.default_rng(0))


def test_a_series_and_a_frame_are_read_by_the_names_of_the_models():
    only_c = pd.Series({"c": True, "a": False, "b": False})
    free_c = pd.Series({"c": 0.0, "b": 9.0, "a": 9.0})
    assert begun(lab.Thompson()).choose({}, 0, available=only_c) == (2,)
    assert begun(lab.Thompson(cost_weight=1.0)).choose({}, 0, prices=free_c) == (2,)
    frame = pd.DataFrame({"b": [False] * 40, "a": [True] * 40})
    assert (lab.Thompson().decide(TABLE, available=frame).chosen == 0).all()
    with pytest.raises(ValueError, match=r"prices name \['c', 'x', 'a'\]; name \['a', 'b', 'c'\]"):
        begun(lab.Thompson()).choose({}, 0, prices=pd.Series({"c": 0.0, "x": 9.0, "a": 9.0}))


@pytest.mark.parametrize("prices", [[True, False, True], np.array([1 + 2j, 1, 1]), [1, 1, 1e300]])
def test_what_is_no_price_is_refused(prices):
    with pytest.raises(ValueError, match="prices are .*; give USD from 0 up to 1e12"):
        begun(lab.Thompson()).choose({}, 0, prices=prices)


def test_masked_entries_and_ragged_rows_are_refused():
    masked = np.ma.masked_array([1.0, 9.0, 1.0], mask=[0, 1, 0])
    flags = np.ma.masked_array([True] * 3, mask=[0, 1, 0])
    learner = begun(lab.Thompson())
    with pytest.raises(ValueError, match="prices have masked entries"):
        learner.choose({}, 0, prices=masked)
    with pytest.raises(ValueError, match="available have masked entries"):
        learner.choose({}, 0, available=flags)
    with pytest.raises(ValueError, match=r"available are \[\[True\], .*; give rows of 3"):
        learner.choose({}, 0, available=[[True], [True, False], True])
    with pytest.raises(ValueError, match="values have masked entries"):
        lab.knapsack_bound(masked[None], [1, 1, 1], 1)


def test_a_model_that_is_not_available_is_never_asked_whatever_the_others_cost():
    learner = begun(lab.Thompson(cost_weight=1e9))
    assert learner.choose({}, 0, prices=[0, 1e12, 1e12], available=[False, True, True]) != (0,)
    budget = begun(lab.BudgetBandit(100.0, 30))
    for time in range(20):
        asked = budget.choose({}, time, prices=[1.0, 5e-324, 1e12], available=[False, True, True])
        assert asked == (1,)


def test_what_is_chosen_at_random_is_so_whatever_it_costs():
    learner = begun(lab.EpsilonGreedy(1.0, cost_weight=5.0))
    asked = [learner.choose({}, time, prices=[0.0, 1.0, 9.0])[0] for time in range(603)]
    assert np.bincount(asked).min() > 150  # 200 each, and a deviation of 12


def test_feedback_that_is_none_loses_nothing():
    learner = begun(lab.BudgetBandit(5.0, 10))
    (arm,) = learner.choose({}, 0, prices=[0.1] * 3)
    for cost in (math.inf, 10**400):
        with pytest.raises(ValueError, match="cost is"):
            learner.learn(lab.Feedback(0, arm, 1.0, cost, NAN))
    for what in (0.5, (0, arm, 1.0)):
        with pytest.raises(ValueError, match="give Feedback"):
            learner.learn(what)
    learner.learn(lab.Feedback(0, arm, 1.0, NAN, NAN))
    assert learner.spent == 0.1


@pytest.mark.parametrize("value, why", [(10**400, "scale"), (1.7e9, "scale"), (math.inf, "finite")])
def test_features_that_a_matrix_cannot_hold_are_refused(value, why):
    with pytest.raises(ValueError, match=why):
        begun(lab.LinUCB(features=("x",))).choose({"x": value}, 0)
    with pytest.raises(ValueError, match="give a mapping"):
        begun(lab.Thompson()).choose(None, 0)


@pytest.mark.parametrize("seed", [-1, None, True, 1.5, "x"])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed="):
        lab.Thompson().decide(TABLE, seed=seed)


def test_what_is_learned_with_prices_is_what_a_replay_learns():
    policy = lab.Thompson(cost_weight=1.0)
    learner = policy.learned(TABLE, prices=[0.0, 0.1])
    assert (
        learner.asked.tolist() == policy.decide(TABLE, prices=[0, 0.1]).called.sum(axis=0).tolist()
    )
    assert lab.BudgetBandit(9.0, 40).learned(TABLE, prices=[0.1, 0.2]).spent <= 9


def test_a_committee_of_more_models_than_there_are_is_refused():
    with pytest.raises(ValueError, match="exactly 3 models, and there are 2"):
        lab.CombinatorialBandit("all", size=3).decide(TABLE, prices=[0.1, 0.1])


def test_the_bound_ends_where_prices_are_hardly_above_0():
    value = [[1.0, 0.5], [1.0, 0.5]]
    assert lab.knapsack_bound(value, [1e-310, 0], 0) == 1.0
    assert lab.knapsack_bound(value, [5e-324, 0], 5e-324) == 1.5
    with pytest.raises(ValueError, match="at least one model"):
        lab.knapsack_bound(np.zeros((3, 0)), np.zeros(0), 1)


EDITS = [
    (lab.UCB1(), ("learned", "total"), [1e308, 1.0, 0.0]),
    (lab.UCB1(), ("learned", "total"), [0.0, -50.0, 0.0]),
    (lab.UCB1(), ("learned", "asked"), [1e308] * 3),
    (lab.UCB1(), ("learned", "graded"), [0.5] * 3),
    (lab.UCB1(), ("last",), -5),
    (lab.UCB1(), ("last",), 10**4000),
    (lab.Thompson(), ("counts",), [[[math.inf, 1, 1], [1, 1, 1]]]),
    (lab.Thompson(), ("counts",), [[[1e6, 0, 0], [0, 1, 1]]]),
    (lab.Thompson(), ("groups",), "u"),
    (lab.Thompson(), ("groups",), [NAN]),
    (lab.Thompson(window=5), ("newest",), [[0, 0, 1.0]] * 500),
    (lab.Thompson(window=5), ("newest",), [[0, 0, 1.0]] * 5),
    (lab.LinUCB(), ("learned", "inverse"), [[[1e300]]] * 3),
    (lab.LinUCB(), ("learned", "moment"), [[1e308]] * 3),
    (lab.LinUCB(), ("pending", 0, 2), ["a"]),
    (lab.LinUCB(), ("pending", 0, 2), [NAN]),
    (lab.Thompson(), ("pending", 0, 2), {"a": 1}),
    (lab.BudgetBandit(100.0, 30), ("spent",), "5"),
    (lab.BudgetBandit(100.0, 30), ("spent",), True),
    (lab.BudgetBandit(100.0, 30), ("extra",), 1e308),
    (lab.BudgetBandit(100.0, 30), ("of", "learned", "asked"), [20.0, 20.0, 20.0]),
]


@pytest.mark.parametrize("policy, place, value", EDITS)
def test_a_state_that_no_bandit_can_have_is_refused(policy, place, value, tmp_path):
    learner = begun(policy)
    for time in range(20):
        (arm,) = learner.choose({}, time, prices=[0.1, 0.2, 0.3])
        if time < 18:
            learner.learn(lab.Feedback(time, arm, arm / 2, NAN, NAN))
    path = learner.save(tmp_path / "state.json")
    assert policy.resume(path, MODELS).last == 19
    found = there = json.loads(path.read_text())
    for key in place[:-1]:
        there = there[key]
    there[place[-1]] = value
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"'state.json' cannot be resumed: .*; begin anew"):
        policy.resume(path, MODELS)


@pytest.mark.parametrize("policy", bandits() + budget_bandits(), ids=repr)
def test_every_state_of_a_stream_can_be_resumed(policy, tmp_path):
    """Grades that are shares, unknown or late, and models that come and go."""
    rng, learner, due = np.random.default_rng(1), begun(policy), []
    for time in range(120):
        known = {"length": float(rng.random()), "group": ["law", "math"][time % 2]}
        prices = [0.1] * len(learner.models)
        due += [(time, arm) for arm in learner.choose(known, time, prices=prices)]
        while len(due) > 3:
            when, arm = due.pop(0)
            if (when, arm) in learner.pending:
                grade = NAN if time % 7 == 0 else float(rng.random())
                learner.learn(lab.Feedback(when, arm, grade, NAN, NAN))
        if time in (50, 80):
            learner, due = learner.with_models(("c", "b", "d", "a")[: 3 + (time == 50)]), []
        if time % 10 == 0 or time > 110:
            path = learner.save(tmp_path / "state.json")
            again = policy.resume(path, learner.models)
            assert again.save(tmp_path / "again.json").read_bytes() == path.read_bytes()
