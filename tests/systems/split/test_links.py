"""A link imitated in user space takes delay + bytes / bandwidth, and so does the kernel's own."""

import math
import threading
import time

import pytest
import zmq

import ensemble_lab as lab
from ensemble_lab.systems.splitting.link import Line, wait_until
from ensemble_lab.systems.splitting.wire import HEADER, STEP, Header, unpack


def one_way(link, sizes):
    """Seconds from sending to arrival of messages of so many bytes, one after the other's end."""
    context = zmq.Context.instance()
    receiver, sender = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    receiver.linger = sender.linger = 0
    sender.connect(f"tcp://127.0.0.1:{receiver.bind_to_random_port('tcp://127.0.0.1')}")
    arrived, ready = [], threading.Semaphore(0)

    def receive():
        for _ in sizes:
            header, _ = unpack(receiver.recv_multipart()[1:])
            wait_until(header.due)
            arrived.append(time.monotonic())
            ready.release()

    thread = threading.Thread(target=receive)
    thread.start()
    line, sent = Line(link), []
    for size in sizes:
        sent.append(time.monotonic())
        sender.send_multipart([Header(STEP, due=line.due(size)).pack(), bytes(size - HEADER)])
        ready.acquire()
    thread.join()
    receiver.close()
    sender.close()
    return [there - here for here, there in zip(sent, arrived)]


@pytest.mark.parametrize(
    "link", [lab.Link(400e6, 0.025), lab.Link(2e9, 0.0), lab.Link(math.inf, 0.04)]
)
def test_one_way_time_is_delay_and_bytes_over_bandwidth(link):
    sizes = [1_000, 100_000, 10_000_000]
    for _ in range(3):  # a busy machine may be late once
        found = one_way(link, sizes)
        late = [f - (link.delay + 8 * s / link.bandwidth) for f, s in zip(found, sizes)]
        assert all(one > -1e-4 for one in late)  # never early
        if all(a <= max(0.002, 0.05 * f) for a, f in zip(late, found)):
            return
    pytest.fail(f"late by {late} s")


def test_messages_back_to_back_show_the_bandwidth(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = Line(lab.Link(8e6, 0.5))  # 1 MB a second
    assert [line.due(250_000) for _ in range(4)] == [100.75, 101.0, 101.25, 101.5]
    now[0] = 110.0  # idle since
    assert line.due(250_000) == 110.75
    assert Line(None).due(10**9) == 0.0


def test_seconds_by_hand():
    assert lab.Link(100e6, 0.025).seconds(1_152) == pytest.approx(0.025 + 92.16e-6)
    assert lab.Link(math.inf, 0.1).seconds(10**12) == 0.1
