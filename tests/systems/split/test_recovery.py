"""A stage that is killed, hangs or lies changes no text; what is lost is told."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

import ensemble_lab as lab
from ensemble_lab.systems.splitting.connection import Connection
from ensemble_lab.systems.splitting.wire import HEADER
from tests.systems.split.conftest import PROMPT

TOKEN = 128 * 8


def with_kills(split, kills, most=40, **settings):
    """Tokens and recoveries of a text in which `kills` maps a number of tokens to stages."""
    text, recoveries = split.stream(PROMPT, most, **settings), []
    for step in text:
        recoveries += step.recoveries
        for stage in kills.get(len(text.tokens), ()):
            split.kill(stage)
    return tuple(text.tokens), recoveries


@pytest.mark.parametrize("stage", [0, 1])
def test_a_killed_stage_changes_no_token(tiny, halves, greedy, stage):
    tokens, recoveries = with_kills(halves, {10: [stage]})
    assert tokens == greedy
    (one,) = recoveries
    read = len(tiny.token_ids(PROMPT)) + 10
    assert (one.stage, one.after, one.resent) == (stage, 10, HEADER + read * TOKEN)
    assert "lost" in one.reason and 0 < one.seconds < 30


def test_both_stages_killed_in_a_sample(tiny, halves):
    whole = tiny.generate(PROMPT, 30, temperature=0.8, seed=3).tokens
    tokens, recoveries = with_kills(halves, {4: [0, 1]}, 30, temperature=0.8, seed=3)
    assert tokens == whole and [one.stage for one in recoveries] == [0, 1]


def test_one_stage_killed_twice_and_then_the_other(tiny, halves):
    """The second time there is no process left that waits, so one is started."""
    whole = tiny.generate(PROMPT, 30, temperature=0.8, seed=7).tokens
    kills = {5: [1], 12: [1], 20: [0]}
    tokens, recoveries = with_kills(halves, kills, 30, temperature=0.8, seed=7)
    assert tokens == whole
    assert [(one.stage, one.after) for one in recoveries] == [(1, 5), (1, 12), (0, 20)]


def test_any_number_of_stages_survives_a_kill(tiny, greedy):
    """Also three: whole layers are shared out, so nothing must divide a count of heads."""
    for after in [(1, 3), (1, 2, 3)]:
        with lab.split(tiny, after, spares=1) as stages:
            assert with_kills(stages, {6: [1]})[0] == greedy


def test_a_stage_killed_while_it_recovers(halves, greedy, monkeypatch):
    replace = halves.replace
    killed = []

    def replaced_and_killed(i, why, text):
        replace(i, why, text)
        if not killed:
            killed.append(i)
            halves.kill(i)

    monkeypatch.setattr(halves, "replace", replaced_and_killed)
    tokens, recoveries = with_kills(halves, {7: [1]})
    assert tokens == greedy and killed == [1] and len(recoveries) == 1


def test_a_stage_killed_between_two_texts(halves, greedy):
    halves.kill(1)
    assert halves.generate(PROMPT, 40).tokens == greedy


def test_a_stage_that_hangs_is_noticed_by_its_silence(tiny, greedy):
    with lab.split(tiny, 2, patience=1.0) as stages:
        text = stages.stream(PROMPT, 40)
        for _ in range(5):
            next(text)
        pid = stages.stages[1].pid
        os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()
        step = next(text)
        assert time.monotonic() - start < 20
        assert len(step.recoveries) == 1
        list(text)
        assert tuple(text.tokens) == greedy
        assert not psutil.pid_exists(pid)


def test_a_slow_answer_is_no_loss(tiny, greedy):
    """A message is on its way for longer than a stage may be silent; its heartbeats are not."""
    slow = lab.Link(math.inf, delay=2.0)
    with lab.split(tiny, 2, link=slow, patience=1.5, spares=0) as stages:
        made = stages.generate(PROMPT, 1)
    assert made.tokens == greedy[:1] and not made.recoveries
    assert made.link_seconds[1] > 2 * 2.0


def test_without_a_spare_all_is_kept_and_another_stage_continues(tiny):
    whole = tiny.generate(PROMPT, 30, temperature=0.8, seed=1).tokens
    with lab.split(tiny, 2, spares=0) as stages:
        text = stages.stream(PROMPT, 30, temperature=0.8, seed=1)
        for _ in range(8):
            next(text)
        stages.kill(1)
        with pytest.raises(lab.NoStageLeft, match=r"layers 2 to 3 .*8 new tokens are kept") as lost:
            next(text)
        with pytest.raises(lab.NoStageLeft):  # and it stays so
            next(text)
        assert lost.value.text is text and len(text.tokens) == 8
        assert [one.alive for one in stages.stages] == [True, False]
        stages.add_spare()
        for _ in range(20):
            next(text)
        pids = [one.pid for one in stages.stages]
        stages.close()  # in mid-text
        assert not any(map(psutil.pid_exists, pids))
        with pytest.raises(lab.StageFailed, match="is closed"):
            next(text)
        assert tuple(text.tokens) == whole[:28]


def test_an_interrupted_step_is_read_again(halves, greedy, monkeypatch):
    """Ctrl-C while a stage computes, as a reader presses it in a notebook."""
    text = halves.stream(PROMPT, 40)
    for _ in range(5):
        next(text)
    connection = halves.slots[1].connection
    receive = connection.receive

    def interrupted(*asked):
        monkeypatch.setattr(connection, "receive", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(text)
    list(text)
    assert tuple(text.tokens) == greedy


CLIENT = """
    import sys, time
    from ensemble_lab.systems.splitting.process import StageProcess
    stage = StageProcess("any")
    stage.address()
    print(stage.pid, flush=True)
    time.sleep(60 if sys.argv[1] == "kill" else 0)
"""


@pytest.mark.parametrize("how", ["kill", "end"])
def test_stages_end_with_the_client(how):
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), how], stdout=subprocess.PIPE, text=True
    )
    pid = int(client.stdout.readline())
    assert how == "end" or psutil.pid_exists(pid)
    if how == "kill":
        client.kill()
    end = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
    client.wait()
    client.stdout.close()


def test_stages_that_wait_take_no_processor_time_also_after_a_kill(halves, greedy):
    halves.kill(0)
    assert halves.generate(PROMPT, 40).tokens == greedy
    pids = [os.getpid(), *(one.pid for one in halves.stages)]
    before = [sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids]
    time.sleep(0.5)
    after = [sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids]
    assert all(a - b < 0.15 for a, b in zip(after, before))


def test_closing_after_a_kill_is_silent(tiny, capfd):
    stages = lab.split(tiny, 2, spares=0)
    stages.kill(1)
    stages.close()
    stages.close()
    assert capfd.readouterr().err.count("\n") == 0


def test_threads_write_a_text_each(tiny, halves):
    prompts = ["Once upon", "The sea is", "A cat"]
    found = {}

    def write(prompt):
        found[prompt] = halves.generate(prompt, 15).tokens

    threads = [threading.Thread(target=write, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {prompt: tiny.generate(prompt, 15).tokens for prompt in prompts}


def test_another_client_may_greet_a_stage_whose_client_has_gone(halves, greedy):
    text = halves.stream(PROMPT, 40)
    for _ in range(4):
        next(text)
    address = halves.slots[1].connection.address
    halves.slots[1].connection.close()
    other = Connection(address, None, 4.0, 9.0)
    ask = {"first": 2, "last": 4, "room": 512, "bits": 0, "link": None}
    assert other.hello(ask, 9.0)["first"] == 2
    other.close()
    (lost,) = next(text).recoveries  # our own connection was closed: the stage is replaced
    assert "closed" in lost.reason
    list(text)
    assert tuple(text.tokens) == greedy
