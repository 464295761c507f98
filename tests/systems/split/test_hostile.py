"""Stages that lie, hang or are others, and strangers at a stage's port."""

import socket
import threading
import time

import psutil
import pytest
import torch
import zmq

import ensemble_lab as lab
from ensemble_lab.systems.splitting.connection import Connection
from ensemble_lab.systems.splitting.process import StageProcess
from ensemble_lab.systems.splitting.slot import check_hello, right_hello
from ensemble_lab.systems.splitting.stage import Stage
from ensemble_lab.systems.splitting.weights import write_layers
from ensemble_lab.systems.splitting.wire import (
    DTYPES,
    FORGOTTEN,
    READY,
    REFUSED,
    STATES,
    STEP,
    Header,
    unpack,
)
from tests.systems.split.conftest import PROMPT

ASKED = Header(STEP, DTYPES.index("float32"), text=1, rows=3, width=4, want=3)
STEP_BYTES = bytes(3 * 4 * 4)


class Impostor:
    """A thread that answers as a stage; `says` makes the frames of a reply to a header."""

    def __init__(self, says):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.rcvtimeo = 5_000
        self.address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.thread = threading.Thread(target=self.serve, args=(says,), daemon=True)
        self.thread.start()

    def serve(self, says):
        who, *frames = self.socket.recv_multipart()
        reply = says(unpack(frames)[0])
        if reply:
            self.socket.send_multipart([who, *reply])


def ask(says, timeout=3.0):
    """What the client makes of such a reply to a step."""
    stage = Impostor(says)
    connection = Connection(stage.address, None, patience=2.0, timeout=timeout)
    try:
        header, buffer = connection.receive(connection.send(ASKED, STEP_BYTES), ASKED)
        return header, bytes(buffer)
    finally:
        connection.close()
        stage.thread.join()
        stage.socket.close()


def right(header, **wrong):
    return header._replace(**{"kind": STATES, "rows": 3, **wrong}).pack()


def test_a_right_reply_is_taken():
    header, buffer = ask(lambda h: [right(h), STEP_BYTES])
    assert header.rows == 3 and buffer == STEP_BYTES


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (lambda h: [right(h, width=5), bytes(60)], "width=5 where 4"),
        (lambda h: [right(h, rows=2), bytes(32)], "rows=2 where 3"),
        (lambda h: [right(h, dtype=0), bytes(96)], "dtype=0 where 1"),
        (lambda h: [right(h, text=9), STEP_BYTES], "text=9 where 1"),
        (lambda h: [right(h), STEP_BYTES[:-1]], "sent 47 bytes and announced 48"),
        (lambda h: [right(h, kind=READY), STEP_BYTES], "kind 4|kind 2"),
        (lambda h: [b"SPL0" + right(h)[4:], STEP_BYTES], "begins with b'SPL0'"),
        (lambda h: [STEP_BYTES], "1 frames"),
        (lambda h: [right(h, due=1e18), STEP_BYTES], "s from now"),
        (lambda h: [right(h, due=float("nan")), STEP_BYTES], "s from now"),
        (lambda h: [right(h, bits=3), STEP_BYTES], "bits"),
        (lambda h: None, "no answer in 0.3 s"),
    ],
)
def test_a_reply_of_another_shape_is_no_reply(says, why):
    with pytest.raises(lab.StageFailed, match=why):
        ask(says, timeout=0.3 if says(ASKED) is None else 3.0)


@pytest.mark.parametrize("told", [b"", b"[]", b"\xff", b"7"])
def test_a_greeting_that_is_no_object_is_refused(told):
    stage = Impostor(lambda h: [h._replace(kind=READY).pack(), told])
    connection = Connection(stage.address, None, 2.0, 3.0)
    with pytest.raises(lab.StageFailed, match="no JSON object"):
        connection.hello({}, 3.0)
    connection.close()
    stage.thread.join()
    stage.socket.close()


def test_a_stage_of_other_weights_or_dtype_is_refused(tmp_path, tiny):
    """One number of one weight is another one, or all are of another dtype."""
    shape, digests = write_layers(tiny, tmp_path / "right")
    asked = {"first": 2, "last": 4, "room": 9, "bits": 0, "link": None}
    hello = right_hello(shape, digests, 2, 4)
    assert (hello["width"], hello["dtype"]) == (128, "float64")
    weight = tiny.model.model.layers[3].mlp.up_proj.weight
    with torch.no_grad():
        weight[7, 5] += 1e-9
        write_layers(tiny, tmp_path / "other")
        weight[7, 5] -= 1e-9
    write_layers(lab.load("tiny", dtype="float32"), tmp_path / "dtype")
    found = {}
    stages = {name: StageProcess(tmp_path / name) for name in ("right", "other", "dtype")}
    for name, stage in stages.items():
        connection = Connection(stage.address(), None, 4.0, 9.0)
        found[name] = connection.hello(asked, 60.0)
        connection.close()
        stage.kill()
    check_hello(found["right"], hello)
    with pytest.raises(lab.StageFailed, match="other weights"):
        check_hello(found["other"], hello)
    with pytest.raises(lab.StageFailed, match="other dtype: float32 instead of float64"):
        check_hello(found["dtype"], hello)
    assert found["other"]["checksum"] != found["dtype"]["checksum"]


@pytest.mark.parametrize("name", ["first", "last", "width", "dtype", "checksum"])
def test_each_thing_a_stage_says_is_compared(name):
    said = {"first": 0, "last": 2, "width": 8, "dtype": "float32", "checksum": "ab"}
    check_hello(said, said)
    for told in ({**said, name: "x" * 99}, {k: v for k, v in said.items() if k != name}):
        with pytest.raises(lab.StageFailed, match="a stage has other"):
            check_hello(told, said)


def test_a_stage_that_lies_is_replaced_and_the_text_is_the_same(halves, greedy, monkeypatch):
    text = halves.stream(PROMPT, 40)
    for _ in range(3):
        next(text)
    connection = halves.slots[1].connection
    receive = connection._receive

    def shorter(*asked):
        header, buffer = receive(*asked)
        return header._replace(width=64), buffer[:512]

    monkeypatch.setattr(connection, "_receive", shorter)
    (lost,) = next(text).recoveries
    assert "width=64 where 128" in lost.reason
    list(text)
    assert tuple(text.tokens) == greedy


def test_strangers_at_the_port_of_a_stage_change_nothing(halves, greedy):
    """Something that is no client, as a port scanner or a browser, or half a client."""
    pids = [one.pid for one in halves.stages]
    text = halves.stream(PROMPT, 40)
    next(text)
    for slot in halves.slots:
        host, port = slot.connection.address.removeprefix("tcp://").split(":")
        for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40):
            with socket.create_connection((host, int(port))) as stranger:
                stranger.sendall(sent)
        half = zmq.Context.instance().socket(zmq.DEALER)
        half.linger = 1000
        half.connect(slot.connection.address)
        for frames in ([b""], [b"x"] * 5, [bytes(48), b""], [Header(9).pack(), b"[]"],
                       [Header(1).pack(), b"{"], [Header(STEP, dtype=77).pack(), b""]):  # fmt: skip
            half.send_multipart(frames)
        half.close()
    list(text)
    assert tuple(text.tokens) == greedy
    assert [one.pid for one in halves.stages] == pids


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stage = StageProcess("any", port=port)
        with pytest.raises(lab.StageFailed, match=rf"port {port} cannot be used \(.*in use"):
            stage.address()
        assert not psutil.pid_exists(stage.pid)


def test_a_stage_that_ends_while_it_starts_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with pytest.raises(lab.StageFailed, match=r"a stage did not start: .*(encodings|Error)"):
        StageProcess("any").address()


def test_a_stage_without_its_file_refuses_in_words(tmp_path):
    stage = StageProcess(tmp_path / "gone")
    connection = Connection(stage.address(), None, 4.0, 9.0)
    start = time.monotonic()
    with pytest.raises(lab.StageFailed, match=r"a stage refused: .*(No such file|not exist|gone)"):
        connection.hello({"first": 0, "last": 1, "room": 1, "bits": 0, "link": None}, 30.0)
    with pytest.raises(lab.StageFailed, match="no hello came"):
        connection.receive(connection.send(ASKED, STEP_BYTES), ASKED)
    assert time.monotonic() - start < 20
    connection.close()
    stage.kill()


def test_a_stage_takes_no_more_tokens_than_it_has_room_for(tmp_path, tiny):
    write_layers(tiny, tmp_path / "layers")
    stage = Stage(tmp_path / "layers")
    stage.hello({"first": 0, "last": 1, "room": 5, "bits": 0, "link": None})
    step = Header(STEP, DTYPES.index("float64"), text=1, rows=5, width=128, want=1)
    reply, _ = unpack(stage.answer([step.pack(), bytes(step.size)]))
    assert (reply.kind, reply.rows) == (STATES, 1)
    for more in (step._replace(position=5, rows=1), step._replace(rows=6)):
        reply, told = unpack(stage.answer([more.pack(), bytes(more.size)]))
        assert reply.kind == REFUSED and bytes(told).endswith(b"6 tokens; there is room for 5")
    ahead = step._replace(text=2, position=3, rows=2)  # it has not read what is before
    assert unpack(stage.answer([ahead.pack(), bytes(ahead.size)]))[0].kind == FORGOTTEN
