"""The form of every notebook: what the series promises its readers, cell by cell."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    """The cells of one kind, ``"code"`` or ``"markdown"``."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def words(path):
    """All the prose as one text."""
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def test_one_parameters_cell_of_literals(path):
    tagged = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)


def test_cells_are_short(path):
    long = [c.source.splitlines()[0] for c in cells(path, "code") if c.source.count("\n") >= 25]
    assert not long


def test_length_of_the_prose(path):
    assert 900 <= len(words(path).split()) <= 3000


def test_title_and_badges_come_first(path):
    first = cells(path, "markdown")[0].source
    assert first.startswith("# ") and words(path).count("\n# ") == 0
    assert f"/blob/main/notebooks/{path.name})" in first
    assert f"notebooks%2F{path.name})" in first


def test_minutes_are_told(path):
    assert re.search(r"\d+ minutes", cells(path, "markdown")[0].source)
    exercises = re.findall(r"^## Exercise.*\n\n(.*)", words(path), re.MULTILINE)
    assert len(exercises) == 2
    assert all(re.search(r"[Dd]ifficulty \d.*\d+ minutes", card) for card in exercises)


def test_solutions_are_folded_away(path):
    assert words(path).count("<details>") == words(path).count("</details>") == 2


def test_a_negative_result_papers_and_sources_are_there(path):
    headings = re.findall(r"^#+ (.*)", words(path), re.MULTILINE)
    for part in ("Predict", "does not pay", "Papers", "data came from", "recall"):
        assert any(part in heading for heading in headings), part
