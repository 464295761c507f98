"""`pytest --nbmake notebooks`, a reader's way to test notebooks, takes all and sees what fails."""

import re
import subprocess
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks.solved import NOTEBOOKS
from tests.support.processes import ROOT


def nbmake(*words, cwd):
    """What pytest writes."""
    command = [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_it_takes_every_notebook():
    told = nbmake("--collect-only", "-q", "notebooks", cwd=ROOT)
    assert re.findall(r"^notebooks/(\S+)::", told, re.MULTILINE) == [p.name for p in NOTEBOOKS]


def test_it_sees_what_fails(tmp_path):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name, source in (("whole", "1 / 1"), ("broken", "1 / 0")):
        notebook = new_notebook(cells=[new_code_cell(source)], metadata={"kernelspec": kernel})
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    told = nbmake("--rootdir", str(tmp_path), ".", cwd=tmp_path)
    assert "1 failed, 1 passed" in told and "ZeroDivisionError" in told, told
