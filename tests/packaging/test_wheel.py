"""The wheel alone, in an empty environment far from the checkout, runs the README's quickstart."""

import re
import sys
from pathlib import Path

from tests.support.processes import run

ROOT = Path(__file__).parents[2]


def quickstart():
    """The README's first Python block."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)


def test_quickstart_runs_from_the_wheel_with_its_data(installed, tmp_path):
    where = run(installed, "-c", "import ensemble_lab; print(ensemble_lab.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1]), "not the wheel's package"
    (tmp_path / "quickstart.py").write_text(quickstart())
    printed = run(installed, "quickstart.py", cwd=tmp_path)
    assert re.search(r"\d+\.\d+", printed), printed
    # The checkout computes the same numbers from the same data.
    assert printed == run(sys.executable, "quickstart.py", cwd=tmp_path)


def test_the_wheel_has_the_command(installed, tmp_path):
    assert "doctor" in run(installed.parent / "ensemble-lab", "--help", cwd=tmp_path)


def test_the_wheel_has_the_scripts_and_the_look_of_a_site(installed, tmp_path):
    ask = (
        "from importlib.resources import files; there = files('ensemble_lab.reports.site');"
        " print(*sorted(one.name for one in there.iterdir()))"
    )
    there = run(installed, "-c", ask, cwd=tmp_path).split()
    assert {"figures.js", "search.js", "site.css"} <= set(there)
