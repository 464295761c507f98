"""Bandits: names of models change nothing; what is wrong is refused in plain words."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, tables
from tests.contracts.registry import collected, contract, quiet
from tests.support.policies import bandits, budget_bandits

NAMES = ("EpsilonGreedy", "UCB1", "Thompson", "LinUCB", "LinThompson")
BUDGETS = ("BudgetBandit", "CombinatorialBandit")


def test_every_bandit_is_here():
    assert {type(policy).__name__ for policy in bandits()} == set(NAMES)
    assert {type(policy).__name__ for policy in budget_bandits()} == set(BUDGETS)


@contract(*NAMES, *BUDGETS)
@examples(40)
@given(table=tables(answers=False, graded=True, facts=False), data=st.data())
def test_names_of_models_and_items_change_nothing(table, data):
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    outcomes = lab.Outcomes(**arrays(table))
    n, m = outcomes.correct.shape
    features = {"length": np.arange(n) / n}
    group = np.resize(["law", "math"], n)
    plain = lab.Outcomes(
        models=[f"m{j}" for j in range(m)],
        items=range(n),
        correct=outcomes.correct,
        features=features,
        group=group,
    )
    odd = lab.Outcomes(
        models=outcomes.models,
        items=outcomes.items,
        correct=outcomes.correct,
        features=features,
        group=group,
    )
    every = bandits() + budget_bandits()
    policy, seed = data.draw(st.sampled_from(every)), data.draw(st.integers(0, 99))
    with quiet():
        one, other = (policy.decide(x, seed=seed, prices=np.full(m, 0.1)) for x in (plain, odd))
    np.testing.assert_array_equal(one.called, other.called)
    if type(policy).__name__ != "CombinatorialBandit":
        assert (one.called.sum(axis=1) == 1).all()


@contract(*NAMES)
def test_bandits_refuse_what_is_no_table_no_state_and_no_feedback(tmp_path):
    calls = {}
    for policy in bandits():
        learner = policy.begin(("a", "b"), np.random.default_rng(0))
        learner.choose({"length": 0.5, "group": "law"}, 0)
        kind, nothing = repr(policy), tmp_path / "x.json"
        nothing.write_text("{}")
        calls |= {f"{kind} {x!r}": lambda p=policy, x=x: p.decide(x) for x in (None, [1], "t.csv")}
        calls |= {
            f"{kind} grade {x!r}": lambda learner=learner, x=x: learner.learn(
                lab.Feedback(0, 0, x, math.nan, math.nan)
            )
            for x in ("1", None, 1.1, -1, 1j, [1], math.inf)
        }
        calls |= {
            f"{kind} models {x!r}": lambda p=policy, x=x: p.begin(x, np.random.default_rng(0))
            for x in ((), "ab", ("a", "a"), (1, 2), None)
        }
        calls |= {
            f"{kind} rng": lambda p=policy: p.begin(("a",), 3),
            f"{kind} no file": lambda p=policy: p.resume(tmp_path / "none.json", ("a", "b")),
            f"{kind} folder": lambda p=policy: p.resume(tmp_path, ("a", "b")),
            f"{kind} path": lambda p=policy: p.resume(None, ("a", "b")),
            f"{kind} state": lambda p=policy, f=nothing: p.resume(f, ("a", "b")),
        }
    calls |= {f"epsilon {x!r}": lambda x=x: lab.EpsilonGreedy(x) for x in (2, "1", None, math.nan)}
    calls |= {f"scale {x!r}": lambda x=x: lab.UCB1(x) for x in (-1, "1", None, math.nan)}
    calls |= {f"discount {x!r}": lambda x=x: lab.Thompson(x) for x in (-1, 2, "1", math.nan)}
    calls |= {f"by {x!r}": lambda x=x: lab.Thompson(by=x) for x in (3, ["group"], True)}
    for kind in (lab.LinUCB, lab.LinThompson):
        for settings in ({"features": "length"}, {"features": (0.5,)}, {"features": ("a", "a")},
                         {"groups": 3}, {"groups": ([],)}, {"groups": {"a": 1}}, {"scale": -1},
                         {"ridge": 0}, {"ridge": "1"}):  # fmt: skip
            calls[f"{kind.__name__} {settings}"] = lambda k=kind, s=settings: k(**s)
        learner = kind(("x",)).begin(("a", "b"), np.random.default_rng(0))
        for x in (None, "1", math.nan, math.inf, [1], 1j):
            calls[f"{kind.__name__} x {x!r}"] = lambda k=learner, x=x: k.choose({"x": x}, 0)
        calls[f"{kind.__name__} no x"] = lambda k=learner: k.choose({"y": 1}, 0)
    collected(calls)


@contract(*NAMES, *BUDGETS)
def test_prices_and_models_that_users_of_bandits_bring():
    """As reported to libraries of bandits and gateways.

    A subset of the models at this moment, one that joins, names instead of positions, prices of the
    wrong sign or unknown, a price for too few models, and flags as numbers or texts.
    """
    calls, known = {}, {"length": 0.5, "group": "law"}
    for policy in bandits() + budget_bandits():
        kind = repr(policy)
        learner = policy.begin(("a", "b"), np.random.default_rng(0))
        for form in (list, tuple, np.array):  # any form of the same flags and prices
            one = policy.begin(("a", "b"), np.random.default_rng(0))
            asked = one.choose(known, 0, available=form([False, True]), prices=form([0.1, 0.2]))
            assert asked in ((1,), ()) and (asked or "Combinatorial" in kind)
        assert learner.with_models(("b", "c", "a")).models == ("b", "c", "a")
        wrong = (-1, "0.1", [0.1], [0.1, -0.1], [0.1, math.nan], [0.1, math.inf], {"a": 1},
                 [[0.1, 0.2]], ["x", "y"], [None, 1])  # fmt: skip
        calls |= {
            f"{kind} prices {x!r}": lambda k=learner, x=x: k.choose(known, 0, prices=x)
            for x in wrong
        }
        calls |= {
            f"{kind} available {x!r}": lambda k=learner, x=x: k.choose(
                known, 0, available=x, prices=[0.1, 0.2]
            )
            for x in (True, "a", ["a", "b"], [1, 0], [True], [True, None], {"a": True})
        }
        calls |= {
            f"{kind} with models {x!r}": lambda k=learner, x=x: k.with_models(x)
            for x in ((), "ab", ("a", "a"), (1, 2), None)
        }
    for kind in (lab.BudgetBandit, lab.CombinatorialBandit):
        for x in (-1, "1", None, math.nan, math.inf):
            calls[f"{kind.__name__} budget {x!r}"] = lambda k=kind, x=x: k(budget=x)
        for x in (None, "Thompson", lab.Thompson, lab.MajorityVote(), lab.UCB1(cost_weight=1.0)):
            calls[f"{kind.__name__} of {x!r}"] = lambda k=kind, x=x: k(of=x)
    for x in (0, -1, 2.5, "9", None, True):
        calls[f"horizon {x!r}"] = lambda x=x: lab.BudgetBandit(horizon=x)
        calls[f"size {x!r}"] = lambda x=x: lab.CombinatorialBandit(size=x)
    for x in ("AWC", None, 1, ["any"]):
        calls[f"reward {x!r}"] = lambda x=x: lab.CombinatorialBandit(reward=x)
    collected(calls)


@contract("knapsack_bound")
def test_knapsacks_of_other_forms_and_what_are_none():
    value, price = [[0.5, 1.0], [0.9, 1.0]], [1, 3]
    true = lab.knapsack_bound(value, price, 4)
    for form in (np.array, pd.DataFrame, tuple, np.float32):
        assert lab.knapsack_bound(form(value), price, 4) == pytest.approx(true)
    wrong = {
        "values": [(x, price, 1) for x in (None, 3, "v", [1, 2], [[math.nan, 1]], [["a", "b"]])],
        "prices": [(value, x, 1) for x in (None, 3, "p", [1], [1, -1], [1, math.nan], [[1, 2]])],
        "budget": [(value, price, x) for x in (None, -1, "1$", math.nan, math.inf, [1])],
    }
    collected({f"{name} {g!r}": lambda g=g: lab.knapsack_bound(*g)
               for name, cases in wrong.items() for g in cases})  # fmt: skip


@contract("GuidedRouter")
def test_a_guided_router_refuses_what_it_cannot_ask():
    policy = lab.GuidedRouter("weak", "guided", "strong", features=("x",))
    learner = policy.begin(policy.models, np.random.default_rng(0))
    models = {"weak": lambda item: 1, "strong": lambda item: 1}
    calls = {
        f"item {x!r}": lambda x=x: learner.ask(models, x, {"x": 0.0})
        for x in (None, 3, b"a", ["a"])
    }
    calls |= {
        f"features {x!r}": lambda x=x: learner.ask(models, "a", x)
        for x in ({}, None, 3, {"x": None}, {"x": math.nan}, {"x": "1"}, {"y": 1.0})
    }
    calls |= {
        f"models {x!r}": lambda x=x: learner.ask(x, "a", {"x": 0.0})
        for x in ({}, None, {"weak": models["weak"]}, {"weak": 3, "strong": 4})
    }
    calls |= {
        f"table {x!r}": lambda x=x: policy.decide(x)
        for x in (None, lab.Outcomes(models=["weak", "strong"], items=[0], correct=[[1, 1]]))
    }
    calls |= {
        f"settings {x!r}": lambda x=x: lab.GuidedRouter(*x)
        for x in (("a", "b", "b", ("x",)), ("a", 3, "c", ("x",)), ("a", "b", "c", 3),
                  ("a", "b", "c", ("x",), -1.0), ("a", "b", "c", ("x",), 1.0, 0.2))
    }  # fmt: skip
    collected(calls)
    assert learner.last == -1 and not learner.answers


@contract("GuidedRouter")
@examples(40)
@given(table=tables(answers=False, graded=True, facts=False), seed=st.integers(0, 99))
def test_a_guided_router_replays_any_table_that_has_its_models(table, seed):
    assume(not any(type(label).__name__ == "Decimal" for label in table.labels()))
    outcomes = lab.Outcomes(**arrays(table))
    assume(len(outcomes.models) >= 3)
    weak, guided, strong, *_ = outcomes.models
    place = np.random.default_rng(seed).random(len(outcomes))
    outcomes = lab.Outcomes(models=outcomes.models, items=outcomes.items,
                            correct=outcomes.correct, features={"x": place})  # fmt: skip
    policy = lab.GuidedRouter(weak, guided, strong, features=("x",), radius=0.2)
    with quiet():
        found = policy.decide(outcomes)
    assert found.called.any(axis=1).all() and not found.called[:, 3:].any()
