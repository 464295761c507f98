"""Threads that helped with an operation do not keep the cores that a stage needs."""

import threading

import psutil
import pytest
import torch

from ensemble_lab.systems.splitting import waiting
from tests.systems.split.conftest import PROMPT

HERE = psutil.Process()


@pytest.fixture
def helped():
    """Number of threads of this process while one of them waits to help again."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield _threads_after_an_operation()
    torch.set_num_threads(before)


def _threads_after_an_operation():
    torch.ones(100_000).add_(1)
    return HERE.num_threads()


@pytest.fixture
def gnu():
    torch.ones(1)
    if not waiting.rest_threads():
        pytest.skip("PyTorch's OpenMP is not GNU's, or older than 2019")


def test_rested_threads_end_and_the_next_operation_starts_them(gnu, helped):
    assert waiting.rest_threads()
    assert HERE.num_threads() == helped - 1
    assert torch.get_num_threads() == 2
    assert waiting.rest_threads()  # there are none: nothing happens
    assert _threads_after_an_operation() == helped


def test_another_threads_helpers_are_left_alone(gnu, helped):
    go, done = threading.Event(), threading.Event()

    def other():
        torch.set_num_threads(2)
        torch.ones(100_000).add_(1)
        done.set()
        go.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    done.wait(10)
    both = HERE.num_threads()
    assert both == helped + 2
    waiting.rest_threads()
    assert HERE.num_threads() == both - 1
    go.set()
    thread.join()


def test_the_client_of_a_split_rests_while_a_stage_computes(
    gnu, helped, halves, greedy, monkeypatch
):
    text, found = halves.stream(PROMPT, 10), []
    next(text)
    for slot in halves.slots:
        receive = slot.connection.receive

        def counted(*asked, receive=receive):
            found.append(HERE.num_threads())
            return receive(*asked)

        monkeypatch.setattr(slot.connection, "receive", counted)
    waits = _threads_after_an_operation()  # with those of the sockets
    list(text)
    assert len(found) == 18 and tuple(text.tokens) == greedy[:10]
    assert max(found) < waits  # a thread of another test may end on the way


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_without_such_a_function_nothing_happens(monkeypatch, error):
    def none(place):
        raise error

    monkeypatch.setattr(waiting.ctypes, "CDLL", none)
    waiting._pause.cache_clear()
    try:
        assert waiting.rest_threads() is False
    finally:
        waiting._pause.cache_clear()
