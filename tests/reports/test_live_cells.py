"""A page leaves out what only somebody at the notebook can do."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ensemble_lab.reports.page import leave_out_live, write_page
from tests.notebooks.solved import NOTEBOOKS, checks_in


def test_stubs_and_fields_go_and_all_else_stays(tmp_path):
    said = [new_output("stream", text="said")]
    cells = [
        new_markdown_cell("Words"),
        new_markdown_cell("Press this", metadata={"tags": ["live"]}),
        new_code_cell("stub()", metadata={"tags": ["parameters", "live"]}, outputs=said),
        new_code_cell("guess = 1", metadata={"tags": ["live-output"]}, outputs=said),
        new_code_cell("shown()", metadata={"tags": ["lively"]}, outputs=said),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert write_page(tmp_path / "a.ipynb") == []
    page = (tmp_path / "a.html").read_text()
    for word, there in (("Words", 1), ("Press", 0), ("stub", 0), ("guess", 1), ("shown", 1)):
        assert (word in page) == there, word
    assert page.count("said") == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_series_marks_them(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "check_" in cell.source and checks_in(cell.source):
            assert "live" in tags, cell.id
        if "= Predict(" in cell.source or "= PredictCurve(" in cell.source:
            assert "live-output" in tags, cell.id
        if cell.source.startswith("**Try this"):
            assert "live" in tags, cell.id
    leave_out_live(notebook)
    left = "\n".join(cell.source for cell in notebook.cells)
    assert "Try this" not in left and "# your lines here" not in left
