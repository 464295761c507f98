"""Online policies: what was not asked for is never seen, and feedback comes when it is due."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.online import Feedback, OnlinePolicy


@dataclass(frozen=True)
class Scripted(OnlinePolicy):
    """Asks what a script says and writes down all that it sees."""

    script: tuple
    seen: list

    def begin(self, models, rng):
        policy = self

        class Learner:
            def choose(self, features, time):
                policy.seen.append((time, features))
                return policy.script[time]

            def learn(self, feedback):
                policy.seen.append(feedback)

        return Learner()


@dataclass(frozen=True)
class Dithering(OnlinePolicy):
    """Asks one to three models at random, more often those that were right and cheap."""

    def begin(self, models, rng):
        class Learner:
            weight = np.ones(len(models))

            def choose(self, features, time):
                k = rng.integers(1, len(models) + 1)
                tilt = self.weight * (1 + abs(features.get("length", 0)) % 3)
                return rng.choice(len(models), size=k, replace=False, p=tilt / tilt.sum())

            def learn(self, feedback):
                grade, cost = np.nan_to_num([feedback.grade, feedback.cost])
                self.weight[feedback.model] *= np.exp(grade - 0.1 * cost)
                self.weight /= self.weight.max()
                self.weight += 1e-3

        return Learner()


def table(n, m, seed):
    rng = np.random.default_rng(seed)
    correct = (rng.random((n, m)) < 0.6).astype(float)
    correct[rng.random((n, m)) < 0.1] = np.nan
    return lab.Outcomes(
        models=[f"model {j}" for j in range(m)],
        items=range(n),
        correct=correct,
        cost=rng.random((n, m)),
        latency=rng.random((n, m)),
        features={"length": rng.integers(0, 9, n)},
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([lab.FollowTheLeader(), Dithering()]),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_cells_that_were_not_asked_for_change_nothing(policy, n, m, seed, data):
    outcomes = table(n, m, seed)
    delay = data.draw(st.lists(st.integers(0, 2 * n), min_size=n, max_size=n))
    found = policy.decide(outcomes, delay=delay, seed=seed)
    other = table(n, m, seed + 1)
    mixed = {
        name: np.where(found.called, getattr(outcomes, name), getattr(other, name))
        for name in ("cost", "latency")
    }
    # A cell that is absent in one table stays so: whether there is a reply is no grade.
    there = ~np.isnan(outcomes.correct)
    changed = np.where(found.called | ~there, outcomes.correct, 1 - outcomes.correct)
    again = policy.decide(replace(outcomes, correct=changed, **mixed), delay=delay, seed=seed)
    for name in ("chosen", "called", "correct", "cost", "latency"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**32 - 1), st.data())
def test_what_comes_later_changes_nothing_before(n, m, seed, data):
    cut = data.draw(st.integers(1, n - 1))
    whole = Dithering().decide(table(n, m, seed), seed=seed)
    part = Dithering().decide(table(n, m, seed).take(range(cut)), seed=seed)
    np.testing.assert_array_equal(whole.called[:cut], part.called)


def test_feedback_comes_when_it_is_due_and_of_the_asked_alone():
    outcomes = lab.Outcomes(
        models=["a", "b"],
        items=["x", "y", "z"],
        correct=[[1, 0], [0.5, np.nan], [0, 1]],
        cost=[[1, 2], [3, 4], [5, 6]],
        features={"length": [7, 8, 9]},
    )
    seen = []
    decision = Scripted(((1, 0), (1,), (0,)), seen).decide(outcomes, delay=[1, 0, 0])
    nan = pytest.approx(float("nan"), nan_ok=True)
    assert seen == [
        (0, {"length": 7}),
        (1, {"length": 8}),
        Feedback(0, 0, 1.0, 1.0, nan),
        Feedback(0, 1, 0.0, 2.0, nan),
        Feedback(1, 1, nan, 4.0, nan),
        (2, {"length": 9}),
    ]
    assert decision.called.tolist() == [[True, True], [False, True], [True, False]]
    assert decision.chosen.tolist() == [1, lab.core.decision.ABSTAINED, 0]  # absent: no answer
    assert decision.cost.tolist() == [3, 4, 5]


def test_a_group_is_a_feature_unless_there_is_one_of_its_name():
    seen, grouped = [], replace(table(2, 2, 0), group=["law", "math"])
    Scripted((0, 0), seen).decide(grouped)
    assert [seen[0][1]["group"], seen[2][1]["group"]] == ["law", "math"]
    seen.clear()
    Scripted((0, 0), seen).decide(replace(grouped, features={"group": [7, 8]}))
    assert seen[0] == (0, {"group": 7})


def test_follow_the_leader_by_hand():
    right = [[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 1, 1]]
    outcomes = lab.Outcomes(models=["a", "b", "c"], items=range(5), correct=right)
    # After a: 1 of 1, b: 0 of 1, c: 0 of 1 it follows a, which is wrong twice: 1 of 3 still leads.
    assert lab.FollowTheLeader().decide(outcomes).chosen.tolist() == [0, 1, 2, 0, 0]
    # Told a day late, it has two grades at the fourth item and follows a all the same.
    assert lab.FollowTheLeader().decide(outcomes, delay=2).chosen.tolist() == [0, 1, 2, 0, 0]


def test_two_replays_are_the_same_and_leave_the_policy_as_it_was():
    outcomes, policy = table(50, 4, 0), Dithering()
    first, second = (policy.decide(outcomes, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.called, second.called)
    assert policy == Dithering()
    assert (policy.decide(outcomes, seed=4).called != first.called).any()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((2,), r"named 2; models are 0 to 1"),
        ((-1,), r"named -1; models are 0 to 1"),
        ((True,), "named True; models are 0 to 1"),
        (("a",), "named 'a'; models are 0 to 1"),
        ((0, 0), "named a model twice"),
        ({0}, "has no order; give a list"),
    ],
)
def test_a_choice_of_no_such_model_is_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        Scripted((chosen,), []).decide(table(1, 2, 0))


@pytest.mark.parametrize("chosen", [1, np.int64(1), [1], np.array([1])])
def test_one_position_may_come_alone(chosen):
    assert Scripted((chosen,), []).decide(table(1, 2, 0)).called.tolist() == [[False, True]]


@pytest.mark.parametrize("delay", [-1, 1.5, True, "2", [0], [0, None], float("nan")])
def test_a_delay_that_is_no_number_of_items_is_refused(delay):
    with pytest.raises(ValueError, match="delay"):
        lab.FollowTheLeader().decide(table(2, 2, 0), delay=delay)
