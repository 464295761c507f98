"""Deadlines, full queues, waits that servers ask for, and circles of gateways."""

import email.utils
import json
import socket
import time

import httpx2
import openai
import pytest

from ensemble_lab.systems.serve import door
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.resilience import Budget
from ensemble_lab.systems.serve.upstream import Upstream
from tests.systems.serve.mock import Mock, finish, serving

CHAT = [{"role": "user", "content": "6 x 7?"}]


def _none():
    return Budget(0)


def post(url, model="small", headers=None, **more):
    body = {"model": model, "messages": CHAT, **more}
    return httpx2.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)


@pytest.mark.parametrize("model", ["small", "vote", "cascade"])
def test_the_clients_patience_is_the_deadline_and_is_passed_on(behind, model):
    url, mock = behind(lambda body: {"wait": 30})
    start = time.monotonic()
    found = post(url, model, {"x-stainless-read-timeout": "0.4"})
    assert found.status_code == 504 and 0.3 < time.monotonic() - start < 5
    assert found.headers["x-should-retry"] == "false"
    passed = [float(headers[b"x-stainless-read-timeout"]) for headers in mock.headers]
    assert passed and max(passed) <= 0.4


def test_the_official_clients_own_timeout_ends_the_upstreams_work(behind):
    url, mock = behind(lambda body: {"wait": 30})
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=0.5)
    with pytest.raises((openai.APITimeoutError, openai.InternalServerError)):
        client.chat.completions.create(model="small", messages=CHAT)
    assert float(mock.headers[0][b"x-stainless-read-timeout"]) <= 0.5
    end = time.monotonic() + 5
    while not mock.left and time.monotonic() < end:
        time.sleep(0.01)
    assert mock.left


def test_seconds_that_javascripts_client_rounds_down_get_one_more(behind):
    url, mock = behind(lambda body: "42")
    assert post(url, headers={"x-stainless-timeout": "0"}).status_code == 200
    assert post(url, headers={"x-stainless-timeout": "7"}).status_code == 200
    passed = [float(headers[b"x-stainless-read-timeout"]) for headers in mock.headers]
    assert 0.5 < passed[0] <= 1 and 7 < passed[1] <= 8
    both = {"x-stainless-timeout": "7", "x-stainless-read-timeout": "3"}
    post(url, headers=both)
    assert float(mock.headers[-1][b"x-stainless-read-timeout"]) <= 3


@pytest.mark.parametrize("said", ["soon", "-1", "nan", "1,5", ""])
def test_seconds_that_are_no_number_are_refused(behind, said):
    url, mock = behind(lambda body: "42")
    found = post(url, headers={"x-stainless-read-timeout": said})
    assert found.status_code == 400 and "give seconds" in found.json()["error"]["message"]
    assert not mock.asked


def test_a_stream_may_last_longer_than_its_client_waits_for_a_byte(behind):
    chunks = [*"slowly", finish("small"), b"data: [DONE]\n\n"]
    url, _ = behind(lambda body: {"chunks": chunks, "gap": 0.15})
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=0.6)
    made = client.chat.completions.create(model="small", messages=CHAT, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in made) == "slowly"


def test_a_stream_that_does_not_begin_in_time_is_a_504(behind):
    url, _ = behind(lambda body: {"chunks": ["a"], "gap": 30})
    found = post(url, "small", {"x-stainless-read-timeout": "0.4"}, stream=True)
    assert found.status_code == 504


def test_a_policys_stream_keeps_an_impatient_client(behind):
    """Comments come more often than its client's time-out."""
    url, _ = behind(lambda body: {"text": "It is 42.", "wait": 1.2})
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=0.5)
    made = client.chat.completions.create(model="vote", messages=CHAT, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in made) == "It is 42."


def test_a_body_that_is_late_is_a_408(behind, monkeypatch):
    monkeypatch.setattr(door, "BODY_TIME", 0.3)
    url, mock = behind(lambda body: "42")
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
        peer.sendall(head)
        said = peer.recv(4096)
    assert b" 408 " in said.partition(b"\r\n")[0] and not mock.asked


@pytest.mark.parametrize(
    ("headers", "seconds", "exact"),
    [
        ({"retry-after": "7"}, "7", None),
        ({"retry-after-ms": "1200"}, "2", "1200"),
        ({"retry-after": "0.25"}, "1", "250"),
        ({"retry-after": "-3"}, "0", None),
        ({"retry-after": "1e999"}, "86400", None),
        ({"retry-after": "soon"}, None, None),
        ({}, None, None),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(headers, seconds, exact):
    mock = Mock(lambda body: {"status": 429, "headers": headers, "raw": b"{}"})
    with serving(mock) as address:
        member = Member(Upstream("small", f"{address}/v1", budget=_none()), parse="exact")
        with serving(app({}, {"small": member})) as url:
            found = post(url)
    assert found.status_code == 429 and len(mock.asked) == 1
    assert found.headers.get("retry-after") == seconds
    assert found.headers.get("retry-after-ms") == exact
    assert "x-should-retry" not in found.headers  # nobody tried again: the client may


def test_a_date_is_read_as_a_wait():
    when = email.utils.formatdate(time.time() + 40, usegmt=True)
    mock = Mock(lambda body: {"status": 429, "headers": {"retry-after": when}, "raw": b"{}"})
    with serving(mock) as address:
        member = Member(Upstream("small", f"{address}/v1", budget=_none()))
        with serving(app({}, {"small": member})) as url:
            found = post(url)
    assert 35 <= int(found.headers["retry-after"]) <= 41


def test_what_was_tried_again_is_said_and_not_tried_by_the_client(behind):
    url, mock = behind(
        lambda body: {"status": 429, "headers": {"retry-after-ms": "1"}, "raw": b"{}"}
    )
    found = post(url)
    assert found.status_code == 429 and found.headers["x-should-retry"] == "false"
    assert len(mock.asked) == 3  # the first call may be tried twice more


def test_a_call_that_was_made_again_is_named_and_its_cost_is_not_known(behind):
    def says(body):
        if len(mock.asked) == 1:
            return {"status": 503, "headers": {"retry-after-ms": "1"}, "raw": b"{}"}
        return "It is 42."

    url, mock = behind(says)
    found = post(url, "vote")
    assert found.status_code == 200 and len(mock.asked) == 4
    again = found.headers["x-ensemble-again"]
    assert again.endswith("=1") and "x-ensemble-cost" not in found.headers
    assert found.json()["usage"]["total_tokens"] == 45  # of the three that answered
    assert f'ensemble_again_total{{member="{again[:-2]}"}} 1.0' in httpx2.get(f"{url}/metrics").text
    assert "x-ensemble-cost" in post(url, "vote").headers


def test_a_full_gateway_says_503_and_when_to_come_back(behind):
    url, mock = behind(lambda body: {"text": "42", "wait": 1.0}, most_waiting=2)
    body = json.dumps({"model": "small", "messages": CHAT}).encode()
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    peers = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
    for peer in peers:
        peer.sendall(head.encode() + body)
    end = time.monotonic() + 5
    while len(mock.asked) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert "ensemble_waiting 2.0" in httpx2.get(f"{url}/metrics").text
    found = post(url)
    assert found.status_code == 503 and found.headers["retry-after"] == "1"
    for peer in peers:
        assert b" 200 " in peer.recv(4096).partition(b"\r\n")[0]
        peer.close()
    assert post(url).status_code == 200 and len(mock.asked) == 3


def test_two_gateways_in_a_circle_end_it_at_the_first_return():
    arrivals = []

    def gateway(name, base):
        made = app({}, {name: Member(Upstream(name, base, budget=_none()))})
        chat = made.state.gateway._way
        made.state.gateway._way = lambda way: arrivals.append(name) or chat(way)
        return made

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    first = gateway("m", f"http://127.0.0.1:{port}/v1")
    with serving(first) as at, serving(gateway("m", f"{at}/v1"), port):
        found = post(at, "m")
    assert found.status_code == 508, found.text
    assert len(arrivals) == 3 and found.headers["x-should-retry"] == "false"
    assert "circle" in found.text or "came back" in found.text


def test_a_gateway_by_another_name_of_this_machine_ends_its_own_circle():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    member = Member(Upstream("m", f"http://0.0.0.0:{port}/v1", budget=_none()))
    with serving(app({}, {"m": member}), port) as at:
        assert post(at, "m").status_code == 508


def test_gateways_in_a_row_are_no_circle(behind):
    url, mock = behind(lambda body: "42")
    with serving(app({}, {"small": Member(Upstream("small", f"{url}/v1"))})) as second:
        assert post(second).status_code == 200
    way = mock.headers[0][b"x-ensemble-way"].decode().split(",")
    assert len(way) == len(set(way)) == 2
    many = ",".join(f"{i:032x}" for i in range(9))
    assert post(url, headers={"x-ensemble-way": many}).status_code == 508
