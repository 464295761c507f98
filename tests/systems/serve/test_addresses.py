"""Every address of the gateway: what it gives, what it refuses, and what it never says."""

import contextlib
import json
import logging
import socket
import threading

import httpx2
import pytest

import ensemble_lab as lab
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.confidence import Verifier
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.recording import TrafficLog
from ensemble_lab.systems.serve.upstream import Upstream
from tests.support.raw_server import http, raw_server
from tests.systems.serve.mock import Mock, event, serving
from tests.systems.serve.test_hostile_upstreams import STREAM, cut, post

KEY = "sk-planted-8271-key-of-the-gateway"
PROMPT = "the planted word is xylophone-4711"
CHAT = [{"role": "user", "content": PROMPT}]


def test_each_model_has_an_address_of_its_own(behind):
    url, mock = behind(str)
    listed = httpx2.get(f"{url}/v1/models").json()["data"]
    assert {one["id"] for one in listed} == {"vote", "cascade", "small", "big", "third"}
    for one in listed:
        assert httpx2.get(f"{url}/v1/models/{one['id']}").json() == one
    for name in ("smal", "vote/", "a/b", "%2e%2e", "small%00"):
        found = httpx2.get(f"{url}/v1/models/{name}")
        assert found.status_code == 404 and found.json()["error"]["code"] == "model_not_found"
    assert "'small'" in httpx2.get(f"{url}/v1/models/smal").json()["error"]["message"]
    assert not mock.asked


def test_a_model_with_a_slash_in_its_name_is_found():
    with serving(app({}, {"owner/name": lambda chat: "4"})) as url:
        assert httpx2.get(f"{url}/v1/models/owner/name").json()["id"] == "owner/name"


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_another_content_type_is_a_415(behind, kind):
    url, mock = behind(str)
    body = json.dumps({"model": "small", "messages": CHAT})
    found = httpx2.post(f"{url}/v1/chat/completions", content=body, headers={"content-type": kind})
    assert found.status_code == 415 and "application/json" in found.json()["error"]["message"]
    assert not mock.asked
    for right in ("application/json; charset=utf-8", "APPLICATION/JSON"):
        head = {"content-type": right}
        again = httpx2.post(f"{url}/v1/chat/completions", content=body, headers=head)
        assert again.status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_before_it_was_sent(behind, chunked):
    url, _ = behind(str)
    host, port = url.removeprefix("http://").split(":")
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {100 * 2**20}"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"
    piece = b"x" * 2**16
    piece = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    sent = 0

    def send():
        nonlocal sent
        with contextlib.suppress(OSError):  # it has hung up
            while sent < 100 * 2**20:
                peer.sendall(piece)
                sent += len(piece)

    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(head.encode())
        sending = threading.Thread(target=send)
        sending.start()
        got = peer.recv(4096)
        was = sent
        peer.shutdown(socket.SHUT_RDWR)
        sending.join()
    assert got.startswith(b"HTTP/1.1 413") and was < 64 * 2**20


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_a_405_that_names_the_right_one(behind, method):
    url, _ = behind(str)
    found = httpx2.request(method, f"{url}/v1/chat/completions")
    assert found.status_code == 405 and found.headers["allow"] == "POST"
    assert method == "HEAD" or found.json()["error"]["message"]


def test_a_page_of_another_site_is_not_let_in(behind):
    url, mock = behind(str)
    head = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    for path in ("/v1/chat/completions", "/v1/models"):
        found = httpx2.options(f"{url}{path}", headers=head)
        assert not [name for name in found.headers if name.startswith("access-control-allow")]
    assert not mock.asked


def test_headers_of_60_kb_harm_nobody(behind):
    url, _ = behind(lambda body: "4")
    body = {"model": "small", "messages": CHAT}
    for size, right in ((1000, (200,)), (60_000, (200, 400, 431))):
        found = httpx2.post(f"{url}/v1/chat/completions", json=body, headers={"x-y": "z" * size})
        assert found.status_code in right
    assert httpx2.get(f"{url}/health").status_code == 200
    long = {"x-request-id": "i" * 200}
    found = httpx2.post(f"{url}/v1/chat/completions", json=body, headers=long)
    assert len(found.headers["x-request-id"]) == 32


def test_a_judge_is_named_and_counted():
    says = {"judge": "0.9", "a": "It is 4.", "b": "It is 4."}
    with serving(Mock(lambda body: says[body["model"]])) as upstream:
        base = f"{upstream}/v1"
        members = {
            "a": Member(Upstream("a", base), parse="last number", confidence=Verifier("judge")),
            "b": Member(Upstream("b", base), parse="last number"),
            "judge": Member(Upstream("judge", base)),
        }
        with serving(app(lab.Cascade(("a", "b"), (0.5,)), members)) as url:
            assert post(url, "ensemble").headers["x-ensemble-called"] == "a,judge"
            says["judge"] = {"status": 400}
            found = post(url, "ensemble")
            assert found.headers["x-ensemble-called"] == "a,b,judge"
            assert found.headers["x-ensemble-failed"] == "judge=status"
            text = httpx2.get(f"{url}/metrics").text
    assert 'ensemble_calls_total{member="judge",outcome="ok"} 1.0' in text
    assert 'ensemble_calls_total{member="judge",outcome="status"} 1.0' in text


@pytest.mark.parametrize("said", [PROMPT, KEY, json.dumps({"asked": PROMPT}), f"no\n{PROMPT}"])
def test_an_error_in_mid_stream_does_not_quote_the_prompt_or_the_key(behind, said):
    piece = event({"model": "small", "choices": [{"index": 0, "delta": {"content": "4"}}]})
    for error in ({"error": {"message": said}}, {"error": said}, {"error": {"detail": said}}):
        with raw_server(cut(STREAM, piece, event(error))) as (address, _):
            members = {"small": Member(Upstream("small", f"{address}/v1", KEY))}
            with serving(app({}, members)) as url:
                found = post(url, stream=True, messages=CHAT)
        last = json.loads(found.text.split("\n\n")[-2].removeprefix("data: "))
        assert last["error"]["message"].startswith("small broke off")
        assert "xylophone" not in found.text and KEY not in found.text


def test_an_error_in_mid_stream_that_quotes_nothing_is_shown():
    piece = event({"model": "small", "choices": [{"index": 0, "delta": {"content": "4"}}]})
    with raw_server(cut(STREAM, piece, event({"error": {"message": "out of memory"}}))) as (at, _):
        with serving(app({}, {"small": Member(Upstream("small", f"{at}/v1"))})) as url:
            found = post(url, stream=True)
    assert "small broke off: out of memory" in found.text


def faults():
    """Replies of a server that repeats what it was asked, with the key, wherever it can."""
    both = f"{PROMPT} {KEY}"
    ok = {"choices": [{"message": {"content": both}}], "model": both}
    return {
        "400": http({"error": {"message": both}}, "400 Bad Request"),
        "500": http(both.encode(), "500 Internal Server Error"),
        "401": http({"detail": both}, "401 Unauthorized"),
        "redirect": http(b"", "307 Temporary Redirect", Location=f"http://127.0.0.1:9/{KEY}"),
        "header": http({"choices": []}, **{"X-Echo": both}),
        "model": http({**ok, "model": PROMPT}),
        "no JSON": http(both.encode()),
        "cut": cut(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + both.encode()),
        "no HTTP": cut(both.encode() + b"\r\n\r\n"),
        "stream": cut(STREAM, event({"error": {"message": both}})),
    }


@pytest.mark.parametrize("fault", faults())
@pytest.mark.parametrize("stream", [False, True])
def test_the_prompt_and_the_key_are_said_nowhere(tmp_path, caplog, capfd, fault, stream):
    caplog.set_level(logging.DEBUG)
    with raw_server(faults()[fault]) as (address, _):
        members = {
            name: Member(Upstream(name, f"{address}/v1", KEY), parse="last number") for name in "ab"
        }
        log = TrafficLog(tmp_path / "t.jsonl")
        with serving(app({"vote": lab.MajorityVote()}, members, recorder=log)) as url:
            said = [post(url, name, stream=stream, messages=CHAT) for name in ("a", "vote")]
            said.append(post(url, PROMPT[:20], messages=CHAT))  # its own text, shown to itself
            metrics = httpx2.get(f"{url}/metrics").text
    log.close()
    for one in said[:2]:
        assert one.status_code >= 400 or '"error"' in one.text
        told = one.text + str(one.headers)
        assert KEY not in told and (fault == "model" or "xylophone" not in told)
    out, err = capfd.readouterr()
    server = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    for where in (metrics, log.path.read_text("utf-8"), server, out, err):
        assert "xylophone" not in where and KEY not in where
