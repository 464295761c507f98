"""Keys and prompts are in no log; bodies, streams and names have bounds that hold at once."""

import asyncio
import hmac
import json
import logging
import socket
import time

import httpx2
import pytest

from ensemble_lab.systems.serve import door
from ensemble_lab.systems.serve.app import MOST_BODY, app
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.resilience import Hedge
from ensemble_lab.systems.serve.settings import SettingsError, read_settings
from ensemble_lab.systems.serve.upstream import Upstream
from tests.support.raw_server import http, raw_server
from tests.systems.serve.mock import Mock, event, serving

KEY, UPSTREAM_KEY, PROMPT = "gateway-key-4711", "upstream-key-0815", "the patient's secret question"
CHAT = [{"role": "user", "content": PROMPT}]
QUOTING = {"error": {"message": f"I cannot answer '{PROMPT}' for {UPSTREAM_KEY}"}}


def post(url, key=KEY, **more):
    body = {"model": "small", "messages": CHAT, **more}
    headers = {"authorization": f"Bearer {key}".encode()}
    return httpx2.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("ENSEMBLE_LAB_KEY", KEY)


def test_no_log_has_a_key_or_a_prompt(keyed, caplog, capfd):
    replies = [
        http({"choices": [{"message": {"role": "assistant", "content": "4"}}]}),
        http(QUOTING, "400 Bad Request"),
        http(QUOTING, "500 Internal Server Error"),
        http(b"{not json"),
        lambda peer: None,
    ]
    with caplog.at_level(logging.DEBUG):
        for reply in replies:
            with raw_server(reply) as (address, _):
                member = Member(Upstream("small", f"{address}/v1", UPSTREAM_KEY))
                with serving(app({}, {"small": member})) as url:
                    for more in ({}, {"stream": True}, {"key": f"{KEY}-wrong"}):
                        post(url, **more)
    said = caplog.text + "".join(capfd.readouterr())
    assert said  # the client of the tests itself says which addresses it asked
    for secret in (KEY, UPSTREAM_KEY, PROMPT):
        assert secret not in said


def test_a_fault_of_the_gateway_itself_is_logged_without_key_and_prompt(keyed, caplog, capfd):
    def broken(messages):
        raise RuntimeError(f"no memory for {messages[0]['content']}")

    with caplog.at_level(logging.DEBUG), serving(app({}, {"small": Member(broken)})) as url:
        found = post(url)
    assert found.status_code >= 500 and PROMPT not in found.text
    said = caplog.text + "".join(capfd.readouterr())
    assert PROMPT not in said and KEY not in said


def test_every_key_is_compared_in_constant_time(keyed, monkeypatch):
    compared = []

    class Watched:
        @staticmethod
        def compare_digest(one, other):
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(door, "hmac", Watched)
    wrong = ["x", KEY[:-1], f"{KEY}x", KEY.upper(), "ключ", "x" * 4000]
    with serving(app({}, {"small": Member(lambda messages: "4")})) as url:
        assert [post(url, key=key).status_code for key in wrong] == [401] * len(wrong)
        assert post(url).status_code == 200
    assert [one for one, _ in compared] == [key.encode() for key in [*wrong, KEY]]
    assert {other for _, other in compared} == {KEY.encode()}


def test_100_megabytes_are_refused_before_they_are_sent():
    assert MOST_BODY < 100 * 2**20
    with serving(app({}, {"small": Member(lambda messages: "4")})) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
            )
            peer.sendall(head.encode())  # and nothing more
            said = peer.recv(4096)
    assert b" 413 " in said.partition(b"\r\n")[0]


def test_a_stream_is_never_hedged():
    piece = event({"choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]})
    mock = Mock(lambda body: {"chunks": [piece], "gap": 0.5})
    hedge = Hedge()
    for _ in range(40):
        hedge.budget.earn()
        hedge.add(0.01)
    assert hedge.wait() < 0.1  # a plain call would have a second one

    async def work(address):
        upstream = Upstream("small", f"{address}/v1", hedge=hedge)
        body = {"messages": CHAT}
        found = [data async for data in upstream.stream(body, time.monotonic() + 10)]
        await upstream.aclose()
        return found

    with serving(mock) as address:
        (data,) = asyncio.run(work(address))
    assert json.loads(data)["choices"] and len(mock.asked) == 1


@pytest.mark.parametrize("kind", ["models", "policies"])
def test_two_of_one_name_are_named_with_their_line(tmp_path, kind):
    table = f'[{kind}.twin]\nkind = "MajorityVote"\n'
    path = tmp_path / "gateway.toml"
    path.write_text(f'[models.one]\nload = "tiny"\n{table}{table}')
    with pytest.raises(SettingsError, match=r"twin.*line 5"):
        read_settings(path)
