"""What was asked is known again: other questions under old names are refused, the same go on."""

import datetime
import json
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.core.identity import identity
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.models.asking.live import record

CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]


@dataclass
class Question:
    text: str
    choices: tuple


SAME = [
    (1, 1.0, True, np.int64(1), np.float32(1), torch.tensor(1), np.array(1)),
    (0.0, -0.0, 0, False),
    ("a", np.str_("a"), np.array("a")),
    (b"a", bytearray(b"a"), memoryview(b"a")),
    (CHAT, tuple(CHAT), [OrderedDict(reversed(turn.items())) for turn in CHAT]),
    ([1, 2, 3], (1, 2, 3), range(1, 4), np.array([1, 2, 3]), torch.tensor([1.0, 2, 3])),
    ([[1, 2], [3, 4.5]], np.array([[1, 2], [3, 4.5]]), torch.tensor([[1, 2], [3, 4.5]])),
    (np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(6).reshape(2, 3)),
    (torch.tensor([0.5, 2.0], dtype=torch.bfloat16), [0.5, 2.0]),
    (torch.tensor([0.5], requires_grad=True), np.array([0.5], np.float16)),
    ({"a": 1, "b": [1, {"c": None}]}, {"b": (1, {"c": None}), "a": 1.0}),
    ({1, 2}, frozenset((2, 1))),
    (Question("a", ("b",)), Question("a", ("b",))),
    ([2**63 + 1], np.array([2**63 + 1], np.uint64), (2**63 + 1,)),
    ([[2**60], [-1]], np.array([[2**60], [-1]]), torch.tensor([[2**60], [-1]])),
    (np.array([2**60, 1], ">i8"), np.array([2**60, 1], "<i8"), [2**60, 1]),
]
OTHER = [
    *[group[0] for group in SAME],
    *["", "A", " a", "a ", "1", "1.0", "None", "[1, 2, 3]"],
    *[None, 2, -1, 255, 256, -256, 0.1, 2**53, 2**53 + 1, 2**64, 2**64 + 1, 1e300, float("inf")],
    *[float("nan"), -float("inf"), np.nextafter(0.1, 1)],
    *[[], {}, "[]", [[]], [""], [None], ["a"], ["a", "b"], ["ab"], [["a"], "b"], ["a", ["b"]]],
    *[[1, 2], [[1, 2, 3]], [[1], [2], [3]], [1, 2, 3, 0], ["1", "2", "3"], [1, "2", 3]],
    *[[2**53, 1], [2**53 + 1, 1], [2**63, -1], [2**63 + 1, -1], [2**70], [2**70 + 1]],
    *[[1_700_000_000.25, 0], [1_700_000_000.5, 0], [1e-9], [2e-9]],
    *[CHAT[:1], CHAT[::-1], CHAT[0], [{**CHAT[0], "name": "x"}, CHAT[1]]],
    *[{"a": "b"}, {"b": "a"}, {"ab": ""}, {"a": None}, {"a": {}}, {1: 2}, {"1": 2}],
    *[b"", b"b", b"\0", b"\0\0", "\0", Question("b", ("b",)), Question("a", ())],
    *[datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), Decimal("0.10"), PurePosixPath("a")],
    *["é", "e\u0301", "\ud83d", "😀"],
]


@pytest.mark.parametrize("group", SAME, ids=lambda group: str(group[0])[:20])
def test_the_same_question_in_another_form(group):
    assert len({identity(item) for item in group}) == 1
    assert len(identity(group[0])) == 16


def test_other_questions_differ():
    found = {}
    for item in OTHER:
        assert identity(item) not in found, (item, found[identity(item)])
        found[identity(item)] = item
    assert None not in found


def test_numbers_of_one_bit_pattern_differ():
    """64 bits may be a number below 0, one above 2**63, a float, or a moment."""
    one = np.array([1.5]).view(np.int64)
    moments = [one.view("M8[ns]"), one.view("m8[ns]"), one.view("M8[us]"), one.view("M8[ns]")[0]]
    found = [identity(item) for item in (one, one.view(float), *moments)]
    low = np.array([-5, 1])
    found += [identity(item) for item in (low, low.view(np.uint64), low.astype(str), -5, "-5")]
    assert None not in found and len(set(found)) == len(found)
    assert identity(moments[0]) == identity(one.view("M8[ns]").copy())
    assert identity(moments[3]) == identity(moments[0][0]) != identity(one[0])


def test_numbers_that_a_float64_rounds_have_no_identity():
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long doubles are doubles here")
    assert identity(np.array([0.1], np.longdouble)) is None


def test_it_is_the_same_in_every_process_and_version():
    assert identity("Why?") == "fd5220abef259625"
    assert identity([{"role": "user", "content": "Why?"}]) == "34157f14a022d60f"
    assert identity([1, 2.5]) == "21e5fa1cdb53849b"
    assert identity(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)) == "ec6a253d4e55ebac"
    assert identity(CHAT) == identity(json.loads(json.dumps(CHAT)))


@pytest.mark.parametrize(
    "item", [object(), iter("ab"), len, lambda q: q, type, [object()], {"a": len}]
)
def test_what_has_no_stable_form_has_no_identity(item):
    assert identity(item) is None


def test_what_holds_itself():
    loop = ["a"]
    loop.append(loop)
    assert identity(loop) is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(plain, plain)
def test_equal_and_not_equal(one, other):
    assert (identity(one) == identity(other)) == (one == other)
    assert identity(json.loads(json.dumps(one))) == identity(one)


# In recordings


def go(path, items, **about):
    asked = []
    table = record({"m": lambda q: asked.append(q) or "x"}, items, path, progress=False, **about)
    return asked, table


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        (["red", "green"], ["blue", "red", "green"], "as item 0, now it is 'blue'"),
        (["red", "green"], ["green", "red"], "as item 0, now it is 'green'"),
        ({"q": "red"}, {"q": "red?"}, "as item 'q', now it is 'red\\?'"),
        ([CHAT], [CHAT[1:]], "as item 0"),
        ([np.zeros(3)], [np.ones(3)], "as item 0"),
        ([1, 2], [2, 1], "as item 0, now it is 2"),
        (["x" * 9999], ["y" * 9999], "as item 0"),
    ],
)
def test_another_question_under_an_old_name_is_refused(tmp_path, first, then, words):
    path = tmp_path / "r.jsonl"
    go(path, first)
    data = path.read_bytes()
    with pytest.raises(ValueError, match=words) as caught:
        go(path, then)
    assert len(str(caught.value)) <= 300 + len(str(tmp_path))
    assert "'q1': …" in str(caught.value) and "another path" in str(caught.value)
    assert path.read_bytes() == data
    with pytest.raises(ValueError, match="another question"):  # of another model too
        record({"n": str}, then, path, progress=False)
    assert go(path, first)[0] == []


def test_questions_added_behind_go_on(tmp_path):
    path = tmp_path / "r.jsonl"
    go(path, ["red"])
    assert go(path, ["red", "green"])[0] == ["green"]
    assert go(path, {"q": "blue", 0: "red"})[0] == ["blue"]


def test_a_question_without_answers_may_be_corrected(tmp_path):
    path = tmp_path / "r.jsonl"

    def broken(item):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        record({"m": broken}, ["tpyo", "b"], path, progress=False)
    assert go(path, ["typo", "b"])[0] == ["typo", "b"]
    with pytest.raises(ValueError, match="another question"):
        go(path, ["tpyo", "b"])


def test_the_same_questions_in_another_form_go_on(tmp_path):
    path = tmp_path / "r.jsonl"
    go(path, [CHAT, {"a": 1, "b": 2}])
    assert go(path, (tuple(CHAT), {"b": 2.0, "a": 1}))[0] == []
    rows = tmp_path / "rows.jsonl"
    go(rows, np.arange(6).reshape(2, 3))
    assert go(rows, torch.arange(6.0).reshape(2, 3))[0] == []
    assert go(rows, [[0, 1, 2], [3, 4, 5]])[0] == []


def test_a_recording_without_hashes_goes_on_and_gets_them(tmp_path):
    path = tmp_path / "r.jsonl"
    go(path, ["red", "green"], truth=["x", "y"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("asked", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked, table = go(path, ["red", "green"])
    assert asked == [] and table.correct.ravel().tolist() == [1, 0]
    with pytest.raises(ValueError, match="another question"):
        go(path, ["green", "red"])


def test_items_without_an_identity_go_by_name(tmp_path):
    path = tmp_path / "r.jsonl"
    go(path, [object()])
    assert go(path, [object()])[0] == [] and '"asked"' not in path.read_text()
    assert go(path, ["text"])[0] == []


def test_the_hash_is_no_feature(tmp_path):
    path = tmp_path / "r.jsonl"
    go(path, ["red"], features={"n": [1]})
    for table in (go(path, ["red"])[1], Outcomes.read(path)):
        assert list(table.features) == ["n"]


@pytest.mark.parametrize("hashed", ["7", "[1]", "true", '{"a": 1}'])
def test_a_damaged_hash_is_named(tmp_path, hashed):
    path = tmp_path / "r.jsonl"
    go(path, ["red"])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + f'{{"item": 0, "asked": {hashed}}}\n' + lines[-1])
    with pytest.raises(ValueError, match="line 2: the asked is"):
        Outcomes.read(path)
