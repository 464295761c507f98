"""Preble: what is held, who is chosen, and what it comes to where nothing is shared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.systems.rules.preble import Cached, Preble, prefixes
from ensemble_lab.systems.simulator.cluster import serve_requests
from ensemble_lab.systems.simulator.machine import Engine, Machine
from ensemble_lab.systems.simulator.requests import Requests

ENGINE = Engine(0.01, 0.0001, per_token=0.0001, slots=16)


class Chosen:
    """Notes which machine each request went to."""

    def place(self, task, cluster):
        machine = super().place(task, cluster)
        self.__dict__.setdefault("went", []).append(machine.number)
        return machine


class Noted(Chosen, Preble):
    pass


class RoundRobin(Chosen, Cached):
    def choose(self, task, cached, cluster):
        return task.request % len(cached)


class LongestPrefix(Chosen, Cached):
    def choose(self, task, cached, cluster):
        return cached.index(max(cached))


def conversations(seed, n=400, users=40, rate=8.0, block=16):
    """Each turn of a user repeats all that was said before; all begin with one system prompt."""
    rng = np.random.default_rng(seed)
    said = {user: [0] for user in range(users)}
    blocks = []
    for turn in range(n):
        user = int(rng.integers(users))
        said[user] = [*said[user], *range(1 + 9 * turn, 1 + 9 * turn + int(rng.integers(2, 9)))]
        blocks.append(tuple(said[user]))
    prompt = np.array([len(ids) * block for ids in blocks])
    return Requests(
        np.cumsum(rng.exponential(1 / rate, n)),
        prompt,
        rng.integers(1, 30, n),
        blocks=tuple(blocks),
    )


def run(requests, rule, machines=4, engine=ENGINE):
    return serve_requests(requests, [Machine(m, engine) for m in range(machines)], rule)


def test_it_is_round_robin_where_no_prefix_is_shared():
    n = 60
    requests = Requests(
        np.arange(n) * 0.1, np.full(n, 64), np.full(n, 5), blocks=tuple((i,) for i in range(n))
    )
    for window in (1e9, 1.0, 0.25):
        rule, turns = Noted(64, window=window), RoundRobin(64)
        served, even = run(requests, rule, 3), run(requests, turns, 3)
        assert rule.went == turns.went
        assert rule.hits == turns.hits == 0
        assert served.finished.tolist() == even.finished.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_it_is_the_least_work_where_no_prefix_is_shared(seed, machines):
    rng = np.random.default_rng(seed)
    n, prompt = 40, rng.integers(1, 10**9, 40)
    arrival, blocks = np.sort(rng.uniform(0, 5, n)), tuple((i,) for i in range(n))
    requests = Requests(arrival, prompt, np.ones(n, int), blocks=blocks)
    rule, work, expected = Noted(500, window=1e9), [(0, -1)] * machines, []
    # An engine without steps to speak of: reading is all the work.
    engine = Engine(1e-12, per_token=1e-9, slots=4)
    run(requests, rule, machines, engine)
    for tokens in prompt:
        m = min(range(machines), key=work.__getitem__)
        work[m] = (work[m][0] + tokens, len(expected))
        expected.append(m)
    assert rule.went == expected


def brute_force(blocks, went, machines, cache):
    """Blocks of each prompt in the cache of its machine, by lists of whole beginnings."""
    kept, found = [[] for _ in range(machines)], []
    for ids, m in zip(blocks, went, strict=True):
        beginnings = [tuple(ids[: i + 1]) for i in range(len(ids))]
        hit = 0
        while hit < len(ids) and beginnings[hit] in kept[m]:
            hit += 1
        found.append(hit)
        for beginning in reversed(beginnings):
            if beginning in kept[m]:
                kept[m].remove(beginning)
            kept[m].append(beginning)
        del kept[m][: max(0, len(kept[m]) - cache)]
    return found


@given(
    blocks=st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=30),
    cache=st.integers(1, 12),
    machines=st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_hits_are_those_of_whole_beginnings(blocks, cache, machines):
    # Ids repeat at other places and after other blocks: only equal beginnings are hits.
    n = len(blocks)
    requests = Requests(
        np.arange(n), [8 * len(ids) for ids in blocks], np.ones(n, int), blocks=tuple(blocks)
    )
    for rule in (Noted(8, cache), RoundRobin(8, cache), LongestPrefix(8, cache)):
        run(requests, rule, machines)
        hits = brute_force(blocks, rule.went, machines, cache)
        tokens = [
            min(8 * hit, max(8 * len(ids) - 1, 0)) for hit, ids in zip(hits, blocks, strict=True)
        ]
        assert rule.hits == sum(tokens)
        assert rule.tokens == 8 * sum(map(len, blocks))


def test_equal_ids_after_other_beginnings_are_other_prefixes():
    assert prefixes([(1, 2), (3, 2), (1, 2, 3), ()]) == [[0, 1], [2, 3], [0, 1, 4], []]


def test_conversations_stay_where_they_are_held():
    requests = conversations(0)
    rule, turns = Noted(16), RoundRobin(16)
    served, even = run(requests, rule), run(requests, turns)
    assert rule.hits / rule.tokens > turns.hits / turns.tokens + 0.1
    assert np.mean(served.first - requests.arrival) < np.mean(even.first - requests.arrival)
    assert min(np.bincount(rule.went, minlength=4)) > 60


def test_one_system_prompt_does_not_draw_all_to_one_machine():
    # All share one block. The longest prefix alone sends every request to one machine.
    n = 200
    requests = Requests(
        np.arange(n) * 0.02,
        np.full(n, 160),
        np.full(n, 10),
        blocks=tuple((0, *range(1 + 9 * i, 10 + 9 * i)) for i in range(n)),
    )
    alone, rule = LongestPrefix(16), Noted(16)
    run(requests, alone)
    run(requests, rule)
    assert set(alone.went) == {0}
    assert np.bincount(rule.went, minlength=4).min() >= 45


def test_equal_prompts_are_stolen_from_the_holder():
    # One hot prompt: the holder answers until it has 1.5 times the work of the least loaded.
    n = 100
    requests = Requests(
        np.arange(n) * 0.01, np.full(n, 64), np.full(n, 20), blocks=tuple((0, 1) for _ in range(n))
    )
    rule, faithful = Noted(32), LongestPrefix(32)
    run(requests, rule, 3)
    run(requests, faithful, 3)
    assert set(faithful.went) == {0}
    assert set(rule.went) == {0, 1, 2}


@pytest.mark.parametrize(("shared", "machine"), [(2, 1), (6, 0)])
def test_less_than_half_of_a_prompt_is_no_reason_to_follow_it(shared, machine):
    # Machine 0 has read 10 blocks and machine 1 has read 7. With 2 of 10 blocks held the work
    # would be 10 + 8 there and 7 + 10 here; with 6 held, the holder is not yet 1.5 times as loaded.
    held, other = tuple(range(10)), tuple(range(20, 27))
    new = (*held[:shared], *range(30, 40 - shared))
    requests = Requests([0.0, 0.1, 0.2], [160, 112, 160], [1, 1, 1], blocks=(held, other, new))
    rule = Noted(16)
    run(requests, rule, 2)
    assert rule.went == [0, 1, machine]


def test_work_is_forgotten_after_the_window():
    # Both machines have nothing left to do; the one that was used longer ago has its turn.
    requests = Requests([0.0, 1.0, 999.0], [160, 16, 16], [1, 1, 1], blocks=((0,), (1,), (2,)))
    rule = Noted(16, window=180)
    run(requests, rule, 2)
    assert rule.went == [0, 1, 0]


def test_long_prompts_of_short_answers_rotate():
    # Loads that are counted when an answer begins make all prompts go to the first machine.
    n = 40
    requests = Requests(
        np.zeros(n), np.full(n, 32000), np.ones(n, int), blocks=tuple((i,) for i in range(n))
    )
    rule = Noted()
    run(requests, rule)
    assert np.bincount(rule.went).tolist() == [10] * 4


def test_a_prompt_that_is_held_whole_is_read_to_its_last_token():
    requests = Requests([0.0, 100.0], [64, 64], [1, 1], blocks=((0, 1), (0, 1)))
    rule = Preble(32)
    served = run(requests, rule, 1, Engine(1.0, per_token=1.0))
    assert served.latency.tolist() == [65.0, 2.0]


@pytest.mark.parametrize(
    "values", [{"block": 0}, {"cache": 1.5}, {"window": 0}, {"steal": 0.9}, {"steal": np.nan}]
)
def test_bad_settings_are_named(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"{name}="):
        Preble(**values)


def test_a_trace_without_blocks_is_refused():
    with pytest.raises(ValueError, match="no blocks"):
        run(Requests([0.0], [1], [1]), Preble())
