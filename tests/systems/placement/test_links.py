"""Length, early exit, speculation, and experts behind links: by hand and by brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_lab.systems import (
    channel_gate,
    early_exit_seconds,
    place_by_length,
    seconds_per_token,
)


@pytest.mark.parametrize("seed", range(50))
def test_an_input_goes_where_it_takes_less(seed):
    rng = np.random.default_rng(seed)
    device, server, link = rng.random(2), rng.random(2) / 3, 3 * rng.random()
    lengths = rng.integers(0, 40, 100)
    sent = place_by_length(lengths, device, server, link)
    for length, there in zip(lengths, sent):
        here, beyond = device[0] + device[1] * length, link + server[0] + server[1] * length
        assert there == (beyond < here)
    if device[1] > server[1]:  # the length at which both are equal, in closed form
        equal = (server[0] + link - device[0]) / (device[1] - server[1])
        assert (sent == (lengths > equal)).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_an_early_exit_pays_above_its_share(confidence, threshold):
    device, remote = 0.25, 0.75
    found = early_exit_seconds(confidence, threshold, device, remote)
    kept = np.mean([c >= threshold for c in confidence])
    assert found.mean() == pytest.approx(device + (1 - kept) * remote)
    if abs(kept - device / remote) > 1e-9:
        assert (found.mean() < remote) == (kept > device / remote)


def test_nobody_or_everybody_leaves_early():
    assert early_exit_seconds([0.3, 1.0], 0, 0.1, 1).tolist() == [0.1, 0.1]
    np.testing.assert_allclose(early_exit_seconds([0.3, 0.9], 1, 0.1, 1), [1.1, 1.1])


@pytest.mark.parametrize("accept", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("gamma", [1, 4])
def test_the_time_for_a_token_is_that_of_a_walk_through_rounds(accept, gamma):
    """Rounds of drafting, a trip there, checking, a trip back, for each of five seeds."""
    draft, verify, one_way = 0.002, 0.030, 0.025
    wanted = (1 - accept ** (gamma + 1)) / (1 - accept)
    expected = seconds_per_token(verify, 2 * one_way, gamma * draft, wanted)
    found = []
    for seed in range(5):
        rng, clock, written = np.random.default_rng(seed), 0.0, 0
        for _ in range(4000):
            clock += gamma * draft + one_way + verify + one_way
            accepted = 0
            while accepted < gamma and rng.random() < accept:
                accepted += 1
            written += accepted + 1
        found.append(clock / written)
    spread = max(np.std(found), 1e-9)
    assert abs(np.mean(found) - expected) < 4 * spread


def test_the_round_trip_is_divided_too():
    plain, rounds = seconds_per_token(0.025, 0.05), seconds_per_token(0.025, 0.05, tokens=2)
    assert [plain, rounds] == pytest.approx([0.075, 0.0375])
    assert seconds_per_token(0.025, 0) == 0.025


# -- experts behind links -------------------------------------------------------------------------


def worth(relevance, seconds, asked, price):
    return sum(relevance[i] for i in asked) - price * max(seconds[i] for i in asked)


@pytest.mark.parametrize("seed", range(200))
def test_the_gate_takes_the_best_of_all_sets(seed):
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, 8))
    k, price = int(rng.integers(1, experts + 1)), rng.exponential(1.0)
    relevance = rng.dirichlet(np.ones(experts), 6)
    seconds = rng.exponential(0.5, experts)
    chosen = channel_gate(relevance, seconds, k, price)
    assert (chosen.sum(1) == k).all()
    for one, asked in zip(relevance, chosen):
        best = max(worth(one, seconds, s, price) for s in combinations(range(experts), k))
        assert worth(one, seconds, np.flatnonzero(asked), price) == pytest.approx(best)


def test_without_a_price_it_is_the_usual_gate_and_with_a_high_one_the_fastest():
    relevance, seconds = np.array([[0.5, 0.3, 0.15, 0.05]]), [0.9, 0.5, 0.2, 0.1]
    assert channel_gate(relevance, seconds, 2)[0].tolist() == [True, True, False, False]
    assert channel_gate(relevance, seconds, 2, 100)[0].tolist() == [False, False, True, True]


@given(st.floats(0, 5), st.floats(0, 5), st.integers(0, 99))
def test_a_higher_price_never_waits_longer(price, more, seed):
    rng = np.random.default_rng(seed)
    relevance, seconds = rng.dirichlet(np.ones(5), 4), rng.exponential(0.5, 5)
    waits = [
        np.where(channel_gate(relevance, seconds, 2, p), seconds, 0).max(1)
        for p in (price, price + more + 1e-6)
    ]
    assert (waits[1] <= waits[0] + 1e-12).all()
