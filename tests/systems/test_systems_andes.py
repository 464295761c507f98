"""Andes: areas by hand, the account of a rule against token times, and who is stopped."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.andes import Andes, Streams, gain, quality_of_experience
from ensemble_lab.systems.simulator.cluster import serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests


@pytest.mark.parametrize(
    ("times", "quality"),
    [
        ([1, 2, 3], 1),  # just in time
        ([0, 0, 0], 1),  # early: read in its own time
        ([2, 3, 4], 1 - 3 / 9),  # each 1 s late, and reading ends at 5: 4 + 3 + 2
        ([1, 2, 5], 1 - 2 / 12),  # a gap of 2 s before the last: ends at 6
        ([1, 5, 5], 1 - 6 / 15),  # the last came in time for the first gap, and waits with it
        ([inf, inf, inf], 0),
        ([1, inf, inf], 1 - 3 / 6),  # expected to end at 4
        ([3], 1 - 2 / 3),
    ],
)
def test_areas_by_hand(times, quality):
    assert quality_of_experience(times, 1, 1) == pytest.approx(quality, abs=1e-12)


times = st.lists(st.floats(0, 50), min_size=1, max_size=20).map(sorted)


@given(times, st.floats(0, 10), st.floats(0.1, 10), st.data())
@settings(max_examples=200, deadline=None)
def test_quality_is_a_share_and_falls_with_every_delay(times, due, speed, data):
    quality = quality_of_experience(times, due, speed)
    assert 0 <= quality <= 1
    never_behind = all(t <= due + i / speed for i, t in enumerate(times))
    assert (quality == 1) == never_behind or quality == pytest.approx(1)
    later = np.add(times, data.draw(st.floats(0, 10)))
    assert quality_of_experience(later, due, speed) <= quality + 1e-9
    # Other units of time change nothing.
    assert quality_of_experience(np.multiply(times, 60), due * 60, speed / 60) == pytest.approx(
        quality, abs=1e-9
    )


def test_the_gain_by_hand():
    # Nothing has come: all that was expected within the horizon is lost.
    assert gain(0.5, -0.5, 2.0) == 1
    # Enough to read for the whole horizon.
    assert gain(2.0, 3.0, 2.0) == 0
    # Starved since 6 s: 2 of 8 s can be saved, as areas a sixteenth.
    assert gain(-6.0, 6.0, 2.0) == 1 / 16
    # Not expected within the horizon.
    assert gain(5.0, -5.0, 2.0) == 0


@given(
    seed=st.integers(0, 2**32 - 1),
    step=st.sampled_from([0.05, 0.2, 0.5]),
    period=st.sampled_from([0.3, 1.0, 50.0]),
)
@settings(max_examples=60, deadline=None)
def test_the_account_is_that_of_all_token_times(seed, step, period):
    # One slot: tokens of an answer come a step apart, so that their times are known.
    rng = np.random.default_rng(seed)
    n = 20
    requests = Requests(
        np.cumsum(rng.exponential(6.0, n)), rng.integers(0, 30, n), rng.integers(1, 40, n)
    )
    engine = Engine(step, per_token=0.01)
    rule = Streams(1.0, 4.0, period)
    served = serve_requests(requests, [Machine(0, engine)], rule)
    for i in range(n):
        times = served.first[i] + step * np.arange(requests.output[i])
        expected = quality_of_experience(times, requests.arrival[i] + 1.0, 4.0)
        assert rule.experience[i] == pytest.approx(expected, abs=1e-9)


def test_a_reader_with_enough_to_read_gives_way():
    # 20 tokens a second for a reader of 2: after 1 s the first has ten seconds to read.
    requests = Requests([0.0, 1.0], [20, 20], [100, 20])
    engine = Engine(0.05, per_token=0.01)
    plain, rule = Streams(1.0, 2.0, 0.5), Andes(1.0, 2.0, 0.5, horizon=5.0)
    first_come = serve_requests(requests, [Machine(0, engine)], plain)
    served = serve_requests(requests, [Machine(0, engine)], rule)
    assert first_come.first[1] == pytest.approx(5.45)
    assert plain.experience[1] < 0.8
    assert served.first[1] <= 2.0
    assert rule.experience == pytest.approx([1.0, 1.0])
    assert served.stopped == 1
    assert served.busy[0] == pytest.approx(6.4)  # no step and no prompt twice


def busy(seed, n=600, rate=5.0):
    rng = np.random.default_rng(seed)
    output = np.minimum(rng.geometric(1 / 150, n), 600)
    return Requests(np.cumsum(rng.exponential(1 / rate, n)), rng.integers(50, 500, n), output)


def test_quality_rises_under_load_and_stops_are_counted():
    engine = Engine(0.02, 0.0004, per_token=0.0001, slots=24, capacity=12000)
    requests = busy(0)
    plain, rule = Streams(), Andes()
    first_come = serve_requests(requests, [Machine(0, engine)], plain)
    served = serve_requests(requests, [Machine(0, engine)], rule)
    assert np.mean(rule.experience) > np.mean(plain.experience) + 0.2
    assert 0 < served.stopped <= len(requests)
    assert np.isfinite(served.finished).all()
    # What is better for most is worse for some.
    assert served.quantile(0.99) > first_come.quantile(0.99)


def test_without_load_nobody_is_stopped():
    engine = Engine(0.02, 0.0004, slots=64)
    requests = busy(1, n=100, rate=1.0)
    rule = Andes()
    served = serve_requests(requests, [Machine(0, engine)], rule)
    assert served.stopped == 0
    assert rule.experience == pytest.approx([1.0] * 100)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], 0, 1), "one time a token"),
        (([2, 1], 0, 1), "not in order"),
        (([np.nan], 0, 1), "not in order"),
        (([1], np.nan, 1), "due=nan"),
        (([1], 0, 0), "speed=0"),
        (([1], 0, np.nan), "speed=nan"),
    ],
)
def test_bad_streams_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        quality_of_experience(*arguments)


@pytest.mark.parametrize("values", [{"wait": 0}, {"speed": -1}, {"period": np.inf}, {"horizon": 0}])
def test_bad_settings_are_named(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"{name}="):
        Andes(**values)
