"""A browser test that fails leaves a picture of its page; one that passes leaves none."""

import subprocess
import sys

from tests.browser.jupyter import ROOT, kernel_environment

CONFTEST = "from tests.browser.conftest import browser, page, pytest_runtest_makereport"
PLANTED = """
def test_passes(page):
    page.set_content("<h1>all is well</h1>")

def test_fails(page):
    page.set_content("<h1>planted</h1>")
    assert page.locator("h1").text_content() == "all is well"
"""


def test_only_a_failure_leaves_its_picture(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_planted.py").write_text(PLANTED)
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), "test_planted.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env=kernel_environment(), capture_output=True, text=True
    )
    assert "1 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    (kept,) = (tmp_path / "screenshots").iterdir()
    assert kept.name == "test_fails.png"
    assert kept.read_bytes().startswith(b"\x89PNG")
    assert str(kept) in run.stdout


def test_git_leaves_the_pictures_alone():
    assert "screenshots/" in (ROOT / ".gitignore").read_text().splitlines()
