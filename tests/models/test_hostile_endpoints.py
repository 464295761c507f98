"""Servers that hold, fill and confuse: one deadline, a most of bytes, a named error for each."""

import gzip
import json
import resource
import socket
import threading
import time
import zlib
from functools import cache

import pytest

from ensemble_lab.models import Endpoint, ModelError
from ensemble_lab.models.endpoints.connection import MOST_BYTES
from ensemble_lab.models.errors import (
    EndpointError,
    EndpointNonsense,
    EndpointStatus,
    EndpointTimeout,
)
from tests.support.raw_server import completion, http, raw_server, request


def failure(reply, kind=EndpointError, **options):
    """The message of the error that a reply ends in: short, on one line, and nothing behind it."""
    with raw_server(reply) as (url, _), pytest.raises(kind) as caught:
        Endpoint(url, "m", **{"timeout": 10} | options)("q")
    text = str(caught.value)
    assert len(text) <= 300 and text.isprintable()
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return text


# One deadline


def headers_letter_by_letter(peer):
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(peer, b"a")


def endless_continue(peer):
    drip(peer, b"HTTP/1.1 100 Continue\r\n\r\n")


def body_letter_by_letter(peer):
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    drip(peer, b" ")


def endless_chunks(peer):
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(peer, b"1\r\n \r\n")


def endless_trailer(peer):
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    drip(peer, b"X: y\r\n")


def silent(peer):
    peer.recv(1)


def drip(peer, data):
    while True:
        peer.sendall(data)
        time.sleep(0.02)


@pytest.mark.parametrize(
    "reply",
    [
        headers_letter_by_letter,
        endless_continue,
        body_letter_by_letter,
        endless_chunks,
        endless_trailer,
        silent,
    ],
    ids=lambda reply: reply.__name__,
)
def test_the_deadline_holds_whatever_drips(reply):
    begun = time.monotonic()
    text = failure(reply, EndpointTimeout, timeout=0.3)
    assert "did not finish its reply in 0.3 s" in text
    assert time.monotonic() - begun < 5


def test_the_connection_is_cut_when_the_deadline_passes():
    gone = threading.Event()

    def watch(peer):
        try:
            drip(peer, b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:
            gone.set()

    with raw_server(watch) as (url, _), pytest.raises(EndpointTimeout):
        Endpoint(url, "m", timeout=0.2)("q")
    assert gone.wait(10)


def test_a_name_that_takes_long_to_be_looked_up(monkeypatch):
    release, asked = threading.Event(), []

    def slow(*given, **named):
        release.wait(20)
        asked.append(given)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        with pytest.raises(EndpointTimeout, match="0.2 s"):
            Endpoint("http://slow.invalid/v1", "m", timeout=0.2)("q")
    finally:
        release.set()


def test_nothing_is_sent_after_the_deadline(monkeypatch):
    """The name is found late: the prompt must not go out, and nobody pays for it."""
    found, connect = threading.Event(), socket.create_connection
    with raw_server(http(completion())) as (url, asked):

        def late(*given, **named):
            found.wait(20)
            return connect(*given, **named)

        monkeypatch.setattr(socket, "create_connection", late)
        with pytest.raises(EndpointTimeout):
            Endpoint(url, "m", timeout=0.2)("q")
        found.set()
        for thread in threading.enumerate():
            if thread.name == "endpoint":
                thread.join(10)
        time.sleep(0.1)
        assert not b"".join(asked).strip()


def test_a_handshake_that_never_ends():
    with raw_server(silent) as (url, _), pytest.raises(EndpointTimeout):
        Endpoint(url.replace("http", "https"), "m", timeout=0.3)("q")


def test_after_a_deadline_the_next_call_has_a_line_of_its_own():
    with raw_server(silent, http(completion("well"))) as (url, _):
        model = Endpoint(url, "m", timeout=0.5)
        with pytest.raises(EndpointTimeout):
            model("q")
        assert model("q").answer == "well"


def test_a_connection_is_used_again():
    served = []

    def twice(peer):
        peer.sendall(http(completion("1")).replace(b"Connection: close\r\n", b""))
        served.append(request(peer))
        peer.sendall(http(completion("2")))

    with raw_server(twice) as (url, asked):
        model = Endpoint(url, "m", timeout=10)
        assert [model("q").answer, model("q").answer] == ["1", "2"]
        assert len(asked) == len(served) == 1


def test_many_at_once():
    def slow(peer):
        time.sleep(0.1)
        peer.sendall(http(completion("x")))

    answers = []
    with raw_server(slow) as (url, _):
        model = Endpoint(url, "m", timeout=20)
        threads = [
            threading.Thread(target=lambda: answers.append(model("q").answer)) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert answers == ["x"] * 12


# A most of bytes


@cache
def packed(size=2**26, wbits=31):
    """Spaces as gzip packs them, or zlib with 15 bits; by blocks, which leave memory's peak low."""
    packer, block = zlib.compressobj(wbits=wbits), b" " * min(size, 2**20)
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


@pytest.mark.parametrize(
    ("packing", "pack"),
    [
        ("gzip", packed),
        ("gzip, gzip", lambda: gzip.compress(packed())),
        ("x-gzip", packed),
        ("deflate", lambda: packed(wbits=15)),
        ("br", lambda: b"\x1b"),
        ("zstd", lambda: b"\x28\xb5\x2f\xfd"),
        ("gzip", lambda: b"no gzip at all"),
        ("gzip", lambda: packed(1000)[:-9]),
        ("identity, gzip", packed),
        ("nonsense", lambda: b"{}"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_packed_replies_take_no_memory(packing, pack):
    body = pack()  # here, for what is packed at import is packed in every process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = failure(http(body, Content_Encoding=packing), EndpointNonsense)
    assert any(word in text for word in ("compressed", "gzip")) or "longer than 8 MB" in text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KB


def test_a_short_zipped_reply_is_read():
    body = gzip.compress(json.dumps(completion("zipped")).encode())
    with raw_server(http(body, Content_Encoding="gzip")) as (url, asked):
        assert Endpoint(url, "m")("q").answer == "zipped"
    assert b"accept-encoding: identity\r\n" in asked[0].lower()


def test_an_endless_body_is_left():
    def stream(peer):
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b" " * 2**20)

    assert "is longer than 8 MB" in failure(stream, EndpointNonsense)
    assert MOST_BYTES == 8 * 2**20


# Odd replies


BIG = int("9" * 400)


@pytest.mark.parametrize(
    "usage",
    [
        [1],
        "none",
        7,
        None,
        {},
        {"prompt_tokens": "5", "completion_tokens": "7"},
        {"prompt_tokens": -7, "completion_tokens": -1},
        {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
        {"prompt_tokens": BIG, "completion_tokens": BIG},
        {"prompt_tokens": True, "completion_tokens": False},
        {"prompt_tokens": 1.5, "completion_tokens": [1]},
        {"prompt_tokens": 1e300, "completion_tokens": None},
    ],
)
def test_odd_counts_are_not_known(usage):
    with raw_server(http(completion() | {"usage": usage})) as (url, _):
        reply = Endpoint(url, "m", price=(1, 1))("q")
    assert (reply.answer, reply.tokens, reply.cost) == ("hi", None, None)


@pytest.mark.parametrize(
    "logprobs",
    [
        [1],
        "none",
        {"content": [{}]},
        {"content": [{"logprob": None}]},
        {"content": [{"logprob": "-0.1"}]},
        {"content": [{"logprob": 1e300}]},
        {"content": [{"logprob": 5.0}]},
        {"content": [{"logprob": 0.1}, {"logprob": -9}]},
        {"content": [{"logprob": float("nan")}]},
        {"content": [{"logprob": BIG}]},
        {"content": [{"logprob": True}]},
        {"content": [None]},
        {"content": "abc"},
        {"content": {"logprob": -1}},
        {"content": 7},
        {"content": []},
    ],
)
def test_odd_log_probabilities_are_not_known(logprobs):
    with raw_server(http(completion(logprobs=logprobs))) as (url, _):
        reply = Endpoint(url, "m")("q")
    assert (reply.answer, reply.confidence) == ("hi", None)


def test_a_probability_rounded_to_above_one_is_one():
    told = {"content": [{"logprob": 1e-8}, {"logprob": 0.0}]}
    with raw_server(http(completion(logprobs=told))) as (url, _):
        assert Endpoint(url, "m")("q").confidence == 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"0",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 400 + b"1" + b"}" * 400,
        b'{"choices": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"\x80\x81",
        b"\0" * 100,
        b"data: {}\n\n",
        b"<html>\x1b[31mred</html>",
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": "abc"},
        {"choices": [None]},
        {"choices": [[]]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"message": {}}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": {"content": True}}]},
        {"choices": [{"message": {"content": ["hi"]}}]},
        {"choices": [{"message": {"content": {"text": "hi"}}}]},
        {"choices": [{"delta": {"content": "hi"}}]},
        {"error": {"message": "overloaded"}},
    ],
)
def test_no_chat_completion(body):
    assert "Does the address end in the API's version" in failure(http(body), EndpointNonsense)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 10,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: \x1b]0;title\x07\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    ],
)
def test_no_http(reply):
    assert failure(reply).startswith(("Endpoint(", "the reply of Endpoint("))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 X", "308 X"])
def test_a_redirect_says_where_it_points_and_is_not_followed(status):
    with raw_server(http(completion())) as (other, asked):
        to = other.replace("http://", "http://me:PASSWORD@") + "?api-key=SECRET"
        text = failure(http(b"", status, Location=to), EndpointStatus)
        assert f"answered HTTP {status[:3]}: it points to '{other}', which is not followed" in text
        assert not asked and "PASSWORD" not in text and "SECRET" not in text
    assert "points nowhere" in failure(http(b"", status), EndpointStatus)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("500 X", "Internal Server Error"),
        ("429 X", "Too Many Requests"),
        ("599 X", "no reason is given"),
        ("401 X", "Unauthorized"),
    ],
)
def test_an_error_without_a_body_is_named(status, words):
    for body in (b"", b" \r\n", b"\x1b\x07"):
        assert f"HTTP {status[:3]}: {words}" in failure(http(body, status), EndpointStatus)


@pytest.mark.parametrize(
    "told",
    [
        b"\x1b[2J\x1b]0;owned\x07\x1b[31mred",
        {"error": "\x1b[2Jowned\r\n\x08\x9b31m"},
        {"error": {"message": "\u202eowned\u2066 half \ud83d \x00"}},
        b"\x00\x01owned\x7f\xc2\x9b",
    ],
)
def test_no_control_character_reaches_the_terminal(told):
    for status in ("500 X", "200 OK"):
        text = failure(http(told, status))
        assert "owned" in text and text.isprintable()


def test_a_text_cut_within_a_character():
    body = json.dumps(completion("ok \ud83d")).encode()
    with raw_server(http(body)) as (url, _):
        reply = Endpoint(url, "m")("q")
    assert reply.answer == reply.text == "ok \ufffd"
    pair = json.dumps(completion("ok \ud83d\ude00")).encode()
    with raw_server(http(pair)) as (url, _):
        assert Endpoint(url, "m")("q").answer == "ok 😀"


# Requests


@pytest.mark.parametrize("prompt", ["half \ud83d", [{"role": "user", "content": "\ud83d"}]])
def test_half_a_character_is_refused_before_anything_is_sent(prompt):
    with pytest.raises(ModelError, match="cannot be sent as JSON: it holds half a character; take"):
        Endpoint("http://h/v1", "m")(prompt)


def test_half_a_character_in_the_name_of_the_model_is_not_blamed_on_the_prompt():
    with pytest.raises(ModelError, match="the model's name .* holds half a character"):
        Endpoint("http://h/v1", "m\ud83d")


@pytest.mark.parametrize("part", [b"bytes", {1, 2}, float("nan"), object()])
def test_a_part_that_json_does_not_hold(part):
    chat = [{"role": "user", "content": [{"type": "text", "text": part}]}]
    with pytest.raises(ModelError, match="cannot be sent as JSON") as caught:
        Endpoint("http://h/v1", "m")(chat)
    assert len(str(caught.value)) <= 300


def test_a_chat_in_itself():
    part = {"type": "text"}
    part["text"] = part
    with pytest.raises(ModelError, match="the prompt contains itself"):
        Endpoint("http://h/v1", "m")([{"role": "user", "content": [part]}])


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**400, -1, 0.0, "60", True, 86_401])
def test_timeouts_that_no_clock_keeps(timeout):
    with pytest.raises(ValueError, match="must be a number of seconds above 0, at most 86400"):
        Endpoint("http://h/v1", "m", timeout=timeout)


@pytest.mark.parametrize(
    "price", [(1, float("nan")), (1, float("inf")), (-1, 1), (1, 10**400), (1, True), "11"]
)
def test_prices_that_are_none(price):
    with pytest.raises(ValueError, match="price=.* must be two numbers"):
        Endpoint("http://h/v1", "m", price=price)


@pytest.mark.parametrize(
    "field",
    [
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": "9"},
        {"temperature": float("nan")},
        {"temperature": -1},
        {"temperature": "0"},
        {"seed": 1.5},
        {"seed": float("inf")},
    ],
)
def test_fields_that_no_server_takes(field):
    with pytest.raises(ValueError, match=f"{next(iter(field))}=.* must be a"):
        Endpoint("http://h/v1", "m", **field)
