"""The best cut: brute force, and what more bandwidth does to it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_lab.systems import best_cut, cut_seconds

whole = st.integers(0, 50)
rows = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*[st.lists(whole, min_size=n, max_size=n) for _ in range(3)])
)


def walked(device, server, sent, bandwidth, round_trip):
    """One pass for each cut, layer by layer."""
    found = []
    for cut in range(len(device) + 1):
        clock, on_device = 0.0, True
        for layer in range(len(device)):
            if on_device and layer == cut:  # the data leave the device here
                clock += round_trip + 8 * sent[layer] / bandwidth
                on_device = False
            clock += device[layer] if on_device else server[layer]
        found.append(clock)
    return found


@pytest.mark.parametrize("seed", range(200))
def test_best_cut_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    device = rng.exponential(0.01, n)
    server = device / rng.uniform(0.5, 20)
    sent = rng.uniform(100, 1e5, n)
    bandwidth, round_trip = 10 ** rng.uniform(4, 9), rng.exponential(0.02)
    wanted = walked(device, server, sent, bandwidth, round_trip)
    found = cut_seconds(device, server, sent, bandwidth, round_trip)
    np.testing.assert_allclose(found, wanted)
    assert best_cut(device, server, sent, bandwidth, round_trip) == np.argmin(wanted)


@given(rows, whole)
def test_more_bandwidth_never_moves_it_later_where_data_shrink(three, round_trip):
    device, server, sent = three
    sent = sorted(sent, reverse=True)
    cuts = [best_cut(device, server, sent, 2.0**k, round_trip) for k in range(-3, 12)]
    assert all(later <= before for before, later in pairwise(cuts))


@given(rows, whole)
def test_more_bandwidth_never_sends_less(three, round_trip):
    device, server, sent = three
    cuts = [best_cut(device, server, sent, 2.0**k, round_trip) for k in range(-3, 12)]
    crossing = [[*sent, 0][cut] for cut in cuts]
    assert all(later >= before for before, later in pairwise(crossing))


def test_more_bandwidth_moves_it_later_where_data_grow():
    """A decoder: the second layer makes ten times as much of the data."""
    device, server, sent = [1.0, 1.0, 30.0], [1.0, 1.5, 1.0], [100, 1000, 2000]
    cuts = [best_cut(device, server, sent, bandwidth) for bandwidth in (3000, 1e6)]
    assert cuts[0] < cuts[1]


def test_the_device_alone_pays_for_no_link():
    assert cut_seconds([2.0], [0.5], [1000], 8000, 0.25).tolist() == [1.75, 2.0]
