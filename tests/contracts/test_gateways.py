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
