"""One source, two versions: the student's has no solution. It runs in tests/notebooks."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main
from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.student import student, without_solutions
from tests.notebooks.solved import FOLDED, NOTEBOOKS, exercises
from tests.support.processes import ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that the command wrote the student versions into."""
    out = tmp_path_factory.mktemp("student")
    before = [path.read_bytes() for path in NOTEBOOKS]
    assert main(["student", str(ROOT / "notebooks"), "--out", str(out)]) == 0
    assert [path.read_bytes() for path in NOTEBOOKS] == before
    return out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_the_solutions_are_gone(path, written):
    source = nbformat.read(path, as_version=4)
    left = nbformat.read(written / path.name, as_version=4)
    nbformat.validate(left)
    assert left.metadata == source.metadata
    assert left.cells == [cell for cell in source.cells if not FOLDED.search(cell.source)]
    text = "\n".join(cell.source for cell in left.cells)
    assert "<summary>Solution" not in text
    for _, _, solution in exercises(path):
        assert solution and solution not in text
    assert len(source.cells) - len(left.cells) == len(exercises(path))


# -- small notebooks ----------------------------------------------------------------------------

SOLUTION = "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\n</details>"
HINT = "<details><summary>A hint</summary>Think of one.</details>"


def notebook_of(*markdown):
    return new_notebook(cells=[*map(new_markdown_cell, markdown), new_code_cell("x = ...")])


def test_text_around_a_solution_and_other_folded_text_stay():
    notebook = notebook_of(f"Before.\n\n{HINT}\n\n{SOLUTION}\n\nAfter.", "A solution of salt.")
    left = [cell.source for cell in without_solutions(notebook, "a.ipynb").cells]
    assert left == [f"Before.\n\n{HINT}\n\n\n\nAfter.", "A solution of salt.", "x = ..."]


@pytest.mark.parametrize("summary", ["Solution", "<b>Solution 2</b>", "One\nsolution", "SOLUTION"])
def test_a_summary_that_names_a_solution_goes(summary):
    folded = SOLUTION.replace("Solution", summary).replace("<details>", "<details open>")
    assert len(without_solutions(notebook_of(folded), "a.ipynb").cells) == 1


@pytest.mark.parametrize("part", ["<details>", "</details>"])
def test_a_solution_that_would_leak_is_refused_before_anything_is_written(part, tmp_path):
    nbformat.write(notebook_of(SOLUTION.replace(part, "")), tmp_path / "a.ipynb")
    with pytest.raises(RequestError, match="a.ipynb, cell '.*'.*</details>"):
        student([tmp_path / "a.ipynb"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_to_the_source_is_replaced_and_not_followed(tmp_path):
    source = tmp_path / "a.ipynb"
    nbformat.write(notebook_of(SOLUTION), source)
    before = source.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.ipynb").symlink_to(source)
    assert student([source], tmp_path / "out") == [tmp_path / "out/a.ipynb"]
    assert source.read_bytes() == before
    assert "Solution" not in (tmp_path / "out/a.ipynb").read_text()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.ipynb"]


# -- what cannot be done ------------------------------------------------------------------------


def refused(capsys, *words):
    """What is said when the command is refused."""
    assert main(["student", *map(str, words)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ensemble-lab student: ") and said.count("\n") == 1
    return said


def test_a_folder_without_notebooks(tmp_path, capsys):
    assert f"no notebooks in {tmp_path}" in refused(capsys, tmp_path, "--out", tmp_path / "out")


def test_a_missing_notebook_is_named_with_the_nearest(tmp_path, capsys):
    said = refused(capsys, ROOT / "notebooks/00_start_hare.ipynb", "--out", tmp_path)
    assert "did you mean '00_start_here.ipynb'" in said


def test_a_file_that_is_no_notebook(tmp_path, capsys):
    (tmp_path / "a.ipynb").write_text("{")
    said = refused(capsys, tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path / 'a.ipynb'} cannot be read as a notebook" in said


@pytest.mark.parametrize("out", [".", "sub/.."])
def test_the_sources_folder_is_no_output_folder(out, tmp_path, capsys):
    nbformat.write(notebook_of(SOLUTION), tmp_path / "a.ipynb")
    before = (tmp_path / "a.ipynb").read_bytes()
    assert "holds the notebooks themselves" in refused(capsys, tmp_path, "--out", tmp_path / out)
    assert (tmp_path / "a.ipynb").read_bytes() == before


@pytest.mark.parametrize("out", ["file", "file/out"])
def test_an_output_folder_that_cannot_be_written(out, tmp_path, capsys):
    nbformat.write(notebook_of(SOLUTION), tmp_path / "a.ipynb")
    (tmp_path / "file").touch()
    said = refused(capsys, tmp_path / "a.ipynb", "--out", tmp_path / out)
    assert f"cannot write into {tmp_path / out}" in said and "--out" in said


def test_a_folder_in_the_place_of_a_notebook(tmp_path, capsys):
    nbformat.write(notebook_of(SOLUTION), tmp_path / "a.ipynb")
    (tmp_path / "out/a.ipynb").mkdir(parents=True)
    said = refused(capsys, tmp_path / "a.ipynb", "--out", tmp_path / "out")
    assert f"cannot write {tmp_path / 'out/a.ipynb'}" in said
