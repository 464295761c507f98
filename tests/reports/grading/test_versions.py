"""Versions for a course: each solved exercise passes its check, and nbgrader accepts its own."""

import ast
import csv
import os
import shutil
import subprocess
import sys
import venv

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main
from ensemble_lab.reports.grading.asked import exercises_of
from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.versions import VERSIONS, write_version
from tests.conftest import BIN
from tests.notebooks.solved import NOTEBOOKS
from tests.packaging.test_resolve import uv_environment
from tests.support.processes import once

STUB = """from ensemble_lab.exercises.start_here import check_total_cost


def total_cost(confidence, threshold, small_price, big_price):
    \"\"\"USD for all items.\"\"\"
    # your line here


check_total_cost(total_cost)"""
SOLUTION = """<details><summary>Solution</summary>

```python
import numpy as np

def asked(confidence, threshold):
    return np.sum(confidence < threshold)

def total_cost(sure, threshold, small_price, big_price):
    big = asked(sure, threshold)
    return len(sure) * small_price + big * big_price
```
</details>"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def lesson(tmp_path):
    answers = "<details><summary>Answers</summary>\n\n1. Four.\n</details>"
    cells = [new_code_cell(STUB, id="try-1"), *map(new_markdown_cell, (SOLUTION, answers))]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tmp_path / "lesson.ipynb")
    return tmp_path / "lesson.ipynb"


def version(path, name, folder):
    assert main(["student", str(path), "--as", name, "--out", str(folder / name)]) == 0
    return nbformat.read(folder / name / path.name, as_version=4)


def test_what_each_version_holds(lesson, tmp_path):
    student, solved, instructor, for_nbgrader = (
        version(lesson, name, tmp_path) for name in VERSIONS
    )
    assert student.cells[0].source == STUB and len(student.cells) == 2
    names = {}
    exec(solved.cells[0].source.replace("\ncheck_", "\npassed = check_"), names)
    assert names["passed"] and "your line" not in solved.cells[0].source
    assert "<details>" in solved.cells[1].source
    assert "<details open>" in instructor.cells[1].source
    made, judged = for_nbgrader.cells[:2]
    exec(made.source, names := {})
    exec(judged.source, names)
    assert '"""USD for all items."""' in made.source and "def total_cost(sure" in made.source
    assert made.source.index("BEGIN SOLUTION") < made.source.index("def asked")
    with pytest.raises(AssertionError, match="Not yet"):
        exec(judged.source, names | {"total_cost": lambda *case: 1.0})


def test_a_solution_on_one_line_has_a_body_for_nbgrader(lesson, tmp_path):
    one = "def total_cost(c, t, small, big): return len(c) * small + (c < t).sum() * big"
    book = nbformat.read(lesson, as_version=4)
    book.cells[
        1
    ].source = f"<details><summary>Solution</summary>\n\n```python\n{one}\n```\n</details>"
    nbformat.write(book, lesson)
    made, judged = version(lesson, "nbgrader", tmp_path).cells[:2]
    exec(made.source, names := {})
    exec(judged.source, names)
    assert "BEGIN SOLUTION\n    return" in made.source


def test_an_exercise_that_cannot_be_solved_is_named(lesson, tmp_path):
    book = nbformat.read(lesson, as_version=4)
    for cells, words in (
        (book.cells[:1], "no solution follows check_total_cost"),
        ([book.cells[0], new_markdown_cell(SOLUTION.replace("def total_cost", "def other"))],
         "no function total_cost"),
        ([new_code_cell("check_total_cost(total_cost)"), book.cells[1]], "no function total_cost"),
    ):  # fmt: skip
        nbformat.write(new_notebook(cells=cells), lesson)
        with pytest.raises(RequestError, match=words):
            write_version([lesson], tmp_path / "out", "nbgrader")
    with pytest.raises(KeyError, match="did you mean 'solution'"):
        write_version([lesson], tmp_path / "out", "solutions")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["solution", "instructor", "nbgrader"])
def test_every_lesson_has_every_version(name, tmp_path):
    for path in NOTEBOOKS:
        source = nbformat.read(path, as_version=4)
        (made,) = write_version([path], tmp_path, name)
        book = nbformat.read(made, as_version=4)
        nbformat.validate(book)
        exercises = exercises_of(source)
        code = [cell for cell in book.cells if cell.cell_type == "code" and "check_" in cell.source]
        for cell in code:
            ast.parse(cell.source)
        marks = [cell.metadata.nbgrader for cell in code if "nbgrader" in cell.metadata]
        if name == "nbgrader":
            assert sum(mark.grade and mark.locked for mark in marks) == len(exercises)
            assert len({mark.grade_id for mark in marks}) == len(marks)
        else:
            assert exercises_of(book) == exercises and not marks


@pytest.fixture(scope="module")
def with_nbgrader(shared, installed):
    """The programs of an environment that holds the wheel and nbgrader."""
    (wheel,) = installed.parents[2].glob("*.whl")

    def install(place):
        venv.create(place / "env")
        python = place / "env" / BIN / "python"
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        done = subprocess.run(
            [*command, wheel, "nbgrader"], env=uv_environment(), capture_output=True, text=True
        )
        if done.returncode:
            why = f"nbgrader cannot be had: {done.stderr[-500:]}"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)

    return once(shared / "nbgrader", install) / "env" / BIN


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nbgrader_takes_it_from_the_source_to_the_grades(with_nbgrader, lesson, tmp_path):
    course = tmp_path / "course"
    source = version(lesson, "nbgrader", tmp_path)
    (course / "source/one").mkdir(parents=True)
    nbformat.write(source, course / "source/one/lesson.ipynb")
    (course / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'c'\n")
    env = {
        **os.environ, "HOME": str(tmp_path), "PYTHONPATH": "",
        "PATH": f"{with_nbgrader}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip

    def nbgrader(*words):
        done = subprocess.run(
            [with_nbgrader / "nbgrader", *words],
            cwd=course,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]

    nbgrader("generate_assignment", "one")
    released = (course / "release/one/lesson.ipynb").read_text()
    assert "big_price" in released and "asked(" not in released
    for student, kind in (("ada", "source"), ("bob", "release")):
        (course / "submitted" / student).mkdir(parents=True)
        shutil.copytree(course / kind / "one", course / "submitted" / student / "one")
    nbgrader("autograde", "one", "--create")
    nbgrader("export")
    with open(course / "grades.csv", encoding="utf-8", newline="") as file:
        assert {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)} == {
            "ada": 1.0,
            "bob": 0.0,
        }
