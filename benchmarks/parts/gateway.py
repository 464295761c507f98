"""A mock upstream and a gateway, each in a process of its own, and a light client of both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import socket
import tempfile
import time

TEXT = "The answer is 42."


def _mock(listening, wait: float, deltas: int, gap: float) -> None:
    """A completion after `wait` seconds; a stream of `deltas` chunks, one each `gap` seconds."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "logprobs": {"content": [{"token": "42", "logprob": -0.1}] * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28},
    }
    whole = json.dumps(body).encode()
    head = [(b"content-type", b"application/json")]

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        streams = b'"stream":true' in content
        await asyncio.sleep(0 if streams else wait)
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for number in range(deltas if streams else 0):
            if number:
                await asyncio.sleep(gap)
            # The text is the number and when it was sent: one clock for all processes.
            choice = {"index": 0, "delta": {"content": f"{number} {time.monotonic()} "}}
            choice["finish_reason"] = "stop" if number == deltas - 1 else None
            data = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if streams else whole})

    _run(application, listening)


def _gateway(listening, upstream: str) -> None:
    """Pass-through and a vote of three, with ids, metrics and the record of the traffic on."""
    import ensemble_lab as lab
    from ensemble_lab.systems.serve.app import app
    from ensemble_lab.systems.serve.members import Member
    from ensemble_lab.systems.serve.upstream import Upstream

    members = {
        name: Member(Upstream(name, f"{upstream}/v1"), parse="last number", price=(0.1, 0.4))
        for name in ("a", "b", "c")
    }
    with tempfile.TemporaryDirectory() as folder:
        log = lab.TrafficLog(f"{folder}/traffic.jsonl")
        _run(app({"vote": lab.MajorityVote()}, members, recorder=log), listening)


def _run(application, listening) -> None:
    import uvicorn

    config = uvicorn.Config(application, log_level="critical", access_log=False)
    uvicorn.Server(config).run([listening])


@contextlib.contextmanager
def both(wait: float, deltas: int = 64, gap: float = 0.02):
    """Addresses (host, port) of a mock and of a gateway in front of it."""
    spawn, started, addresses = multiprocessing.get_context("spawn"), [], []
    try:
        for target, given in ((_mock, (wait, deltas, gap)), (_gateway, ())):
            listening = socket.create_server(("127.0.0.1", 0))
            if target is _gateway:
                given = (f"http://127.0.0.1:{addresses[0][1]}",)
            process = spawn.Process(target=target, args=(listening, *given), daemon=True)
            process.start()
            started.append(process)
            addresses.append(listening.getsockname())
            listening.close()
        asyncio.run(_ready(addresses))
        yield addresses
    finally:
        for process in started:
            process.terminate()
            process.join()


async def _ready(addresses) -> None:
    for address in addresses:
        async with asyncio.timeout(60):
            await timed(address, "a", 3)


def _request(model: str, stream: bool = False) -> bytes:
    chat = [{"role": "user", "content": "What is 6 x 7? " * 10}]
    body = {"model": model, "messages": chat} | ({"stream": True} if stream else {})
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + content


async def timed(address, model: str, calls: int) -> list[float]:
    """Seconds of each of `calls` completions, one after the other on one connection."""
    reader, writer = await asyncio.open_connection(*address)
    request, seconds = _request(model), []
    try:
        for _ in range(calls):
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            await _body(reader, head.lower())
            seconds.append(time.perf_counter() - start)
    finally:
        writer.close()
    return seconds


async def _body(reader, head: bytes) -> None:
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def streamed(address, model: str) -> list[tuple[int, float, float]]:
    """Of each frame of one stream: its number, when it was sent, and when it came."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(_request(model, stream=True))
    found = []
    try:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            line = await reader.readline()
            if line.startswith(b"data: {"):
                came = time.monotonic()
                delta = json.loads(line[6:])["choices"][0]["delta"]
                if delta.get("content"):
                    number, sent = delta["content"].split()
                    found.append((int(number), float(sent), came))
            if line == b"0\r\n" or not line:
                return found
    finally:
        writer.close()
