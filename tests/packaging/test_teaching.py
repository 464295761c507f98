"""docs/teaching.md: sheets say what notebooks and checks say, and syllabuses respect the needs."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from recipes import teaching_sheets, write_teaching
from recipes.teaching_sheets import Book, read
from recipes.write_teaching import PATH, SYLLABUSES, all_books, faults, written
from tests.notebooks import minutes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def books():
    return all_books()


def test_the_page_is_what_the_command_writes(books):
    assert written(books) == PAGE


def test_needs_are_there_without_a_circle_and_before_what_needs_them(books):
    assert faults(books) == []
    drawn = set(re.findall(r"^    n(\w+) (-->|-\.->) n(\w+)$", PAGE, flags=re.MULTILINE))
    said = {(o, "-.->" if helps else "-->", n) for n, b in books.items() for o, helps in b.edges}
    assert drawn == said
    assert {("00", "-->", "02"), ("05", "-->", "06"), ("08", "-.->", "09")} <= drawn


def test_twelve_weeks_have_each_numbered_notebook_once(books):
    week = [n for _, numbers in SYLLABUSES["Twelve weeks"] for n in numbers.split()]
    assert sorted(week) == sorted(n for n in books if not re.fullmatch(r"\d\d[a-z]", n))
    assert len(SYLLABUSES["Twelve weeks"]) == 12 and len(SYLLABUSES["Four weeks"]) == 4
    assert SYLLABUSES["One lecture"][0][1] == "00 02 05"


def test_a_lecture_and_a_week_fit_their_time():
    in_class = [int(n) for n in re.findall(r"\| (\d+) min \| \d+ min \|$", PAGE, re.MULTILINE)]
    assert len(in_class) == 17 and max(in_class) <= 90


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_sheet_has_what_its_notebook_has(path):
    book, cells = read(path), nbformat.read(path, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    cards = re.findall(r"Difficulty \d", prose)
    assert len(book.exercises) == len(cards)
    assert min(len(cards), 1) * 2 <= len(book.hints) <= 3
    assert len(book.recall) == len(re.findall(r"^\d+\. ", recall_of(prose), re.MULTILINE))
    assert bool(book.prediction) == ("## Predict\n" in prose)
    assert "<" not in book.prediction and all("details" not in a for _, a in book.recall)
    named = {title for title, _ in book.hints}
    assert named <= {title for title, *_ in book.exercises}


def recall_of(prose):
    """The recall questions of a notebook, without their answers."""
    found = re.search(r"### Can you recall\?\n(.*?)<details>", prose, re.DOTALL)
    return found[1] if found else ""


def test_links_lead_somewhere():
    for path in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert path.startswith("http") or (ROOT / "docs" / path).exists(), path
    headings = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
    anchors = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert anchors == [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize(("number", "heading", "told", "_seen"), PATH)
def test_the_minutes_of_the_short_path_are_counted(number, heading, told, _seen, tmp_path):
    [path] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    at = next(k for k, c in enumerate(notebook.cells) if f"## {heading}\n" in c.source)
    notebook.cells = notebook.cells[: at + 1]
    notebook.cells[at].source = notebook.cells[at].source.split(f"## {heading}\n")[0]
    nbformat.write(notebook, tmp_path / "part.ipynb")
    assert abs(sum(minutes.parts(tmp_path / "part.ipynb").values()) - told) < 1
    assert sum(minutes for _, _, minutes, _ in PATH) <= 20


def book(number, *edges):
    return Book(f"{number}_x", "Title", "Why?", 30, "", edges, "", (), (), (), ())


@pytest.mark.parametrize(
    ("books", "weeks", "said"),
    [
        ([book("00", ("01", False)), book("01", ("00", True))], [], "need each other: 00 -> 01"),
        ([book("00", ("07", False))], [], "00 needs notebook '07', which is not there"),
        ([book("00"), book("01", ("00", False))], ["01 00"], "01 needs 00, which does not come"),
        ([book("00"), book("01", ("00", False))], ["01"], "01 needs 00, which does not come"),
        ([book("00"), book("01", ("00", True))], ["01", "00"], "01 needs 00, which does not come"),
        ([book("00")], ["00", "00"], "'00' is no notebook, or comes twice"),
        ([book("00")], ["20"], "'20' is no notebook, or comes twice"),
        ([book("00"), book("01", ("00", True))], ["01"], None),
    ],
)
def test_planted_faults_are_named(books, weeks, said):
    found = faults({b.number: b for b in books}, {"A": [("about", week) for week in weeks]})
    assert any(said in sentence for sentence in found) if said else found == []


def test_nothing_is_written_while_something_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(write_teaching, "WRITTEN", tmp_path / "teaching.md")
    monkeypatch.setattr(write_teaching, "all_books", lambda: {"00": book("00", ("01", False))})
    with pytest.raises(SystemExit, match="00 needs notebook '01'"):
        write_teaching.main()
    assert list(tmp_path.iterdir()) == []


HEAD = (
    "# T: t\n\nSay **why?** 20 minutes. You need means; notebooks 01 and 02 help."
    " You need notebook 03."
)
RECALL = (
    "### Can you recall?\n\n1. A?\n2. B\n   or C?\n\n"
    "<details><summary>Answers</summary>\n\n1. a\n{}</details>"
)


def notebook(tmp_path, *cells):
    """A notebook of one markdown cell a text; one that begins with ``!`` is code."""
    made = [nbformat.v4.new_markdown_cell(HEAD)]
    made += [
        nbformat.v4.new_code_cell(text[1:])
        if text.startswith("!")
        else nbformat.v4.new_markdown_cell(text)
        for text in cells
    ]
    path = tmp_path / "07b_t.ipynb"
    path.write_text(json.dumps(nbformat.v4.new_notebook(cells=made)), encoding="utf-8")
    return path


def test_a_notebook_is_read_as_it_is_written(tmp_path):
    path = notebook(
        tmp_path,
        "## Predict\n\nHow many?",
        "!members = 3\nguess = Predict(f'Of {members}, {f(1)}?', 3)",
        "Draw it.",
        "!guess.compare()",
        "It is 3.",
        "## Exercise: the bill\n\n*Difficulty 1 of 3, 5 minutes.* Write it.",
        "!from ensemble_lab.exercises.start_here import check_total_cost\n\ncheck_total_cost(f)",
        RECALL.format("2. b\n"),
    )
    found = read(path)
    assert (found.number, found.title, found.question, found.minutes) == ("07b", "T: t", "why?", 20)
    assert found.edges == (("01", True), ("02", True), ("03", False))
    assert found.prediction == "How many?\n\nDraw it."
    assert found.asked == ("Of 3, …?",)
    assert found.exercises == (("the bill", "1", "5"),)
    assert [title for title, _ in found.hints] == ["the bill"] * 3
    assert found.hints[0][1].startswith("Who was asked first about an escalated item")
    assert found.recall == (("A?", "a"), ("B or C?", "b"))


def test_a_recall_question_without_an_answer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="07b_t.ipynb: 2 recall questions, 1 answers"):
        read(notebook(tmp_path, RECALL.format("")))


def test_a_title_without_a_question_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "HEAD", "# T\n\nNothing is asked. 20 minutes.")
    path = notebook(tmp_path)
    with pytest.raises(ValueError, match="no question in bold"):
        read(path)
    monkeypatch.setattr(write_teaching, "all_books", lambda: read(path))
    with pytest.raises(SystemExit, match="no question in bold"):
        write_teaching.main()


def test_questions_of_mistakes_that_look_at_all_answers_are_left_out():
    from ensemble_lab.exercises.check import Part

    part = Part("x", len, [lambda *all_: "", (len, "is it so?")])
    assert teaching_sheets.questions(part) == ["Is it so?"]
