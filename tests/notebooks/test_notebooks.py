"""The form of every notebook: what the series promises its readers, cell by cell.

A lesson has a number, ``05_…``. What stands beside the lessons, an appendix ``08b_…`` or
``own_data``, need not have exercises.
"""

import ast
import re

import nbformat
import pytest

from tests.notebooks import minutes
from tests.notebooks.solved import NOTEBOOKS

LESSONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.stem)]
MOST_MINUTES = 45
MOST_WORDS, MOST_LINES = 200, 15  # in sight before something can be dragged

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def cells(path, kind):
    """The cells of one kind, ``"code"`` or ``"markdown"``."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def words(path):
    """All the prose as one text."""
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


@each
def test_one_parameters_cell_of_literals(path):
    tagged = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)


@each
def test_cells_are_short(path):
    long = [c.source.splitlines()[0] for c in cells(path, "code") if c.source.count("\n") >= 25]
    assert not long


@each
def test_the_minutes_that_are_told_are_those_that_were_counted(path):
    told = int(re.search(r"(\d+) minutes", cells(path, "markdown")[0].source).group(1))
    assert told == minutes.minutes(path) <= MOST_MINUTES, minutes.parts(path)


@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if path in LESSONS or minutes.parts(path)["explorers"]],
    ids=lambda path: path.stem,
)
def test_something_can_be_dragged_at_once(path):
    words_before, lines_before = minutes.before_first_drag(path)
    assert words_before <= MOST_WORDS and lines_before <= MOST_LINES


@each
def test_no_answer_is_printed_before_the_guess(path):
    for cell in cells(path, "code"):
        if ".compare(" in cell.source and "def compare" not in cell.source:
            *before, last = ast.parse(cell.source).body
            if isinstance(last.value, ast.Name) and before:  # shown = guess.compare(), then shown
                assert before[-1].targets[0].id == last.value.id
                last = before[-1]
            assert ast.unparse(last.value).partition("(")[0].endswith(".compare")
            assert not re.search(r"print\([^)]*\.compare\(", cell.source)


@each
def test_title_and_badges_come_first(path):
    first = cells(path, "markdown")[0].source
    assert first.startswith("# ") and words(path).count("\n# ") == 0
    assert f"/blob/main/notebooks/{path.name})" in first
    assert f"notebooks%2F{path.name})" in first


# All others have two.
THREE_EXERCISES = {"04_routing_while_the_world_moves", "17_committees", "18_split_inference",
                   "19_which_model_where", "20_serving_an_ensemble"}  # fmt: skip


def exercises(path):
    """The line under the title of each exercise."""
    return re.findall(r"^## Exercise.*\n\n(.*)", words(path), re.MULTILINE)


@each
def test_each_exercise_has_its_minutes_and_a_folded_solution(path):
    cards = exercises(path)
    assert all(re.search(r"[Dd]ifficulty \d.*\d+ minutes", card) for card in cards)
    assert words(path).count("<details><summary>Solution</summary>") == len(cards)
    assert words(path).count("<details>") == words(path).count("</details>")


@each_lesson
def test_a_lesson_has_its_exercises_and_answers_to_its_questions(path):
    assert len(exercises(path)) == (3 if path.stem in THREE_EXERCISES else 2)
    questions = re.search(r"^### Can you recall\?\n(.*?)^<details>", words(path), re.S | re.M)
    answers = re.search(r"<summary>Answers</summary>(.*?)</details>", words(path), re.DOTALL)
    count = len(re.findall(r"^\d\. ", questions.group(1), re.MULTILINE))
    assert count == len(re.findall(r"^\d\. ", answers.group(1), re.MULTILINE)) >= 3


@each_lesson
def test_a_lesson_has_a_prediction_and_a_negative_result(path):
    headings = re.findall(r"^#+ (.*)", words(path), re.MULTILINE)
    for part in ("Predict", "does not pay"):
        assert any(part in heading for heading in headings), part


@each
def test_each_prediction_names_its_family_for_the_ledger(path):
    for cell in cells(path, "code"):
        tree = ast.parse("" if cell.id == "bootstrap" else cell.source)
        for call in (c for c in ast.walk(tree) if isinstance(c, ast.Call)):
            if getattr(call.func, "id", "") in ("Predict", "PredictCurve"):
                assert any(keyword.arg == "family" for keyword in call.keywords), cell.source


@each
def test_papers_and_sources_are_there(path):
    headings = re.findall(r"^#+ (.*)", words(path), re.MULTILINE)
    assert "Papers" in headings and "Where the data came from" in headings
