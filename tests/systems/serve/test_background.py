"""The gateway in a thread: found at its address, ended without a trace."""

import pickle
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

systems = lab.systems


def echo(messages):
    return lab.Reply(messages[-1]["content"], confidence=0.9, tokens=1)


def ask(gateway, model="ensemble"):
    with openai.OpenAI(base_url=gateway.url, api_key="none", max_retries=0) as client:
        found = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "4"}]
        )
    return found.choices[0].message.content


@contract("start_gateway", "RunningGateway", "Member")
def test_the_official_client_finds_it_and_its_end_frees_the_port():
    before = threading.active_count()
    models = {"a": systems.Member(echo, price=(0.0, 100.0)), "b": echo}
    with systems.start_gateway(lab.MajorityVote(), models) as gateway:
        assert ask(gateway) == ask(gateway, "b") == "4"
        assert httpx2.get(f"{gateway.address}/health").json() == {"status": "ok"}
        assert 'ensemble_requests_total{model="b"' in httpx2.get(f"{gateway.address}/metrics").text
        port = int(gateway.address.rpartition(":")[2])
        assert f":{port}/v1" in repr(gateway)
        with pytest.raises(ValueError, match=f"port {port} cannot be used"):
            systems.start_gateway(lab.MajorityVote(), models, port=port)
    gateway.stop()
    assert repr(gateway) == "RunningGateway(stopped)" and threading.active_count() <= before + 1
    socket.create_server(("127.0.0.1", port)).close()


def test_two_at_once_have_their_own_ports_and_counts():
    with (
        systems.start_gateway(lab.MajorityVote(), {"a": echo}) as one,
        systems.start_gateway(lab.MajorityVote(), {"a": echo}) as other,
    ):
        assert one.url != other.url and ask(one) == "4"
        assert "ensemble_requests_total{" not in httpx2.get(f"{other.address}/metrics").text


def test_traffic_is_recorded_and_the_log_is_whole_when_it_stops(tmp_path):
    path = tmp_path / "traffic.jsonl"
    log = systems.TrafficLog(path)
    with systems.start_gateway(lab.MajorityVote(), {"a": echo, "b": echo}, recorder=log) as one:
        for _ in range(3):
            ask(one)
    table = systems.read_traffic(path)
    assert table.models == ("a", "b") and len(table.items) == 3


@contract("start_gateway", "Member")
def test_what_cannot_be_served_is_refused_before_it_starts():
    before = threading.active_count()
    vote, models = lab.MajorityVote(), {"a": echo}
    collected(
        {f"port {x!r}": lambda x=x: systems.start_gateway(vote, models, port=x)
         for x in (-1, 65536, 1.5, "8000", None, True)}
        | {f"policy {x!r}": lambda x=x: systems.start_gateway(x, models)
           for x in (None, "vote", lab.Cascade(("a", "c"), (0.5,)))}
        | {f"model {x!r}": lambda x=x: systems.start_gateway(vote, {"a": x})
           for x in (None, 3, "a")}
        | {f"price {x!r}": lambda x=x: systems.Member(echo, price=x) for x in (1.0, "1", (1,))}
        | {"parse": lambda: systems.Member(echo, parse="number")}
    )  # fmt: skip
    assert threading.active_count() == before


def test_one_member_serves_two_gateways_one_call_at_a_time():
    busy, most = 0, 0

    def slow(messages):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        time.sleep(0.02)
        busy -= 1
        return lab.Reply("4", confidence=0.9, tokens=1)

    member = systems.Member(slow)
    policy = lab.MajorityVote()
    with (
        systems.start_gateway(policy, {"a": member}) as one,
        systems.start_gateway(policy, {"a": member}) as other,
        ThreadPoolExecutor(8) as pool,  # several at once: a lock is bound by its second waiter
    ):
        assert list(pool.map(ask, [one, other] * 8)) == ["4"] * 16
    assert most == 1
    assert pickle.loads(pickle.dumps(systems.Member(echo))).local  # as Ray sends it


def test_a_class_is_no_policy():
    with pytest.raises(TypeError, match=r"^policy is the class MajorityVote; give an object"):
        systems.start_gateway(lab.MajorityVote, {"a": echo})
