"""Bandits: hand-computed cases, the same steps as mabwiser, late feedback, a state in a file."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.support.policies import bandits

NAN = math.nan
MODELS = ("a", "b", "c")


def table(n, m, seed, gaps=0.0):
    rng = np.random.default_rng(seed)
    correct = (rng.random((n, m)) < np.linspace(0.3, 0.7, m)).astype(float)
    correct[rng.random((n, m)) < gaps] = NAN
    group = rng.choice(["law", "math"], n)
    return lab.Outcomes(
        models=MODELS[:m],
        items=range(n),
        correct=correct,
        group=group,
        features={"length": rng.random(n)},
    )


def feedback(time, model, grade):
    return lab.Feedback(time, model, grade, NAN, NAN)


def live(policy, outcomes, seed, between=lambda learner: learner):
    """The positions asked, as a program asks that learns from each reply at once."""
    learner, chosen = policy.begin(outcomes.models, np.random.default_rng(seed)), []
    for time, grades in enumerate(outcomes.correct):
        features = {k: v[time].item() for k, v in outcomes.features.items()}
        (arm,) = learner.choose(features | {"group": outcomes.group[time]}, time)
        learner = between(learner)
        learner.learn(feedback(time, arm, grades[arm]))
        learner = between(learner)
        chosen.append(arm)
    return chosen


# -- what all bandits have in common --------------------------------------------------------------


@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_it_stops_after_each_step_and_goes_on_as_if_it_had_not(policy, tmp_path):
    def stopped(learner):
        path = learner.save(tmp_path / "state.json")
        return policy.resume(path, learner.models)

    outcomes = table(60, 3, 1, gaps=0.1)
    whole = live(policy, outcomes, 5)
    assert live(policy, outcomes, 5, stopped) == whole
    asked = policy.decide(outcomes, seed=5).called.argmax(axis=1)
    assert asked.tolist() == whole


@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_live_models_are_asked_as_in_the_replay(policy):
    outcomes = table(40, 3, 2)
    models = {name: lambda item, j=j: outcomes.correct[item, j] for j, name in enumerate(MODELS)}
    learner = policy.begin(MODELS, np.random.default_rng(0))
    for time in range(len(outcomes)):
        known = {"length": outcomes.features["length"][time], "group": outcomes.group[time]}
        (arm,) = learner.choose(known, time)
        reply = lab.run(lab.Cascade((MODELS[arm],)), models, time)
        learner.learn(feedback(time, arm, float(reply.answers[0])))
        assert policy.decide(outcomes.take(range(time + 1))).chosen[-1] == arm
    with pytest.raises(TypeError, match="keep the learner of begin"):
        lab.run(policy, models, 0)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(bandits()), st.integers(0, 999), st.data())
def test_cells_not_asked_for_and_grades_not_yet_due_change_nothing(policy, seed, data):
    outcomes = table(30, 3, seed)
    delay = data.draw(st.lists(st.integers(0, 40), min_size=30, max_size=30))
    found = policy.decide(outcomes, delay=delay, seed=seed)
    changed = np.where(found.called, outcomes.correct, 1 - outcomes.correct)
    again = policy.decide(replace(outcomes, correct=changed), delay=delay, seed=seed)
    np.testing.assert_array_equal(found.chosen, again.chosen)
    cut = data.draw(st.integers(1, 29))
    late = [max(d, cut) for d in delay[:cut]] + delay[cut:]  # no grade before item `cut` is over
    one = policy.decide(outcomes, delay=late, seed=seed)
    other = policy.decide(replace(outcomes, correct=1 - outcomes.correct), delay=late, seed=seed)
    np.testing.assert_array_equal(one.chosen[:cut], other.chosen[:cut])


@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_it_finds_the_only_good_model_late_or_at_once(policy):
    outcomes = replace(table(400, 3, 3), correct=np.tile([0.1, 0.9, 0.2], (400, 1)))
    for delay in (0, 20):
        chosen = policy.decide(outcomes, delay=delay, seed=1).chosen
        assert (chosen[200:] == 1).mean() > 0.6, delay


@pytest.mark.parametrize("policy", bandits(), ids=repr)
@pytest.mark.parametrize("gone", [0, 2])
def test_a_model_that_is_never_available_is_asked_less_and_less(policy, gone):
    outcomes = table(1000, 3, 4)
    correct = np.array(outcomes.correct)
    correct[:, gone] = NAN
    called = policy.decide(replace(outcomes, correct=correct), seed=2).called[:, gone]
    assert called[:100].any() and called[500:].mean() < 0.1


@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_one_model_and_no_grade_at_all(policy):
    assert policy.decide(table(5, 1, 0)).chosen.tolist() == [0] * 5
    nothing = replace(table(30, 3, 0), correct=np.full((30, 3), NAN))
    assert policy.decide(nothing).called.sum() == 30


# -- hand-computed --------------------------------------------------------------------------------


def test_upper_bounds_by_hand():
    learner = lab.UCB1(scale=0.5).begin(MODELS, np.random.default_rng(0))
    for time, grade in enumerate((1.0, 0.0, 0.5)):
        assert learner.choose({}, time) == (time,)
        learner.learn(feedback(time, time, grade))
    # 1, 0, 0.5 plus half of sqrt(2 ln 3) each: the first one.
    assert learner.choose({}, 3) == (0,)
    learner.learn(feedback(3, 0, 0.0))
    # 0.5 + sqrt(ln 4) / 2 = 1.089; 0 + 0.833; 0.5 + sqrt(2 ln 4) / 2 = 1.333: the third one.
    assert learner.choose({}, 4) == (2,)


def test_upper_bounds_by_hand_over_eight_items():
    outcomes = lab.Outcomes(models=["a", "b"], items=range(8), correct=[[0, 1]] * 8)
    # After six items sqrt(2 ln 6) = 1.89 > 1 + sqrt(2 ln 6 / 5) = 1.85; after five 1.79 < 1.90.
    assert lab.UCB1().decide(outcomes).chosen.tolist() == [0, 1, 1, 1, 1, 1, 0, 1]


def test_posteriors_by_hand():
    policy = lab.Thompson(by="group", strength=2)
    learner = policy.begin(("a", "b"), np.random.default_rng(0))
    learner.graded[:] = 1  # both have been graded
    for group, arm, grade in [("x", 0, 1), ("x", 0, 1), ("x", 0, 0), ("x", 0, 0), ("y", 0, 0.25)]:
        learner._learn(arm, group, grade)
    learner._learn(1, "x", 1)
    # In y: 1 + its own 0.25 and 0.75, and the four of x at half their weight.
    np.testing.assert_allclose(learner._beta("y"), [[2.25, 2], [2.75, 1]])
    np.testing.assert_allclose(learner._beta("x"), [[3.25, 2], [3.75, 1]])
    np.testing.assert_allclose(learner._beta("z"), [[1 + 2 * 2.25 / 5, 2], [1 + 2 * 2.75 / 5, 1]])


def test_old_grades_are_discounted_or_leave_the_window():
    grades = [1, 0, 1, 1, 0.5]
    for policy, right, wrong in [
        (lab.Thompson(discount=0.5), 0.5 + 0.5 + 0.25 + 0.0625, 0.5 + 0.125),
        (lab.Thompson(window=3), 2.5, 0.5),
        (lab.Thompson(window=5), 3.5, 1.5),
    ]:
        learner = policy.begin(("a", "b"), np.random.default_rng(0))
        for grade in grades:
            learner._learn(0, None, grade)
        np.testing.assert_allclose(learner.counts[0], [[right, 0], [wrong, 0]])


def test_groups_that_share_all_or_nothing():
    outcomes = table(300, 3, 6)
    plain = lab.Thompson().decide(outcomes, seed=1)
    shared = lab.Thompson(by="group", strength=1e9).decide(outcomes, seed=1)
    np.testing.assert_array_equal(plain.chosen, shared.chosen)
    law = outcomes.take(np.flatnonzero(outcomes.group == "law"))
    alone = lab.Thompson(by="group", strength=0)
    np.testing.assert_array_equal(
        alone.decide(law, seed=1).chosen, lab.Thompson().decide(law, seed=1).chosen
    )
    learner = alone.begin(MODELS, np.random.default_rng(0))
    learner.graded[:] = 1
    learner._learn(0, "law", 1)
    np.testing.assert_array_equal(learner._beta("math"), np.ones((2, 3)))


def test_the_share_of_random_choices_is_epsilon():
    outcomes = replace(table(6000, 3, 7), correct=np.tile([0.0, 1.0, 0.0], (6000, 1)))
    other = (lab.EpsilonGreedy(epsilon=0.3).decide(outcomes, seed=1).chosen != 1).mean()
    assert abs(other - 0.3 * 2 / 3) < 4 * math.sqrt(0.2 * 0.8 / 6000)


@pytest.mark.parametrize("seed", range(5))
def test_the_regret_of_ucb1_is_below_its_bound(seed):
    """Theorem 1 of the paper: 8 ln n / gap + (1 + pi^2 / 3) gap, for two models."""
    n, gap, rng = 5000, 0.2, np.random.default_rng(seed)
    correct = (rng.random((n, 2)) < [0.6, 0.6 - gap]).astype(float)
    outcomes = lab.Outcomes(models=["a", "b"], items=range(n), correct=correct)
    regret = gap * (lab.UCB1().decide(outcomes).chosen == 1).sum()
    assert 0 < regret < 8 * math.log(n) / gap + (1 + math.pi**2 / 3) * gap


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.integers(1, 60))
def test_linear_weights_are_those_of_a_ridge_regression(seed, ridge, n):
    rng = np.random.default_rng(seed)
    policy = lab.LinUCB(features=("u", "v"), groups=("law", "math"), scale=0.7, ridge=ridge)
    learner = policy.begin(MODELS, np.random.default_rng(0))
    rows = {arm: ([], []) for arm in range(3)}

    def item():
        u, v = rng.normal(size=2)
        group = rng.choice(["law", "math", "other"])
        x = [1, u, v, group == "law", group == "math"]
        return {"u": u, "v": v, "group": group}, np.array(x, float)

    for time in range(n):
        features, x = item()
        (arm,) = learner.choose(features, time)
        grade = rng.random()
        learner.learn(feedback(time, arm, grade))
        rows[arm][0].append(x)
        rows[arm][1].append(grade)
    features, x = item()
    bounds = []
    for arm, (xs, grades) in rows.items():
        matrix = np.reshape(xs, (-1, 5))
        a = ridge * np.eye(5) + matrix.T @ matrix
        weights = np.linalg.solve(a, matrix.T @ np.array(grades))
        np.testing.assert_allclose(learner.weights[arm], weights, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(learner.inverse[arm] @ a, np.eye(5), atol=1e-8)
        bounds.append(x @ weights + 0.7 * math.sqrt(x @ np.linalg.solve(a, x)))
    second, best = np.sort(bounds)[-2:]
    if best - second > 1e-8:
        assert learner.choose(features, n) == (np.argmax(bounds),)


def test_a_drawn_prediction_is_that_of_drawn_weights():
    policy = lab.LinThompson(features=("u",), scale=1.2)
    learner = policy.begin(("a", "b"), np.random.default_rng(1))
    learner.graded[:] = 1
    for u, arm, grade in [(0.5, 0, 1), (-1, 0, 0), (0.3, 1, 0.5), (1, 1, 0), (0.2, 0, 1)]:
        learner._learn(arm, [1, u], grade)
    x, rng = np.array([1, 0.7]), np.random.default_rng(2)
    drawn = [
        rng.multivariate_normal(learner.weights[arm], 1.2**2 * learner.inverse[arm], 20_000) @ x
        for arm in (0, 1)
    ]
    share = np.mean(drawn[0] > drawn[1])
    asked = np.mean([learner._scores([1, 0.7]).argmax() == 0 for _ in range(20_000)])
    assert 0.1 < share < 0.9 and abs(asked - share) < 4 * math.sqrt(0.5 / 20_000)


# -- the same steps as mabwiser -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["EpsilonGreedy", "UCB1", "Thompson"])
def test_each_step_is_that_of_mabwiser_with_the_same_draws(kind, seed):
    mab = pytest.importorskip("mabwiser.mab", reason="pip install --no-deps mabwiser")
    ours, theirs = {
        "EpsilonGreedy": (lab.EpsilonGreedy(0.2), mab.LearningPolicy.EpsilonGreedy(0.2)),
        "UCB1": (lab.UCB1(0.7), mab.LearningPolicy.UCB1(alpha=0.7)),
        "Thompson": (lab.Thompson(), mab.LearningPolicy.ThompsonSampling()),
    }[kind]
    outcomes = table(300, 3, seed)
    learner = ours.begin(MODELS, np.random.default_rng(seed))
    peer = mab.MAB([0, 1, 2], theirs, seed=seed)
    # mabwiser does not ask each model once: it is given the first three replies.
    start = 0 if kind == "Thompson" else 3
    for time in range(start):
        assert learner.choose({}, time) == (time,)
        learner.learn(feedback(time, time, outcomes.correct[time, time]))
    first = list(range(start)) or [0]
    peer.fit(first[:start] or [0], outcomes.correct[first, first] if start else [0])
    if not start:  # it must be fitted: take that one grade out again
        peer._imp.arm_to_fail_count[0] -= 1
    for time in range(start, 300):
        (arm,) = learner.choose({}, time)
        assert arm == peer.predict(), time
        learner.learn(feedback(time, arm, outcomes.correct[time, arm]))
        peer.partial_fit([arm], [outcomes.correct[time, arm]])


@pytest.mark.parametrize("seed", range(3))
def test_each_step_of_linucb_is_that_of_mabwiser(seed):
    mab = pytest.importorskip("mabwiser.mab", reason="pip install --no-deps mabwiser")
    outcomes = table(200, 3, seed)
    learner = lab.LinUCB(features=("length",), scale=0.8).begin(MODELS, np.random.default_rng(0))
    peer = mab.MAB([0, 1, 2], mab.LearningPolicy.LinUCB(alpha=0.8, l2_lambda=1.0), seed=seed)
    for time, length in enumerate(outcomes.features["length"].tolist()):
        (arm,) = learner.choose({"length": length}, time)
        grade = outcomes.correct[time, arm]
        learner.learn(feedback(time, arm, grade))
        if time:
            assert arm == peer.predict([[1, length]]), time
            peer.partial_fit([arm], [grade], [[1, length]])
        else:  # it must be fitted first
            assert arm == 0
            peer.fit([arm], [grade], [[1, length]])


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "message"),
    [(1.5, "between 0 and 1"), (-0.1, "-0.1; give"), ("1", "'1'; give"), (True, "True; give"),
     (math.inf, "inf"), (None, "None; give")],
)  # fmt: skip
@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_grades_outside_0_to_1_are_refused_and_change_nothing(policy, grade, message):
    learner = policy.begin(MODELS, np.random.default_rng(0))
    (arm,) = learner.choose({"length": 0.5, "group": "law"}, 0)
    with pytest.raises(ValueError, match=message):
        learner.learn(feedback(0, arm, grade))
    with pytest.raises(ValueError, match="cost is -1"):
        learner.learn(lab.Feedback(0, arm, 1.0, -1.0, NAN))
    learner.learn(feedback(0, arm, 1.0))
    assert learner.graded.sum() == 1


def test_time_goes_forward_and_each_reply_is_graded_once():
    learner = lab.UCB1().begin(MODELS, np.random.default_rng(0))
    learner.choose({}, 4)
    for time in (4, 3, -1, 4.5, "5", True, None):
        with pytest.raises(ValueError, match="time is"):
            learner.choose({}, time)
    with pytest.raises(ValueError, match="model 0 was asked, not 1"):
        learner.learn(feedback(4, 1, 1.0))
    learner.learn(feedback(4, 0, 1.0))
    for time in (4, 5, [4]):
        with pytest.raises(ValueError, match="waits for its grade"):
            learner.learn(feedback(time, 0, 1.0))


def test_features_that_are_not_there_or_are_no_groups():
    learner = lab.Thompson(by="topic").begin(MODELS, np.random.default_rng(0))
    with pytest.raises(KeyError, match="no feature 'topic'"):
        learner.choose({"length": 3}, 0)
    with pytest.raises(ValueError, match="give a text"):
        learner.choose({"topic": ["law"]}, 0)
    assert learner.choose({"topic": NAN}, 0) and list(learner.groups) == [None]
    assert learner.choose({"topic": np.int64(7)}, 1) and list(learner.groups) == [None, 7]
    with pytest.raises(ValueError, match="is inf; give a text"):
        learner.choose({"topic": math.inf}, 2)
    flags = lab.LinUCB(("code",)).begin(MODELS, np.random.default_rng(0))
    assert [flags._context({"code": x}) for x in (True, np.False_, 0.5)] == [
        [1, 1],
        [1, 0],
        [1, 0.5],
    ]


@pytest.mark.parametrize("policy", bandits(), ids=repr)
def test_states_of_others_are_refused(policy, tmp_path):
    learner = policy.begin(MODELS, np.random.default_rng(0))
    for time in range(5):
        (arm,) = learner.choose({"length": 0.5, "group": "law"}, time)
        if time != 2:
            learner.learn(feedback(time, arm, 1.0))
    path = learner.save(tmp_path / "state.json")
    found = json.loads(path.read_text())
    with pytest.raises(ValueError, match="its models is"):
        policy.resume(path, ("a", "b", "d"))
    with pytest.raises(ValueError, match="its policy is"):
        lab.EpsilonGreedy(epsilon=0.123).resume(path, MODELS)
    wrong = [
        {"format": "x"}, {"rng": {}}, {"rng": 3}, {"last": "9"}, {"last": None},
        {"pending": [[99, 0, None]]}, {"pending": [[2, 3, None]]}, {"pending": [2]},
        {"learned": {}}, {"learned": found["learned"] | {"asked": [1, 2]}},
        {"learned": found["learned"] | {"graded": [9, 9, 9]}},
        {"learned": found["learned"] | {"asked": [NAN] * 3}},
    ]  # fmt: skip
    if "inverse" in found["learned"]:
        turned = (-np.array(found["learned"]["inverse"])).tolist()
        wrong += [{"learned": found["learned"] | {"inverse": turned}}]
        wrong += [{"pending": [[2, 0, [1.0, 2.0, 3.0, 4.0, 5.0]]]}, {"pending": [[2, 0, None]]}]
    if "counts" in found:
        wrong += [{"counts": [[1]]}, {"groups": ["x", "x"]}, {"newest": [[7, 0, 1.0]]}]
    for part in wrong:
        path.write_text(json.dumps(found | part))
        with pytest.raises(ValueError, match="cannot be resumed"):
            policy.resume(path, MODELS)
    for text in ("", "[]", "{", '{"format": 1}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match="cannot be resumed"):
            policy.resume(path, MODELS)


def test_another_random_generator_is_not_saved(tmp_path):
    learner = lab.UCB1().begin(MODELS, np.random.Generator(np.random.MT19937(0)))
    with pytest.raises(ValueError, match="MT19937; begin with"):
        learner.save(tmp_path / "state.json")
    with pytest.raises(ValueError, match="rng is 0; give"):
        lab.UCB1().begin(MODELS, 0)


@pytest.mark.parametrize(
    "made",
    [lambda: lab.Thompson(discount=1.5), lambda: lab.Thompson(window=0),
     lambda: lab.Thompson(window=2.5), lambda: lab.Thompson(discount=0.9, window=9),
     lambda: lab.Thompson(by=3), lambda: lab.Thompson(strength=-1), lambda: lab.UCB1(-1),
     lambda: lab.EpsilonGreedy(5), lambda: lab.LinUCB(ridge=0)],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(made):
    with pytest.raises(ValueError, match=r"Thompson|UCB1|EpsilonGreedy|LinUCB"):
        made()


# -- what bandits do on recorded outcomes ---------------------------------------------------------


@pytest.fixture(scope="module")
def streams():
    """Without the model of which 14 % of the grades are unknown: the rest would look better."""
    outcomes = lab.load_outcomes("mmlu-pro-29-llms")
    outcomes = outcomes.select(models=[m for m in outcomes.models if m != "DeepSeek-Coder-V2"])
    return [
        outcomes.take(np.random.default_rng(seed).permutation(len(outcomes))) for seed in range(3)
    ]


def accuracies(policy, streams):
    return [policy.decide(stream, seed=seed).accuracy for seed, stream in enumerate(streams)]


def test_thompson_on_mmlu_pro_loses_few_answers_to_the_best_fixed_model(streams):
    best = np.nanmean(streams[0].correct, axis=0).max()
    assert abs(best - 0.7027) < 5e-5
    plain = accuracies(lab.Thompson(), streams)
    assert abs(np.mean(plain) - 0.6815) < 0.003 and np.std(plain, ddof=1) < 0.004
    assert 200 < (best - np.mean(plain)) * len(streams[0]) < 310  # answers, of 11,990


def test_ucb1_explores_28_models_for_too_long(streams):
    """.597 ± .005 over orders: that is why three of them give .593 here and .605 there.

    Not the reason are ties, who is first, ln(t + 1) (each within .003), or the 29th model, whose
    absent replies cost .002 where they count as wrong. Another width would be seen at once.
    """
    found = accuracies(lab.UCB1(), streams)
    assert abs(np.mean(found) - 0.597) < 0.006 and 0.002 < np.std(found, ddof=1) < 0.01
    assert lab.UCB1(scale=0.5**0.5).decide(streams[0]).accuracy > 0.63
    assert lab.UCB1(scale=1.5**0.5).decide(streams[0]).accuracy < 0.58


def test_categories_cost_a_tenth_unless_they_share_what_is_learned(streams):
    alone = accuracies(lab.Thompson(by="group", strength=0), streams[:2])
    shared = accuracies(lab.Thompson(by="group"), streams[:2])
    assert abs(np.mean(alone) - 0.587) < 0.008 and np.mean(shared) > np.mean(alone) + 0.08
    assert abs(np.mean(shared) - 0.685) < 0.008  # plain Thompson: 0.6815 +- 0.003


def test_a_linear_bandit_pays_for_14_categories_too(streams):
    categories = tuple(sorted(set(streams[0].group.tolist())))
    apart = accuracies(lab.LinThompson(groups=categories), streams[:2])
    together = accuracies(lab.LinThompson(), streams[:2])
    assert abs(np.mean(apart) - 0.645) < 0.03 and np.mean(together) > np.mean(apart) + 0.015


def drift(seed):
    """Is it a prime? March, then June: the better model becomes the worse one."""
    outcomes, rng = lab.load_outcomes("gpt-drift-primes"), np.random.default_rng(seed)
    columns = [
        outcomes.columns(names)
        for names in (("gpt-3.5-turbo-0301", "gpt-4-0314"), ("gpt-3.5-turbo-0613", "gpt-4-0613"))
    ]
    correct = [outcomes.correct[rng.permutation(1000)][:, pair] for pair in columns]
    return lab.Outcomes(
        models=["gpt-3.5", "gpt-4"], items=range(2000), correct=np.concatenate(correct)
    )


def recovery(policy, seed):
    """Items of June until 80 of the last 100 calls went to the better model; inf if never."""
    better = policy.decide(drift(seed), seed=seed).chosen[1000:] == 0
    found = np.flatnonzero(np.convolve(better, np.ones(100), "valid") >= 80)
    return found[0] + 100 if len(found) else math.inf


def test_only_a_bandit_that_forgets_notices_the_drift_in_time():
    never = [math.isinf(recovery(lab.Thompson(), seed)) for seed in range(5)]
    assert sum(never) >= 4
    for policy, mean, spread in [
        (lab.Thompson(discount=0.99), 274, 76),
        (lab.Thompson(discount=0.98), 213, 76),
        (lab.Thompson(window=100), 167, 40),
    ]:
        found = [recovery(policy, seed) for seed in range(5)]
        assert abs(np.mean(found) - mean) < 1.5 * spread and max(found) < 600, (policy, found)
