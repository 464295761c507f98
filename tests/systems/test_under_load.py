"""Policies under load: by hand, beside simpy, and equal to a plain queue where there is one."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

import ensemble_lab as lab
from tests.systems import peers

serve_policy, under_load = lab.systems.serve_policy, lab.systems.under_load
SPEECH = lab.load_outcomes("audiomnist-services").take(np.arange(0, 30_000, 10))
SECONDS = {"DeepSpeech": 0.1, "Microsoft": 1.0, "IBM": 0.6, "Google": 0.8}
SERVERS = {"DeepSpeech": 1, "Microsoft": 3}
CASCADE = lab.Cascade(("DeepSpeech", "Microsoft"), (0.7,))


def three(latency, confidence=((0.9,) * 3,) * 4, answer=((0, 1, 1),) * 4):
    return lab.Outcomes(
        models=["a", "b", "c"], items=range(4), correct=[[0, 1, 1]] * 4, answer=answer,
        labels=["x", "y"], truth=[1] * 4, confidence=confidence, latency=latency,
    )  # fmt: skip


def test_a_second_stage_begins_when_the_first_is_done():
    table = three([[1, 5, 9]] * 4, confidence=[[0.1, 1, 1], [0.9, 1, 1], [0.1, 1, 1], [0.1, 1, 1]])
    cascade = lab.Cascade(("a", "b"), (0.5,))
    found = serve_policy(cascade, table, {"a": 1, "b": 1}, [0, 0, 0, 10])
    # a: 0-1, 1-2, 2-3, 10-11; b: item 0 at 1-6, item 2 waits from 3 and has 6-11, item 3 11-16.
    assert found.finished.tolist() == [6, 2, 11, 16]
    assert found.waits[:, 0].tolist() == [0, 1, 2, 0]
    assert found.waits[[0, 2, 3], 1].tolist() == [0, 3, 0] and np.isnan(found.waits[1, 1])
    assert found.busy == {"a": 4, "b": 15, "c": 0}
    assert found.utilisation == {"a": 4 / 16, "b": 15 / 16}
    assert found.decision.accuracy == cascade.decide(table).accuracy == 0.75


def test_a_later_item_may_come_first_to_the_second_stage():
    table = three([[9, 2, 1], [1, 2, 1], [9, 2, 1], [9, 2, 1]], confidence=[[0.1, 1, 1]] * 4)
    found = serve_policy(lab.Cascade(("a", "b"), (0.5,)), table, {"a": 4, "b": 1}, [0, 1, 2, 2])
    # Item 1 leaves a at 2; items 0, 2 and 3 at 9, 11 and 11: of equal ones the first number.
    assert found.finished.tolist() == [11, 4, 13, 15]


def test_a_vote_waits_for_its_slowest_member():
    table = three([[1, 2, 3], [3, 1, 1], [1, 1, 1], [2, 2, 4]])
    servers = {"a": 1, "b": 1, "c": 1}
    found = serve_policy(lab.MajorityVote(), table, servers, [0, 0, 10, 10])
    # a: 1, 4, 11, 13; b: 2, 3, 11, 13; c: 3, 4, 11, 15.
    assert found.finished.tolist() == [3, 4, 11, 15] and found.decision.accuracy == 1
    one_by_one = serve_policy(lab.MajorityVote(), table, servers, [0, 20, 40, 60], parallel=False)
    decided = lab.MajorityVote().decide(table, parallel=False)
    assert one_by_one.latency.tolist() == decided.latency.tolist() == [6, 5, 3, 8]


def test_a_wave_of_several_follows_one_of_several():
    """An agreement cascade: two members, then the third where they differ."""
    table = three([[1, 3, 5]] * 4, answer=[[0, 1, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0]])
    policy = lab.AgreementCascade((("a", "b"), ("c",)))
    found = serve_policy(policy, table, {"a": 1, "b": 2, "c": 1}, [0, 0, 0, 0])
    # b has two servers: 3, 3, 6, 6. Items 0 and 2 go on to c at 3 and 6, which is busy up to 8.
    assert found.finished.tolist() == [8, 3, 13, 6]


def test_one_model_is_a_queue_in_turn():
    table = dataclasses.replace(
        SPEECH, latency=np.random.default_rng(0).exponential(size=SPEECH.correct.shape) + 1e-3
    )
    arrivals = lab.systems.poisson_arrivals(2.0, jobs=len(table), rng=1)
    alone = lab.Cascade(("Microsoft",))
    found = serve_policy(alone, table, {"Microsoft": 3}, arrivals)
    column = table.models.index("Microsoft")
    true = lab.systems.simulate(arrivals, table.latency[:, column], lab.systems.FCFS(3))
    assert found.finished.tolist() == true.finished.tolist()
    assert found.waits[:, column].tolist() == true.waits.tolist()


POLICIES = {
    "cascade": CASCADE,
    "cascade of three": lab.Cascade(("DeepSpeech", "IBM", "Microsoft"), (0.6, 0.8)),
    "vote": lab.MajorityVote(),
    "agreement": lab.AgreementCascade((("DeepSpeech", "IBM"), ("Google", "Microsoft"))),
    "budget": lab.BudgetCascade(3e-4),
    "router": lab.RandomRouter(),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("parallel", [True, False])
def test_every_policy_answers_when_simpy_says(name, parallel):
    rng, table = np.random.default_rng(3), SPEECH.take(np.arange(600))
    latency = rng.exponential(size=table.correct.shape) + 1e-3
    table = dataclasses.replace(table, latency=latency)
    policy = POLICIES[name].fit(table)
    arrivals = lab.systems.gamma_arrivals(1.5, 2.0, jobs=600, rng=rng)
    servers = dict(zip(table.models, (1, 2, 3, 2)))
    found = serve_policy(policy, table, servers, arrivals, parallel=parallel)
    waves = [table.columns(wave).tolist() for wave in policy.waves(table.models)]
    if not parallel:
        waves = [[j] for wave in waves for j in wave]
    called = policy.decide(table).called
    true = peers.policy(called, latency, waves, arrivals, [servers[m] for m in table.models])
    np.testing.assert_allclose(found.finished, true, atol=1e-9)
    far = serve_policy(policy, table, servers, np.arange(600) * 1e3, parallel=parallel)
    np.testing.assert_allclose(far.latency, policy.decide(table, parallel=parallel).latency)


@pytest.mark.parametrize("name", POLICIES)
def test_load_changes_no_answer_and_no_price(name):
    policy = POLICIES[name].fit(SPEECH)
    servers = dict.fromkeys(SPEECH.models, 2)
    found = under_load(policy, SPEECH, servers, [0.3, 1.0, 1.8], SECONDS, jobs=2000)
    decision = policy.decide(SPEECH)
    assert set(found["accuracy"]) == {decision.accuracy}
    assert set(found["cost"]) == {decision.mean_cost}
    assert (np.diff(found["latency"]) >= -1e-9).all() and (found["p99"] >= found["p50"]).all()
    assert (found["latency"] >= found["alone"] - 0.1).all() and not found["overloaded"].any()


def test_the_table_over_rates():
    found = under_load(CASCADE, SPEECH, SERVERS, [0.001, 5, 8], SECONDS)
    share = CASCADE.decide(SPEECH).calls["Microsoft"]
    assert np.allclose(found["alone"], 0.1 + share)
    assert found["latency"][0] == pytest.approx(found["alone"][0], rel=0.03)
    assert set(found["busiest"]) == {"DeepSpeech" if 0.1 > share / 3 else "Microsoft"}
    assert found["load"].tolist() == pytest.approx([r * max(0.1, share / 3) for r in found["rate"]])


def test_a_poisson_stream_at_one_model_waits_as_theory_says():
    found = under_load(
        lab.Cascade(("Microsoft",)), SPEECH, {"Microsoft": 1}, [0.8], SECONDS, jobs=400_000
    )
    assert found["latency"][0] == pytest.approx(1 + lab.systems.md1_wait(0.8, 1.0), rel=0.03)


def test_an_overload_is_said_and_marked():
    with pytest.warns(UserWarning, match=r"from 12 items a second .* is overloaded .*add servers"):
        found = under_load(CASCADE, SPEECH, SERVERS, [1, 12], SECONDS, jobs=2000)
    assert found["overloaded"].tolist() == [False, True]


def test_the_same_seed_is_the_same_table_and_few_items_come_again():
    few = SPEECH.take(np.arange(30))
    one, two = (under_load(CASCADE, few, SERVERS, [3.0], SECONDS, jobs=500, rng=4) for _ in "12")
    assert one.equals(two)
    assert not one.equals(under_load(CASCADE, few, SERVERS, [3.0], SECONDS, jobs=500, rng=5))


def test_times_may_be_one_a_call():
    drawn = np.random.default_rng(0).exponential(size=len(SPEECH)) + 1e-3
    arrivals = lab.systems.poisson_arrivals(1.0, jobs=len(SPEECH))
    mixed = {"DeepSpeech": 0.1, "Microsoft": drawn}
    found = serve_policy(CASCADE, SPEECH, SERVERS, arrivals, mixed)
    called = CASCADE.decide(SPEECH).called[:, SPEECH.models.index("Microsoft")]
    assert found.busy["Microsoft"] == pytest.approx(drawn[called].sum())


def test_a_mean_never_stands_without_its_tail():
    arrivals = lab.systems.poisson_arrivals(1.0, jobs=len(SPEECH))
    said = repr(serve_policy(CASCADE, SPEECH, SERVERS, arrivals, SECONDS))
    assert "99% within" in said and "Microsoft" in said and "accuracy" in said


def test_a_stage_that_gives_up_does_not_load_the_next():
    table = three([[1, 2, 3]] * 4, confidence=[[0.0, 1, 1]] * 4)
    policy = lab.Cascade(("a", "b"), (0.5,), abstain=(0.2, 0.2))
    found = serve_policy(policy, table, {"a": 1, "b": 1}, [0, 5, 10, 15])
    assert found.latency.tolist() == [1] * 4 and found.busy["b"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repr(found)
