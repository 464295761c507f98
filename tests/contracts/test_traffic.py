"""What a gateway recorded, in any form that users bring; and what is none of its logs."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_lab import systems
from tests.contracts.registry import collected, contract, refused

ROWS = (("r1", "vote", "4", "5"), ("r2", "vote", "7", None), ("r3", "small", None, "9"))


@pytest.fixture
def log(tmp_path):
    """Three requests: two of a vote, of which one had a failure, and one of a single member."""
    made = systems.TrafficLog(tmp_path / "traffic.jsonl")
    for name, policy, *answers in ROWS:
        replies = {
            member: {"answer": answer, "cost": 0.5}
            for member, answer in zip(("big", "small"), answers, strict=True)
            if answer is not None
        }
        made.write(
            {
                "request": name,
                "ours": True,
                "policy": policy,
                "status": 200,
                "chosen": next(iter(replies)),
                "question": f"question of {name}",
                "replies": replies,
                "failed": {"small": "timeout"} if name == "r2" else {},
            }
        )
    made.close()
    return made.path


def read(path, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return systems.read_traffic(path, **more)


@contract("read_traffic", "TrafficLog")
@pytest.mark.parametrize(
    "form", [str, Path, lambda p: [p], lambda p: (str(p),), lambda p: iter([p])]
)
def test_a_path_in_any_form(log, form):
    table = read(form(log))
    assert table.items.tolist() == ["r1", "r2", "r3"] and table.models == ("big", "small")
    assert table.absent.tolist() == [[False, False], [False, True], [True, False]]
    np.testing.assert_array_equal(table.cost, [[0.5, 0.5], [0.5, np.nan], [np.nan, 0.5]])
    assert np.isnan(table.correct).all()


@contract("read_traffic", "question_hash")
@pytest.mark.parametrize("name", [lambda r: r, lambda r: systems.question_hash(f"question of {r}")])
def test_truths_and_grades_in_any_form(log, tmp_path, name):
    truth, correct = {name("r1"): "5", name("r3"): "9"}, {name("r1"): 0, name("r3"): True}
    graded = [[0, 1], [np.nan, np.nan], [np.nan, 1]]
    given = [[0, np.nan], [np.nan, np.nan], [np.nan, 1]]
    for what, values, expected in (("truth", truth, graded), ("correct", correct, given)):
        file = tmp_path / f"{what}.csv"
        pd.DataFrame({"request": values.keys(), what: values.values()}).to_csv(
            file, index=False, encoding="utf-8-sig"
        )
        if what == "correct":
            file.write_text(file.read_text("utf-8-sig").replace("True", "1"), "utf-8")
        for form in (values, pd.Series(values), file, str(file)):
            np.testing.assert_array_equal(read(log, **{what: form}).correct, expected)


@contract("read_traffic")
def test_what_is_said_aloud(log):
    with pytest.warns(UserWarning, match="in 1 of 3 requests the policy chose") as said:
        systems.read_traffic(log)
    assert len(str(said[0].message)) <= 300
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all members were asked, though one failed
        systems.read_traffic(log, policy="vote")
    with pytest.warns(UserWarning, match="1 of 2 in truth name no answered request, such as 'r9'"):
        systems.read_traffic(log, truth={"r9": "1", "r1": "4"}, policy="vote")


@contract("read_traffic")
def test_what_cannot_be_read_is_refused(log, tmp_path):
    def file(text, name="grades.csv"):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}-{name}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def reading(path=log, **more):
        return lambda: read(path, **more)

    facts = {"item": "r1", "policy": "vote"}
    empty = json.dumps({"ensemble_lab": "recording", "version": 1}) + "\n"
    collected({
        "no file": reading(tmp_path / "none.jsonl"),
        "a folder": reading(tmp_path),
        "no path": reading(3),
        "no paths": reading([]),
        "twice": reading([log, log]),
        "a table": reading(file("item,model\n1,2\n", "t.jsonl")),
        "an empty log": reading(file(empty, "t.jsonl")),
        "facts only": reading(file(empty + json.dumps(facts) + "\n", "t.jsonl")),
        "damaged": reading(file(empty + "{]\n" + json.dumps(facts) + "\n", "t.jsonl")),
        "another version": reading(file(empty.replace("1", "2"), "t.jsonl")),
        "no such policy": reading(policy="vota"),
        "a list as policy": reading(policy=["vote"]),
        "truth and correct": reading(truth={"r1": "4"}, correct={"r1": 1}),
        "truth a text": reading(truth="4"),
        "truth a list": reading(truth=["4", "7", "9"]),
        "truth empty": reading(truth={}),
        "no such request": reading(truth={"r9": "4"}),
        "an answer of several": reading(truth={"r1": ["4"]}),
        **{f"grade {v}": reading(correct={"r1": v})
           for v in (2, -1, "yes", np.nan, None, np.inf, [1])},
        "no headings": reading(truth=file("r1,4\n")),
        "other headings": reading(truth=file("request,correct\nr1,4\n")),
        "nothing in it": reading(truth=file("")),
        "three cells": reading(truth=file("request,truth\nr1,4,5\n")),
        "two truths": reading(truth=file("request,truth\nr1,4\nr1,5\n")),
        "no utf-8": reading(truth=file(b"request,truth\nr1,\xff\n")),
    })  # fmt: skip


@contract("TrafficLog", "question_hash")
def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "mine.jsonl").write_text("mine\n")
    collected({
        "no jsonl": lambda: systems.TrafficLog(tmp_path / "t.csv"),
        "prompts": lambda: systems.TrafficLog(tmp_path / "t.jsonl", prompts="no"),
        "key": lambda: systems.TrafficLog(tmp_path / "t.jsonl", key=3),
        "empty key": lambda: systems.TrafficLog(tmp_path / "t.jsonl", key=""),
        "no path": lambda: systems.TrafficLog(3),
        "of another": lambda: systems.TrafficLog(tmp_path / "mine.jsonl"),
        "no text": lambda: systems.question_hash(3),
        "no key": lambda: systems.question_hash("?", 3),
    })  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    with refused("t.csv"):
        systems.TrafficLog(tmp_path / "t.csv")


@contract("question_hash")
def test_hashes_are_those_of_the_question_and_the_key():
    texts = ["?", "? ", "\u00fc", "u\u0308", "\ud83d", "a\nb", "x" * 10**6]
    for key in (None, "k", "\u00fc"):
        found = [systems.question_hash(text, key) for text in texts]
        assert len(set(found)) == len(texts)
        assert found == [systems.question_hash(text, key) for text in texts]
        assert all(set(one) <= set("0123456789abcdef") for one in found)
    assert len({systems.question_hash("?", key) for key in (None, "k", "l")}) == 3
