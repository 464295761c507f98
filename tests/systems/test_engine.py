"""One engine under a load generator: equal to a stepwise one, to `serve` and to the recording."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.engine import plateau_rate, replay_load, stage
from ensemble_lab.systems.simulator.engine_fit import fit_engine
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests

RECORDED = lab.load_curves()
CURVES = {name: rows.set_index("stage") for name, rows in RECORDED.groupby("configuration")}
SLOTS = dict.fromkeys(CURVES, 128) | {"batch_size": 192}
engines = st.builds(
    Engine,
    step=st.floats(0.001, 0.5),
    per_task=st.floats(0, 0.05),
    prompt=st.floats(0, 0.2),
    per_token=st.floats(0, 1e-3),
    slots=st.integers(1, 9),
)


def step_by_step(engine, rate, seconds, in_flight, prompt, output):
    """A generator that counts what is in flight, and an engine that makes every step."""
    n = int(rate * seconds + 1e-9)
    due = np.arange(n) / rate
    sent, first, finished = np.full((3, n), np.nan)
    queue, running, now, freed = [], {}, 0.0, 0.0

    def send(until):
        for request in np.flatnonzero(np.isnan(sent)):
            flight = np.isnan(finished).sum() - np.isnan(sent).sum()
            if due[request] > until or flight >= in_flight:
                break
            sent[request] = max(due[request], freed)
            queue.append(request)

    while np.isnan(finished).any():
        if not running and not queue and due[np.isnan(sent)].size:
            now = max(now, due[np.isnan(sent)][0])
        send(now * (1 + 1e-12))
        reading = 0.0
        while queue and len(running) < engine.slots:
            running[queue.pop(0)] = output
            reading += engine.prompt + engine.per_token * prompt
        now += reading + engine.step + engine.per_task * len(running)
        send(now)  # while the step was made
        for request in list(running):
            running[request] -= 1
            if running[request] == output - 1:
                first[request] = now
            if not running[request]:
                finished[request] = freed = now
                del running[request]
    return sent, first, finished


@settings(max_examples=100, deadline=None)
@given(
    engine=engines,
    rate=st.floats(0.2, 30),
    in_flight=st.integers(1, 30),
    output=st.integers(1, 12),
    prompt=st.integers(0, 300),
)
def test_jumping_equals_making_every_step(engine, rate, in_flight, output, prompt):
    load = rate, 60 / rate, in_flight, prompt, output
    for jumped, stepped in zip(stage(engine, *load), step_by_step(engine, *load), strict=True):
        np.testing.assert_allclose(jumped, stepped, rtol=0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(engine=engines, rate=st.floats(0.2, 30), output=st.integers(1, 12))
def test_one_machine_of_a_cluster_has_the_same_times(engine, rate, output):
    due, first, finished = stage(engine, rate, 80 / rate, np.inf, 100, output)
    n = len(due)
    requests = Requests(due, np.full(n, 100), np.full(n, output))
    served = serve_requests(requests, [Machine(0, engine)], Rule())
    np.testing.assert_allclose(first, served.first, rtol=0, atol=1e-9)
    np.testing.assert_allclose(finished, served.finished, rtol=0, atol=1e-9)


def test_three_requests_by_hand():
    engine = Engine(step=1.0, per_task=0.5, prompt=0.25, slots=2)
    # At 0 the first comes: read for .25, steps of 1.5 end at 1.75 and 3.25. The second comes at 1,
    # is let in at 1.75, read until 2, and both make a step of 2: the first ends at 4. The third,
    # of 2, is let in then and read until 4.25; a step of 2 ends the second, one of 1.5 is its own.
    sent, first, finished = stage(engine, 1.0, 3.0, 440, 0, 2)
    assert sent.tolist() == [0, 1, 2]
    assert first.tolist() == [1.75, 4.0, 6.25]
    assert finished.tolist() == [4.0, 6.25, 7.75]


# -- what users report of load generators: inference-perf 245, 319 and 633, vLLM 21104 and 54101,
# -- and of simulators: LLMServingSim 40 (overload), inference-sim 486 (terms that cannot be told
# -- apart, plateaux predicted too high) and 1275 (whether the server was full)


@pytest.mark.parametrize("in_flight", [1, 7, 128, 200, 440])
def test_what_is_in_flight_never_exceeds_the_limit_and_reaches_it_when_full(in_flight):
    sent, _, finished = stage(Engine(0.007, 1e-4, slots=128), 300.0, 20.0, in_flight)
    assert len(sent) == 6000 and (np.diff(sent) >= 0).all()
    change = np.concatenate([np.ones(len(sent)), -np.ones(len(sent))])
    time = np.concatenate([sent, finished])
    path = np.cumsum(change[np.lexsort((change, time))])  # an answer frees its place first
    assert path.max() == in_flight and path[-1] == 0


def test_requests_are_as_many_and_as_even_as_configured():
    sent, _, _ = stage(Engine(0.007, 1e-4, slots=128), 61.79)
    assert len(sent) == 3707  # as the recording has it
    np.testing.assert_allclose(np.diff(sent), 1 / 61.79)


def test_a_full_engine_is_sent_to_after_the_stage_too():
    sent, _, finished = stage(Engine(0.007, 1e-4, slots=128), 300.0)
    assert len(sent) == 18_000 and sent[-1] > 2 * 60 and finished[-1] > sent[-1]


def test_latency_counts_from_the_sending_and_not_from_when_a_request_was_due():
    engine = Engine(0.007, 1e-4, slots=128)
    held, free = (replay_load(engine, [300], in_flight=n).iloc[0] for n in (440, np.inf))
    assert held.served_rate == pytest.approx(free.served_rate, rel=1e-12)
    assert held.latency_mean_s < 5 < 40 < free.latency_mean_s


@pytest.mark.parametrize("engine", [Engine(0.007, 1e-4, slots=128), Engine(0.02, 0, 0.01, slots=7)])
def test_a_full_engine_keeps_to_its_plateau_and_has_as_many_in_flight_as_it_may(engine):
    plateau = plateau_rate(engine)
    found = replay_load(engine, [1.5 * plateau], seconds=2000 / plateau * 10).iloc[0]
    assert found.served_rate == pytest.approx(plateau, rel=0.01)
    assert found.sent_rate * found.latency_mean_s == pytest.approx(440, rel=0.03)


def test_memory_bounds_what_runs_not_the_nominal_slots():
    narrow, wide = (Engine(0.01, slots=n, capacity=10 * 266) for n in (10, 500))
    a, b = (replay_load(engine, [5, 100], seconds=20) for engine in (narrow, wide))
    pd.testing.assert_frame_equal(a, b)
    assert plateau_rate(wide) == plateau_rate(narrow) == pytest.approx(10 / 0.62)


# -- fitting -------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(step=st.floats(0.004, 0.03), share=st.floats(0.2, 3), slots=st.sampled_from([64, 128, 256]))
def test_an_engine_is_found_again_from_its_own_curve(step, share, slots):
    engine = Engine(step, share * step / slots, slots=slots)
    rates = plateau_rate(engine) * np.array([0.3, 0.6, 0.8])
    found = fit_engine(replay_load(engine, rates), slots)
    assert found.step == pytest.approx(engine.step, rel=0.02)
    assert plateau_rate(found) == pytest.approx(plateau_rate(engine), rel=0.02)


def test_a_curve_cannot_tell_a_prompts_time_from_the_steps_share():
    batch, prompt = Engine(0.007, 1e-4, slots=128), Engine(0.007, 4e-5, 62 * 6e-5, slots=128)
    assert plateau_rate(batch) == pytest.approx(plateau_rate(prompt), rel=1e-12)
    rates = plateau_rate(batch) * np.array([0.2, 0.5, 0.8, 1.3])
    a, b = (replay_load(engine, rates) for engine in (batch, prompt))
    np.testing.assert_allclose(a.latency_mean_s, b.latency_mean_s, rtol=0.02)
    np.testing.assert_allclose(a.served_rate, b.served_rate, rtol=0.01)


def misses(name, stages):
    """Relative misses of served rates and latencies over all stages, of a fit on some."""
    rows = CURVES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = fit_engine(rows.loc[stages], SLOTS[name])
    found = replay_load(engine, rows.requested_rate).set_index(rows.index)
    return (found / rows[found.columns] - 1)[["served_rate", "latency_mean_s"]]


@pytest.mark.parametrize("name", CURVES)
def test_three_rates_predict_the_engine(name):
    missed = misses(name, [1, 2, 3])
    assert missed.served_rate.abs().max() < 0.05
    rows = CURVES[name]
    near = (rows.requested_rate / rows.served_rate.max()).between(0.9, 1.05)
    judged = ~near & (rows.index > 0)
    assert judged.sum() >= 5 and missed.latency_mean_s[judged].abs().max() < 0.10


def test_the_three_lowest_rates_predict_it_badly_and_are_warned_of():
    worst = {name: misses(name, [0, 1, 2]).served_rate.abs().max() for name in CURVES}
    assert max(worst, key=worst.get) == "eagle" and worst["eagle"] > 0.25
    assert sum(miss > 0.1 for miss in worst.values()) == 3
    with pytest.warns(UserWarning, match=r"keeps 32 of 128 slots busy.*add a higher rate"):
        fit_engine(CURVES["eagle"].loc[[0, 1, 2]])


# -- the recording itself ------------------------------------------------------------------------


def test_rate_times_latency_is_in_flight_on_the_recording():
    flight = {name: rows.sent_rate[6] * rows.latency_mean_s[6] for name, rows in CURVES.items()}
    assert all(435 < value < 446 for value in flight.values()), flight
    rows = pd.DataFrame({name: rows.loc[6] for name, rows in CURVES.items()}).T
    running = rows.sent_rate * (rows.latency_mean_s - rows.ttft_mean_s)
    assert (running.drop("v0_engine") / pd.Series(SLOTS).drop("v0_engine") - 1).abs().max() < 0.04


def test_speculation_is_slower_at_every_rate():
    eagle, plain = CURVES["eagle"], CURVES["plain"]
    assert eagle.latency_mean_s[0] == 0.71345 and plain.latency_mean_s[0] == 0.48048
    for (low, below), (high, above) in pairwise(plain.latency_mean_s.items()):
        rates = plain.requested_rate[low], plain.requested_rate[high]
        for rate, latency in zip(eagle.requested_rate, eagle.latency_mean_s, strict=True):
            if rates[0] <= rate <= rates[1]:
                assert latency > np.interp(rate, rates, (below, above))
    best = {name: rows.served_rate.max() for name, rows in CURVES.items()}
    assert round(best["eagle"]) == 68 and round(best["plain"]) == 103
    assert round(best["chunking_and_prefix_caching"]) == 173


# -- bad input -----------------------------------------------------------------------------------

ENGINE = Engine(0.01, slots=4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: replay_load(ENGINE, [1, -2]), "rates=-2.0; give a finite number above 0"),
        (lambda: replay_load(ENGINE, [0]), "rates=0.0"),
        (lambda: replay_load(ENGINE, [np.nan]), r"rates\[0\] is nan"),
        (lambda: replay_load(ENGINE, []), "rates is empty"),
        (lambda: replay_load(ENGINE, [[1, 2]]), "shape"),
        (lambda: replay_load(ENGINE, [1e9]), "6e\\+10 are due.*for 1 to 5,000,000"),
        (lambda: replay_load(ENGINE, [0.01]), "0.6 are due"),
        (lambda: replay_load(ENGINE, [1], output=0), "output=0"),
        (lambda: replay_load(ENGINE, [1], output=2.5), "output=2.5"),
        (lambda: replay_load(ENGINE, [1], in_flight=0), "in_flight=0"),
        (lambda: replay_load(ENGINE, [1], seconds=-1), "seconds=-1"),
        (lambda: replay_load(Engine(0.01, capacity=100), [1]), "266 tokens.*holds 100"),
        (lambda: fit_engine(RECORDED), "6 configurations.*configuration == 'batch_size'"),
        (lambda: fit_engine(CURVES["plain"].loc[[3]]), "two numbers are fitted"),
        (lambda: fit_engine(CURVES["plain"].loc[[4, 5, 6]]), "all 128 slots are taken"),
        (lambda: fit_engine(pd.DataFrame({"rate": [1, 2]})), "needs the columns"),
        (lambda: fit_engine([1, 2]), "needs the columns"),
        (lambda: fit_engine(CURVES["plain"].assign(latency_mean_s=0)), "latency_mean_s holds 0"),
        (lambda: fit_engine(CURVES["plain"], slots=0), "slots=0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_something_else_than_an_engine_is_refused():
    with pytest.raises(TypeError, match="engine is a float; give an Engine"):
        replay_load(0.01, [1])
