"""`record`: every pair asked once, whatever happens in between."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.recording import Recording
from ensemble_lab.core.reply import Reply
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.models.asking.live import record

ITEMS = ["how many?", "wie müde?", "7 × 6\n?"]


def even(item):
    return Reply(len(item) % 2, confidence=np.float32(0.5), cost=0.01, tokens=np.int64(3))


def odd(item):
    return np.int64(1 - len(item) % 2)


class Counting:
    """A model that counts how often each item was asked."""

    def __init__(self, answer=lambda item: len(item)):
        self.answer, self.asked = answer, []

    def __call__(self, item):
        self.asked.append(item)
        return self.answer(item)


def test_table_by_hand_and_the_file_says_the_same(tmp_path):
    path = tmp_path / "deep" / "r.jsonl"
    features = {"length": np.array([9, 9, 7]), "kind": ["a", None, "b"]}
    table = record(
        {"even": even, "ödd": odd},
        ITEMS,
        path,
        truth=np.array([1, 0, 1]),
        features=features,
        group=["g", "h", "g"],
        progress=False,
    )
    assert table.models == ("even", "ödd") and table.labels == (0, 1)
    assert table.answer.tolist() == [[1, 0], [1, 0], [1, 0]]
    assert table.correct.tolist() == [[1, 0], [0, 1], [1, 0]]
    np.testing.assert_array_equal(table.cost, [[0.01, np.nan]] * 3)
    assert (table.latency >= 0).all() and table.tokens[0, 0] == 3
    assert table.features["length"].tolist() == [9, 9, 7]
    assert table.features["kind"].tolist() == ["a", None, "b"]
    read = Outcomes.read(path)
    assert read.to_frame().equals(table.to_frame())
    assert read.to_parquet(tmp_path / "r.parquet").is_file()


def test_the_models_own_latency_distribution_text_and_unparsed_are_kept(tmp_path):
    def model(item):
        proba = {"ja": 0.75, "nein": np.float64(0.25)}
        return Reply("ja" if item else None, latency=4.5, probability=proba, text="„ja“ \ud83d")

    path = tmp_path / "r.jsonl"
    table = record({"m": model}, [1, 0], path, truth=["ja", "ja"], progress=False)
    assert table.latency.tolist() == [[4.5], [4.5]] and table.labels == ("ja", "nein")
    assert table.answer.tolist() == [[0], [UNPARSED]] and table.correct.tolist() == [[1], [0]]
    assert table.probability[0, 0].tolist() == [0.75, 0.25]
    assert Recording.load(path).replies[0, "m"]["text"].startswith("„ja“")


def test_nan_is_no_answer_and_grades_are_the_users(tmp_path):
    answers = {"a": "1,319", "b": np.nan, "c": "1319.0"}
    table = record(
        {"m": answers.get},
        {k: k for k in answers},
        tmp_path / "r.jsonl",
        truth=[1319] * 3,
        grade=lambda said, truth: float(said.replace(",", "")) == truth,
        progress=False,
    )
    assert table.correct.ravel().tolist() == [1, 0, 1] and table.unparsed.sum() == 1


def test_progress_is_shown_with_what_was_done_before(tmp_path, capsys):
    record({"even": even}, ITEMS[:2], tmp_path / "r.jsonl")
    record({"even": even}, ITEMS, tmp_path / "r.jsonl")
    assert "2/2" in capsys.readouterr().err
    record({"even": even}, ITEMS, tmp_path / "r.jsonl", progress=False)
    assert not capsys.readouterr().err


SCRIPT = """
import sys, time
from ensemble_lab.models.asking.live import record
path, log, hang = sys.argv[1], sys.argv[2], int(sys.argv[3])
def model(name):
    def ask(item):
        with open(log, "a") as file:
            file.write(f"{name} {item}\\n")
        if len(open(log).readlines()) == hang:
            time.sleep(600)
        return f"{item % 3}"
    return ask
record({n: model(n) for n in "ab"}, range(60), path, truth=["1"] * 60, progress=False)
"""


def test_killed_in_the_middle_and_resumed(tmp_path):
    path, log = tmp_path / "r.jsonl", tmp_path / "asked.log"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(path), str(log)]
    for hang, kept in ((20, 19), (85, 83)):  # the call in flight at each kill is lost
        process = subprocess.Popen([*command, str(hang)], env=environment)
        while process.poll() is None and len(lines(log)) < hang:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(Recording.load(path).replies) == kept
    subprocess.run([*command, "0"], env=environment, check=True)
    table = Outcomes.read(path)
    assert table.answer.shape == (60, 2) and not (table.answer < 0).any()
    assert len(lines(path)) == 1 + 60 + 120  # header, facts, each pair once
    asked = lines(log)
    assert len(set(asked)) == 120 and len(asked) == 122
    assert {pair for pair in asked if asked.count(pair) > 1} == {asked[19], asked[84]}


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_last_line_cut_at_every_byte_is_asked_again(tmp_path):
    path = tmp_path / "r.jsonl"
    models = {"a": Counting(), "b": Counting()}
    was = record(models, ITEMS, path, truth=[9, 9, 7], progress=False)
    data = path.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(data) - 1):  # without its newline alone it is whole
        path.write_bytes(data[:cut])
        models = {"a": Counting(), "b": Counting()}
        table = record(models, ITEMS, path, truth=[9, 9, 7], progress=False)
        assert models["a"].asked == [] and models["b"].asked == [ITEMS[2]]
        assert table.answer.tolist() == was.answer.tolist()
        assert table.correct.tolist() == was.correct.tolist()


def test_a_recording_cut_at_any_byte_loses_only_the_cut_line(tmp_path):
    path = tmp_path / "r.jsonl"
    record({"a": even}, ITEMS, path, truth=[1, 0, 1], progress=False)
    data = path.read_bytes()
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        model = Counting(even)
        table = record({"a": model}, ITEMS, path, truth=[1, 0, 1], progress=False)
        whole = data[:cut].count(b'"model"')
        assert 3 - whole <= len(model.asked) <= 4 - whole
        for found in (table, Outcomes.read(path)):
            assert found.correct.ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_keeps_the_rest(tmp_path, error):
    path, broken = tmp_path / "r.jsonl", [True]

    def moody(item):
        if broken and item == ITEMS[1]:
            raise error("out of order")
        return "fine"

    good = Counting()
    with pytest.raises(error) as caught:
        record({"good": good, "moody": moody}, ITEMS, path, progress=False)
    if error is RuntimeError:
        assert "'moody' failed on item 1" in caught.value.__notes__[0]
    stopped = error is KeyboardInterrupt  # at once; after an error the others are asked
    assert len(Recording.load(path).replies) == (4 if stopped else 5)
    partial = Outcomes.read(path)
    assert partial.absent.tolist() == [[False, False], [False, True], [False, stopped]]
    broken.clear()
    table = record({"good": good, "moody": moody}, ITEMS, path, progress=False)
    assert len(good.asked) == 3 and not table.absent.any()


def test_models_items_and_facts_can_be_added_later(tmp_path):
    path, first = tmp_path / "r.jsonl", Counting(lambda item: "1")
    record({"first": first}, ITEMS[:2], path, progress=False)
    record({"second": lambda item: "2"}, ITEMS, path, truth=["1", "2", "2"], progress=False)
    table = record({"first": first}, ITEMS, path, progress=False)
    assert len(first.asked) == 3 and table.models == ("first",)
    assert table.correct.ravel().tolist() == [1, 0, 0]  # the truth is in the recording
    both = Outcomes.read(path)
    assert both.models == ("first", "second") and both.items.tolist() == [0, 1, 2]
    size = path.stat().st_size
    record({"first": first}, ITEMS, path, truth=["1", "2", "2"], progress=False)
    assert path.stat().st_size == size


def test_another_truth_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    record({"a": even}, ITEMS, path, truth=[1, 0, 1], progress=False)
    data = path.read_bytes()
    with pytest.raises(ValueError, match="has truth 0 for item 1, now it is 1"):
        record({"a": even}, ITEMS, path, truth=[1, 1, 1], progress=False)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "content",
    [b"my only copy, no newline at its end", b"two\nlines\n", b'{"a": 1}', b'{"a": 1}\n', b"\0\1"],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.jsonl.* is not a recording"):
        record({"a": even}, ITEMS, path, progress=False)
    assert path.read_bytes() == content


def test_paths_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"named \*\.jsonl, not 'r\.csv'"):
        record({"a": even}, ITEMS, tmp_path / "r.csv")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        record({"a": even}, ITEMS, tmp_path / "file" / "r.jsonl", progress=False)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(OSError, match=r"folder\.jsonl"):
        record({"a": even}, ITEMS, tmp_path / "folder.jsonl", progress=False)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({1, 2}, "the answer {1, 2} is set"),
        ((1, "a"), r"the answer \(1, 'a'\) is tuple"),
        (b"bytes", "is bytes"),
        (Reply("a", cost=-1), "cost is -1 for item 'q', model 'm'"),
        (Reply("a", confidence="high"), "'high'"),
        (Reply("a", probability={"a": 0.5, "b": 0.2}), "sum to 1"),
        (Reply("a", probability={("a",): 1.0}), "is tuple"),
        ("7", "both 7 and '7'"),
    ],
)
def test_replies_that_could_not_be_read_back_are_refused_at_once(tmp_path, reply, words):
    path = tmp_path / "r.jsonl"
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        record({"m": lambda item: reply}, {"q": 1, "r": 2}, path, truth=[7, 7], progress=False)
    assert "'m' failed on item 'q'" in caught.value.__notes__[0]
    # Corrected, it continues: the truth may still change where no model was asked.
    table = record({"m": lambda i: "7"}, {"q": 1, "r": 2}, path, truth=["7"] * 2, progress=False)
    assert table.correct.ravel().tolist() == [1, 1]


def test_a_grade_out_of_range_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="correct is 95 for item 0"):
        record(
            {"m": even},
            ITEMS,
            tmp_path / "r.jsonl",
            truth=[1, 1, 1],
            grade=lambda a, t: 95,
            progress=False,
        )


def test_arguments_that_do_not_fit(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(ValueError, match="0 items and 1 models"):
        record({"m": even}, [], path)
    with pytest.raises(TypeError, match="models is list; name them"):
        record([even], ITEMS, path)
    with pytest.raises(ValueError, match="truth has 2 entries for 3 items"):
        record({"m": even}, ITEMS, path, truth=[1, 2])
    with pytest.raises(KeyError, match="no item 'b' in the truth"):
        record({"m": even}, {"a": 1, "b": 2}, path, truth={"a": 1, "c": 2})
    with pytest.raises(TypeError, match=r"item name \(1, 2\) is tuple"):
        record({"m": even}, {(1, 2): "x"}, path)
    table = record(
        {"m": even},
        {"a": "x"},
        path,
        truth={"a": 1, "z": 5},
        features={"truth": [3], "group": [4]},
        progress=False,
    )
    assert table.features["truth"].tolist() == [3] and table.truth.tolist() != [ABSENT]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 3 is not JSON"),
        ("5", "line 3 names no item"),
        ('{"model": "a"}', "line 3 names no item"),
        ('{"item": 0, "model": "a", "answer": 1}', "line 4 repeats item 0 and model 'a'"),
    ],
)
def test_damaged_lines_are_named_by_number(tmp_path, line, words):
    path = tmp_path / "r.jsonl"
    head = '{"ensemble_lab": "recording", "version": 1}\n{"item": 0}\n'
    path.write_text(head + f"{line}\n" + '{"item": 0, "model": "a", "answer": 1}\n')
    with pytest.raises(ValueError, match=words):
        Outcomes.read(path)
    with pytest.raises(ValueError, match=words):
        record({"a": even}, ITEMS, path, progress=False)
