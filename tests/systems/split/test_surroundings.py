"""What a stage and its client find around them: the user's files, prints, threads and forks."""

import math
import multiprocessing
import os
import threading
import time

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
