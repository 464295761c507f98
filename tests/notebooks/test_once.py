"""What several test processes need is made once, whole, by whichever comes first."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT, once

RACE = """
import sys, time
from pathlib import Path
from tests.support.processes import once

def make(place):
    time.sleep(0.5)
    (place / "by").write_text(sys.argv[2])

print((once(Path(sys.argv[1]), make) / "by").read_text())"""


def test_processes_that_come_together_get_one_result(tmp_path):
    command = [sys.executable, "-c", RACE, tmp_path / "made"]
    racers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    assert len({racer.communicate(timeout=60)[0] for racer in racers}) == 1


def test_what_failed_half_way_is_made_anew(tmp_path):
    def half(place):
        (place / "half").touch()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        once(tmp_path / "made", half)
    assert [*once(tmp_path / "made", lambda place: None).iterdir()] == [tmp_path / "made/.made"]
