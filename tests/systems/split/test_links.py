"""A link imitated in user space takes delay + bytes / bandwidth, and so does the kernel's own."""

import math
import os
import shutil
import subprocess
import sys
import textwrap
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


@pytest.mark.parametrize("link", [lab.Link(400e6, 0.025), lab.Link(1e9)])
def test_one_way_time_is_delay_and_bytes_over_bandwidth(link):
    sizes = [1_000, 100_000, 10_000_000]
    wanted = [link.delay + 8 * size / link.bandwidth for size in sizes]
    late = [math.inf] * len(sizes)
    for _ in range(9):  # a busy machine is late now and then; the least is the link's own
        found = one_way(link, sizes)
        assert all(seconds > right - 1e-4 for seconds, right in zip(found, wanted))  # never early
        late = [min(old, f - w) for old, f, w in zip(late, found, wanted)]
        if all(one <= max(0.002, 0.05 * w) for one, w in zip(late, wanted)):
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


END = """
    import sys, time, zmq
    role, size = sys.argv[1], int(sys.argv[2])
    socket = zmq.Context().socket(zmq.DEALER)
    if role == "receiver":
        socket.bind("tcp://10.99.7.2:5599")
        print("bound", flush=True)
        for _ in range(9):
            socket.recv()
            print(time.monotonic(), flush=True)
            socket.send(b"")
    else:
        socket.connect("tcp://10.99.7.2:5599")
        for number in range(9):
            body = bytes(size if number else 1)  # the first one waits for the connection
            print(time.monotonic(), flush=True)
            socket.send(body)
            socket.recv()
"""


@pytest.fixture
def two_namespaces():
    """Two network namespaces with a cable of 200 Mbit/s between them: the kernel's own link."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip")):
        pytest.skip("network namespaces need root and iproute2")
    names = [f"lab{os.getpid()}{side}" for side in "ab"]
    a, b = names
    commands = [
        *(f"netns add {name}" for name in names),
        f"link add {a} netns {a} type veth peer name {b} netns {b}",
        *(f"-n {n} addr add 10.99.7.{i}/24 dev {n}" for i, n in enumerate(names, 1)),
        *(f"-n {n} link set {n} up" for n in names),
        *(f"-n {n} link set lo up" for n in names),
    ]
    try:
        for command in commands:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        shape = f"tc -n {a} qdisc add dev {a} root tbf rate 200mbit burst 32kb latency 400ms"
        subprocess.run(shape.split(), check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_the_kernels_own_link_of_that_bandwidth_takes_as_long(two_namespaces):
    size = 2_000_000
    program = [sys.executable, "-c", textwrap.dedent(END)]
    ends = []
    for name, role in zip(two_namespaces[::-1], ("receiver", "sender")):
        ends.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *program, role, str(size)],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        if role == "receiver":
            assert ends[0].stdout.readline() == "bound\n"
    arrived, sent = ([float(t) for t in end.communicate(timeout=60)[0].split()] for end in ends)
    kernel = min(there - here for here, there in zip(sent[1:], arrived[1:]))
    ours = min(one_way(lab.Link(200e6), [size] * 5))
    # The kernel counts 66 bytes of headers with each 1,448 of the message, and we do not.
    assert ours * 1514 / 1448 == pytest.approx(kernel, rel=0.05)
