"""Upstreams that break, hang or lie, and clients that leave."""

import json
import socket
import time

import httpx2
import pytest

from tests.support.raw_server import http, raw_server
from tests.systems.serve.mock import event, finish

CHAT = [{"role": "user", "content": "a secret question"}]


def post(url, model="small", **more):
    body = {"model": model, "messages": CHAT, **more}
    return httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=20)


def cut(*parts):
    """A reply that ends after these bytes."""

    def reply(peer):
        for part in parts:
            peer.sendall(part)

    return reply


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PIECE = event({"model": "small", "choices": [{"index": 0, "delta": {"content": "4"}}]})


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (cut(), 503),
        (cut(HEAD), 503),
        (cut(HEAD, b'{"choices": ['), 503),
        (http(b"{not json"), 502),
        (http(b"[1]"), 502),
        (http({"choices": []}), 502),
        (http({"choices": [{"text": "old"}]}), 502),
        (http({"error": {"message": "full"}}, "503 Service Unavailable"), 503),
        (http({"detail": "no"}, "401 Unauthorized"), 502),
        (http({"detail": "no such model"}, "404 Not Found"), 502),
        (http({"error": {"message": "max_tokens"}}, "400 Bad Request"), 400),
        (http({"detail": []}, "422 Unprocessable Entity"), 400),
        (http(b"", "307 Temporary Redirect", Location="http://127.0.0.1:9/"), 502),
    ],
)
@pytest.mark.parametrize("model", ["small", "vote"])
def test_a_broken_upstream_is_named_in_openais_form(behind, reply, status, model):
    with raw_server(reply) as (address, _):
        url, _ = behind(str, url=address)
        found = post(url, model)
        streamed = post(url, model, stream=True)
    for one in (found, streamed):
        assert one.status_code == status, one.text
        error = one.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert "secret" not in one.text
        assert one.headers["x-should-retry"] == "false" and one.headers["x-request-id"]


def test_nobody_listens(behind):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url, _ = behind(str, url=f"http://127.0.0.1:{port}/v1")
    assert post(url).status_code == 503


def test_an_upstream_that_dies_in_mid_stream_gives_an_error_event(behind):
    with raw_server(cut(STREAM, PIECE, PIECE[:20])) as (address, _):
        url, _ = behind(str, url=address)
        found = post(url, stream=True)
    assert found.status_code == 200
    *_, last = [json.loads(line[6:]) for line in found.text.splitlines() if line]
    assert "[DONE]" not in found.text and last["error"]["code"] in ("stream", "broken")


def test_a_token_that_is_no_utf8_does_not_end_the_answer(behind):
    raw = PIECE.replace(b'"4"', b'"\xf0\x9f 4"')
    with raw_server(cut(STREAM, raw, finish("small"), b"data: [DONE]\n\n")) as (address, _):
        url, _ = behind(str, url=address)
        found = post(url, stream=True)
    chunks = [
        json.loads(line[6:]) for line in found.text.splitlines() if line.startswith("data: {")
    ]
    assert chunks[0]["choices"][0]["delta"]["content"] == "\ufffd 4"
    half = {"choices": [{"message": {"role": "assistant", "content": "\ud83d 4"}}]}
    with raw_server(http(half)) as (address, _):
        url, _ = behind(str, url=address)
        assert post(url, "vote").status_code == post(url).status_code == 200


def test_another_model_that_answers_is_refused(behind):
    url, _ = behind(lambda body: {"text": "4", "model": "cheaper", "chunks": []})
    found = post(url)
    assert found.status_code == 502 and "served_as = 'cheaper'" in found.json()["error"]["message"]
    url, _ = behind(lambda body: {"text": "4", "model": body["model"] + "-2026-11-01"})
    assert post(url).status_code == 200


def test_a_member_that_fails_casts_no_vote(behind):
    def says(body):
        return {"status": 500, "raw": b"{}"} if body["model"] == "small" else "It is 4."

    url, _ = behind(says)
    found = post(url, "vote")
    assert found.json()["choices"][0]["message"]["content"] == "It is 4."
    assert found.headers["x-ensemble-failed"] == "small=status"
    assert "x-ensemble-cost" not in found.headers  # what the failed call cost is not known
    assert post(url, "cascade").headers["x-ensemble-called"] == "big,small"


def test_a_hanging_upstream_is_a_timeout(behind):
    url, _ = behind(lambda body: {"wait": 30}, timeout=0.3)
    start = time.monotonic()
    for model in ("small", "vote"):
        assert post(url, model).status_code == 504
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("model", ["small", "vote"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_call_of_the_upstream(behind, model, stream):
    says = {"wait": 30} if not stream or model == "vote" else {"chunks": ["a"] * 100, "gap": 0.1}
    url, mock = behind(lambda body: says)
    body = json.dumps({"model": model, "messages": CHAT, "stream": stream}).encode()
    host, port = url.removeprefix("http://").split(":")
    calls = 3 if model == "vote" else 1
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        peer.sendall(head.encode() + body)
        end = time.monotonic() + 10
        while len(mock.asked) < calls and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)
        assert not mock.left
    left = time.monotonic()
    while len(mock.left) < calls and time.monotonic() < left + 5:
        time.sleep(0.01)
    assert len(mock.left) == calls and max(mock.left) - left < 0.5


def test_bodies_are_bounded_and_checked(behind):
    url, mock = behind(lambda body: "4", most_body=2 * 2**20)
    megabyte = [{"role": "user", "content": "x" * 2**20}]
    at = f"{url}/v1/chat/completions"
    assert httpx2.post(at, json={"model": "small", "messages": megabyte}).status_code == 200
    assert len(mock.asked[0]["messages"][0]["content"]) == 2**20
    three = {"model": "small", "messages": megabyte * 3}
    assert httpx2.post(at, json=three).status_code == 413
    chunked = (b"x" * 2**16 for _ in range(64))
    assert httpx2.post(at, content=chunked).status_code == 413
    for content, said in (
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"temperature": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "body"),
        (b'{"model": "small"}', "messages"),
        (b'{"model": "small", "messages": []}', "messages"),
        (b'{"model": 1, "messages": [{"role": "user"}]}', "model"),
    ):
        found = httpx2.post(at, content=content)
        assert found.status_code == 400 and said in found.json()["error"]["message"], content
    assert len(mock.asked) == 1
    for path, status in (("/v1/nothing", 404), ("/v1/chat/completions", 405)):
        found = httpx2.get(f"{url}{path}")
        assert found.status_code == status and "error" in found.json()


def test_health_and_metrics(behind):
    url, _ = behind(lambda body: "It is 4.")
    post(url, "vote")
    assert httpx2.get(f"{url}/health").json() == {"status": "ok"}
    text = httpx2.get(f"{url}/metrics").text
    assert 'ensemble_requests_total{model="vote",status="200"} 1.0' in text
    assert 'ensemble_calls_total{member="big",outcome="ok"} 1.0' in text
    assert "secret" not in text
