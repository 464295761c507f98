"""Failures and interruptions: one blocks no other, nothing paid is lost, the end is soon."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.recording import Recording
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.asking.live import record, run


class Moody:
    """Fails on some items, and counts what it was asked."""

    def __init__(self, *bad, error=RuntimeError):
        self.bad, self.error, self.asked = set(bad), error, []

    def __call__(self, item):
        self.asked.append(item)
        if item in self.bad:
            raise self.error(f"HTTP 400 for {item}")
        return f"{item}"


def go(models, n, path, **about):
    return record(models, range(n), path, progress=False, **about)


# One item that fails


def test_the_others_are_asked_and_the_first_error_is_raised(tmp_path):
    path, moody, good = tmp_path / "r.jsonl", Moody(0, 3), Moody()
    with pytest.raises(RuntimeError, match="HTTP 400 for 0") as caught:
        go({"moody": moody, "good": good}, 5, path)
    where, others = caught.value.__notes__
    assert where.startswith("model 'moody' failed on item 0; ") and "keeps the rest" in where
    assert others.startswith("2 replies failed, of model 'moody' 2; record again")
    assert moody.asked == good.asked == list(range(5))
    assert len(Recording.load(path).replies) == 8
    read = Outcomes.read(path)
    assert read.absent.sum() == 2 and read.models == ("moody", "good")


def test_what_failed_is_asked_again_and_last(tmp_path):
    path, moody = tmp_path / "r.jsonl", Moody(0, 2)
    with pytest.raises(RuntimeError):
        go({"m": moody}, 4, path)
    moody.asked.clear()
    moody.bad = {2}
    with pytest.raises(RuntimeError, match="for 2"):
        go({"m": moody}, 7, path)
    assert moody.asked == [4, 5, 6, 0, 2]
    moody.asked.clear()
    moody.bad = set()
    table = go({"m": moody}, 7, path)
    assert moody.asked == [2] and not table.absent.any()
    assert not Recording.load(path).failed
    moody.asked.clear()
    go({"m": moody}, 7, path)
    assert moody.asked == []


def test_ten_in_a_row_are_enough(tmp_path):
    path, down, good = tmp_path / "r.jsonl", Moody(*range(40)), Moody()
    with pytest.raises(RuntimeError) as caught:
        go({"down": down, "good": good}, 40, path)
    assert down.asked == list(range(10)) and good.asked == list(range(40))
    assert "'down' failed 10 times in a row, and was not asked about 30 more" in "".join(
        caught.value.__notes__
    )


def test_now_and_then_is_not_in_a_row(tmp_path):
    moody = Moody(*[i for i in range(60) if i % 3])
    with pytest.raises(RuntimeError):
        go({"m": moody}, 60, tmp_path / "r.jsonl")
    assert moody.asked == list(range(60))


def test_items_that_always_fail_never_block_the_others(tmp_path):
    """Twenty bad items in front of good ones: each run comes further."""
    path, moody = tmp_path / "r.jsonl", Moody(*range(20))
    for _ in range(3):
        with pytest.raises(RuntimeError):
            go({"m": moody}, 30, path)
    assert {item for item, _ in Recording.load(path).replies} == set(range(20, 30))
    asked = len(moody.asked)
    for _ in range(2):  # and of those that are left, no ten keep the others from being tried
        with pytest.raises(RuntimeError):
            go({"m": moody}, 30, path)
    assert set(moody.asked[asked:]) == set(range(20))


@pytest.mark.parametrize(
    "reply",
    [["a"], {"a": 1}, Reply("a", confidence="high"), Reply("a", cost=-1), Reply("a", text=7)],
)
def test_a_reply_that_cannot_be_kept_does_not_block_either(tmp_path, reply):
    path = tmp_path / "r.jsonl"
    models = {"m": lambda i: reply if i == 0 else "x", "n": lambda i: "y"}
    with pytest.raises((TypeError, ValueError), match="for item 0, model 'm'"):
        go(models, 3, path)
    assert len(Recording.load(path).replies) == 5


def test_one_error_raised_again_and_again_has_its_notes_once(tmp_path):
    error = RuntimeError("the same one")

    def same(item):
        raise error

    for _ in range(2):
        error.__notes__ = []
        with pytest.raises(RuntimeError) as caught:
            go({"m": same}, 3, tmp_path / "r.jsonl")
        assert len(caught.value.__notes__) == 2


def test_a_rule_that_fails_loses_no_reply(tmp_path):
    path, model = tmp_path / "r.jsonl", Moody()

    def grade(said, truth):
        if said in failing:
            raise ZeroDivisionError
        return said == truth

    failing = {"1"}
    with pytest.raises(ZeroDivisionError) as caught:
        go({"m": model}, 4, path, truth=list("0123"), grade=grade)
    assert "failed on item 1" in caught.value.__notes__[0]
    assert len(Recording.load(path).replies) == 4
    with pytest.raises(ZeroDivisionError):
        go({"m": model}, 5, path, truth=list("01234"), grade=grade)
    failing = set()
    table = go({"m": model}, 5, path, truth=list("01234"), grade=grade)
    assert table.correct.ravel().tolist() == [1] * 5 and model.asked == list(range(5))


def test_an_interrupted_rule_loses_no_reply(tmp_path):
    path = tmp_path / "r.jsonl"

    def stop(said, truth):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go({"m": Moody()}, 4, path, truth=list("0123"), grade=stop)
    assert list(Recording.load(path).replies) == [(0, "m")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_is_no_failure(tmp_path, error):
    path, moody = tmp_path / "r.jsonl", Moody(2, error=error)
    with pytest.raises(error):
        go({"m": moody}, 5, path)
    assert moody.asked == [0, 1, 2] and not Recording.load(path).failed
    assert go({"m": Moody()}, 5, path).absent.sum() == 0


def test_a_failure_line_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(RuntimeError):
        go({"m": Moody(0), "n": Moody()}, 2, path)
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert {"item": 0, "failed": "RuntimeError", "by": "m"} in said
    table = Outcomes.read(path)
    assert table.absent.tolist() == [[True, False], [False, False]]
    path.write_text(path.read_text().replace('"RuntimeError"', "[1]"))
    with pytest.raises(ValueError, match="the failed is"):
        Outcomes.read(path)


def test_an_editor_that_saves_meanwhile_loses_no_later_grade(tmp_path):
    path = tmp_path / "r.jsonl"
    go({"m": Moody()}, 3, path)
    before = path.read_bytes()

    def model(item):
        path.write_bytes(before)  # saved as it was before the grades were added
        return "new"

    near = lambda said, truth: float(said == truth)  # noqa: E731
    with pytest.warns(UserWarning, match="was changed while it was recorded"):
        go({"m": Moody(), "n": model}, 3, path, truth=list("012"), grade=near)
    assert Outcomes.read(path).correct[:, 0].tolist() == [1, 1, 1]


# Ctrl-C and SIGTERM, in processes of their own

HEAD = """
import os, signal, sys, threading, time
import ensemble_lab as lab
def hang(item):
    os.write(1, b"asked\\n")  # in one piece
    time.sleep(600)
def quick(item):
    return "x"
def broken(item):
    os.write(1, b"asked\\n")  # in one piece
    time.sleep(0.2)
    raise RuntimeError("HTTP 500")
"""
WAYS = {
    "one": 'lab.run(lab.MajorityVote(), {"hang": hang}, "q")',
    "one after the other": 'lab.run(lab.MajorityVote(), {"a": quick, "hang": hang}, "q",'
    " parallel=False)",
    "together": 'lab.run(lab.MajorityVote(), {"hang": hang, "also": hang, "a": quick}, "q")',
    "cascade": 'lab.run(lab.Cascade(("hang", "a"), (0.5,)), {"hang": hang, "a": quick}, "q")',
    "record": 'lab.record({"a": quick, "hang": hang}, range(3), "r.jsonl", progress=False)',
    "endpoint": "lab.load(f'openai:http://127.0.0.1:{port}/v1#m', timeout=600)('q')",
    "endpoints together": "lab.run(lab.MajorityVote(), {'a': model, 'b': model}, 'q')",
}
SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
def serve():
    peer, _ = server.accept()
    peer.recv(1)
    os.write(1, b"asked\\n")  # in one piece
    time.sleep(600)
threading.Thread(target=serve, daemon=True).start()
model = lab.load(f'openai:http://127.0.0.1:{port}/v1#m', timeout=600)
"""


def ended(source, send, cwd):
    """How a process ends when it is stopped while a model hangs, what it says, and how soon."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = HEAD + SERVER + source
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "asked\n"
            begun = time.monotonic()
            if send is not None:
                process.send_signal(send)
            said = process.communicate(timeout=20)
            return process.returncode, said[1], time.monotonic() - begun
        finally:
            process.kill()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("send", [signal.SIGINT, signal.SIGTERM])
def test_a_model_that_hangs_can_be_stopped(tmp_path, how, send):
    code, said, seconds = ended(WAYS[how], send, tmp_path)
    assert code == -send and seconds < 10  # the sleep would be 600
    assert ("KeyboardInterrupt" in said) == (send == signal.SIGINT)
    if how == "record":
        assert len(Recording.load(tmp_path / "r.jsonl").replies) == 3


def test_an_error_of_one_model_is_shown_at_once(tmp_path):
    source = 'lab.run(lab.MajorityVote(), {"broken": broken, "hang": hang}, "q")'
    code, said, seconds = ended(source, None, tmp_path)
    assert code == 1 and "HTTP 500" in said and seconds < 10
    assert "model 'broken' failed on this item" in said


def test_a_program_goes_on_after_the_interrupt(tmp_path):
    """As a notebook does: the next cell runs, and the process ends although a thread hangs."""
    source = """
try:
    lab.run(lab.MajorityVote(), {"hang": hang, "also": hang}, "q")
except KeyboardInterrupt:
    print(lab.run(lab.MajorityVote(), {"a": quick}, "q").answers, file=sys.stderr)
"""
    code, said, _ = ended(source, signal.SIGINT, tmp_path)
    assert code == 0 and said.strip() == "['x']"


# Threads


def test_one_model_is_asked_in_the_callers_thread():
    seen = []

    def model(item):
        seen.append(threading.get_ident())
        return Reply("x", confidence=0.1)

    run(lab.MajorityVote(), {"m": model}, "q")
    run(lab.Cascade(("a", "b"), (0.5,)), {"a": model, "b": model}, "q")
    run(lab.MajorityVote(), {"a": model, "b": model}, "q", parallel=False)
    assert set(seen) == {threading.get_ident()}


def test_the_first_error_of_several_is_raised_with_its_note():
    go_on = threading.Event()

    def late(item):
        go_on.wait(20)
        raise ValueError("late")

    def early(item):
        raise RuntimeError("early")

    with pytest.raises(RuntimeError, match="early") as caught:
        run(lab.MajorityVote(), {"late": late, "early": early}, "q")
    go_on.set()
    assert "model 'early' failed" in caught.value.__notes__[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_within_a_thread_is_not_swallowed(error):
    def stop(item):
        raise error

    with pytest.raises(error):
        run(lab.MajorityVote(), {"a": stop, "b": lambda item: "x"}, "q")


def test_replies_come_back_in_order():
    models = {
        f"m{i}": lambda item, i=i: (time.sleep(0.02 * (5 - i)), Reply(f"{i}", cost=i))[1]
        for i in range(5)
    }
    decision = run(lab.MajorityVote(), models, "q")
    assert decision.answers == ["0"] and decision.cost.tolist() == [10]
