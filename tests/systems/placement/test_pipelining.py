"""One batch in a pipeline is never quicker; several are, up to the slowest stage."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_lab.systems import pipelined_decode

seconds = st.floats(0.001, 2)


def replayed(stages, batches, tokens, link):
    """The last token's end of each batch, by events."""
    waiting, idle = [[] for _ in stages], [True] * len(stages)
    events = [(0.0, 0, batch, 0, 0) for batch in range(batches)]  # a batch comes to a stage
    ended = [0.0] * batches
    while events:
        now, kind, batch, token, stage = heapq.heappop(events)
        if kind == 1:  # done here
            idle[stage] = True
            if stage + 1 < len(stages):
                heapq.heappush(events, (now + link, 0, batch, token, stage + 1))
            elif token + 1 < tokens:
                heapq.heappush(events, (now + link, 0, batch, token + 1, 0))
            else:
                ended[batch] = now
        else:
            waiting[stage].append((batch, token))
        for at in range(len(stages)):
            if idle[at] and waiting[at]:
                batch, token = waiting[at].pop(0)
                idle[at] = False
                heapq.heappush(events, (now + stages[at], 1, batch, token, at))
    return ended


@pytest.mark.parametrize("seed", range(100))
def test_the_schedule_is_that_of_the_events(seed):
    rng = np.random.default_rng(seed)
    stages = rng.exponential(1.0, rng.integers(1, 5))
    batches, tokens = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    link = rng.choice([0.0, rng.exponential(0.5)])
    start = pipelined_decode(stages, batches, tokens, link)
    found = start[:, -1, -1] + stages[-1]
    np.testing.assert_allclose(found, replayed(list(stages), batches, tokens, link))


@given(st.lists(seconds, min_size=1, max_size=4), st.integers(1, 6), st.floats(0, 1))
def test_no_stage_does_two_things_and_no_token_comes_before_the_last(stages, batches, link):
    start = pipelined_decode(stages, batches, 4, link)  # (b, t, s)
    for stage, took in enumerate(stages):
        times = np.sort(start[:, :, stage].ravel())
        assert (np.diff(times) >= took - 1e-9).all()
    path = start.reshape(batches, -1)  # one token after the other, stage by stage
    least = np.tile(stages, 4)[:-1] + link
    assert (np.diff(path, axis=1) >= least - 1e-9).all()


@given(st.lists(seconds, min_size=1, max_size=4), st.integers(1, 6), st.floats(0, 1))
def test_a_token_comes_every_so_many_seconds_in_closed_form(stages, batches, link):
    tokens = 60
    start = pipelined_decode(stages, batches, tokens, link)[:, :, 0]
    period = max(sum(stages) + len(stages) * link, batches * max(stages))
    np.testing.assert_allclose(np.diff(start[:, -10:], axis=1), period, rtol=1e-6)


@given(st.lists(seconds, min_size=1, max_size=4), st.floats(0, 1))
def test_one_batch_is_never_quicker_than_one_machine(stages, link):
    alone = pipelined_decode([sum(stages)], 1, 5)
    cut = pipelined_decode(stages, 1, 5, link)
    assert (cut[0, :, 0] >= alone[0, :, 0] - 1e-9).all()


def test_two_batches_keep_two_equal_stages_at_work():
    start = pipelined_decode([0.5, 0.5], 2, 100)
    done = start[..., -1].max() + 0.5
    assert 200 / done > 1.98  # tokens a second; one machine that takes turns gives one
