"""What editors and tools do to a recording: nothing that is whole is lost, nothing asked again."""

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.journal import Journal
from ensemble_lab.core.recordings.recording import HEADER, Recording, is_recording, json_line
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.asking.live import record

ITEMS = {"a": "a", "müde": "b\u2028\x85\x0b\x1c", 3: "x"}
TRUTH = {"a": "a", "müde": "b\u2028\x85\x0b\x1c", 3: "y"}
GRADES = [[1.0], [1.0], [0.0]]
NAN = float("nan")


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "r.jsonl"
    again(path)
    return path


def again(path, truth=TRUTH):
    """What is asked when recording goes on, and the table."""
    asked = []

    def model(item):
        asked.append(item)
        return item

    table = record({"m": model}, ITEMS, path, truth=truth, group=["g", None, 7], progress=False)
    return asked, table


def raw(data: bytes) -> bytes:
    """As an editor writes it that stores the characters themselves."""
    lines = data.decode().splitlines()
    return "\n".join(json.dumps(json.loads(line), ensure_ascii=False) for line in lines).encode()


EDITS = {
    "as it was": lambda data: data,
    "no last newline": lambda data: data.rstrip(b"\n"),
    "spaces for the last newline": lambda data: data.rstrip(b"\n") + b"  \t",
    "blank lines at the end": lambda data: data + b"\n\n  \n",
    "blank lines in the middle": lambda data: data.replace(b"\n", b"\n \n\n"),
    "blank lines at the start": lambda data: b"\n\n" + data,
    "Windows' ends of line": lambda data: data.replace(b"\n", b"\r\n"),
    "Windows' ends of line, none at the end": lambda data: data.strip().replace(b"\n", b"\r\n"),
    "old ends of line": lambda data: data.replace(b"\n", b"\r"),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "byte order mark and all the rest": lambda data: (
        b"\xef\xbb\xbf" + data.replace(b"\n", b"  \r\n\r\n").rstrip()
    ),
    "trailing spaces": lambda data: data.replace(b"\n", b" \t \n"),
    "leading spaces": lambda data: b"  " + data.replace(b"\n", b"\n\t"),
    "the characters themselves": raw,
    "compact": lambda data: data.replace(b", ", b",").replace(b": ", b":"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_what_editors_do_changes_nothing(recorded, edit):
    before = Outcomes.read(recorded)
    data = edit(recorded.read_bytes())
    recorded.write_bytes(data)
    read = Outcomes.read(recorded)
    assert read.to_frame().equals(before.to_frame()) and read.correct.tolist() == GRADES
    asked, table = again(recorded)
    assert asked == [] and table.correct.tolist() == GRADES
    assert recorded.read_bytes() == data  # nothing to write, so nothing is touched
    record({"n": str.strip}, ITEMS, recorded, progress=False)  # and the next line is its own
    both = Outcomes.read(recorded)
    assert both.models == ("m", "n") and both.correct[:, 0].tolist() == [1, 1, 0]
    assert not both.absent.any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(EDITS)), max_size=4), st.booleans())
def test_edits_one_upon_another(tmp_path_factory, edits, cut):
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    again(path)
    data = path.read_bytes()
    for name in edits:
        data = EDITS[name](data) if name != "the characters themselves" else data
    if cut:
        data = data.rstrip()[:-9]
    path.write_bytes(data)
    asked, table = again(path)
    assert asked == (["x"] if cut else []) and table.correct.tolist() == GRADES
    assert Outcomes.read(path).correct.tolist() == GRADES


def test_a_last_line_cut_within_a_character_is_asked_again(recorded):
    data = raw(recorded.read_bytes())
    data = data[: data.rindex("ü".encode()) + 1]  # half of the ü of a name
    recorded.write_bytes(data)
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert len(Recording.load(recorded).replies) == 1
    asked, table = again(recorded)
    assert asked == [ITEMS["müde"], "x"] and table.correct.tolist() == GRADES


@pytest.mark.parametrize("tail", [b'{"item": "a", "mod', b'{"item": "a", "mod\n', b"\0" * 40])
def test_a_cut_line_is_dropped_with_and_without_a_newline(recorded, tail):
    data = recorded.read_bytes()
    recorded.write_bytes(data + tail)
    assert Outcomes.read(recorded).correct.tolist() == GRADES
    assert again(recorded)[0] == []
    assert recorded.read_bytes() == data


def test_fact_lines_that_were_deleted_lose_no_reply(recorded):
    data = [line for line in recorded.read_bytes().splitlines(True) if b'"truth"' not in line]
    recorded.write_bytes(b"".join(data))
    assert Outcomes.read(recorded).items.tolist() == ["a", "müde", 3]
    assert again(recorded)[1].correct.tolist() == GRADES


def refused(path):
    with pytest.raises(ValueError, match="could not be read") as read:
        Outcomes.read(path)
    data = path.read_bytes()
    with pytest.raises(ValueError, match="is not a recording that can be continued"):
        again(path)
    assert path.read_bytes() == data
    with pytest.raises(ValueError) as loaded:
        Recording.load(path)
    assert len(str(loaded.value)) <= 220 and "\n" not in str(loaded.value)
    assert len(str(read.value)) <= 300 + len(str(path))
    return str(loaded.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(recorded, encoding):
    recorded.write_bytes(raw(recorded.read_bytes()).decode().encode(encoding))
    assert "save it as UTF-8" in refused(recorded)
    assert is_recording(recorded.read_bytes().splitlines()[0])


@pytest.mark.parametrize("newline", [b"\n", b""])
def test_latin_1_is_named_by_its_line(recorded, newline):
    data = raw(recorded.read_bytes()).decode().splitlines()[:3]
    recorded.write_bytes("\n".join(data).encode("latin-1") + newline)
    assert "line 3 is not UTF-8; save the file as UTF-8" in refused(recorded)


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: lines[::-1], "its header is in line 7; move it up to be the first"),
        (lambda lines: lines[1:], "not the header of a recording, {"),
        (lambda lines: [*lines, lines[-1]], "line 8 repeats item 3 and model 'm'; delete one"),
        (lambda lines: [*lines, *lines], "line 8 is a second header; delete it"),
        (lambda lines: [*lines[:2], lines[2][:20] + b"\n", *lines[3:]], "line 3 is not JSON"),
        (lambda lines: [*lines[:4], lines[4].strip() + lines[5], lines[6]], "line of its own"),
        (lambda lines: [*lines[:6], lines[6].replace(b": ", b" ")], "line 7 is not JSON"),
        (lambda lines: [lines[0].replace(b"1", b"2"), *lines[1:]], "it has version 2"),
        (lambda lines: [*lines, b'{"item": true, "model": "m"}\n'], "item name True"),
        (lambda lines: [*lines, b'{"item": NaN, "model": "m"}\n'], "item name nan"),
        (lambda lines: [*lines, b'{"item": 1, "model": 7}\n'], "the model is 7"),
        (lambda lines: [*lines, b'{"item": 1, "model": "m", "answer": [1]}\n'], "line 8: the ans"),
        (lambda lines: [*lines, b'{"item": 1, "model": "m", "cost": "1"}\n'], "the cost is '1'"),
        (lambda lines: [*lines, b'{"item": 1, "truth": {"a": 1}}\n'], "line 8: the truth"),
        (lambda lines: [*lines, b'{"item": 1, "features": [1]}\n'], "the features is"),
        (
            lambda lines: [*lines, b'{"item": 1, "model": "m", "graded": 1}\n'],
            "no line above has its reply",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_the_fix(recorded, edit, words):
    recorded.write_bytes(b"".join(edit(lines_of(recorded))))
    assert words in refused(recorded)


@pytest.mark.parametrize("line", [{"doc": "Q " * 20_000}, ["x" * 50_000], "y" * 50_000])
def test_other_json_lines_are_refused_in_a_few_words(tmp_path, line):
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    assert "not the header of a recording" in refused(path)
    assert not is_recording(lines_of(path)[0])


HEAD = json_line(HEADER).encode()


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (HEAD, True),
        (HEAD.strip(), True),
        (b"\xef\xbb\xbf" + HEAD.strip() + b"  \r\n", True),
        (HEAD[:20], True),
        (HEAD.replace(b"1", b"2"), True),
        (HEAD.replace(b" ", b""), True),
        (b"{", False),
        (b"", False),
        (b"\n", False),
        (b'{"item": 1}', False),
        (b'{"ensemble_lab": "outcomes"}', False),
        (b'{"model": "ensemble_lab", "recording": 1}', False),
        (b"\xff\xfe\x00", False),
        (b"item,model,correct\n", False),
    ],
)
def test_is_recording(line, is_one):
    assert is_recording(line) is is_one


def save_anew(path, data):
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


def save_in_place(path, data):
    path.write_bytes(data)


@pytest.mark.parametrize("save", [save_anew, save_in_place, lambda path, data: path.unlink()])
def test_an_editor_that_saves_meanwhile_loses_nothing(tmp_path, save):
    """It shows the file as it was after one reply, and saves that after four."""
    path, shown = tmp_path / "r.jsonl", []

    def model(item):
        if item == 1:
            shown.append(path.read_bytes())
        if item == 4:
            save(path, shown[0].rstrip(b"\n"))
        return item

    with pytest.warns(UserWarning, match="was changed while it was recorded"):
        table = record({"m": model}, range(6), path, truth=range(6), progress=False)
    assert table.correct.ravel().tolist() == [1] * 6
    read = Outcomes.read(path)
    assert read.answer.ravel().tolist() == table.answer.ravel().tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record({"m": model}, range(6), path, truth=range(6), progress=False)


def twice(data):
    return data + data.splitlines(keepends=True)[-1]


def broken(data):
    """One line in the middle is not JSON any more; the size stays."""
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:2], lines[2].replace(b":", b";"), *lines[3:]])


DAMAGES = {
    "a line twice": twice,
    "a broken line": broken,
    "a line cut in the middle": lambda data: data.replace(b'"model"', b"\n", 1),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "another header": lambda data: data.replace(b'"version": 1', b'"version": 9'),
    "another text": lambda data: b"Dear diary,\n" + data,
}


def recorded_while(path, damage, at, save=save_in_place, last=6):
    """The items that are asked while somebody damages the file at item `at`, and the error."""
    asked = []

    def model(item):
        asked.append(item)
        if item == at:
            save(path, damage(path.read_bytes()))
        return item

    with pytest.raises(ValueError, match="was damaged while it was recorded") as caught:
        record({"m": model}, range(last), path, truth=range(last), progress=False)
    return asked, str(caught.value)


@pytest.mark.parametrize("save", [save_anew, save_in_place])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_an_editor_that_damages_the_file_meanwhile_loses_nothing(tmp_path, damage, save):
    path = tmp_path / "r.jsonl"
    asked, words = recorded_while(path, damage, at=4, save=save)
    rescued = tmp_path / "r.rescued-1.jsonl"
    assert rescued.name in words and len(words.replace(str(tmp_path), "")) <= 300
    damaged = path.read_bytes()
    kept = Recording.load(rescued)
    assert [item for item, _ in kept.replies] == asked and 4 in asked  # also the one in flight
    again = []
    model = {"m": lambda item: again.append(item) or item}
    table = record(model, range(6), rescued, truth=range(6), progress=False)
    assert sorted(asked + again) == list(range(6)) and table.correct.ravel().tolist() == [1] * 6
    assert path.read_bytes() == damaged  # nobody else's work is touched


def test_damage_behind_the_last_reply_is_told_too(tmp_path):
    """A byte that is another one, where no reply is written any more."""
    path = tmp_path / "r.jsonl"

    def grade(answer, truth):
        if answer == 5:
            path.write_bytes(path.read_bytes().replace(b'"model"', b"'model'", 1))
        return 1.0

    with pytest.raises(ValueError, match=r"in 'r\.rescued-1\.jsonl' next to it"):
        record({"m": int}, range(6), path, truth=range(6), grade=grade, progress=False)
    table = Outcomes.read(tmp_path / "r.rescued-1.jsonl")
    assert table.correct.ravel().tolist() == [1] * 6


def test_damage_and_a_stop_at_once(tmp_path):
    path = tmp_path / "r.jsonl"

    def model(item):
        if item == 3:
            save_in_place(path, broken(path.read_bytes()))
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt) as caught:
        record({"m": model}, range(6), path, progress=False)
    assert any("r.rescued-1.jsonl" in note for note in caught.value.__notes__)
    assert len(Recording.load(tmp_path / "r.rescued-1.jsonl").replies) == 3


def test_a_warning_that_is_an_error_costs_no_reply(tmp_path):
    path = tmp_path / "r.jsonl"

    def model(item):
        if item == 3:
            path.unlink()
        return item

    with warnings.catch_warnings(), pytest.raises(UserWarning, match="was changed"):
        warnings.simplefilter("error")
        record({"m": model}, range(6), path, progress=False)
    assert [item for item, _ in Recording.load(path).replies] == [0, 1, 2, 3]


def test_each_rescue_has_a_file_of_its_own(tmp_path):
    path = tmp_path / ("ä" * 120 + ".jsonl")
    for number in (1, 2):
        path.unlink(missing_ok=True)
        words = recorded_while(path, twice, at=number, last=4)[1]
        assert f"rescued-{number}.jsonl" in words and len(words) - len(str(tmp_path)) <= 300
    files = sorted(tmp_path.glob("*rescued*"))
    assert [len(Recording.load(file).replies) for file in files] == [2, 3]


def test_a_rescue_keeps_facts_grades_and_failures(tmp_path):
    path = tmp_path / "r.jsonl"

    def model(item):
        if item == "b":
            raise RuntimeError("no")
        if item == "c":
            save_in_place(path, broken(path.read_bytes()))
        return Reply(item, confidence=0.5, cost=NAN, text="müde\u2028")

    about = {"truth": ["a", "b", "x"], "features": {"f": [1, None, "x"]}, "group": ["g", 7, None]}
    with pytest.raises(RuntimeError, match="no") as caught:
        record({"m": model}, ["a", "b", "c"], path, grade=str.__eq__, progress=False, **about)
    assert any("was damaged" in note for note in caught.value.__notes__)
    kept = Recording.load(tmp_path / "r.rescued-1.jsonl")
    assert kept.failed == {(1, "m"): "RuntimeError"}
    assert kept.facts[0]["features"] == {"f": 1} and kept.facts[1]["group"] == 7
    assert [line["correct"] for line in kept.replies.values()] == [1, 0]
    assert kept.replies[2, "m"]["text"] == "müde\u2028" and kept.replies[2, "m"]["cost"] is None


def test_a_lock_taken_meanwhile_is_told_with_the_rescue(tmp_path):
    """Somebody put another file there, and records to it."""
    path, other = tmp_path / "r.jsonl", []

    def model(item):
        if item == 2:
            save_anew(path, b"")
            other.append(Journal(path))
        return item

    with pytest.raises(OSError, match=r"being recorded by another.*r\.rescued-1\.jsonl"):
        record({"m": model}, range(4), path, progress=False)
    other[0].close()
    assert len(Recording.load(tmp_path / "r.rescued-1.jsonl").replies) == 3


def test_a_disk_that_is_full_costs_one_line(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"

    class Full:
        def __init__(self, file):
            self.file, self.left = file, 800

        def write(self, data):
            if not self.left:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.left])
            self.left -= written
            return written

        def __getattr__(self, name):
            return getattr(self.file, name)

    begin = Journal._begin

    def short(self):
        self._file = Full(self._file)
        begin(self)

    monkeypatch.setattr(Journal, "_begin", short)
    with pytest.raises(OSError, match="No space left"):
        record({"m": str}, range(9), path, progress=False)
    monkeypatch.undo()
    kept = len(Recording.load(path).replies)
    asked = []
    record({"m": lambda i: asked.append(i) or str(i)}, range(9), path, progress=False)
    assert len(asked) == 9 - kept < 9 and not Outcomes.read(path).absent.any()
