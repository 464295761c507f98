"""Endpoints: a real OpenAI-compatible server, and servers that hang, fail and talk nonsense."""

import json
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ensemble_lab.models import Endpoint, ModelError, load
from ensemble_lab.models.errors import (
    EndpointError,
    EndpointNonsense,
    EndpointStatus,
    EndpointTimeout,
    EndpointUnreachable,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# A real server: `transformers serve` on models of our own


def test_real_server_replies_as_the_model_does_here(real_server):
    url, name, _ = real_server
    model = load(f"openai:{url}#{name}", max_tokens=6, price=(2.0, 10.0))
    reply = model("the small model")
    here = load(name, device="cpu", dtype="float32").generate("the small model", max_new_tokens=6)
    assert reply.text == here.text
    assert reply.answer == reply.text.strip()
    assert reply.tokens == 6
    assert reply.confidence is None  # this server ignores logprobs
    prompt = "<|im_start|>user\nthe small model<|im_end|>\n<|im_start|>assistant\n"
    prompt_tokens = len(load(name, device="cpu").tokenizer(prompt)["input_ids"])
    assert reply.cost == pytest.approx((2.0 * prompt_tokens + 10.0 * 6) / 1e6)
    assert model.name == name


def test_real_server_takes_chats_and_parse(real_server):
    url, name, _ = real_server
    chat = [{"role": "system", "content": "the"}, {"role": "user", "content": "big model"}]
    model = load(f"openai:{url}#{name}", max_tokens=3, parse=lambda text: None)
    reply = model(chat)
    assert reply.answer is None
    assert reply.text
    assert reply.cost is None  # no price was given


def test_real_server_names_an_unknown_model(real_server):
    url, _, _ = real_server
    with pytest.raises(EndpointStatus, match=r"some-other-model'\) answered HTTP 500: Internal"):
        load(f"openai:{url}#owner/some-other-model")("the")


# Small servers with one fault each


@pytest.fixture
def serve():
    """Start a server whose POST handler is the given function; returns its base address."""
    servers = []

    def start(reply):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply(self, json.loads(body))

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler, content, status=200):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def completion(text="yes", **choice):
    return {"choices": [{"message": {"role": "assistant", "content": text}, **choice}]}


def test_log_probabilities_become_confidence(serve):
    asked = []

    def reply(handler, body):
        asked.append((body, handler.headers.get("Authorization")))
        tokens = [{"token": t, "logprob": math.log(p)} for t, p in (("y", 0.5), ("es", 0.125))]
        usage = {"prompt_tokens": 1000, "completion_tokens": 2}
        send(handler, completion(logprobs={"content": tokens}) | {"usage": usage})

    model = Endpoint(serve(reply), "m", price=(1.0, 100.0), seed=3)
    answered = model("is it?")
    assert answered.answer == "yes"
    assert answered.confidence == pytest.approx(0.25)
    assert answered.tokens == 2
    assert answered.cost == pytest.approx(0.0012)
    (body, key) = asked[0]
    assert body["messages"] == [{"role": "user", "content": "is it?"}]
    assert body["logprobs"] is True
    assert (body["seed"], body["temperature"], body["model"]) == (3, 0.0, "m")
    assert key is None


def test_key_is_sent_and_never_shown(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-test")
    keys = []

    def reply(handler, body):
        keys.append(handler.headers.get("Authorization"))
        send(handler, {"error": "wrong key"}, 401)

    model = Endpoint(serve(reply), "m")
    with pytest.raises(EndpointStatus, match=r"HTTP 401.*wrong key.*OPENAI_API_KEY") as caught:
        model("x")
    assert keys == ["Bearer key-of-the-test"]
    assert "key-of-the-test" not in str(caught.value) + repr(model) + repr(vars(model))


def test_null_text_is_unparsed_not_nonsense(serve):
    usage = {"prompt_tokens": 1, "completion_tokens": 9}
    url = serve(lambda handler, body: send(handler, completion(None) | {"usage": usage}))
    reply = Endpoint(url, "m")("x")
    assert (reply.answer, reply.text, reply.tokens) == (None, "", 9)


def test_nothing_listens():
    model = load(f"openai:http://127.0.0.1:{free_port()}/v1#m")
    with pytest.raises(EndpointUnreachable, match=r"cannot be reached.*is the server running"):
        model("x")


def test_connection_that_breaks(serve):
    url = serve(lambda handler, body: handler.connection.shutdown(socket.SHUT_RDWR))
    with pytest.raises(EndpointUnreachable, match="cannot be reached"):
        Endpoint(url, "m")("x")


def test_server_that_hangs(serve):
    release = threading.Event()
    url = serve(lambda handler, body: release.wait(30))
    try:
        with pytest.raises(EndpointTimeout, match=r"in 0\.3 s: raise timeout="):
            Endpoint(url, "m", timeout=0.3)("x")
    finally:
        release.set()


def test_server_that_drips_for_ever(serve):
    release = threading.Event()

    def drip(handler, body):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while not release.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass  # the client has gone, as it should

    try:
        with pytest.raises(EndpointTimeout, match=r"did not finish its reply in 0\.3 s"):
            Endpoint(serve(drip), "m", timeout=0.3)("x")
    finally:
        release.set()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>hello</html>", r"is not JSON.*<html>hello.*\(…/v1\)"),
        (b"\xff\xfe\x00", "is not JSON"),
        ([1, 2], "is JSON, but not an object"),
        ({"object": "list"}, r"has no choices\[0\]"),
        ({"choices": []}, r"has no choices\[0\]"),
        ({"choices": [{"text": "a plain completion"}]}, r"has no choices\[0\]"),
        ({"choices": [{"message": {"content": 7}}]}, "text that is not a string"),
    ],
)
def test_nonsense(serve, content, message):
    with pytest.raises(EndpointNonsense, match=message) as caught:
        Endpoint(serve(lambda handler, body: send(handler, content)), "m")("x")
    assert isinstance(caught.value, EndpointError)
    assert isinstance(caught.value, ModelError)


def test_http_error_shows_the_first_80_characters(serve):
    url = serve(lambda handler, body: send(handler, b"busy " * 100, 503))
    with pytest.raises(EndpointStatus, match=r"HTTP 503: (busy ){15}busy…$"):
        Endpoint(url, "m")("x")


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"message": "no such model: x", "type": "not_found"}},
        {"detail": "no such model: x"},
        {"message": "no such model: x", "request": "r" * 500},
    ],
)
def test_http_error_shows_the_servers_own_sentence(serve, told):
    url = serve(lambda handler, body: send(handler, told, 404))
    with pytest.raises(EndpointStatus, match=r"HTTP 404: no such model: x \("):
        Endpoint(url, "m")("x")


def test_messages_stay_short_whatever_comes_back(serve):
    for content, status in ((b"x" * 50_000, 200), ({"a": "y" * 50_000}, 200), (b"z" * 50_000, 500)):
        url = serve(lambda handler, body, c=content, s=status: send(handler, c, s))
        with pytest.raises(EndpointError) as caught:
            Endpoint(url, "m" * 100)("x")
        assert len(str(caught.value)) <= 300


PARTS = [{"type": "text", "text": "is it?"}, {"type": "image_url", "image_url": {"url": "…"}}]


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        (np.str_("is it?"), [{"role": "user", "content": "is it?"}]),
        ({"role": "user", "content": "is it?"}, [{"role": "user", "content": "is it?"}]),
        (({"role": "user", "content": PARTS},), [{"role": "user", "content": PARTS}]),
    ],
)
def test_prompts_that_are_understood(serve, prompt, sent):
    asked = []

    def reply(handler, body):
        asked.append(body["messages"])
        send(handler, completion("no"))

    assert Endpoint(serve(reply), "m")(prompt).answer == "no"
    assert asked == [sent]


@pytest.mark.parametrize(
    "prompt",
    [
        ["is it?", "is it not?"],
        [],
        {"prompt": "is it?"},
        [{"role": "user"}],
        [{"role": "user", "content": 7}],
        7,
        None,
        np.array(["is it?"]),
        {"role": "user", "content": {"text": "x" * 1000}},
    ],
)
def test_prompts_that_are_none_are_refused_before_anything_is_sent(prompt):
    with pytest.raises(ModelError, match="is neither text nor a list of") as caught:
        Endpoint("http://h/v1", "m")(prompt)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("logprobs", "usage"),
    [
        ({"content": [{"token": "y"}]}, {"prompt_tokens": "7", "completion_tokens": 1}),
        ({"content": [{"token": "y", "logprob": None}]}, {"completion_tokens": 1}),
        ([0.5], [1, 2]),
        ("none", "none"),
    ],
)
def test_what_the_server_says_oddly_is_unknown_and_the_answer_stays(serve, logprobs, usage):
    said = completion("yes", logprobs=logprobs) | {"usage": usage}
    reply = Endpoint(serve(lambda h, b: send(h, said)), "m", price=(1.0, 1.0))("x")
    assert (reply.answer, reply.confidence, reply.cost) == ("yes", None, None)


def test_addresses_and_settings_that_cannot_be():
    with pytest.raises(ModelError, match="names no model: write 'openai:http://h/v1#name'"):
        load("openai:http://h/v1")
    with pytest.raises(ModelError, match="'h/v1' is not an address"):
        load("openai:h/v1#m")
    with pytest.raises(ModelError, match="leave device= and dtype= out"):
        load("openai:http://h/v1#m", device="cpu")
    with pytest.raises(ValueError, match="timeout=0 must be"):
        Endpoint("http://h/v1", "m", timeout=0)
    for price in ((1.0,), "12", {"in": 1, "out": 2}, ("1", "2"), 3.0, (1, float("nan"))):
        with pytest.raises(ValueError, match=r"price=.* must be two numbers"):
            Endpoint("http://h/v1", "m", price=price)
    for timeout in ("60", None, float("nan"), True):
        with pytest.raises(ValueError, match="must be a number of seconds above 0"):
            Endpoint("http://h/v1", "m", timeout=timeout)
    with pytest.raises(ValueError, match="parse='strip' must be a function"):
        Endpoint("http://h/v1", "m", parse="strip")
    with pytest.raises(ModelError, match="name 7 is int"):
        Endpoint("http://h/v1", 7)
    with pytest.raises(ModelError, match="endpoint None is not an address"):
        Endpoint(None, "m")
