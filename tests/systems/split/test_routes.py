"""Petals' route and placement equal brute force over small swarms."""

import math
from itertools import groupby, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab

MILLISECONDS = st.integers(1, 60).map(lambda ms: ms / 1000)


@st.composite
def swarms(draw, most=6):
    blocks = draw(st.integers(1, 5))
    servers = []
    for _ in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, blocks - 1))
        last = draw(st.integers(first + 1, blocks))
        servers.append(lab.Server(first, last, draw(MILLISECONDS), draw(MILLISECONDS)))
    return servers, blocks


def seconds(servers, owners):
    """Time of a token whose block i is computed by server ``owners[i]``."""
    trips = sum(servers[owner].round_trip for owner, _ in groupby(owners))
    return trips + sum(servers[owner].block_seconds for owner in owners)


@settings(max_examples=200, deadline=None)
@given(swarms())
def test_the_route_takes_the_least_time_of_all(swarm):
    servers, blocks = swarm
    held = [[i for i, s in enumerate(servers) if s.first <= b < s.last] for b in range(blocks)]
    if not all(held):
        with pytest.raises(ValueError, match=f"no server holds block {held.index([])} of"):
            lab.quickest_route(servers, blocks)
        return
    route = lab.quickest_route(servers, blocks)
    assert [first for _, first, _ in route] == [0, *(last for _, _, last in route[:-1])]
    assert route[-1][2] == blocks
    owners = [server for server, first, last in route for _ in range(first, last)]
    assert all(owner in of_block for owner, of_block in zip(owners, held))
    best = min(seconds(servers, each) for each in product(*held))
    assert math.isclose(seconds(servers, owners), best, rel_tol=1e-9)


@settings(max_examples=200, deadline=None)
@given(swarms(), st.integers(1, 5))
def test_the_window_is_the_weakest_of_all(swarm, holds):
    servers, blocks = swarm
    holds = min(holds, blocks)
    throughput = [
        math.fsum(1 / s.block_seconds for s in servers if s.first <= b < s.last)
        for b in range(blocks)
    ]
    windows = {start: sorted(throughput[start : start + holds]) for start in range(blocks)}
    windows = {start: window for start, window in windows.items() if len(window) == holds}
    start = lab.weakest_window(servers, blocks, holds)
    assert all(windows[start] <= window for window in windows.values())
    assert all(windows[start] < windows[earlier] for earlier in range(start))
    # Its block that is weakest in the whole swarm gets stronger, if one window reaches it.
    assert min(windows[start]) == min(throughput)


def test_a_far_server_pays_where_it_is_fast_enough():
    near, far = lab.Server(0, 10, 0.010), lab.Server(0, 10, 0.001, round_trip=0.05)
    assert lab.quickest_route([near, far], 10) == [(1, 0, 10)]  # 60 ms, not 100
    slow_link = lab.Server(0, 10, 0.001, round_trip=0.095)
    assert lab.quickest_route([near, slow_link], 10) == [(0, 0, 10)]


def test_a_server_is_left_before_its_end_where_another_is_quicker():
    whole, quick = lab.Server(0, 6, 0.010), lab.Server(3, 6, 0.001, 0.001)
    assert lab.quickest_route([whole, quick], 6) == [(0, 0, 3), (1, 3, 6)]


def test_a_first_server_begins_at_the_first_block():
    assert lab.weakest_window([], 8, 3) == 0
    assert lab.weakest_window([lab.Server(0, 3, 0.01)], 8, 3) == 3
