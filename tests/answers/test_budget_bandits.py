"""Prices, budgets and subsets: knapsacks against HiGHS and brute force, and what may not happen."""

import itertools
import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, linprog, milp

import ensemble_lab as lab
from ensemble_lab.answers.online.knapsack import subset_mixture
from ensemble_lab.answers.online.subsets import weights
from ensemble_lab.core.decision import ABSTAINED
from tests.support.policies import bandits, budget_bandits

NAN = math.nan
MODELS = ("a", "b", "c")
EVERY = bandits() + budget_bandits()


def feedback(time, model, grade, cost=NAN):
    return lab.Feedback(time, model, grade, cost, NAN)


def table(n, accuracies, seed, cost=None):
    rng = np.random.default_rng(seed)
    correct = (rng.random((n, len(accuracies))) < accuracies).astype(float)
    return lab.Outcomes(
        models=MODELS[: len(accuracies)], items=range(n), correct=correct, cost=cost,
        group=rng.choice(["law", "math"], n), features={"length": rng.random(n)},
    )  # fmt: skip


# -- the offline optimum --------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1.2))
def test_the_offline_optimum_is_that_of_highs(seed, n, m, share):
    rng = np.random.default_rng(seed)
    value = rng.random((n, m)).round(rng.integers(1, 6))  # ties too
    price = rng.choice([0, 0.5, 1, 2, rng.random()], (n, m))
    budget = share * price.max(axis=1).sum()
    one = np.kron(np.eye(n), np.ones(m))  # at most one model an item
    limits = LinearConstraint(np.vstack([one, price.ravel()]), ub=[*np.ones(n), budget])
    relaxed = milp(-value.ravel(), constraints=limits, bounds=(0, 1))
    whole = milp(-value.ravel(), constraints=limits, bounds=(0, 1), integrality=1)
    found = lab.knapsack_bound(value, price, budget)
    assert found == pytest.approx(-relaxed.fun, abs=1e-7)
    assert -whole.fun - 1e-7 <= found <= -whole.fun + value.max() + 1e-7


def test_one_price_a_model_and_what_a_budget_of_nothing_buys():
    value = [[0.5, 1.0], [0.9, 1.0]]
    assert lab.knapsack_bound(value, [1, 3], 4) == lab.knapsack_bound(value, [[1, 3]] * 2, 4) == 1.9
    assert lab.knapsack_bound(value, [1, 3], 2.5) == pytest.approx(0.9 + 0.5 + 0.25 * 0.5)
    assert lab.knapsack_bound(value, [1, 3], 0) == 0
    assert lab.knapsack_bound(value, [0, 3], 0) == 1.4
    assert lab.knapsack_bound([[-1.0]], [0], 5) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.data())
def test_the_mixture_of_subsets_is_the_best_of_all_mixtures(seed, m, size, data):
    """Against a linear program over the probabilities of every subset."""
    rng = np.random.default_rng(seed)
    reward = data.draw(st.sampled_from(["any", "sum", "all"]))
    weight = weights(reward, rng.random(m).round(data.draw(st.sampled_from([1, 8]))))
    price = rng.choice([0.25, 0.5, 1.0, rng.random() + 0.01], m)
    budget, exact = float(rng.random() * price.sum()), reward == "all"
    size = min(size, m)
    mixture = subset_mixture(weight, price, size, budget, exact)
    chance = [p for p, _ in mixture]
    assert sum(chance) == pytest.approx(1) and min(chance) >= 0 and len(mixture) <= 2
    cost = sum(p * price[s].sum() for p, s in mixture)
    assert cost <= budget + 1e-9
    sizes = [size] if exact else range(size + 1)
    every = [s for k in sizes for s in itertools.combinations(range(m), k)]
    worth, paid = (np.array([x[list(s)].sum() for s in every]) for x in (weight, price))
    if paid.min() > budget + 1e-9:  # exactly `size` models cannot be paid
        assert len(mixture[-1][1]) == 0
        assert price[mixture[0][1]].sum() == pytest.approx(paid.min())
        return
    best = linprog(-worth, A_ub=paid[None], b_ub=[budget], A_eq=np.ones((1, len(every))), b_eq=[1])
    found = sum(p * weight[s].sum() for p, s in mixture)
    assert found == pytest.approx(-best.fun, rel=1e-6, abs=1e-6)
    assert found >= worth[paid <= budget].max() - 1e-7  # no single subset is better


def test_the_three_rewards_by_hand():
    outcomes = lab.Outcomes(models=MODELS, items=range(4),
                            correct=[[1, 0, 1], [1, 1, 0], [0, 0, 1], [1, NAN, 1]])  # fmt: skip
    policy = lab.CombinatorialBandit("sum", size=2, budget=9.0)
    decision = policy.decide(outcomes, prices=[1, 1, 1], available=[True, True, False])
    assert decision.called.tolist() == [[True, True, False]] * 4
    assert policy.rewards(outcomes, decision).tolist() == [1, 2, 0, 1]
    assert replace(policy, reward="any").rewards(outcomes, decision).tolist() == [1, 1, 0, 1]
    assert replace(policy, reward="all").rewards(outcomes, decision).tolist() == [0, 1, 0, 0]
    with pytest.raises(ValueError, match="on these outcomes"):
        policy.rewards(outcomes.take([0, 1]), decision)


# -- what a budget may not do ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(0, 40), st.integers(1, 60), st.integers(0, 30), st.data()
)
def test_it_never_spends_more_than_its_budget(seed, budget, horizon, delay, data):
    """Prices change, models come and go, costs are up to the price or unknown, feedback is late."""
    rng = np.random.default_rng(seed)
    prices = rng.choice([0, 0.1, 0.5, 2.0], (40, 3)) * rng.random((40, 3))
    cost = prices * rng.random((40, 3))
    cost[rng.random((40, 3)) < 0.2] = NAN
    outcomes = table(40, [0.3, 0.5, 0.8], seed, cost=cost)
    of = data.draw(st.sampled_from(bandits()))
    policy = lab.BudgetBandit(budget, horizon, of)
    with warnings.catch_warnings(action="ignore"):
        called = policy.decide(
            outcomes, delay=delay, seed=seed, prices=prices, available=rng.random((40, 3)) < 0.7
        ).called
    assert called.sum(axis=1).max() <= 1
    spent = np.where(np.isnan(cost), prices, cost)[called].sum()
    assert spent <= budget * (1 + 1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_every_item_is_answered_while_the_cheapest_model_can_be_paid(seed):
    outcomes = table(500, [0.4, 0.6, 0.8], seed)
    for budget in (50.0, 60.0, 200.0, 1e6):
        found = lab.BudgetBandit(budget, 500).decide(outcomes, seed=seed, prices=[0.1, 0.5, 2.0])
        called = found.called
        assert called.any(axis=1).all()
        assert (called @ [0.1, 0.5, 2.0]).sum() <= budget + 1e-9
        if budget == 50:
            assert called[:, 0].all()
    assert called[100:, 2].mean() > 0.8  # money for everything: the best model


def test_more_money_buys_more_and_beats_a_random_mixture():
    """A mixture of cheap and expensive at the same price is the line that a policy must beat."""
    rng = np.random.default_rng(0)
    gains, n = [], 2000
    for seed in range(5):
        easy = rng.random(n) < 0.5  # both are right; else only the expensive one is, mostly
        correct = np.stack([easy, easy | (rng.random(n) < 0.8)], axis=1).astype(float)
        outcomes = lab.Outcomes(models=["a", "b"], items=range(n), correct=correct,
                                features={"easy": easy.astype(int)})  # fmt: skip
        budget = 0.1 * n + 0.45 * n * 0.9  # for 45 % expensive answers
        policy = lab.BudgetBandit(budget, n, lab.LinUCB(features=("easy",), scale=1.0))
        found = policy.decide(outcomes, seed=seed, prices=[0.1, 1.0])
        mixed = correct.mean(axis=0) @ [0.55, 0.45]
        bound = lab.knapsack_bound(correct, [0.1, 1.0], budget) / n
        assert found.accuracy <= bound + 1e-9
        gains.append(found.accuracy - mixed)
    assert np.mean(gains) > 0.1, gains


def test_a_budget_that_is_spent_at_once_is_said_and_the_rest_is_not_answered():
    outcomes = table(10, [0.5, 0.9], 0)
    with pytest.warns(UserWarning, match="0.25 USD pay for 2 of 10 items"):
        found = lab.BudgetBandit(0.25, 10).decide(outcomes, prices=[0.1, 1.0])
    assert found.called.sum(axis=0).tolist() == [2, 0]
    assert (found.chosen[2:] == ABSTAINED).all() and found.called[2:].sum() == 0
    with pytest.warns(UserWarning, match="pay for 0 of"):
        assert not lab.BudgetBandit(0.0, 10).decide(outcomes, prices=[0.1, 1.0]).called.any()
    free = lab.BudgetBandit(0.0, 10).decide(outcomes, prices=[0.0, 1.0])
    assert free.called[:, 0].all()


def test_money_that_is_set_aside_comes_back_when_the_reply_was_cheaper():
    learner = lab.BudgetBandit(1.0, 1, lab.UCB1()).begin(("a",), np.random.default_rng(0))
    assert learner.choose({}, 0, prices=[0.6]) == (0,) and learner.left == pytest.approx(0.4)
    assert learner.choose({}, 1, prices=[0.6]) == ()  # it is late, and may cost its price
    learner.learn(feedback(0, 0, NAN, cost=0.2))
    assert learner.left == pytest.approx(0.8) and learner.spent == 0.2
    assert learner.choose({}, 2, prices=[0.6]) == (0,)
    learner.learn(feedback(2, 0, 1.0))  # an unknown cost counts as the price
    assert learner.spent == pytest.approx(0.8)


# -- subsets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", ["any", "sum", "all"])
def test_the_mean_price_is_within_the_budget_and_regret_falls(reward):
    p, prices = np.array([0.3, 0.5, 0.9, 0.6, 0.7]), np.array([0.1, 0.2, 1.0, 0.3, 0.4])
    policy = lab.CombinatorialBandit(reward, size=2, budget=0.7)
    best = sum(
        chance * (1 - (1 - p[s]).prod() if reward == "any" else
                  p[s].sum() if reward == "sum" else p[s].prod())
        for chance, s in subset_mixture(weights(reward, p), prices, 2, 0.7, reward == "all")
    )  # fmt: skip
    early, late, cost = [], [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        correct = (rng.random((3000, 5)) < p).astype(float)
        outcomes = lab.Outcomes(models=list("abcde"), items=range(3000), correct=correct)
        called = policy.decide(outcomes, seed=seed, prices=prices).called
        assert called.sum(axis=1).max() <= 2
        expected = [
            1 - np.where(c, 1 - p, 1).prod() if reward == "any" else
            p[c].sum() if reward == "sum" else p[c].prod()
            for c in called
        ]  # fmt: skip
        early.append(best - np.mean(expected[:500]))
        late.append(best - np.mean(expected[-1000:]))
        cost.append((called @ prices).mean())
    assert np.mean(late) < 0.5 * np.mean(early) and np.mean(late) < 0.03, (early, late)
    assert max(cost) <= 0.7 + 4 * 0.5 / math.sqrt(3000)


def test_a_budget_below_every_price_asks_for_some_items_only():
    outcomes = table(4000, [0.5, 0.9], 0)
    policy = lab.CombinatorialBandit("any", size=2, budget=0.05)
    called = policy.decide(outcomes, prices=[0.1, 1.0]).called
    assert (called @ [0.1, 1.0]).mean() == pytest.approx(0.05, abs=0.01)
    both = replace(policy, reward="all", budget=0.55).decide(outcomes, prices=[0.1, 1.0]).called
    assert set(both.sum(axis=1).tolist()) == {0, 2}
    assert both.any(axis=1).mean() == pytest.approx(0.5, abs=0.04)
    gone = replace(policy, reward="all").decide(
        outcomes, prices=[0.1, 1.0], available=[True, False]
    )
    assert not gone.called.any()


# -- the world moves ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", EVERY, ids=repr)
def test_a_model_that_is_not_available_is_not_asked(policy):
    outcomes, prices = table(200, [0.2, 0.9, 0.5], 0), [0.1, 0.2, 0.3]
    available = np.ones((200, 3), bool)
    available[50:100, 1] = False
    available[120:130] = False
    found = policy.decide(outcomes, seed=1, available=available, prices=prices)
    assert not (found.called & ~available).any()
    assert (found.called.any(axis=1) == available.any(axis=1)).all()
    assert (found.chosen[120:130] == ABSTAINED).all()
    assert found.called[130:, 1].mean() > 0.4  # what was learned of it is still there


@pytest.mark.parametrize(
    "policy", [p for p in bandits() if not isinstance(p, lab.Thompson)], ids=repr
)
def test_a_price_that_changes_is_followed_at_once(policy):
    """Both are right in 7 of 10; the cheaper one is asked, from the item on at which it changes."""
    outcomes = table(600, [0.7, 0.7], 0)
    prices = np.where(np.arange(600)[:, None] < 300, [0.0, 1.0], [1.0, 0.0])
    found = replace(policy, cost_weight=2.0).decide(outcomes, seed=0, prices=prices)
    assert found.called[100:300, 0].mean() > 0.9 and found.called[300:400, 1].mean() > 0.85
    with pytest.raises(ValueError, match=r"cost_weight is 2 and no prices are given; choose"):
        replace(policy, cost_weight=2.0).decide(outcomes)


@pytest.mark.parametrize("policy", EVERY, ids=repr)
def test_models_join_and_leave_and_the_others_keep_what_was_learned(policy, tmp_path):
    outcomes, prices = table(300, [0.2, 0.8, 0.4], 3), {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.2}
    learner = policy.begin(("a", "b"), np.random.default_rng(0))

    def step(time, forget=False):
        known = {"length": 0.5, "group": "law"}
        asked = learner.choose(known, time, prices=[prices[name] for name in learner.models])
        names = [learner.models[arm] for arm in asked]
        for arm, name in zip(asked, names, strict=True):
            right = 1.0 if name == "d" else outcomes.correct[time, "abc".index(name)]
            if not forget:
                learner.learn(feedback(time, arm, right))
        return names

    for time in range(100):
        step(time)
    (left, *_) = step(100, forget=True)
    before = dict(zip(learner.models, learner.graded, strict=True))
    learner = learner.with_models(("d", "b", "c"))
    assert learner.graded.tolist() == [0, before["b"], 0]
    assert [learner.models[arm] for _, arm in learner.pending] == [left] * (left != "a")
    for time in range(101, 300):
        names = step(time)
        assert "a" not in names
    path = learner.save(tmp_path / "state.json")
    again = policy.resume(path, ("d", "b", "c"))
    assert again.graded.tolist() == learner.graded.tolist()
    if "LinUCB" not in repr(policy):  # with little optimism it may never ask a new model
        assert learner.graded[0] > 30  # the new one, which is always right, was found
    same = learner.with_models(("d", "b", "c"))
    assert same._state() == learner._state()


def test_each_model_that_joins_is_tried_and_a_window_forgets_those_that_left():
    learner = lab.Thompson(window=4).begin(("a", "b"), np.random.default_rng(0))
    for arm, grade in [(0, 1.0), (1, 0.0), (0, 1.0), (1, 1.0)]:
        learner.graded[arm] += 1
        learner._learn(arm, None, grade)
    learner = learner.with_models(("c", "b"))
    np.testing.assert_array_equal(learner.counts, [[[0, 1], [0, 1]]])
    assert [tuple(x) for x in learner.newest] == [(0, 1, 0.0), (0, 1, 1.0)]
    learner = lab.UCB1().begin(("a", "b"), np.random.default_rng(0))
    for time in range(9):
        (arm,) = learner.choose({}, time)
        learner.learn(feedback(time, arm, 1.0))
    learner = learner.with_models(("a", "b", "new"))
    assert learner.choose({}, 9) == (2,)


# -- a state in a file ----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", budget_bandits(), ids=repr)
def test_it_stops_after_each_step_and_goes_on_as_if_it_had_not(policy, tmp_path):
    outcomes, prices = table(80, [0.3, 0.6, 0.9], 1), [0.1, 0.2, 0.3]

    def live(stopped):
        learner, chosen, waiting = policy.begin(MODELS, np.random.default_rng(5)), [], []
        for time in range(80):
            known = {"length": outcomes.features["length"][time], "group": outcomes.group[time]}
            asked = learner.choose(known, time, prices=prices)
            waiting += [(time, arm) for arm in asked]
            while len(waiting) > 3:  # late
                when, arm = waiting.pop(0)
                learner.learn(feedback(when, arm, outcomes.correct[when, arm], 0.08))
            if stopped:
                learner = policy.resume(learner.save(tmp_path / "state.json"), MODELS)
            chosen.append(asked)
        return chosen

    assert live(True) == live(False)


@pytest.mark.parametrize("policy", budget_bandits(), ids=repr)
def test_states_of_others_are_refused(policy, tmp_path):
    learner = policy.begin(MODELS, np.random.default_rng(0))
    for time in range(5):
        for arm in learner.choose({"length": 0.5, "group": "law"}, time, prices=[0.1, 0.2, 0.3]):
            if time != 2:
                learner.learn(feedback(time, arm, 1.0))
    path = learner.save(tmp_path / "state.json")
    found = json.loads(path.read_text())
    with pytest.raises(ValueError, match="its models is"):
        policy.resume(path, ("a", "b", "d"))
    with pytest.raises(ValueError, match="its policy is"):
        replace(policy, budget=7.5).resume(path, MODELS)
    if isinstance(policy.of, lab.Thompson):
        with pytest.raises(ValueError, match="its policy is"):
            replace(policy, of=lab.UCB1()).resume(path, MODELS)
    wrong = [{"of": {}}, {"of": 3}, {"last": "9"}, {"learned": {}}]
    if "spent" in found:
        wrong += [{"spent": -1}, {"spent": NAN}, {"spent": "x"}, {"reserved": []},
                  {"reserved": [[2, 0, -1.0]]}, {"reserved": 3}]  # fmt: skip
    for part in wrong:
        path.write_text(json.dumps(found | part))
        with pytest.raises(ValueError, match="cannot be resumed"):
            policy.resume(path, MODELS)


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", EVERY, ids=repr)
def test_prices_and_flags_that_mean_nothing_are_refused_and_change_nothing(policy):
    learner, good = policy.begin(MODELS, np.random.default_rng(0)), [0.1, 0.2, 0.3]
    known = {"length": 0.5, "group": "law"}
    for prices in ([0.1, -0.2, 0.3], [NAN, 1, 1], [math.inf, 1, 1], [1, 1], 3, "abc", ["x"] * 3):
        with pytest.raises(ValueError, match="prices are .*; give USD from 0 up"):
            learner.choose(known, 0, prices=prices)
    for flags in ([1, 0, 1], [True], True, "yes", [None, True, True], [0.5, 1.0, 1.0]):
        with pytest.raises(ValueError, match="available is .*; give True or False"):
            learner.choose(known, 0, available=flags, prices=good)
    assert learner.choose(known, 0, available=[False] * 3, prices=good) == ()
    assert learner.asked.sum() == 0 and not learner.pending
    with pytest.raises(ValueError, match="later time"):
        learner.choose(known, 0, prices=good)  # time goes on all the same
    outcomes = table(5, [0.2, 0.5, 0.9], 0)
    for given_ in (
        {"prices": [1.0]},
        {"available": np.ones((4, 3), bool)},
        {"prices": [[1.0] * 3]},
    ):
        with pytest.raises(ValueError, match="has the shape"):
            policy.decide(outcomes, **given_)


def test_policies_without_prices_say_so():
    with pytest.raises(ValueError, match="takes no prices; give a bandit"):
        lab.FollowTheLeader().decide(table(5, [0.2, 0.5], 0), prices=[0.1, 0.2])
    for policy in budget_bandits():
        with pytest.raises(ValueError, match=r"needs the prices: choose\(…, prices"):
            policy.decide(table(5, [0.2, 0.5, 0.7], 0))


@pytest.mark.parametrize("policy", EVERY, ids=repr)
def test_a_stream_of_one_model_and_one_that_ends_early(policy):
    one = table(20, [0.6], 0)
    found = policy.decide(one, prices=[0.1])
    assert found.called.any(axis=1).all() or isinstance(policy, lab.CombinatorialBandit)
    short = policy.decide(table(3, [0.2, 0.5, 0.9], 0), prices=[0.1, 0.2, 0.3], delay=9)
    assert short.called.any(axis=1).all()


@pytest.mark.parametrize(
    "made",
    [lambda: lab.BudgetBandit(-1), lambda: lab.BudgetBandit(1, 0), lambda: lab.BudgetBandit(1, 2.5),
     lambda: lab.BudgetBandit(1, of=lab.MajorityVote()), lambda: lab.BudgetBandit(1, of=lab.UCB1),
     lambda: lab.BudgetBandit(1, of=lab.UCB1(cost_weight=1.0)), lambda: lab.BudgetBandit(NAN),
     lambda: lab.BudgetBandit(1, of=lab.BudgetBandit(1)), lambda: lab.CombinatorialBandit("most"),
     lambda: lab.CombinatorialBandit(size=0), lambda: lab.CombinatorialBandit(size=1.5),
     lambda: lab.CombinatorialBandit(["any"]), lambda: lab.Thompson(cost_weight=-1)],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(made):
    with pytest.raises(ValueError, match=r"BudgetBandit|CombinatorialBandit|Thompson"):
        made()
