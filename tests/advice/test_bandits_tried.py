"""Bandits in an advice: which ones a table with a clock allows, and what they see."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.advice.bandits import Scaled, bandits
from ensemble_lab.advice.pool import candidates
from tests.advice.tables import services

TABLE = services()
BARE = {"follow the leader", "Thompson sampling", "epsilon-greedy", "UCB1",
        "Thompson sampling that forgets"}  # fmt: skip
LINEAR = {"LinUCB", "linear Thompson sampling"}


def table_with(**fields):
    return lab.Outcomes(models=TABLE.models, items=TABLE.items, correct=TABLE.correct, **fields)


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({}, set()),
        ({"group": TABLE.group}, LINEAR | {"Thompson sampling by group"}),
        ({"group": ["all"] * 300}, set()),
        ({"group": [0.5, 1.5] * 150}, set()),  # a group is a text or a whole number
        ({"features": {"length": TABLE.features["length"]}}, LINEAR),
        ({"features": {"length": [7.0] * 300}}, set()),  # tells nothing
        ({"features": {"length": [1.0, np.nan] * 150}}, set()),
        ({"features": {"topic": ["law", "math"] * 150}}, set()),
    ],
)
def test_what_a_table_has_decides_which_bandits_are_tried(fields, more):
    table = table_with(**fields)
    assert set(bandits(table)) == BARE | more
    assert {c.name for c in candidates(table, online=True) if c.family == "online"} == BARE | more
    assert not [c for c in candidates(table) if c.family == "online"]


def test_costly_bandits_are_left_to_thorough():
    rng = np.random.default_rng(0)
    table = lab.Outcomes(models=[f"m{j}" for j in range(100)], items=range(60),
                         correct=rng.integers(0, 2, (60, 100)),
                         features={f"x{j}": rng.random(60) for j in range(30)})  # fmt: skip
    assert not LINEAR & set(bandits(table)) and set(bandits(table, thorough=True)) >= LINEAR
    long = lab.Outcomes(models=["a", "b"], items=range(100_001), correct=np.ones((100_001, 2)))
    assert set(bandits(long)) == {"follow the leader", "Thompson sampling"}
    assert set(bandits(long, thorough=True)) == BARE


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 999))
def test_greedy_without_exploration_follows_the_leader(n, m, seed):
    rng = np.random.default_rng(seed)
    grades = rng.choice([0, 0.5, 1, np.nan], (n, m))
    table = lab.Outcomes(models=[f"m{j}" for j in range(m)], items=range(n), correct=grades)
    greedy, leader = bandits(table)["follow the leader"].decide(table), lab.FollowTheLeader()
    assert np.array_equal(greedy.called, leader.decide(table).called)


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_a_scaled_bandit_is_the_bandit_on_scaled_features(name):
    policy = bandits(TABLE)[name]
    assert isinstance(policy, Scaled)
    scaled = {k: (v - v.mean()) / v.std() for k, v in TABLE.features.items()}
    other = replace(TABLE, features=scaled)
    for seed in range(3):
        one, two = policy.decide(TABLE, seed=seed), policy.of.decide(other, seed=seed)
        assert np.array_equal(one.chosen, two.chosen)
    assert not np.array_equal(one.chosen, policy.of.decide(TABLE, seed=seed).chosen)


def test_a_scaled_bandit_refuses_what_the_bandit_refuses():
    learner = bandits(TABLE)["LinUCB"].begin(TABLE.models, np.random.default_rng(0))
    for features, why in (({"hour": 1}, "no feature 'length'"), ({"hour": "9", "length": 1}, "'9'"),
                          ({"hour": np.inf, "length": 1}, "inf")):  # fmt: skip
        with pytest.raises((ValueError, KeyError), match=why):
            learner.choose({"group": "easy", **features}, 0)
    assert learner.choose({"hour": np.int64(3), "length": 0.5, "group": "new"}, 0) == (0,)


def test_cells_that_were_not_asked_for_change_no_choice():
    for name, policy in bandits(TABLE).items():
        found = policy.decide(TABLE)
        other = np.where(found.called, TABLE.correct, 1 - TABLE.correct)
        assert np.array_equal(policy.decide(replace(TABLE, correct=other)).called, found.called), (
            name
        )


def test_where_the_models_change_places_a_bandit_is_advised():
    n, rng = 2_000, np.random.default_rng(0)
    chance = np.where(np.arange(n)[:, None] < n // 2, [0.9, 0.5], [0.5, 0.9])
    table = lab.Outcomes(models=["a", "b"], items=range(n), correct=rng.random((n, 2)) < chance)
    found = lab.advise(table, time=range(n), progress=False)
    assert found.chosen in {"UCB1", "Thompson sampling that forgets"}
    assert found.accuracy.low > found.best_single.accuracy + 0.05
    assert found.sentence().startswith(f"Let {found.chosen} choose a model for each request")
    # Its accuracy is that of the replay, in the rows after the first block.
    judged = found.scores.fold >= 0
    right = found.policy.decide(table).correct[judged].mean()
    row = found.frontier.set_index("candidate").loc[found.chosen]
    assert row["accuracy"] == pytest.approx(right)
