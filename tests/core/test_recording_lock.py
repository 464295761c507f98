"""One writer at a time: the lock is on the recording itself, and a kill lets go of it."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings import journal as journals
from ensemble_lab.core.recordings.journal import Journal
from ensemble_lab.core.recordings.recording import Recording
from ensemble_lab.models.asking.live import record

BUSY = r"r\.jsonl.* is being recorded by another process or thread; wait until it ends, or record"
HOLDER = """
import sys, time
from ensemble_lab.models.asking.live import record
def model(item):
    if item == 5:
        print("hanging", flush=True)
        time.sleep(600)
    return item
record({"m": model}, range(9), sys.argv[1], truth=range(9), progress=False)
"""


@pytest.fixture
def held(tmp_path):
    """A recording that another process holds, after five replies."""
    path = tmp_path / "r.jsonl"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline().strip() == b"hanging"
            yield path, holder
        finally:
            holder.kill()


def asking(path, truth=range(9)):
    asked = []
    table = record(
        {"m": lambda i: asked.append(i) or i}, range(9), path, truth=truth, progress=False
    )
    return asked, table


def test_a_second_process_is_refused_at_once_and_goes_on_after_a_kill(held):
    path, holder = held
    data = path.read_bytes()
    for _ in range(2):
        with pytest.raises(BlockingIOError, match=BUSY) as caught:
            asking(path)
        assert len(str(caught.value)) <= 300
    assert path.read_bytes() == data and os.listdir(path.parent) == ["r.jsonl"]
    assert Outcomes.read(path).correct[:5, 0].tolist() == [1] * 5  # reading is free
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    asked, table = asking(path)
    assert asked == [5, 6, 7, 8] and table.correct.ravel().tolist() == [1] * 9
    assert os.listdir(path.parent) == ["r.jsonl"]


def test_two_processes_that_start_together_ask_everything_once(tmp_path):
    path, log = tmp_path / "r.jsonl", tmp_path / "asked"
    script = f"""
from ensemble_lab.models.asking.live import record
def model(item):
    with open({str(log)!r}, "a") as file:
        file.write(f"{{item}}\\n")
    return item
while True:
    try:
        record({{"m": model}}, range(40), {str(path)!r}, progress=False)
        break
    except BlockingIOError:
        pass
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert sorted(map(int, log.read_text().split())) == list(range(40))
    assert Outcomes.read(path).answer.shape == (40, 1)


def test_a_thread_is_refused_too(tmp_path):
    path, inside, go_on = tmp_path / "r.jsonl", threading.Event(), threading.Event()

    def slow(item):
        inside.set()
        assert go_on.wait(20)
        return item

    thread = threading.Thread(
        target=record, args=({"m": slow}, [0], path), kwargs={"progress": False}
    )
    thread.start()
    try:
        assert inside.wait(20)
        with pytest.raises(BlockingIOError, match=BUSY):
            asking(path)
    finally:
        go_on.set()
        thread.join()
    assert asking(path)[0] == list(range(1, 9))


def test_a_model_that_records_to_the_same_path_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(BlockingIOError, match=BUSY):
        record({"m": lambda item: asking(path)}, [0], path, progress=False)
    assert asking(path)[0] == [*range(1, 9), 0]  # what failed is asked last


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """A worker that outlives a killed recorder must not hold its lock for ever."""
    path = tmp_path / "r.jsonl"
    script = f"""
import os, time
from ensemble_lab.models.asking.live import record
def model(item):
    if item == 2:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), 9)
    return item
record({{"m": model}}, range(9), {str(path)!r}, progress=False)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, start_new_session=True
    )
    try:
        assert killed.wait(timeout=60) == -signal.SIGKILL
        deadline = time.monotonic() + 20
        while True:  # the child lets go as soon as it runs
            try:
                assert asking(path)[0] == list(range(2, 9))
                break
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_let_go_for_its_parent(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("")
    with Journal(path) as journal:
        child = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
        child.start()
        child.join()
        with pytest.raises(BlockingIOError):
            Journal(path)
        journal.reply(1, "m", {"answer": 1})
    assert Recording.load(path).replies == {(1, "m"): {"answer": 1}}


def test_the_lock_is_let_go_whatever_ends_the_recording(tmp_path):
    before = dict(journals._held)  # of other tests in this process
    path = tmp_path / "r.jsonl"

    def broken(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record({"m": broken}, [1], path, progress=False)
    with pytest.raises(ValueError, match="grade= compares"):
        record({"m": broken}, [1], path, grade=max, progress=False)
    (tmp_path / "x.jsonl").write_text("notes\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="is not a recording"):
            asking(tmp_path / "x.jsonl")
    assert journals._held == before
    assert asking(path)[0] == list(range(9))


def test_a_file_put_in_place_before_the_lock_is_taken_is_the_one_that_is_locked(
    tmp_path, monkeypatch
):
    path, other = tmp_path / "r.jsonl", tmp_path / "other"
    asking(other.with_suffix(".jsonl"))
    claim = Journal._claim

    def slow(self):
        monkeypatch.setattr(Journal, "_claim", claim)
        other.with_suffix(".jsonl").replace(path)
        claim(self)

    monkeypatch.setattr(Journal, "_claim", slow)
    asked, table = asking(path)
    assert asked == [] and table.correct.ravel().tolist() == [1] * 9


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_warns_and_goes_on(tmp_path, monkeypatch, code):
    path = tmp_path / "r.jsonl"

    def no_locks(file):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(journals, "lock", no_locks)
    with pytest.warns(UserWarning, match=r"r\.jsonl' is on a file system without locks"):
        asked, _ = asking(path)
    assert asked == list(range(9))
    with pytest.warns(UserWarning, match="without locks"), Journal(path):  # but threads are refused
        with pytest.raises(BlockingIOError, match=BUSY):
            asking(path)


def test_windows_locks_a_byte_far_behind_the_end(tmp_path, monkeypatch):
    path, calls, taken = tmp_path / "r.jsonl", [], []

    def locking(number, mode, count):
        calls.append((mode, os.lseek(number, 0, os.SEEK_CUR), count))
        if taken:
            raise PermissionError(errno.EACCES, "Permission denied")

    windows = types.SimpleNamespace(locking=locking, LK_NBLCK="lock", LK_UNLCK="unlock")
    monkeypatch.setattr(journals, "fcntl", None)
    monkeypatch.setattr(journals, "msvcrt", windows)
    assert asking(path)[0] == list(range(9))
    assert calls == [("lock", 2**31 - 2, 1), ("unlock", 2**31 - 2, 1)]
    assert path.stat().st_size < 2000 and asking(path)[0] == []
    taken.append(True)
    with pytest.raises(BlockingIOError, match=BUSY):
        asking(path)


def test_no_locks_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "fcntl", None)
    monkeypatch.setattr(journals, "msvcrt", None)
    with pytest.warns(UserWarning, match="without locks"):
        assert asking(tmp_path / "r.jsonl")[0] == list(range(9))


def test_reading_while_it_is_written(tmp_path):
    path, seen = tmp_path / "r.jsonl", []

    def model(item):
        if item:
            seen.append(Outcomes.read(path).answer.size)
        return item

    record({"m": model}, range(5), path, progress=False)
    assert seen == [5] * 4
