"""Where Ray is not installed, and what is refused before it starts."""

import asyncio
import pickle
import socket
import sys
import time

import pytest

import ensemble_lab as lab
from ensemble_lab.systems.serve.members import Member, Verifier
from ensemble_lab.systems.serve.on_ray import application, running
from ensemble_lab.systems.serve.protocol import ApiError
from ensemble_lab.systems.serve.wire import UpstreamError
from tests.contracts.registry import collected
from tests.systems.replaying.test_replay import made


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)


def test_the_extra_is_named_and_nothing_is_left(no_ray, tmp_path):
    made().to_parquet(tmp_path / "0.parquet")
    models, policy = {"one": lambda item: 1}, lab.Cascade(("small", "big"), (0.5,))
    for call in (
        lambda: lab.replay(policy, tmp_path / "0.parquet", "ray", progress=False),
        lambda: lab.record(models, [1], tmp_path / "r.jsonl", engine="ray", progress=False),
        lambda: application(policy, {"small": len, "big": len}),
    ):
        with pytest.raises(ImportError, match=r"pip install 'ensemble-lab\[ray\]'"):
            call()
    # The recording has its items, as any that was interrupted before the first reply.
    assert len(lab.record(models, [1], tmp_path / "r.jsonl", progress=False)) == 1


def test_record_refuses_an_engine_that_is_none(tmp_path):
    collected({
        str(engine): lambda engine=engine: lab.record(
            {"one": len}, ["a"], tmp_path / "r.jsonl", engine=engine, progress=False
        )
        for engine in (None, "Ray", "", 1, ["ray"])
    })  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_port_is_checked_before_ray_starts(no_ray):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = taken.getsockname()[1]

        def start(port):
            with running(None, port):
                pass

        collected({
            str(port): lambda port=port: start(port)
            for port in (used, 0, -1, 65536, "8000", 80.0, True, None)
        })  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        ApiError(429, "slow down", param="n", code="rate_limit", retry_after=2.0, retry=False),
        UpstreamError(503, "busy", "small is busy", 1.0, {"x": "y"}),
    ],
    ids=["api", "upstream"],
)
def test_errors_of_the_gateway_travel_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)


def test_a_loaded_model_tells_its_own_confidence():
    def model(messages):
        return lab.Reply(answer="4", text="4", confidence=0.75)

    def heard(member, **members):
        body = {"messages": [{"role": "user", "content": "2 + 2"}]}
        return asyncio.run(member.hear(body, time.monotonic() + 10, members)).line["confidence"]

    def judge(messages):
        return lab.Reply(answer="0.25", text="0.25")

    assert heard(Member(model)) == 0.75
    assert heard(Member(model, confidence="logprobs")) == 0.75
    judged = Member(model, confidence=Verifier("judge"))
    assert heard(judged, judge=Member(judge)) == 0.25
