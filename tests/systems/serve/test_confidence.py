"""Where an answer's confidence comes from, and which rule a reply's headers name."""

import time

import httpx2
import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.confidence import Agreement, Verifier
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.upstream import Upstream
from tests.systems.serve.mock import Mock, serving

CHAT = [{"role": "user", "content": "6 x 7?"}]
MODELS = "small", "big"
CASCADE = lab.Cascade(MODELS, (0.6,))


def asked(says, members, policy=CASCADE, **more):
    """The reply of a policy over members of one mock, and what the mock was asked."""
    mock = Mock(says)
    with serving(mock) as address:
        made = {
            name: Member(Upstream(name, f"{address}/v1"), **given)
            for name, given in members.items()
        }
        with serving(app({"ensemble": policy}, made)) as url:
            body = {"model": "ensemble", "messages": CHAT, **more}
            found = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=20)
    assert found.status_code == 200, found.text
    return found, mock.asked


@pytest.mark.parametrize(
    ("replies", "share", "answered"),
    [(["42"] * 5, "1.000", "small"), (["42", "41", "42", "40", "42"], "0.600", "small"),
     (["42", "41", "40", "39", "38"], "0.200", "big"), (["no"] * 5, "unknown", "big"),
     (["42", "no", "41", "no", "42"], "0.400", "big")],
)  # fmt: skip
def test_agreement_is_the_share_of_samples_with_the_commonest_answer(replies, share, answered):
    left = list(replies)

    def says(body):
        return f"I say {left.pop(0)}." if body["model"] == "small" else "It is 7."

    parse = {"parse": "last number"}
    members = {"small": {"confidence": Agreement(5, 0.7), "price": (1.0, 1.0), **parse}}
    found, sent = asked(says, members | {"big": {"price": (1.0, 1.0), **parse}})
    small = [body for body in sent if body["model"] == "small"]
    assert [body["temperature"] for body in small] == [0.7] * 5
    assert found.headers["x-ensemble-rule"].startswith(f"small {share} against 0.6")
    assert found.headers["x-ensemble-rule"].endswith(f"{answered} answered")
    text = found.json()["choices"][0]["message"]["content"]
    assert text == ("I say 42." if answered == "small" else "It is 7.")
    calls = 5 + (answered == "big")
    assert found.json()["usage"]["total_tokens"] == 15 * calls
    assert float(found.headers["x-ensemble-cost"]) == pytest.approx(15e-6 * calls)


def test_one_seed_does_not_make_all_samples_one():
    members = {"small": {"confidence": Agreement(3), "parse": "exact"}, "big": {"parse": "exact"}}
    _, sent = asked(lambda body: "x", members, seed=7)
    assert sorted(body["seed"] for body in sent) == [7, 8, 9]
    _, sent = asked(lambda body: "x", members)
    assert all("seed" not in body for body in sent)


@pytest.mark.parametrize(
    ("verdict", "said", "answered"),
    [("0.9", "0.900", "small"), ("I think 0.25", "0.250", "big"), ("90", "unknown", "big"),
     ("sure", "unknown", "big"), ({"status": 400, "raw": b"{}"}, "unknown", "big")],
)  # fmt: skip
def test_a_verifier_reads_question_and_answer_and_gives_a_number(verdict, said, answered):
    def says(body):
        return verdict if body["model"] == "judge" else f"{body['model']}: 42"

    members = {
        "small": {"confidence": Verifier("judge"), "parse": "last number"},
        "big": {"parse": "last number"},
        "judge": {},
    }
    found, sent = asked(says, members)
    (judged,) = [body for body in sent if body["model"] == "judge"]
    text = judged["messages"][0]["content"]
    assert "6 x 7?" in text and "small: 42" in text
    assert found.headers["x-ensemble-rule"].startswith(f"small {said} against 0.6")
    assert found.headers["x-ensemble-called"] == (
        "small,judge" if answered == "small" else "small,big,judge"
    )
    calls = 2 + (answered == "big") - isinstance(verdict, dict)
    assert found.json()["usage"]["total_tokens"] == 15 * calls


@pytest.mark.parametrize("prompt", ["no place", "{answer} {other}", "{answer", 3, "{question}"])
def test_a_verifiers_prompt_without_the_answer_is_refused(prompt):
    with pytest.raises(ValueError, match="answer"):
        Verifier("judge", prompt)


def test_a_verifier_that_is_no_member_or_itself_is_refused():
    def one(judge):
        source = Upstream("a", "http://127.0.0.1:9/v1")
        return {"a": Member(source, parse="exact", confidence=Verifier(judge))}

    with pytest.raises(KeyError, match="'b'"):
        app({}, one("b"))
    with pytest.raises(ValueError, match="verifies itself"):
        app({}, one("a"))


def test_a_local_model_says_itself_how_sure_it_is():
    members = {
        "small": lambda chat: Reply("41", confidence=0.9, cost=0.5, text="41"),
        "big": lambda chat: Reply("42", cost=2.0, text="42"),
    }
    policies = {"sure": CASCADE, "unsure": lab.Cascade(("small", "big"), (0.95,))}
    with serving(app(policies, members)) as url:
        for name, text, cost in (("sure", "41", 0.5), ("unsure", "42", 2.5)):
            body = {"model": name, "messages": CHAT}
            found = httpx2.post(f"{url}/v1/chat/completions", json=body)
            assert found.json()["choices"][0]["message"]["content"] == text
            assert float(found.headers["x-ensemble-cost"]) == cost


def test_a_local_model_that_fails_is_a_member_that_fails():
    def broken(chat):
        raise RuntimeError(f"a fault at {chat}")

    members = {name: Member(lambda chat: "42", parse="exact") for name in "ab"}
    members |= {"broken": Member(broken, parse="exact")}
    with serving(app(lab.MajorityVote(), members)) as url:
        body = {"model": "ensemble", "messages": CHAT}
        found = httpx2.post(f"{url}/v1/chat/completions", json=body)
        assert found.headers["x-ensemble-failed"] == "broken=broken"
        assert found.headers["x-ensemble-rule"].startswith("2 of 2")
        found = httpx2.post(f"{url}/v1/chat/completions", json={**body, "model": "broken"})
    assert found.status_code == 502 and "RuntimeError" in found.text
    assert "6 x 7" not in found.text


def test_a_local_model_says_whether_its_text_was_cut_short():
    model = lab.load("tiny-draft", max_new_tokens=12)
    with serving(app({}, {"tiny": model})) as url:
        for most in (1, 5, None):
            body = {"model": "tiny", "messages": CHAT} | ({"max_tokens": most} if most else {})
            found = httpx2.post(f"{url}/v1/chat/completions", json=body).json()
            limit = most or 12
            made = model.generate(CHAT[0]["content"], max_new_tokens=limit).tokens
            ended = made[-1] in model.ends
            assert ended or len(made) == limit
            assert found["choices"][0]["finish_reason"] == ("stop" if ended else "length")
            assert found["usage"]["completion_tokens"] == len(made)
            streamed = httpx2.post(f"{url}/v1/chat/completions", json={**body, "stream": True}).text
            assert ('"finish_reason":"length"' in streamed) == (not ended)
        # Ended by its own last token at the very limit: nothing was cut.
        model.model.generation_config.eos_token_id = made[2]
        ends = made.index(made[2]) + 1
        body = {"model": "tiny", "messages": CHAT, "max_tokens": ends}
        found = httpx2.post(f"{url}/v1/chat/completions", json=body).json()
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["usage"]["completion_tokens"] == ends


def test_a_local_model_does_not_take_what_it_does_not_have():
    with serving(app({}, {"one": lambda chat: "42"})) as url:
        for more in ({"tools": [{}]}, {"n": 2}, {"temperature": 1.0}, {"logprobs": True}):
            body = {"model": "one", "messages": CHAT, **more}
            found = httpx2.post(f"{url}/v1/chat/completions", json=body)
            assert found.status_code == 400
            assert found.json()["error"]["param"] == next(iter(more))


def _table():
    rng = np.random.default_rng(0)
    return Outcomes(
        models=("small", "big"),
        items=np.arange(40),
        correct=(rng.random((40, 2)) < (0.5, 0.9)).astype(float),
        answer=rng.integers(0, 2, (40, 2)),
        labels=("41", "42"),
        cost=np.full((40, 2), (1e-6, 2e-6)),
        confidence=rng.random((40, 2)),
        group=rng.choice(["easy", "hard"], 40).tolist(),
    )


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (lab.MajorityVote(), "2 of 2 gave the answer of small"),
        (lab.Cascade(("small", "big"), (0.5,)), "small unknown against 0.5; big unknown: big"),
        (lab.GroupRouter(), "group easy, "),
        (lab.AgreementCascade((MODELS,)), "AgreementCascade: small answered"),
    ],
)
def test_each_kind_of_policy_says_which_rule_fired(policy, rule):
    if isinstance(policy, lab.GroupRouter):
        policy = policy.fit(_table())
    members = {
        name: {"parse": "last number", "confidence": "logprobs"} for name in ("small", "big")
    }
    found, _ = asked(lambda body: "It is 42", members, policy, metadata={"group": "easy"})
    assert rule in found.headers["x-ensemble-rule"]


def test_a_member_with_a_time_of_its_own_does_not_hold_up_the_others():
    """A server that takes the call and says nothing costs its own time-out, not the request's."""
    mock = Mock(lambda body: {"wait": 30} if body["model"] == "small" else "It is 42.")
    with serving(mock) as address:
        members = {
            name: Member(
                Upstream(name, f"{address}/v1", timeout=0.3), parse="last number",
                confidence="logprobs",
            )
            for name in ("small", "big")
        }  # fmt: skip
        with serving(app({"cascade": CASCADE}, members)) as url:
            start = time.monotonic()
            body = {"model": "cascade", "messages": CHAT}
            found = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=20)
    assert found.status_code == 200 and time.monotonic() - start < 8
    assert found.headers["x-ensemble-failed"] == "small=timeout"
    assert found.json()["choices"][0]["message"]["content"] == "It is 42."
