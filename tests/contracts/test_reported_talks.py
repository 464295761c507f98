"""What users of other committees report, tried on ours.

The kinds come from the trackers of DSPy (answers that are articles leave the vote), LangChain
(braces in a question), FastChat and its users (a letter in a judge's reasons), AutoGen (a second
question to the same group, a resumed chat, cached samples), MoA and reasoning models (no visible
text), debates (whose cost counts) and notebooks (an event loop that runs already).
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.answers.committees.talk.ranking import verdict
from ensemble_lab.core.reply import Reply
from tests.answers.talk.members import Says, follows, saying

BRACES = "A = {1; 2}; {x} {{y}} %s %(z)d {0} $name \\n: which is larger?"


def all_kinds(members, texts):
    """A committee of each kind; its other parts say the texts in turn."""
    return {
        "mixture": lab.MixtureOfAgents(members, Says(*texts), layers=3),
        "debate": lab.Debate(members, rounds=2),
        "jury": lab.Jury(members, {"j": follows("A")}),
        "fuse": lab.RankAndFuse(members, {"j": follows("A")}, Says(*texts), top=1),
        "universal": lab.UniversalConsistency(members, Says("1")),
        "review": lab.Review(members),
        "experts": lab.MultiExpert(members),
    }


@pytest.mark.parametrize("texts", ["AAAB", ["the", "the", "a"], ["A", "a", "A"]])
def test_an_answer_that_is_an_article_counts(texts):
    members = {f"m{i}": Says(text) for i, text in enumerate(texts)}
    assert lab.Debate(members, rounds=0).ask("Which one?").answer == texts[0]


def test_words_keep_their_spelling_and_numbers_are_compared_as_numbers():
    vote = lab.Debate(saying(a="yes", b="Yes", c="Yes "), rounds=0).ask("q?")
    assert vote.answer == "yes"  # three answers; `parse` of a model is the place to make them one
    number = lab.Debate({"a": lambda q: 18, "b": lambda q: np.int64(18), "c": lambda q: 17},
                        rounds=0)  # fmt: skip
    assert number.ask("q?").answer == 18


@pytest.mark.parametrize("kind", all_kinds(saying(a="4"), ["4"]))
def test_braces_and_percents_are_text(kind):
    members = {"a": Says(BRACES), "b": Says("{other}")}
    transcript = lab.Transcript()
    all_kinds(members, [BRACES])[kind].ask(BRACES, transcript)
    asked = [one for member in members.values() for one in member.prompts]
    assert asked and all(BRACES in prompt for prompt in asked)
    assert BRACES in transcript.frame().text.tolist()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[A]]", "A"),
        ('{"winner": "B", "why": "its steps are right, and', "B"),  # cut off: no JSON any more
        ("Final verdict: B", "B"),
        ("<answer>A</answer>", "A"),
        ("[[C]]", None),
        ("tie", None),
        ("TERMINATE", None),
        ("Answer A is short. My verdict: [[B]]", None),  # a letter of the reasons is no verdict
        ("INCORRECT", None),
        ("ABBA", None),
        ("Neither A nor B", None),
        ("A beats B", None),
        ("A seems better than B", None),
        ("A good reply is rare", None),
        ("答案 B 更好", "B"),
    ],
)
def test_a_judge_that_is_not_clear_is_not_guessed(text, named):
    assert verdict({"text": text}) == named


def test_a_second_question_knows_nothing_of_the_first():
    members = saying(a="four", b="five")
    debate, transcript = lab.Debate(members, rounds=1), lab.Transcript()
    debate.ask("2 + 2?", transcript)
    before = {name: len(one.prompts) for name, one in members.items()}
    debate.ask("capital of Peru?", transcript)
    later = [p for name, one in members.items() for p in one.prompts[before[name] :]]
    assert later and not any("2 + 2" in prompt for prompt in later)
    assert debate.ask("2 + 2?", transcript).answer == "four"  # recorded: nobody is asked again
    assert sum(len(one.prompts) for one in members.values()) == 8


def test_a_talk_goes_on_with_members_in_another_order_and_not_with_another_member(tmp_path):
    path = tmp_path / "talk.jsonl"
    with lab.Transcript(path) as transcript:
        lab.Debate(saying(a="4", b="5", c="5"), rounds=1).ask("q?", transcript)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))  # the last reply is lost
    with lab.Transcript(path) as transcript:
        members = saying(c="5", a="4", b="5")
        assert lab.Debate(members, rounds=1).ask("q?", transcript).answer == "5"
        assert sum(len(one.prompts) for one in members.values()) == 1
        with pytest.raises(ValueError, match="its own transcript"):
            lab.Debate(saying(a="4", b="5", d="5"), rounds=1).ask("q?", transcript)


def test_members_that_write_nothing_do_not_change_what_is_read():
    """As models do whose text is all reasoning: None, an empty text, blanks."""
    for nothing in (None, "", " \n", Reply(None), Reply(None, text=None)):
        last = Says("4")
        members = {"a": Says("4"), "b": lambda question, nothing=nothing: nothing}
        reply = lab.MixtureOfAgents(members, last).ask("2 + 2?")
        assert reply.answer == "4" and "[answer 1 " in last.prompts[0]
        assert "[answer 2 " not in last.prompts[0] and "None" not in last.prompts[0]
        silent = dict.fromkeys("ab", lambda question, nothing=nothing: nothing)
        assert lab.Debate(silent, rounds=1).ask("2 + 2?").answer is None


def test_all_rounds_are_paid_also_where_they_are_replayed():
    debate, transcript = lab.Debate(saying(a="4", b="4", c="5"), rounds=2), lab.Transcript()
    live = debate.ask("q?", transcript)
    assert (live.cost, live.tokens, live.latency) == (4.5, 27, 3.0)  # nine calls, three rounds
    assert lab.Debate(["a", "b", "c"], rounds=2).ask("q?", transcript) == live


def test_a_committee_is_asked_where_an_event_loop_runs():
    async def cell():
        return lab.Debate(saying(a="4", b="4"), rounds=1).ask("2 + 2?").answer

    assert asyncio.run(cell()) == "4"


@pytest.mark.filterwarnings("error")  # the file notices when two write at the same moment
def test_many_questions_at_once_share_a_transcript(tmp_path):
    members, questions = saying(a="4", b="5", c="5"), [f"{i} + {i}?" for i in range(12)]
    with lab.Transcript(tmp_path / "talk.jsonl") as transcript:
        vote = lab.Debate(members, rounds=1)
        with ThreadPoolExecutor(6) as pool:
            replies = list(pool.map(lambda q: vote.ask(q, transcript), questions))
        assert {reply.answer for reply in replies} == {"5"} and len(transcript) == 72
    again = lab.Transcript(tmp_path / "talk.jsonl")
    assert len(again) == 72 and sum(len(one.prompts) for one in members.values()) == 72
    again.close()


def test_an_interrupt_keeps_what_was_said(tmp_path):
    first, path = threading.Event(), tmp_path / "talk.jsonl"

    def interrupted(question):
        first.wait(5)
        raise KeyboardInterrupt

    def quick(question):
        first.set()
        return "4"

    with lab.Transcript(path) as transcript, pytest.raises(KeyboardInterrupt):
        lab.Debate({"a": quick, "b": interrupted}, rounds=0).ask("q?", transcript)
    with lab.Transcript(path) as transcript:
        kept = len(transcript)
        members = saying(a="4", b="4")
        assert lab.Debate(members, rounds=0).ask("q?", transcript).answer == "4"
        assert sum(len(one.prompts) for one in members.values()) == 2 - kept
