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


THOUGHT = b'{"choices":[{"message":{"content":null,"reasoning_content":"So it is 4."}}]}'


@pytest.mark.parametrize(
    "said", ["", {"raw": b'{"choices":[{"message":{"content":null}}]}'}, {"raw": THOUGHT}]
)
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


def test_every_kind_of_committee_talks_over_endpoints(served):
    """Each on members, judges and readers that are endpoints: calls, tokens and USD add up."""
    member, mock = served
    members = {"a": member("a", "4"), "b": member("b", "5")}
    judge = {"judge": member("judge", "A")}
    last = member("last", lambda body: "1" if "its number alone" in content(body) else "4")
    expert = {
        "m": member("m", lambda body: "Cook\nJudge" if "experts who" in content(body) else "4")
    }
    for committee, calls in (
        (lab.MixtureOfAgents(members, last, layers=3), 5),
        (lab.MixtureOfAgents(lab.sampled_members(members["a"], 3), members["a"]), 4),
        (lab.Debate(members, rounds=2), 6),
        (lab.Jury(members, judge), 4),
        (lab.RankAndFuse(members, judge, last, top=1), 5),
        (lab.UniversalConsistency(members, last), 3),
        (lab.Review(members), 2),
        (lab.MultiExpert(expert, experts=2), 4),
    ):
        before, transcript = len(mock.asked), lab.Transcript()
        reply = committee.ask("2 + 2?", transcript)
        assert reply.answer in ("4", "5"), committee
        assert len(mock.asked) - before == calls == len(transcript), committee
        assert reply.tokens == 5 * calls
        assert reply.cost == pytest.approx(calls * (10 * 1 + 5 * 2) / 1e6)


def test_samples_of_an_endpoint_have_seeds_of_their_own(served):
    member, mock = served
    model = member("m", lambda body: str(body["seed"]))
    reply = lab.Debate(lab.sampled_members(model, 3, seed=5), rounds=0).ask("q?")
    assert reply.answer == "5" and sorted(b["seed"] for b in mock.asked) == [5, 6, 7]


def content(body):
    return body["messages"][-1]["content"]
