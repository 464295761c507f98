"""Committees over HTTP: a mock of an OpenAI-compatible server answers for all members."""

import pytest

import ensemble_lab as lab
from ensemble_lab.models.errors import EndpointStatus
from tests.systems.serve.mock import Mock, serving


@pytest.fixture
def served():
    said = {}

    def says(body):
        answer = said[body["model"]]
        return answer(body) if callable(answer) else answer

    mock = Mock(says)
    with serving(mock) as address:

        def member(name, answer, **more):
            said[name] = answer
            return lab.Endpoint(f"{address}/v1", name, price=(1.0, 2.0), **more)

        yield member, mock  # fmt: skip


def test_a_mixture_over_endpoints(served):
    member, mock = served
    members = {"a": member("a", "4"), "b": member("b", "5")}
    last = member("last", lambda body: "both" if "\n5\n" in content(body) else "alone")
    transcript = lab.Transcript()
    reply = lab.MixtureOfAgents(members, last).ask("2 + 2?", transcript)
    assert reply.answer == "both" and len(mock.asked) == 3
    assert reply.cost == pytest.approx(3 * (10 * 1 + 5 * 2) / 1e6) and reply.tokens == 15
    assert transcript.outcomes().models == ("a@1", "b@1", "aggregator@2")


@pytest.mark.parametrize("said", ["", {"raw": b'{"choices":[{"message":{"content":null}}]}'}])
def test_an_empty_fusion_is_no_answer(served, said):
    member, _ = served
    transcript = lab.Transcript()
    mixture = lab.MixtureOfAgents({"a": member("a", "4")}, member("last", said))
    assert mixture.ask("2 + 2?", transcript).answer is None
    assert transcript.outcomes({"2 + 2?": "4"}).correct.tolist() == [[1, 0]]


def test_a_member_over_its_rate_limit_says_so_and_the_rest_is_kept(served):
    member, mock = served
    answers = iter([{"status": 429, "raw": b'{"error": {"message": "slow down"}}'}, "5"])
    members = {"a": member("a", "5"), "b": member("b", lambda body: next(answers))}
    transcript, vote = lab.Transcript(), lab.Debate(members, rounds=0)
    with pytest.raises(EndpointStatus, match=r"429.*slow down"):
        vote.ask("q?", transcript)
    assert vote.ask("q?", transcript).answer == "5" and len(mock.asked) == 3


def test_samples_of_an_endpoint_have_seeds_of_their_own(served):
    member, mock = served
    model = member("m", lambda body: str(body["seed"]))
    reply = lab.Debate(lab.sampled_members(model, 3, seed=5), rounds=0).ask("q?")
    assert reply.answer == "5" and sorted(b["seed"] for b in mock.asked) == [5, 6, 7]


def content(body):
    return body["messages"][-1]["content"]
