"""A stage: a process that holds some layers and answers one client after another.

``python -m ensemble_lab.systems.splitting.stage FILE --port 0`` writes the port that it was
given as JSON on its first line, and ends when its standard input is closed, so also when the
program that started it was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
import zmq

from ensemble_lab.systems.splitting.layers import Cache, Layers
from ensemble_lab.systems.splitting.link import Line, Link, wait_until
from ensemble_lab.systems.splitting.wire import (
    DTYPES,
    FORGOTTEN,
    HELLO,
    READY,
    REFUSED,
    STATES,
    Header,
    WireError,
    bytes_to_states,
    states_to_bytes,
    unpack,
)

TEXTS = 4  # caches kept at once; the text that was continued longest ago goes first
HOST = "127.0.0.1"


class Stage:
    """What a stage knows between two messages: its layers, and a cache for each text."""

    def __init__(self, file: Path):
        self.file = file
        self.layers: Layers | None = None
        self.line, self.room, self.bits = Line(None), 0, 0
        self.caches: OrderedDict[int, Cache] = OrderedDict()

    def hello(self, ask: dict) -> dict:
        """Become the stage of the asked layers, and say what they are."""
        self.layers = Layers(self.file, ask["first"], ask["last"])
        self.line = Line(Link(*ask["link"]) if ask["link"] else None)
        self.room, self.bits = ask["room"], ask["bits"]
        self.caches.clear()
        shape = self.layers.shape
        self.layers(  # the first step of a process is slow; let it be this one
            torch.zeros(1, shape["width"], dtype=getattr(torch, shape["dtype"])),
            Cache(ask["last"] - ask["first"]),
        )
        return {
            "first": self.layers.first,
            "last": self.layers.last,
            "width": shape["width"],
            "dtype": shape["dtype"],
            "checksum": self.layers.checksum,
        }

    def step(self, header: Header, buffer) -> tuple[Header, bytes]:
        """States behind the layers for the states before them."""
        if self.layers is None:
            raise WireError("no hello came before the first step")
        shape = self.layers.shape
        if header.width != shape["width"] or DTYPES[header.dtype] != shape["dtype"]:
            raise WireError(f"states of {header.width} numbers, where a token has {shape['width']}")
        if not 0 < header.want <= header.rows:
            raise WireError(f"{header.want} of {header.rows} states are wanted back")
        if header.position + header.rows > self.room:
            raise WireError(
                f"{header.position + header.rows} tokens; there is room for {self.room}"
            )
        cache = self.caches.setdefault(header.text, Cache(len(self.layers.layers)))
        self.caches.move_to_end(header.text)
        while len(self.caches) > TEXTS:
            self.caches.popitem(last=False)
        if header.position > cache.length:
            return header._replace(kind=FORGOTTEN, rows=0), b""
        if header.position < cache.length:
            cache.cropped(header.position)
        start = time.perf_counter()
        states = self.layers(bytes_to_states(header, buffer), cache)[-header.want :]
        made = states_to_bytes(states, self.bits or None)
        seconds = time.perf_counter() - start
        reply = header._replace(kind=STATES, bits=self.bits, rows=header.want, seconds=seconds)
        return reply, made

    def answer(self, frames: list) -> list[bytes] | None:
        """The reply to one message; None where it is no message of a client."""
        try:
            header, buffer = unpack(frames)
        except WireError:
            return None
        wait_until(header.due)
        try:
            if header.kind == HELLO:
                told = json.dumps(self.hello(json.loads(bytes(buffer)))).encode()
                return [header._replace(kind=READY, due=0.0).pack(), told]
            reply, made = self.step(header, buffer)
        except Exception as error:  # it is the client that can do something about it
            told = f"{type(error).__name__}: {error}"[:500].encode()
            return [header._replace(kind=REFUSED, due=0.0).pack(), told]
        due = self.line.due(len(frames[0]) + len(made))
        return [reply._replace(due=due).pack(), made]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input is closed; 1 where the port cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the layers, as `write_layers` wrote them")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--remove", action="store_true", help="FILE and its folder, at the end")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.linger = 0
    try:
        socket.bind(f"tcp://{HOST}:{chosen.port}")
    except zmq.ZMQError as error:
        told = f"port {chosen.port} cannot be used ({error}); give 0 for a free one"
        print(json.dumps({"error": told}), flush=True)
        return 1
    port = int(socket.last_endpoint.rpartition(b":")[2])
    print(json.dumps({"port": port}), flush=True)
    made = chosen.file if chosen.remove else None
    threading.Thread(target=_end_with_parent, args=(made,), daemon=True).start()
    stage = Stage(chosen.file)
    while True:
        who, *frames = socket.recv_multipart()
        if reply := stage.answer(frames):
            socket.send_multipart([who, *reply])


def _end_with_parent(made: Path | None) -> None:
    """End when standard input does: the other end of that pipe dies with the client.

    A client that was killed could not remove the file that it `made` and its folder.
    """
    while os.read(sys.stdin.fileno(), 1024):
        pass
    if made:
        with suppress(OSError):  # another stage does the same
            made.unlink(missing_ok=True)
            made.parent.rmdir()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
