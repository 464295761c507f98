"""The client's side of the wire: ask a stage, and notice that it is gone."""

from __future__ import annotations

import itertools
import json
import time

from ensemble_lab.core.errors import excerpt
from ensemble_lab.systems.splitting.failures import Forgotten, StageFailed
from ensemble_lab.systems.splitting.link import Line, Link, wait_until
from ensemble_lab.systems.splitting.wire import (
    FORGOTTEN,
    HEADER,
    HELLO,
    READY,
    REFUSED,
    STATES,
    STEP,
    Header,
    WireError,
    unpack,
)


class Connection:
    """A socket to one stage.

    A stage that was killed closes its connection, which is seen at once. One that hangs answers no
    heartbeat: those are answered beside the arithmetic, so a long step is no reason to give up.

    Parameters
    ----------
    address : str
        ``tcp://host:port``.
    link : Link or None
        What the way to the stage imitates.
    patience : float
        Seconds without a heartbeat after which the stage counts as lost.
    timeout : float
        Seconds after which a step counts as failed although there are heartbeats.

    Attributes
    ----------
    sent, received : int
        Bytes of all frames so far, headers included.
    """

    def __init__(self, address: str, link: Link | None, patience: float, timeout: float):
        import zmq

        self.address, self.timeout = address, timeout
        self.sent = self.received = 0
        self._line = Line(link)
        self._calls = itertools.count(1)
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.heartbeat_ivl = round(1000 * patience / 4)
        self._socket.heartbeat_timeout = round(1000 * patience * 3 / 4)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(address)

    def close(self) -> None:
        """Let go of the stage; nothing is sent any more. Once more does nothing."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def hello(self, ask: dict, timeout: float) -> dict:
        """Say which layers are asked for, and learn what the stage has.

        Raises
        ------
        StageFailed
            No answer in time, or none that can be read.
        """
        call = self._send(Header(HELLO), json.dumps(ask).encode())
        _, buffer = self._receive(READY, call, timeout)
        try:
            told = json.loads(bytes(buffer))
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise StageFailed("a stage greeted with something that is no JSON object")
        return told

    def send(self, header: Header, buffer: bytes) -> int:
        """Send a step; returns the number of the call, for `receive`."""
        return self._send(header._replace(kind=STEP), buffer)

    def receive(self, call: int, asked: Header, bits: int = 0) -> tuple[Header, memoryview]:
        """The states that answer a call, in so many bits, when the link has delivered them.

        Raises
        ------
        Forgotten
            The stage needs the text from its start again.
        StageFailed
            The stage is gone, hangs, refuses, or sends states of another shape.
        """
        header, buffer = self._receive(STATES, call, self.timeout)
        right = asked._replace(kind=STATES, rows=asked.want, bits=bits)
        same = ("dtype", "bits", "text", "position", "rows", "width")
        if wrong := [one for one in same if getattr(header, one) != getattr(right, one)]:
            raise StageFailed(
                f"a stage answered with {wrong[0]}={getattr(header, wrong[0])} where"
                f" {getattr(right, wrong[0])} was asked for"
            )
        if len(buffer) != header.size:
            raise StageFailed(f"a stage sent {len(buffer):,} bytes and announced {header.size:,}")
        return header, buffer

    def _send(self, header: Header, buffer: bytes) -> int:
        if self._socket.closed:
            raise StageFailed("the connection to a stage is closed")
        call = next(self._calls)
        size = HEADER + len(buffer)
        self._socket.send_multipart(
            [header._replace(call=call, due=self._line.due(size)).pack(), buffer]
        )
        self.sent += size
        return call

    def _receive(self, kind: int, call: int, timeout: float) -> tuple[Header, memoryview]:
        """The reply to a call; older replies, which nobody waits for any more, are dropped."""
        end = time.monotonic() + timeout
        while True:
            ready = dict(self._poller.poll(max(0.0, 1000 * (end - time.monotonic()))))
            if self._socket in ready:
                frames = self._socket.recv_multipart()
                self.received += sum(map(len, frames))
                try:
                    header, buffer = unpack(frames)
                except WireError as error:
                    raise StageFailed(f"a stage sent {error}") from None
                if header.call != call:
                    continue
                if not header.due - time.monotonic() <= timeout:
                    raise StageFailed(f"a stage sent something for {header.due:g} s from now")
                wait_until(header.due)
                if header.kind == REFUSED:
                    told = bytes(buffer[:500]).decode(errors="replace")
                    raise StageFailed(f"a stage refused: {excerpt(told, 200)}")
                if header.kind == FORGOTTEN:
                    raise Forgotten("a stage has dropped its cache of this text")
                if header.kind != kind:
                    raise StageFailed(f"a stage sent a message of kind {header.kind}")
                return header, buffer
            if self._monitor in ready:
                raise StageFailed("the connection to a stage was lost")
            if not ready:
                raise StageFailed(f"a stage gave no answer in {timeout:g} s")
