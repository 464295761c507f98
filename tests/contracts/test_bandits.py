"""Bandits: names of models change nothing; what is wrong is refused in plain words."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, tables
from tests.contracts.registry import collected, contract, quiet
from tests.support.policies import bandits

NAMES = ("EpsilonGreedy", "UCB1", "Thompson", "LinUCB", "LinThompson")


def test_every_bandit_is_here():
    assert {type(policy).__name__ for policy in bandits()} == set(NAMES)


@contract(*NAMES)
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
    policy, seed = data.draw(st.sampled_from(bandits())), data.draw(st.integers(0, 99))
    with quiet():
        one, other = policy.decide(plain, seed=seed), policy.decide(odd, seed=seed)
    np.testing.assert_array_equal(one.called, other.called)
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
