"""A member and a gateway in a thread: what they are made of, and what they refuse."""

import json
import urllib.request

import ensemble_lab as lab
from tests.contracts.registry import collected, contract


def four(item):
    return "It is 4."


@contract("Member")
def test_a_member_says_what_it_cannot_be():
    collected({
        "no model": lambda: lab.Member(3),
        "a parser's name": lambda: lab.Member(four, parse="last numbre"),
        "no parser": lambda: lab.Member(four, parse=3),
        "a confidence's name": lambda: lab.Member(four, confidence="logprob"),
        "one price": lambda: lab.Member(four, price=0.5),
        "a negative price": lambda: lab.Member(four, price=(-1.0, 1.0)),
        "no price": lambda: lab.Member(four, price=(float("nan"), 1.0)),
    })  # fmt: skip


@contract("Upstream")
def test_an_upstream_says_what_it_cannot_be():
    def up(url="http://127.0.0.1:9/v1", name="m", key=None, **more):
        return lambda: lab.Upstream(name, url, key, **more)

    collected({
        "no address": up("server"),
        "no text": up(3),
        "another protocol": up("ftp://server/v1"),
        "the whole path": up("http://127.0.0.1:9/v1/chat/completions"),
        "no name": up(name=""),
        "a number as name": up(name=3),
        "a key of two lines": up(key="a\nb"),
        "a number as key": up(key=3),
        **{f"timeout {value}": up(timeout=value) for value in (0, -1, "5", True, float("nan"))},
        "a share as budget": up(budget=0.1),
        "true as hedge": up(hedge=True),
        "a number as breaker": up(breaker=5),
    })  # fmt: skip
    for url in ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/", " http://127.0.0.1:9/v1 "):
        assert up(url)().name == "m"
    # No key is shown where an object is shown.
    assert "sk-1" not in repr(up("http://u:sk-1@127.0.0.1:9/v1", key="sk-12345")())


@contract("Agreement", "Verifier")
def test_a_confidence_says_what_it_cannot_be():
    collected({
        **{f"{n} samples": lambda n=n: lab.Agreement(n) for n in (1, 0, -3, 101, 2.0, "5", True)},
        **{f"heat {t}": lambda t=t: lab.Agreement(3, t)
           for t in (0, -1, "1", True, float("nan"), float("inf"))},
        "no member": lambda: lab.Verifier(3),
        "an object": lambda: lab.Verifier(lab.Member(four)),
        "no place for the answer": lambda: lab.Verifier("b", "Is it right?"),
        "another place": lambda: lab.Verifier("b", "{answer} {context}"),
        "half a place": lambda: lab.Verifier("b", "{answer"),
        "no prompt": lambda: lab.Verifier("b", 3),
        "agreement without answers": lambda: lab.Member(four, confidence=lab.Agreement()),
    })  # fmt: skip
    read = lab.Verifier("b").read
    assert [read(text) for text in ("0.5", "so 0.25.", "1", "2", "-0.1", "sure", "")] == [
        0.5, 0.25, 1.0, None, None, None, None
    ]  # fmt: skip


@contract("app")
def test_a_gateway_says_what_it_cannot_serve():
    members = {name: lab.Member(four, parse="last number") for name in "abc"}
    vote = lab.MajorityVote()

    def made(policy=vote, models=members, **more):
        return lambda: lab.app(policy, models, **more)

    judged = {"a": lab.Member(four, parse="exact", confidence=lab.Verifier("z"))}
    collected({
        "no policy": made("vote"),
        "a class": made(lab.MajorityVote),
        "no models": made(models={}),
        "a list of models": made(models=[four, four]),
        "a model that is none": made(models={"a": 3}),
        "a name that is none": made(models={3: four}),
        "an empty name": made(models={" ": four}),
        "two of one name": made({"a": vote}),
        "no such member": made(lab.Cascade(("a", "z"), (0.5,))),
        "an endpoint without parse": made(
            models={"a": lab.Upstream("m", "http://127.0.0.1:9/v1")}),
        "a judge that is none": made({}, judged),
        **{f"timeout {value}": made(timeout=value) for value in (0, -1, "5", None, True)},
        **{f"most {value}": made(most_body=value) for value in (0, -1, 1.5, "5", None)},
        **{f"most waiting {value}": made(most_waiting=value) for value in (0, 0.5, None)},
        "a path as recorder": made(recorder="traffic.jsonl"),
        "features that are none": made(features=3),
        "labels that are none": made(labels=3),
    })  # fmt: skip
    assert lab.app({}, members).title == "ensemble-lab"  # members alone


@contract("read_settings")
def test_settings_are_read_or_their_fault_is_named(tmp_path):
    good = tmp_path / "gateway.toml"
    good.write_text('[models.a]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n', "utf-8")
    for form in (good, str(good)):
        found = lab.read_settings(form, port=0)
        assert list(found.models) == ["a"] and found.port == 0 and found.host == "127.0.0.1"
    for name, data in {"bytes": b"\xff", "json": b"{}", "empty": b""}.items():
        (tmp_path / name).write_bytes(data)
    collected({
        "no file": lambda: lab.read_settings(tmp_path / "none.toml"),
        "a folder": lambda: lab.read_settings(tmp_path),
        "no path": lambda: lab.read_settings(3),
        "nothing": lambda: lab.read_settings(None),
        **{name: lambda name=name: lab.read_settings(tmp_path / name)
           for name in ("bytes", "json", "empty")},
        **{f"port {port}": lambda port=port: lab.read_settings(good, port)
           for port in (-1, 70000, "80", 1.5, True)},
    })  # fmt: skip


@contract("start_gateway", "RunningGateway")
def test_a_gateway_in_a_thread_answers_and_stops():
    members = {name: lab.Member(four, parse="last number") for name in "abc"}
    collected({
        "a port": lambda: lab.start_gateway(lab.MajorityVote(), members, port=-1),
        "no port": lambda: lab.start_gateway(lab.MajorityVote(), members, port="80"),
        "true": lambda: lab.start_gateway(lab.MajorityVote(), members, port=True),
        "no policy": lambda: lab.start_gateway("vote", members),
        "no such member": lambda: lab.start_gateway(lab.Cascade(("a", "z"), (0.5,)), members),
    })  # fmt: skip
    with lab.start_gateway(lab.MajorityVote(), members) as gateway:
        assert isinstance(gateway, lab.RunningGateway)
        body = {"model": "ensemble", "messages": [{"role": "user", "content": "2 + 2?"}]}
        request = urllib.request.Request(
            f"{gateway.url}/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            found = json.loads(reply.read())
        assert found["choices"][0]["message"]["content"] == "It is 4."
