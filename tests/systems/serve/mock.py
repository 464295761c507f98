"""Servers on loopback for the tests: an upstream that says what it is told, and uvicorn."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import uvicorn


@contextlib.contextmanager
def serving(application, port=0):
    """An ASGI application behind uvicorn; yields its address, ends it after. Port 0: a free one."""
    listening = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(application, log_level="critical", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run([listening]), daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < end and thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


class Mock:
    """An OpenAI-compatible upstream: `says` is a function from a request's body to a reply.

    A reply is a text, or a dict of ``text``, ``logprobs`` (a list), ``tokens`` (in, out), ``wait``
    (seconds), ``status``, ``headers``, ``raw`` (bytes instead of a completion), ``model``,
    ``chunks`` (texts of a stream), ``gap`` (seconds before each) and ``choices`` (by default as
    many as asked for).
    """

    def __init__(self, says):
        self.says, self.asked, self.left, self.headers = says, [], [], []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = json.loads(content)
        self.asked.append(body)
        self.headers.append(dict(scope["headers"]))
        said = self.says(body)
        said = {"text": said} if isinstance(said, str) else said
        gone = asyncio.ensure_future(self._gone(receive))
        work = asyncio.ensure_future(self._answer(body, said, send))
        await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        gone.cancel()

    async def _gone(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.append(time.monotonic())

    async def _answer(self, body, said, send):
        await asyncio.sleep(said.get("wait", 0))
        head = {"content-type": "application/json", **said.get("headers", {})}
        if body.get("stream") and "chunks" in said:
            await self._stream(body, said, send)
            return
        content = said.get("raw")
        if content is None:
            content = json.dumps(completion(body, said)).encode()
        lines = [(k.encode(), v.encode()) for k, v in head.items()]
        start = {"type": "http.response.start", "status": said.get("status", 200)}
        await send({**start, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, body, said, send):
        lines = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        for chunk in said["chunks"]:
            await asyncio.sleep(said.get("gap", 0))
            if isinstance(chunk, str):
                choice = {"index": 0, "delta": {"content": chunk}, "finish_reason": None}
                chunk = event({"model": body["model"], "choices": [choice]})
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def event(body) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def finish(model, **more) -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return event({"model": model, "choices": [choice], **more})


def completion(body, said):
    choice = {"index": 0, "finish_reason": "stop"}
    choice["message"] = {"role": "assistant", "content": said.get("text", "hi")}
    if "logprobs" in said:
        choice["logprobs"] = {
            "content": [{"token": "a", "logprob": p, "bytes": None, "top_logprobs": []}
                        for p in said["logprobs"]]
        }  # fmt: skip
    given, made = said.get("tokens", (10, 5))
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": said.get("model", body["model"]),
        "choices": [
            {**choice, "index": i} for i in range(said.get("choices") or body.get("n") or 1)
        ],
        "usage": usage,
    }
