"""Recordings of strangers, and text and numbers that no file or table holds as they are."""

import gzip
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.lines import json_line
from ensemble_lab.core.recordings.recording import HEADER, Recording, is_recording
from ensemble_lab.core.reply import Reply, in_utf8
from ensemble_lab.models.asking.live import record, run

HEAD = json_line(HEADER)
REPLY = '{"item": 0, "model": "m", "answer": "x"}\n'
DEEP = "[" * 50_000 + "]" * 50_000
HUGE = "9" * 400


def refused(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(ValueError) as read:
        Outcomes.read(path)
    with pytest.raises(ValueError) as gone_on:
        record({"m": str}, [1], path, progress=False)
    with pytest.raises(ValueError) as loaded:
        Recording.load(path)
    for caught in (read, gone_on, loaded):
        text = str(caught.value).replace(str(path.parent), "")
        assert len(text) <= 300 and "\n" not in text
    return str(read.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f'{{"item": 0, "model": "m", "answer": {DEEP}}}', "line 2 is nested too deep"),
        (DEEP, "line 2 is nested too deep"),
        (f'{{"item": {DEEP}}}', "line 2 is nested too deep"),
        ('{"item": 0, "features": [1]}', "the features is"),
        ('{"item": 0, "features": {"a": [1]}}', "the feature 'a'"),
        ('{"item": 0, "features": "abc"}', "the features is"),
        (f'{{"item": 0, "model": "m", "cost": {HUGE}}}', "the cost is"),
        (f'{{"item": 0, "model": "m", "tokens": -{HUGE}}}', "the tokens is"),
        ('{"item": 0, "model": "m", "confidence": Infinity}', "the confidence is"),
        (f'{{"item": 0, "model": "m", "answer": {HUGE}}}', "over 308 digits"),
        (f'{{"item": {HUGE}, "model": "m"}}', "over 308 digits"),
        (f'{{"item": 0, "truth": {HUGE}}}', "over 308 digits"),
        (f'{{"item": 0, "features": {{"a": {HUGE}}}}}', "over 308 digits"),
        (f'{{"item": 0, "model": "m", "cost": {"9" * 5000}}}', "over 4,300 digits"),
        ('{"item": 1e999, "model": "m"}', "item name inf"),
        ('{"item": 0, "model": "m", "probability": [["a", "0.5"]]}', "the probability is"),
        ('{"item": 0, "model": "m", "probability": [["a"]]}', "the probability is"),
        ('{"item": 0, "model": "m", "probability": ["ab"]}', "the probability is"),
        ('{"item": 0, "model": "m", "probability": {"a": 1}}', "the probability is"),
        (f'{{"item": 0, "model": "m", "probability": [["a", {HUGE}]]}}', "the probability is"),
        ('{"item": 0, "model": "m", "text": 7}', "the text is 7"),
        ('{"item": 0, "model": "m", "text": ["a"]}', "the text is"),
        ('{"item": 0, "failed": 7, "by": "m"}', "the failed is 7"),
        ('{"item": 0, "failed": "x", "by": 7}', "the by is 7"),
        ('{"item": 0, "model": ["m"]}', "the model is"),
        ('{"item": "\\ud83d", "model": "m"}', "half a character"),
    ],
)
def test_lines_that_no_recording_holds(tmp_path, line, words):
    assert words in refused(tmp_path / "r.jsonl", HEAD + line + "\n" + REPLY)


@pytest.mark.parametrize("data", [DEEP, DEEP + "\n" + HEAD, HEAD.replace("1", DEEP), "[" * 100_000])
def test_a_deep_first_line(tmp_path, data):
    path = tmp_path / ("deep" * 30) / "r.jsonl"  # in a message of 300 characters a part of it
    path.parent.mkdir()
    path.write_text(data)
    with pytest.raises(
        ValueError, match="r.jsonl' is not a recording that can be continued"
    ) as caught:
        record({"m": str}, [1], path, progress=False)
    assert len(str(caught.value)) <= 300 and path.read_text() == data
    assert not is_recording(data.encode()) or "ensemble_lab" in data


def test_a_deep_last_line_without_an_end_was_cut(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(HEAD + REPLY + '{"item": ' + "[" * 50_000)
    assert len(Recording.load(path).replies) == 1


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 5))
def test_any_bytes_behind_a_header_are_read_or_refused(data, lines):
    whole = HEAD.encode() + REPLY.encode() * min(lines, 1) + data
    try:
        Recording.parse(whole)
    except ValueError as error:
        assert len(str(error)) <= 300


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = ["answer", "confidence", "cost", "latency", "tokens", "probability", "text", "correct"]
FIELDS += ["graded", "failed", "truth", "group", "features", "asked", "by", "model", "item"]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4), st.booleans())
def test_any_fields_are_read_or_refused(tmp_path_factory, line, named):
    line = {"item": 0} | ({"model": "m"} if named else {}) | line
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    path.write_text(HEAD + json.dumps(line) + "\n" + REPLY.replace('"m"', '"n"'))
    try:
        repr(Outcomes.read(path))
    except ValueError as error:
        assert len(str(error)) <= 300 + len(str(path))


# Text


def test_text_is_written_in_utf_8_and_takes_no_more_room(tmp_path):
    path, text = tmp_path / "r.jsonl", "Зачем? 何故 😀 é " * 500
    model = lambda item: Reply("ответ", text=text)  # noqa: E731
    record({"модель": model}, {"вопрос": "?"}, path, truth=["ответ"], progress=False)
    assert len(text.encode()) < path.stat().st_size < len(text.encode()) + 1000
    assert "何故" in path.read_text("utf-8")
    assert Recording.load(path).replies["вопрос", "модель"]["text"] == text
    assert Outcomes.read(path).correct.tolist() == [[1]]


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\x85", "\x9b", "\x7f", "\0", "\x1b", "\n"])
def test_no_letter_ends_a_line_or_steers_a_terminal(tmp_path, letter):
    path, text = tmp_path / "r.jsonl", f"a{letter}b"
    record({"m": lambda item: Reply(text, text=text)}, {text: "?"}, path, progress=False)
    assert len(path.read_text("utf-8").splitlines()) == 3
    assert not any(0x7F <= byte < 0xA0 for byte in path.read_bytes() if letter < "\x80")
    assert letter == "\n" or letter not in path.read_text("utf-8")
    assert Recording.load(path).replies[text, "m"]["answer"] == text


def test_half_a_character_breaks_nothing_later(tmp_path):
    path = tmp_path / "r.jsonl"
    half = "so \ud83d"
    model = lambda item: Reply(half, probability={half: 1.0}, text=half)  # noqa: E731
    about = {"truth": [half], "group": [half], "features": {"kind": [half]}}
    table = record({"m": model}, ["q"], path, progress=False, **about)
    for found in (table, Outcomes.read(path)):
        assert found.labels == ("so \ufffd",) and found.correct.tolist() == [[1]]
        assert found.group.tolist() == found.features["kind"].tolist() == ["so \ufffd"]
        found.to_frame().to_csv(tmp_path / "r.csv")
        found.to_parquet(tmp_path / "r.parquet")
        str(found.labels).encode()
    assert run(lab.MajorityVote(), {"m": model}, "q").answers == ["so \ufffd"]
    old = {"item": "q", "model": "m", "answer": half, "text": half}
    path.write_text(HEAD + json.dumps(old) + "\n")  # as it was written before
    assert Outcomes.read(path).labels == ("so \ufffd",)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("a", "a"),
        ("😀é", "😀é"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d", "\ufffd"),
        ("\ude00a", "\ufffda"),
        ("a\ud83db", "a\ufffdb"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("", ""),
    ],
)
def test_in_utf8(text, whole):
    assert in_utf8(text) == whole


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=10))
def test_any_text_is_whole_afterwards(text):
    in_utf8(text).encode()
    assert in_utf8(in_utf8(text)) == in_utf8(text)


# Numbers


@pytest.mark.parametrize("number", [10**309, -(10**400), 10**5000], ids=["309", "400", "5000"])
def test_numbers_that_no_table_holds_are_named(tmp_path, number):
    path = tmp_path / "r.jsonl"
    for reply in (number, Reply("a", cost=number), Reply("a", probability={"a": number})):
        with pytest.raises(ValueError, match="for item 0, model 'm'") as caught:
            record({"m": lambda item, r=reply: r}, ["q"], path, progress=False)
        assert len(str(caught.value)) <= 300
    for about in ({"truth": [number]}, {"group": [number]}, {"features": {"a": [number]}}):
        with pytest.raises(ValueError, match="over 308 digits for item 0"):
            record({"m": str}, ["q"], path, progress=False, **about)
    with pytest.raises(ValueError, match="over 308 digits"):
        record({"m": str}, {number: "q"}, path, progress=False)
    with pytest.raises(ValueError, match="over 308 digits"):
        run(lab.MajorityVote(), {"m": str}, "q", labels=[number])


# Memory


def test_a_table_is_read_without_the_texts(tmp_path):
    path = tmp_path / "r.jsonl"
    text = "é" * 50_000
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for item in range(200):
            file.write(json_line({"item": item, "model": "m", "answer": "a", "text": text}))
    size = path.stat().st_size
    assert 20_000_000 < size < 21_000_000
    tracemalloc.start()
    try:
        table = Outcomes.read(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(table) == 200 and most < 1.3 * size  # the bytes of the file, and little more
    assert is_recording(path.read_bytes())


def test_a_zipped_recording_is_read(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress((HEAD + REPLY).encode()))
    assert Outcomes.read(path).labels == ("x",)


def test_reading_line_by_line_is_reading_at_once(tmp_path):
    path = tmp_path / "r.jsonl"
    record({"m": str}, range(30), path, truth=[str(i) for i in range(30)], progress=False)
    data = path.read_bytes()
    for cut in range(0, len(data), 37):
        for end in (b"\n", b"\r", b"\r\n", b"\n\n"):
            part = data[:cut].replace(b"\n", end)
            path.write_bytes(part)
            loaded, parsed = Recording.load(path), Recording.parse(part)
            assert (loaded.replies, loaded.length) == (parsed.replies, parsed.length)
            assert part[: loaded.length].endswith((end, b"")) and loaded.length <= len(part)
    assert np.isfinite(loaded.length)
