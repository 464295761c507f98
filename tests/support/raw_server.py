"""Servers on loopback that say what a test tells them, byte by byte."""

import contextlib
import json
import socket
import threading


@contextlib.contextmanager
def raw_server(*replies):
    """Serve one connection after the other, the last reply again and again.

    A reply is bytes, or a function of the connection. Yields the base address, and the list that
    the requests are added to.
    """
    server = socket.create_server(("127.0.0.1", 0))
    asked, left, stop = [], list(replies), threading.Event()

    def serve():
        while not stop.is_set():
            try:
                peer, _ = server.accept()
            except OSError:
                return
            reply = left.pop(0) if len(left) > 1 else left[0]
            threading.Thread(target=answer, args=(peer, reply), daemon=True).start()

    def answer(peer, reply):
        with contextlib.suppress(OSError), peer:
            peer.settimeout(20)
            asked.append(request(peer))
            reply(peer) if callable(reply) else peer.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", asked
    finally:
        stop.set()
        server.close()


def request(peer) -> bytes:
    """A whole request."""
    data = b""
    while b"\r\n\r\n" not in data and (more := peer.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while length and len(body) < int(length[0].split(b":")[1]) and (more := peer.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


def http(body, status="200 OK", **headers) -> bytes:
    """A whole reply; what is no bytes is sent as JSON."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": len(body), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def completion(text="hi", **more):
    return {"choices": [{"message": {"role": "assistant", "content": text}, **more}]}
