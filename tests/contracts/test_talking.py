"""Committees that talk: what users of such frameworks bring, understood or refused with the fix.

The kinds come from public trackers: empty replies of a member or of the aggregator, a member over
its rate limit, contexts that overflow, verdicts that name both or neither, names with colour codes
or symbols, transcripts of another run, more answers wanted than there are.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet

NO_COUNT = ["2", None, 1.5, True, math.nan, -1, [2]]
NO_MEMBERS = [{}, [], "a", None, 3, {"a": 3}, {"a": "b"}, {3: len}, [len], ["a", "a"], {"@": len},
              ["a\tb"], {"a", "b"}, {"a": lab}, [["a"]], {"": 0}]  # fmt: skip
NO_PROMPT = [
    None,
    3.5,
    "",
    [],
    {},
    b"q",
    ["q", "r"],
    [{"role": "user"}],
    [{"role": "x", "content": "q"}],
]
NO_ITEM = [math.nan, math.inf, [1], {"a": 1}, "\ud800", object()]
MAKE = {
    "MixtureOfAgents": lambda members=("a", "b"), **more: lab.MixtureOfAgents(
        members, **{"aggregator": None, **more}
    ),
    "Debate": lambda members=("a", "b"), **more: lab.Debate(members, **more),
    "Jury": lambda members=("a", "b"), **more: lab.Jury(members, **{"judges": ["j"], **more}),
    "RankAndFuse": lambda members=("a", "b"), **more: lab.RankAndFuse(
        members, **{"judges": ["j"], "fuser": None, "top": 1, **more}
    ),
    "UniversalConsistency": lambda members=("a", "b"), **more: lab.UniversalConsistency(
        members, **{"reader": None, **more}
    ),
    "Review": lambda members=("a", "b"), **more: lab.Review(members, **more),
    "MultiExpert": lambda members=("a", "b"), **more: lab.MultiExpert(members, **more),
}
COUNTS = {"MixtureOfAgents": ["layers"], "Debate": ["rounds"], "RankAndFuse": ["top"],
          "MultiExpert": ["experts"]}  # fmt: skip
ROLE = {"MixtureOfAgents": "aggregator", "RankAndFuse": "fuser", "UniversalConsistency": "reader"}
NAMES = ["model one", "qwen:0.5b", "a>b", "\x1b[33mred\x1b[0m", "模型", "Senior\\_Engineer", "a|b",
         "judge:a>b", "x" * 300, "🤖", "'", "1"]  # fmt: skip


def ask_all(names):
    members = {name: lambda item: "4" for name in names}
    return {
        "MixtureOfAgents": lab.MixtureOfAgents(members, names[0]),
        "Debate": lab.Debate(members),
        "Jury": lab.Jury(members, {"j": lambda item: "A"}),
        "RankAndFuse": lab.RankAndFuse(members, {"j": lambda item: "B"}, names[0], top=1),
        "UniversalConsistency": lab.UniversalConsistency(members, lambda item: 1),
        "Review": lab.Review(members),
        "MultiExpert": lab.MultiExpert(members),
    }


@contract(*MAKE)
@pytest.mark.parametrize("kind", MAKE)
def test_a_committee_refuses_what_is_no_setting(kind):
    make = MAKE[kind]
    with quiet():
        made = make()
    calls = {f"members {i}": lambda v=v: make(v) for i, v in enumerate(NO_MEMBERS)}
    for name in ["most", *COUNTS.get(kind, [])]:
        least = -1 if name == "rounds" else 0
        bad = [*NO_COUNT, least]
        calls |= {f"{name} {v!r}": lambda v=v, name=name: make(**{name: v}) for v in bad}
    calls |= {f"seed {v!r}": lambda v=v: make(seed=v) for v in ["1", 1.5, math.nan, [1]]}
    if kind in ROLE:
        bad = [3, "c", ["a"], lab]
        calls |= {f"role {i}": lambda v=v: make(**{ROLE[kind]: v}) for i, v in enumerate(bad)}
        calls["a name twice"] = lambda: make([ROLE[kind], "b"])
    if kind in ("Jury", "RankAndFuse"):
        calls |= {f"judges {i}": lambda v=v: make(judges=v) for i, v in enumerate(NO_MEMBERS)}
        calls["a judge that is a member"] = lambda: make(judges=["a"])
    if kind == "RankAndFuse":
        calls["more than there are"] = lambda: make(top=3)
    calls |= {f"question {i}": lambda v=v: made.ask(v) for i, v in enumerate(NO_PROMPT)}
    calls |= {f"transcript {v!r}": lambda v=v: made.ask("q", v) for v in (3, "t.jsonl", {})}
    calls |= {f"item {i}": lambda v=v: made.ask("q", None, v) for i, v in enumerate(NO_ITEM)}
    calls["names without models"] = lambda: made.ask("q")
    collected(calls)


@contract(*MAKE, "Transcript", "position_flips")
def test_any_name_that_is_text_names_a_member():
    for kind, committee in ask_all(NAMES[:4]).items():
        transcript = lab.Transcript()
        with quiet():
            reply = committee.ask("q?", transcript)
        assert reply.answer == "4", kind
        again = lab.Transcript.from_frame(transcript.frame())
        assert again.recording.replies.keys() == transcript.recording.replies.keys(), kind
        if kind in ("Jury", "RankAndFuse"):
            assert lab.position_flips(transcript) == 1.0, kind
    for name in NAMES:
        transcript = lab.Transcript()
        assert lab.Debate({name: lambda item: "4"}, rounds=0).ask("q?", transcript).answer == "4"
        assert transcript.outcomes().model_group == (name,)


@contract("Debate", "Transcript")
def test_answers_of_any_kind_are_votes():
    for answer in ("4", 4, 4.5, True, np.int64(4), np.float32(0.5), pd.NA, None, math.nan, "", " "):
        members = {name: lambda item, answer=answer: answer for name in "ab"}
        transcript = lab.Transcript()
        with quiet():
            reply = lab.Debate(members, rounds=1).ask("q?", transcript)
        gone = answer is None or answer is pd.NA or answer != answer or not str(answer).strip()
        assert (reply.answer is None) == bool(gone), answer
        assert len(transcript.frame()) == 4
    with pytest.raises(TypeError, match="make it str or number"):
        lab.Debate({"a": lambda item: [4]}, rounds=0).ask("q?")


@contract("Transcript")
def test_a_transcript_refuses_what_is_none(tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text("hello\n")
    frame = pd.DataFrame({"item": ["q"], "member": ["a"], "round": [1], "text": ["4"]})
    with quiet():
        assert len(lab.Transcript.from_frame(frame)) == 1
        assert len(lab.Transcript(str(tmp_path / "talk.jsonl"))) == 0
    collected({
        **{f"path {v!r}": lambda v=v: lab.Transcript(v) for v in (3, [], b"t.jsonl", "t.csv", "t")},
        "another file": lambda: lab.Transcript(other),
        **{f"frame {i}": lambda v=v: lab.Transcript.from_frame(v)
           for i, v in enumerate([None, 3, {}, [], frame.drop(columns="item"), pl.DataFrame()])},
        "no round": lambda: lab.Transcript.from_frame(frame.assign(round="x")),
        "half a round": lambda: lab.Transcript.from_frame(frame.assign(round=1.5)),
        "twice": lambda: lab.Transcript.from_frame(pd.concat([frame, frame])),
        "a number as text": lambda: lab.Transcript.from_frame(frame.assign(text=3)),
        "nothing said": lambda: lab.Transcript().outcomes(),
        **{f"truth {v!r}": lambda v=v: lab.Transcript.from_frame(frame).outcomes(v)
           for v in (3, ["4"], "4")},
        "grade": lambda: lab.Transcript.from_frame(frame).outcomes({"q": "4"}, grade=3),
    })  # fmt: skip


@contract("sampled_members")
def test_samples_are_members_of_one_model():
    made = lab.sampled_members(lambda item: "4", 2)
    assert list(made) == ["#0", "#1"] and lab.Debate(made, rounds=0).ask("q?").answer == "4"
    make = lab.sampled_members
    collected(
        {f"n {v!r}": lambda v=v: make(len, v) for v in [*NO_COUNT, 0]}
        | {f"model {i}": lambda v=v: make(v, 2) for i, v in enumerate([None, 3, "smollm2"])}
        | {
            f"temperature {v!r}": lambda v=v: make(len, 2, temperature=v)
            for v in ("1", None, True, 0, -1, math.nan, math.inf, [1])
        }
        | {f"seed {v!r}": lambda v=v: make(len, 2, seed=v) for v in ("1", 1.5, [1], None)}
    )


@contract("Chooser")
def test_a_chooser_takes_a_loaded_model_and_labels_that_differ():
    pytest.importorskip("torch")
    tiny = lab.load("tiny", device="cpu")
    with quiet():
        reply = lab.Chooser(tiny, pd.Series(["A", "B", "C"]))("Once")
    assert reply.answer in "ABC" and 1 / 3 <= reply.confidence <= 1 and reply.tokens == 1
    bad = ["AB", [], ["A"], ["A", "A"], [1, 2], ["A", ""], None, 3, {"A": "B"}, ["A", None]]
    collected(
        {f"labels {v!r}": lambda v=v: lab.Chooser(tiny, v) for v in bad}
        | {f"model {i}": lambda v=v: lab.Chooser(v) for i, v in enumerate([None, "tiny", len, 3])}
        | {
            f"prompt {i}": lambda v=v: lab.Chooser(tiny)(v)
            for i, v in enumerate([None, 3.5, [], {}])
        }
    )


@contract("position_flips")
def test_flips_are_counted_in_transcripts_only():
    assert math.isnan(lab.position_flips(lab.Transcript()))
    collected(
        {f"{i}": lambda v=v: lab.position_flips(v)
         for i, v in enumerate([None, 3, "t.jsonl", Path("t"), pd.DataFrame(), []])}
    )  # fmt: skip
