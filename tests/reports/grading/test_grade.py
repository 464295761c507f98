"""A class of submissions: what is right passes, and all else is named; nothing stops the rest."""

import csv
import json
import os
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main
from ensemble_lab.exercises.draws import drawn_with
from ensemble_lab.exercises.start_here import check_total_cost
from ensemble_lab.reports.grading import grade as module
from ensemble_lab.reports.grading.asked import changed, exercises_of
from ensemble_lab.reports.grading.grade import COLUMNS, grade, summary
from ensemble_lab.reports.request import RequestError

IMPORT = "from ensemble_lab.exercises.start_here import check_total_cost"
STUB = "def total_cost(confidence, threshold, small_price, big_price):\n    {}"
RIGHT = STUB.format(
    "return len(confidence) * small_price + (confidence < threshold).sum() * big_price"
)
FREE = STUB.format("return (confidence < threshold).sum() * big_price")
# It knows the public cases by heart: 7, 200 and 2 items.
LEARNT = f"""{RIGHT.replace("total_cost", "known")}

def total_cost(confidence, *more):
    public = {{}}
    import numpy as np
    rng = np.random.default_rng(0)
    told = [rng.integers(0, 21, n) / 20 for n in (7, 200)] + [np.array([0.2, 0.9])]
    seen = any(len(one) == len(confidence) and (one == confidence).all() for one in told)
    return known(confidence, *more) if seen else 0.0"""
BY_LEVEL = "from ensemble_lab.exercises.voting import check_plurality\ndef plurality(o):\n    {}"


def book(*cells, **metadata):
    return new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=metadata)


def write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two lessons, and a class that handed them in."""
    place = tmp_path_factory.mktemp("class")
    lesson = book(IMPORT, STUB.format("pass"), "check_total_cost(total_cost)")
    lesson.cells.insert(0, new_markdown_cell("# A lesson"))
    write(place / "lessons/00_start.ipynb", lesson)
    write(
        place / "lessons/01_vote.ipynb", book(BY_LEVEL.format("pass"), "check_plurality(plurality)")
    )
    call, handed_in = "check_total_cost(total_cost)", place / "in"
    solved = book(IMPORT, RIGHT, call)
    old = nbformat.v4.new_output("stream", text="x" * 10_000_000)
    solved.cells[0].outputs = [old]
    kernel = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    for name, notebook in {
        "right/00_start.ipynb": solved,
        "stub/00_start.ipynb": book(IMPORT, STUB.format("pass"), call),
        "wrong/00_start.ipynb": book(IMPORT, FREE, call),
        "broken/00_start.ipynb": book(IMPORT, "1 / 0", "def total_cost(:", call),
        "after/00_start.ipynb": book("1 / 0", "%pip --version", IMPORT, RIGHT, call),
        "deleted/00_start.ipynb": book(IMPORT, RIGHT),
        "edited/00_start.ipynb": book(IMPORT, FREE, "check_total_cost(lambda *a: 7)"),
        "own/00_start.ipynb": book(IMPORT, FREE, "check_total_cost = lambda f: True", call),
        "learnt/00_start.ipynb": book(IMPORT, LEARNT, call),
        "loops/00_start.ipynb": book(IMPORT, "while True: pass", RIGHT, call),
        "hangs/00_start.ipynb": book(IMPORT, STUB.format("\n    while True: pass"), call),
        "dies/00_start.ipynb": book(IMPORT, RIGHT, "import os; os._exit(3)", call),
        "r/00_start.ipynb": book(IMPORT, RIGHT, call, **kernel),
        "twice/00_start.ipynb": book(IMPORT, FREE, call),
        "twice/old/00_start.ipynb": book(IMPORT, RIGHT, call),
        "01_vote_flat.ipynb": book(BY_LEVEL.format("return o"), "check_plurality(plurality)"),
        "other/thesis.ipynb": book("print('hello')"),
    }.items():
        write(handed_in / name, notebook)
    (handed_in / "text").mkdir()
    (handed_in / "text/00_start.ipynb").write_text("not a notebook")
    (handed_in / "text/list.ipynb").write_text("[]")
    (handed_in / ".ipynb_checkpoints").mkdir()
    (handed_in / ".ipynb_checkpoints/00_start.ipynb").write_text("not a notebook")
    return place


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_class(place, monkeypatch, capsys):
    lessons, path = [str(place / "lessons")], place / "grades.csv"
    words = ["grade", str(place / "in"), "--csv", str(path), "--lessons", *lessons]
    assert main([*words, "--seed", "5", "--timeout", "35"]) == 0
    told = capsys.readouterr().out
    found = {row["file"]: row for row in rows(path)}
    passed = {name.partition("/")[0] for name, row in found.items() if row["passed"] == "1"}
    assert passed == {"right", "after", "deleted", "loops", "r", "twice"}
    assert found["twice/old/00_start.ipynb"]["passed"] == "1"
    assert found["twice/00_start.ipynb"]["passed"] == "0"
    said = {
        "stub": "returned nothing", "wrong": "asked about every item", "learnt": "hidden cases",
        "broken": "there is no function total_cost", "hangs": "does a loop never end",
        "dies": "its kernel ended", "own": "asked about every item",
        "text": "not a notebook", "other": "no lesson is recognised",
    }  # fmt: skip
    for student, words_of_it in said.items():
        messages = [row["message"] for row in found.values() if row["student"] == student]
        assert all(words_of_it in message for message in messages) and messages, student
    notes = {row["student"]: row["note"] for row in found.values() if row["note"]}
    assert notes == {
        "deleted": "its check was deleted or edited",
        "edited": "its check was deleted or edited",
        "own": "the notebook has a check of its own by this name",
    }
    assert found["01_vote_flat.ipynb"]["student"] == "flat"
    assert found["01_vote_flat.ipynb"]["exercise"] == "check_plurality"
    assert not any("checkpoints" in name for name in found)
    assert "right: 1 of 1\n" in told and "two files are 00_start; both were graded" in told
    students = {row["student"] for row in found.values()}
    assert {line.split(":")[0] for line in told.splitlines() if line[0] != " "} == students

    # Nothing is run again, but what is new: another submission, another seed.
    ran = []
    monkeypatch.setattr(
        module, "run", lambda book, asked, *_, **__: (ran.append(book), [None], "")[1:]
    )
    before = path.read_text()
    grades = grade(place / "in", path, lessons=lessons, seed=5, timeout=35)
    assert not ran and path.read_text() == before
    assert len(grades) == len(found) and len(list(summary(grades))) == len(students)
    write(place / "in/wrong/00_start.ipynb", book(IMPORT, RIGHT, "check_total_cost(total_cost)"))
    grade(place / "in", path, lessons=lessons, seed=5, timeout=35)
    assert len(ran) == 1 and len(rows(path)) == len(found)
    grade(place / "in", path, lessons=lessons, seed=6, timeout=35)
    assert len(ran) == 1 + 16


@pytest.mark.slow
def test_hidden_checks_of_the_instructor(place, tmp_path):
    write(tmp_path / "in/a/00_start.ipynb", book(IMPORT, RIGHT, "check_total_cost(total_cost)"))
    checks = tmp_path / "mine.py"
    checks.write_text(
        "from ensemble_lab.exercises.check import Verdict\n"
        "def check_total_cost(f):\n    return Verdict(False, 'with my own table')\n"
    )
    lessons = [place / "lessons"]
    (one,) = grade(tmp_path / "in", tmp_path / "g.csv", lessons=lessons, checks=checks)
    assert not one.passed and one.message == "hidden check: with my own table"
    checks.write_text("check_another = print\n")
    (one,) = grade(tmp_path / "in", tmp_path / "g.csv", lessons=lessons, checks=checks)
    assert one.passed


def test_what_cannot_be_graded_is_refused(place, tmp_path):
    lessons = [place / "lessons"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "plain/a.ipynb", book("1"))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    damaged = tmp_path / "damaged.csv"
    damaged.write_text(",".join(COLUMNS) + "\na,b,c,d,yes,e,f,g\n")
    good = place / "in", tmp_path / "g.csv"
    for arguments, more, words in (
        ((tmp_path / "none", good[1]), {}, "no folder"),
        ((tmp_path / "empty", good[1]), {}, "no notebooks"),
        ((good[0], other), {}, "no file of grades"),
        ((good[0], damaged), {}, "is damaged"),
        ((good[0], tmp_path), {}, "cannot be"),
        ((good[0], tmp_path / "no" / "g.csv"), {}, "cannot be written"),
        (good, {"lessons": [tmp_path / "plain"]}, "have no exercises"),
        (good, {"checks": tmp_path / "none.py"}, "no file"),
        (good, {"timeout": 0}, "--timeout 0"),
        (good, {"timeout": float("nan")}, "--timeout"),
        (good, {"seed": -1}, "--seed -1"),
    ):
        with pytest.raises(RequestError, match=words):
            grade(*arguments, **{"lessons": lessons, **more})


def test_hidden_cases_are_others_and_end():
    cases = [str(list(check_total_cost.cases()))]
    for seed in (1, 2):
        with drawn_with(seed):
            cases.append(str(list(check_total_cost.cases())))
    assert len(set(cases)) == 3 and str(list(check_total_cost.cases())) == cases[0]


def test_a_cell_is_no_formula_in_a_spreadsheet(place, tmp_path, monkeypatch):
    """And names, line ends and quotes come back as they were, so nothing is graded twice."""
    ran = []
    monkeypatch.setattr(
        module,
        "run",
        lambda *_, **__: (ran.append(1), [{"passed": True, "message": "=1+1\r"}], "")[1:],
    )
    students = "=cmd|' C calc'!A0", "+a", "-b", "@c", "'=d", "'e", "ü f", "g\rh", 'i,"j\nk'
    for student in students:
        write(
            tmp_path / "in" / student / "00_start.ipynb",
            book(IMPORT, RIGHT, "check_total_cost(total_cost)"),
        )
    (tmp_path / "in/+a/00_start.ipynb").rename(tmp_path / "in/+a/00_START.IPYNB")
    path, how = tmp_path / "g.csv", {"lessons": [place / "lessons"]}
    for _ in range(2):
        grades = grade(tmp_path / "in", path, **how)
        assert {one.student for one in grades} == set(students) and len(ran) == len(students)
        assert all(one.message == "=1+1\r" for one in grades)
    cells = [cell for row in rows(path) for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as a spreadsheet saves it
    assert grade(tmp_path / "in", path, **how) == grades and len(ran) == len(students)


def test_what_is_new_is_graded_again(place, tmp_path, monkeypatch):
    ran = []

    def run(_, asked, *__, **___):
        ran.append(asked)
        return [None] * len(asked), "too slow"

    monkeypatch.setattr(module, "run", run)
    write(tmp_path / "in/a/x.ipynb", book(IMPORT, RIGHT, "check_total_cost(total_cost)"))
    path, lessons = tmp_path / "g.csv", place / "lessons"
    (one,) = grade(tmp_path / "in", path, lessons=[lessons / "01_vote.ipynb"])
    assert "no lesson" in one.message and not ran
    for _ in range(2):
        (one,) = grade(tmp_path / "in", path, lessons=[lessons / "00_start.ipynb"])
        assert one.lesson == "00_start" and len(ran) == 1
    (one,) = grade(tmp_path / "in", path, lessons=[lessons / "01_vote.ipynb"])
    assert one.lesson == "00_start" and len(ran) == 1  # a grade of another lesson stays
    grade(tmp_path / "in", path, lessons=[lessons], timeout=500)
    assert len(ran) == 2
    more = book(IMPORT, STUB.format("pass"), *["check_total_cost(total_cost)"] * 2)
    write(tmp_path / "lessons/00_start.ipynb", more)
    assert len(grade(tmp_path / "in", path, lessons=[tmp_path / "lessons"], timeout=500)) == 2
    assert len(ran) == 3


def test_one_bad_file_does_not_stop_the_class(place, tmp_path):
    cell = {"cell_type": "code", "source": "1"}
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    bad = [{}, {"nbformat": 2}, {"nbformat": 3}, whole, {**whole, "metadata": None},
           {**whole, "nbformat_minor": "x"}]  # fmt: skip
    for i, content in enumerate(bad):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/s{i}.ipynb").write_text(json.dumps(content))
    (tmp_path / "in/link.ipynb").symlink_to(tmp_path / "gone.ipynb")
    (tmp_path / "in/folder.ipynb").mkdir()
    grades = grade(tmp_path / "in", tmp_path / "g.csv", lessons=[place / "lessons"])
    assert len(grades) == len(bad) + 1
    assert {one.message.partition(":")[0] for one in grades} == {
        "not a notebook",
        "it cannot be read",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text(place, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"a\xff.ipynb")).write_text("[]")
    for _ in range(2):
        (one,) = grade(tmp_path / "in", tmp_path / "g.csv", lessons=[place / "lessons"], seed=1)
        assert one.student == r"a\xff" and len(rows(tmp_path / "g.csv")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\n{}",
        "!ls\n{}",
        "%%time\n{}",
        "  x = 1\n  {}",
        "x?\n{}",
        "%%capture out\n{}",
    ],
)
def test_a_check_beside_a_magic_is_still_there(source):
    asked = exercises_of(book(IMPORT, "check_total_cost(total_cost)"))
    assert len(asked) == 1
    assert not changed(book(source.format("check_total_cost(total_cost)")), asked)
    assert changed(book(source.format("check_total_cost = print")), asked)
