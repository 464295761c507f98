"""The table of troubles: each lesson is the notebook's own sentence, each place is there."""

import csv
from pathlib import Path

import nbformat
import pytest

from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.site.front import COLUMNS, troubles_in

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/troubles.csv"
ROWS = list(csv.DictReader(TABLE.open(encoding="utf-8")))


def plain(text):
    return " ".join(text.replace("*", "").replace("`", "").split())


def test_there_are_many_and_each_says_what_does_not_help():
    troubles = troubles_in(TABLE)
    assert len(troubles) >= 12
    for trouble, rows in troubles.items():
        assert {row["kind"] for row in rows} == {"helps", "not"}, trouble
    for known in ("too expensive", "too slow", "agree too much"):
        assert any(known in trouble for trouble in troubles)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['notebook']}-{row['lesson'][:30]}")
def test_the_lesson_is_the_notebooks_own(row):
    notebook = nbformat.read(ROOT / "notebooks" / f"{row['notebook']}.ipynb", as_version=4)
    words = [plain(c.source) for c in notebook.cells if c.cell_type == "markdown"]
    assert any(row["lesson"] in text for text in words)
    cell = next(c for c in notebook.cells if c.id == row["cell"])
    assert "live" not in cell.metadata.get("tags", ())  # a page leaves these out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trouble,advice\na,b\n", "needs the columns trouble, kind"),
        (
            ",".join(COLUMNS) + "\na,perhaps,b,c,d,e\n",
            "line 2: give 6 cells, the kind one of helps",
        ),
        (",".join(COLUMNS) + "\na,helps,b\n", "line 2"),
        (",".join(COLUMNS) + "\na,helps,b,c,d,e,f\n", "line 2"),
    ],
)
def test_another_table_is_refused_by_its_name_and_line(tmp_path, text, told):
    (tmp_path / "troubles.csv").write_text(text)
    with pytest.raises(RequestError, match=told) as error:
        troubles_in(tmp_path / "troubles.csv")
    assert "troubles.csv" in str(error.value)


def test_without_a_table_there_is_nothing(tmp_path):
    assert troubles_in(tmp_path / "troubles.csv") == {}
