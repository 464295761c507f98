"""A transcript resumes in mid-round, replays without models, and refuses what it does not hold."""

import json
import threading

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.answers.talk.members import Says, prefers, saying

JUDGES = {"judge": prefers("4", "5", "6")}


def committees():
    return {
        "mixture": lambda m: lab.MixtureOfAgents(m, "a", layers=3),
        "debate": lambda m: lab.Debate(m, rounds=2),
        "jury": lambda m: lab.Jury(m, JUDGES if isinstance(m, dict) else ["judge"]),
        "fuse": lambda m: lab.RankAndFuse(
            m, JUDGES if isinstance(m, dict) else ["judge"], "b", top=2
        ),
        "universal": lambda m: lab.UniversalConsistency(m, "c"),
        "review": lambda m: lab.Review(m),
        "experts": lambda m: lab.MultiExpert(m),
    }


@pytest.mark.parametrize("kind", committees())
@pytest.mark.parametrize("through", ["memory", "file", "frame", "parquet"])
def test_a_replay_without_models_gives_the_same(kind, through, tmp_path):
    path = tmp_path / "talk.jsonl"
    with lab.Transcript(None if through == "memory" else path) as transcript:
        said = [
            committees()[kind](saying(a="4", b="5", c="6")).ask(question, transcript)
            for question in ("q?", "r?")
        ]
    if through == "file":
        transcript = lab.Transcript(path)
    elif through in ("frame", "parquet"):
        frame = transcript.frame()
        if through == "parquet":
            frame.to_parquet(tmp_path / "t.parquet")
            frame = pd.read_parquet(tmp_path / "t.parquet")
        transcript = lab.Transcript.from_frame(frame)
    before = len(transcript)
    again = [committees()[kind](["a", "b", "c"]).ask(q, transcript) for q in ("q?", "r?")]
    assert again == said and len(transcript) == before
    transcript.close()


@pytest.mark.parametrize("kind", ["mixture", "debate", "fuse"])
def test_a_file_cut_at_any_line_is_continued_without_asking_again(kind, tmp_path):
    whole = tmp_path / "whole.jsonl"
    with lab.Transcript(whole) as transcript:
        wanted = committees()[kind](saying(a="4", b="5", c="6")).ask("q?", transcript)
    lines = whole.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines) + 1):
        path = tmp_path / f"{kept}.jsonl"
        tail = lines[kept][:20] if kept < len(lines) else b""  # a kill in mid-line
        path.write_bytes(b"".join(lines[:kept]) + tail)
        members = saying(a="4", b="5", c="6")
        with lab.Transcript(path) as transcript:
            known = len(transcript)
            reply = committees()[kind](members).ask("q?", transcript)
            asked = sum(len(one.prompts) for one in members.values())
            judged = sum(":" in c for _, c in list(transcript.recording.replies)[known:])
            assert asked == len(transcript) - known - judged
        assert (reply.answer, reply.text, reply.tokens) == (
            wanted.answer,
            wanted.text,
            wanted.tokens,
        )


def test_what_the_others_said_is_kept_when_one_fails(tmp_path):
    path = tmp_path / "talk.jsonl"
    members = {"a": Says("4"), "b": Says(RuntimeError("HTTP 429: slow down"), "5"), "c": Says("4")}
    with lab.Transcript(path) as transcript:
        with pytest.raises(RuntimeError, match="429") as caught:
            lab.Debate(members, rounds=0).ask("q?", transcript)
    assert any("'b'" in note and "b@1" in note for note in caught.value.__notes__)
    with lab.Transcript(path) as transcript:
        assert len(transcript) == 2
        assert lab.Debate(members, rounds=0).ask("q?", transcript).answer == "4"
    assert [len(one.prompts) for one in members.values()] == [1, 2, 1]


def test_members_of_a_round_are_asked_at_the_same_time():
    barrier = threading.Barrier(3, timeout=5)

    def member(item):
        barrier.wait()
        return "4"

    vote = lab.Debate(dict.fromkeys("abc", member), rounds=0)
    assert vote.ask("q?").answer == "4"


def test_other_questions_members_and_settings_are_refused():
    transcript = lab.Transcript()
    members = saying(a="4", b="5")
    lab.Debate(members, rounds=1).ask("q?", transcript, item="first")
    for other, why in [
        (lambda: lab.Debate(members, rounds=1).ask("r?", transcript, item="first"), "question"),
        (lambda: lab.Debate(members, rounds=2).ask("q?", transcript, item="first"), "rounds=1"),
        (lambda: lab.Debate(members, seed=1).ask("q?", transcript, item="first"), "seed=0"),
        (lambda: lab.Debate(saying(a="4"), rounds=1).ask("q?", transcript, item="first"), "a, b"),
        (lambda: lab.Review(members).ask("q?", transcript, item="first"), "Debate"),
    ]:
        with pytest.raises(ValueError, match=why):
            other()
    assert len(transcript) == 4


def test_a_changed_answer_in_the_file_is_noticed(tmp_path):
    path = tmp_path / "talk.jsonl"
    with lab.Transcript(path) as transcript:
        lab.Debate(saying(a="4", b="5"), rounds=1).ask("q?", transcript)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("model") == "b@1":
            line["text"] = "six"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with lab.Transcript(path) as transcript, pytest.raises(ValueError, match="another prompt"):
        lab.Debate(["a", "b"], rounds=1).ask("q?", transcript)


def test_more_members_than_samples_are_refused():
    transcript = lab.Transcript()
    lab.Debate(saying(a="4", b="5"), rounds=0).ask("q?", transcript)
    frame = transcript.frame()
    with pytest.raises(ValueError, match=r"'c@1'.*no model"):
        lab.Debate(["a", "b", "c"], rounds=0).ask("q?", lab.Transcript.from_frame(frame))
    with pytest.raises(ValueError, match="no model"):
        lab.Debate(["a", "b"], rounds=0).ask("another?", lab.Transcript.from_frame(frame))


def test_each_round_is_a_set_of_columns(tmp_path):
    path, transcript = tmp_path / "talk.jsonl", lab.Transcript(tmp_path / "talk.jsonl")
    with transcript:
        for question in ("q?", "r?"):
            members = {"b": Says("5", "4"), "a": Says("4")}
            lab.Debate(members, rounds=1).ask(question, transcript)
    table = transcript.outcomes(truth={"q?": "4", "r?": "5"})
    assert table.models == ("a@1", "b@1", "a@2", "b@2")
    assert table.model_group == ("a", "b", "a", "b")
    np.testing.assert_array_equal(table.correct, [[1, 0, 1, 1], [0, 1, 0, 0]])
    assert table.cost.sum() == 4.0 and table.tokens.sum() == 24
    graded = transcript.outcomes({"q?": 4, "r?": 4}, grade=lambda a, t: float(int(a) > t))
    np.testing.assert_array_equal(graded.correct, [[0, 1, 0, 0]] * 2)
    assert {*lab.Outcomes.read(path).models} == {*table.models}


def test_one_file_has_one_writer_and_a_closed_one_is_not_written(tmp_path):
    path = tmp_path / "talk.jsonl"
    vote = lab.Debate(saying(a="4"), rounds=0)
    with lab.Transcript(path) as transcript:
        vote.ask("q?", transcript)
        with pytest.raises(BlockingIOError):
            lab.Transcript(path)
    assert vote.ask("q?", transcript).answer == "4"
    with pytest.raises(ValueError, match="closed"):
        vote.ask("r?", transcript)


def test_a_recording_of_single_models_is_no_transcript(tmp_path):
    lab.record({"a": Says("4")}, ["q?"], tmp_path / "r.jsonl", progress=False)
    with pytest.raises(ValueError, match="recording of single models"):
        lab.Transcript(tmp_path / "r.jsonl")
    lab.record({"b": Says("4")}, ["q?"], tmp_path / "r.jsonl", progress=False)  # the lock is free


def test_a_long_question_is_named_by_its_hash():
    transcript = lab.Transcript()
    lab.Debate(saying(a="4"), rounds=0).ask("why? " * 100, transcript)
    ((item, _),) = transcript.recording.replies
    assert len(item) == 16
