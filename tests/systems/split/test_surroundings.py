"""What a stage and its client find around them: the user's files, prints, threads and forks."""

import math
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import ensemble_lab as lab
from ensemble_lab.systems.splitting.process import StageProcess
from tests.systems.split.conftest import PROMPT


def test_a_stage_starts_where_the_users_python_prints_something_first(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('hello'); print('[1]'); print({})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stage = StageProcess("any")
    assert stage.address().startswith("tcp://127.0.0.1:")
    stage.kill()


@pytest.mark.parametrize("name", ["random", "zmq"])
def test_a_file_of_the_working_directory_is_no_library(tmp_path, monkeypatch, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')")
    monkeypatch.chdir(tmp_path)
    stage = StageProcess("any")
    assert stage.address()
    stage.kill()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_told_that_the_stages_are_not_its_own(halves, greedy):
    here, there = multiprocessing.Pipe()

    def child():
        for ask in (lambda: halves.generate(PROMPT, 3), halves.add_spare):
            try:
                ask()
            except lab.StageFailed as error:
                there.send(str(error))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    for _ in range(2):
        assert here.poll(20) and "process that forked this one" in here.recv()
    process.join(20)
    assert process.exitcode == 0
    assert halves.generate(PROMPT, 40).tokens == greedy


def test_closing_while_another_thread_waits_for_a_stage_ends_its_text(tiny):
    stages, found = lab.split(tiny, 2, link=lab.Link(math.inf, delay=0.5), spares=0), []

    def write():
        try:
            stages.generate(PROMPT, 30)
        except lab.StageFailed as error:
            found.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.7)
    stages.close()
    thread.join(20)
    assert not thread.is_alive() and len(found) == 1 and "closed" in found[0]


CLIENT = """
import time
import ensemble_lab as lab
stages = lab.split(lab.load("tiny", dtype="float32"), 2, spares=1)
print(stages._file, *(one.pid for one in stages.stages), stages._spares[0].pid, flush=True)
for _ in iter(int, 1):
    next(stages.stream("The sea", 9))
"""


def test_a_client_that_is_killed_leaves_neither_stages_nor_weights():
    """As a kernel is killed that took too much memory: the weights may be gigabytes."""
    client = subprocess.Popen([sys.executable, "-c", CLIENT], stdout=subprocess.PIPE, text=True)
    file, *pids = client.stdout.readline().split()
    assert Path(file).is_file() and len(pids) == 3
    time.sleep(0.5)
    client.kill()
    client.wait()
    client.stdout.close()
    end = time.monotonic() + 20
    while time.monotonic() < end and (
        Path(file).parent.exists() or any(psutil.pid_exists(int(pid)) for pid in pids)
    ):
        time.sleep(0.05)
    assert not Path(file).parent.exists()
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


def test_a_stage_that_was_given_a_users_file_keeps_it(tmp_path):
    (tmp_path / "layers").write_bytes(b"")
    command = [sys.executable, "-m", "ensemble_lab.systems.splitting.stage", tmp_path / "layers"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60, capture_output=True)
    assert ended.returncode == 0 and (tmp_path / "layers").exists()
