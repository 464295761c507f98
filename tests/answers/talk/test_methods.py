"""Committees that talk: their identities, cases by hand, and what they do with gaps."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.answers.talk.members import Says, follows, prefers, saying

ANSWERS = st.sampled_from(["4", "5", "6", ""])
SMALL = settings(max_examples=25, deadline=None)


def test_a_mixture_of_one_layer_is_the_plain_call():
    last = Says("4")
    members = saying(a="5", b="6")
    transcript = lab.Transcript()
    reply = lab.MixtureOfAgents(members, last, layers=1).ask("2 + 2?", transcript)
    assert last.prompts == ["2 + 2?"] and not members["a"].prompts
    assert (reply.answer, reply.tokens, reply.latency) == ("4", 3, 1.0) and len(transcript) == 1


def test_a_mixture_in_which_nobody_wrote_anything_is_the_plain_call():
    last = Says("4")
    lab.MixtureOfAgents(saying(a="", b=" \n"), last).ask("2 + 2?")
    assert last.prompts == ["2 + 2?"]


def test_a_mixture_of_three_layers_by_hand():
    members, transcript = saying(a="five", b="six"), lab.Transcript()
    reply = lab.MixtureOfAgents(members, "b", layers=3).ask("2 + 2?", transcript)
    columns = sorted(column for _, column in transcript.recording.replies)
    assert columns == ["a@1", "a@2", "b@1", "b@2", "b@3"]
    assert len(members["b"].prompts) == 3 and members["a"].prompts[0] == "2 + 2?"
    assert all("five" in one and "six" in one for one in members["b"].prompts[1:])
    # Five calls of 0.5 USD and 3 tokens; three rounds of one second each.
    assert (reply.cost, reply.tokens, reply.latency) == (2.5, 15, 3.0)


@SMALL
@given(st.lists(ANSWERS, min_size=1, max_size=6))
def test_a_debate_of_no_rounds_is_the_vote(texts):
    members = {f"m{i}": Says(text) for i, text in enumerate(texts)}
    reply = lab.Debate(members, rounds=0).ask("2 + 2?")
    cast = [text for text in texts if text]
    best = max(cast, key=lambda text: (cast.count(text), -cast.index(text))) if cast else None
    assert reply.answer == best
    assert reply.confidence == pytest.approx(cast.count(best) / len(texts) if cast else 0)
    outcomes = lab.Transcript()
    lab.Debate(members, rounds=0).ask("2 + 2?", outcomes)
    if cast:
        decided = lab.MajorityVote().decide(outcomes.outcomes())
        assert decided.answers == [reply.answer]


def test_a_debate_shows_each_member_its_own_and_the_others_last_answers():
    members = {"a": Says("one", "three"), "b": Says("two", "three"), "c": Says("two")}
    transcript = lab.Transcript()
    assert lab.Debate(members, rounds=1).ask("q?", transcript).answer == "three"
    prompt = members["a"].prompts[1]
    own = prompt.index("[your last answer ")
    assert own < prompt.index("one") < prompt.index("[answer 1 ")
    assert prompt.startswith("q?\n\n") and prompt.endswith("The question again: q?")
    saw = transcript.recording.replies["q?", "a@2"]["saw"]
    assert saw[0] == "a@1" and sorted(saw) == ["a@1", "b@1", "c@1"]


@SMALL
@given(st.permutations(["4", "4", "5", "6"]), st.sampled_from(["mixture", "debate", "jury"]))
def test_the_order_of_the_members_changes_no_prompt(texts, kind):
    texts = dict(zip("abcd", texts, strict=True))

    def heard(order):
        members = {name: Says(texts[name]) for name in order}
        transcript = lab.Transcript()
        committee = {
            "mixture": lambda: lab.MixtureOfAgents(members, Says("x")),
            "debate": lambda: lab.Debate(members, rounds=1),
            "jury": lambda: lab.Jury(members, {"j": prefers("4", "5", "6")}),
        }[kind]()
        answer = committee.ask("q?", transcript).answer
        replies = transcript.recording.replies
        return answer, {pair: line["asked"] for pair, line in replies.items()}

    assert len({heard(order)[0] for order in permutations("abcd")}) == 1
    assert all(heard(order) == heard("abcd") for order in list(permutations("abcd"))[::7])


def test_readers_see_the_answers_in_orders_of_their_own():
    names = [f"m{i}" for i in range(6)]
    transcript = lab.Transcript()
    lab.MixtureOfAgents({n: Says(n) for n in names}, Says("x"), layers=3).ask("q?", transcript)
    orders = {tuple(line["saw"]) for line in transcript.recording.replies.values() if "saw" in line}
    assert len(orders) > 3


def test_one_judge_is_that_judge():
    for best in permutations(["4", "5", "6"]):
        jury = lab.Jury(saying(a="4", b="5", c="6"), {"judge": prefers(*best)})
        reply = jury.ask("q?")
        assert reply.answer == best[0] and reply.confidence == 1.0


def test_a_jury_asks_every_ordered_pair_and_ties_go_to_the_first_member():
    transcript, judge = lab.Transcript(), follows("A")
    reply = lab.Jury(saying(a="4", b="5", c="6"), {"judge": judge}).ask("q?", transcript)
    assert len(judge.prompts) == 6 and (reply.answer, reply.confidence) == ("4", 0.5)
    assert lab.position_flips(transcript) == 1.0
    assert lab.Jury(saying(c="6", a="4"), {"judge": follows("B")}).ask("q?").answer == "6"


@pytest.mark.parametrize("verdict", ["neither", "A and B are equal", "", "A better one exists"])
def test_a_judge_that_names_neither_counts_for_nobody(verdict):
    transcript = lab.Transcript()
    jury = lab.Jury(saying(a="4", b="5"), {"judge": Says(verdict)})
    reply = jury.ask("q?", transcript)
    assert (reply.answer, reply.confidence) == ("4", 0.5)
    assert lab.position_flips(transcript) != lab.position_flips(transcript)  # NaN


@pytest.mark.parametrize(
    ("said", "named"),
    [("A", "A"), ("B.", "B"), ("**A**", "A"), ("Answer B", "B"), ("A is better.", "A"),
     ("(B) because it is right", "B"), ("A better answer is B", None), ("a", None),
     ("It's A's fault", None), ("BA", None), ("A or B", None)],
)  # fmt: skip
def test_a_verdict_is_read_only_where_one_letter_is_named(said, named):
    from ensemble_lab.answers.committees.talk.ranking import verdict

    assert verdict({"text": said}) == named


def test_two_judges_share_the_verdict():
    members = saying(a="4", b="5", c="6")
    judges = {"one": prefers("4", "5", "6"), "two": prefers("5", "6", "4")}
    # a: 4 + 0, b: 2 + 4, c: 0 + 2 of 4 points a judge
    assert lab.Jury(members, judges).ask("q?").answer == "5"


def test_rank_and_fuse_shows_the_best_answers_in_their_order():
    fuser, transcript = Says("done"), lab.Transcript()
    judges = {"judge": prefers("6", "4", "5")}
    committee = lab.RankAndFuse(saying(a="4", b="5", c="6"), judges, fuser, top=2)
    assert committee.ask("q?", transcript).answer == "done"
    assert transcript.recording.replies["q?", "fuser@3"]["saw"] == ["c@1", "a@1"]
    (prompt,) = fuser.prompts
    assert prompt.index("\n6\n") < prompt.index("\n4\n") and "\n5\n" not in prompt


def test_members_without_text_are_not_compared():
    judge = follows("A")
    members = saying(a="", b="5", c="  ")
    assert lab.Jury(members, {"judge": judge}).ask("q?").answer == "5" and not judge.prompts
    assert lab.Jury(saying(a="", b=""), {"judge": judge}).ask("q?").answer is None
    fuser = Says("4")
    assert lab.RankAndFuse(saying(a=""), {"j": judge}, fuser, top=1).ask("q?").answer == "4"
    assert fuser.prompts == ["q?"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [("2", "5"), ("Answer 1.", "4"), ("3", None), ("0", None), ("1 and 2", None), ("none", None),
     ("", None), ("-", None)],
)  # fmt: skip
def test_universal_consistency_takes_exactly_one_number(said, answer):
    committee = lab.UniversalConsistency(saying(a="4", gap="", b="5"), Says(said))
    assert committee.ask("q?").answer == answer
    assert lab.UniversalConsistency(saying(a="", b=""), Says("1")).ask("q?").answer is None


def test_review_goes_from_member_to_member():
    members, transcript = saying(a="four", b="", c="five"), lab.Transcript()
    assert lab.Review(members).ask("q?", transcript).answer == "five"
    assert "four" in members["b"].prompts[0] and members["b"].prompts == members["c"].prompts
    assert transcript.recording.replies["q?", "c@3"]["saw"] == ["a@1"]


def test_experts_are_named_by_the_model_and_never_evaluated():
    ran = []
    roles = "1. Cook\n\n- __import__('os').getpid()\n3) Judge\n4. Cook\nFifth"
    model = Says(roles, "x", "y", "z", "all")
    reply = lab.MultiExpert({"m": model}, experts=3).ask("q?")
    asked = {p.rpartition(": ")[2] for p in model.prompts[1:4]}
    assert asked == {"Cook", "__import__('os').getpid()", "Judge"} and not ran
    assert reply.answer == "all" and all(one in model.prompts[4] for one in "xyz")
    silent = Says("", "4")
    assert lab.MultiExpert({"m": silent}).ask("q?").answer == "4"
    assert silent.prompts[1] == "q?"


def test_a_committee_is_a_model():
    inner = lab.Debate(saying(a="4", b="4"), rounds=0)
    outer = lab.MixtureOfAgents({"inner": inner, "c": Says("5")}, Says("4"))
    reply = outer("q?")
    assert reply.answer == "4" and reply.tokens == 12 and reply.cost == 2.0
    votes = lab.Transcript()
    assert lab.Debate({"v": inner}, rounds=0).ask("q?", votes).answer == "4"


def test_a_committee_can_be_recorded(tmp_path):
    vote = lab.Debate(saying(a="4", b="5", c="4"), rounds=0)
    table = lab.record({"vote": vote}, ["2 + 2?"], tmp_path / "r.jsonl", truth=["4"],
                       progress=False)  # fmt: skip
    assert table.correct.tolist() == [[1.0]] and table.cost.tolist() == [[1.5]]


def test_a_chat_keeps_its_messages():
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 2?"}]
    last, judge = Says("4"), follows("A")
    lab.MixtureOfAgents(saying(a="5"), last).ask(chat)
    (prompt,) = last.prompts
    assert prompt[0] == chat[0] and prompt[1]["content"].startswith("2 + 2?\n\nOther")
    assert chat[1]["content"] == "2 + 2?"
    lab.Jury(saying(a="5", b="6"), {"j": judge}).ask(chat)
    assert "system: Be short.\nuser: 2 + 2?" in judge.prompts[0]
    parts = [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}]
    lab.MixtureOfAgents(saying(a="5"), last).ask(parts)
    assert last.prompts[-1][0]["content"][0] == parts[0]["content"][0]


def test_unknown_costs_stay_unknown():
    committee = lab.Debate({"a": Says("4"), "b": lambda item: "4"}, rounds=0)
    reply = committee.ask("q?")
    assert reply.cost is None and reply.tokens is None and reply.latency >= 1.0


def test_samples_share_a_model_and_differ_in_their_seeds():
    endpoint = lab.Endpoint("http://127.0.0.1:9/v1", "m", temperature=0.0)
    made = lab.sampled_members(endpoint, 3, temperature=0.5, seed=7)
    assert list(made) == ["#0", "#1", "#2"]
    assert [one._fields["seed"] for one in made.values()] == [7, 8, 9]
    assert {one._fields["temperature"] for one in made.values()} == {0.5}
    assert endpoint._fields["temperature"] == 0.0 and "seed" not in endpoint._fields
