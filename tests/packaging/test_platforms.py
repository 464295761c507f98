"""What was run where: the records, the page and the doctor's table agree, and hide no fault."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from benchmarks.parts import fresh, memory_limit
from recipes import platforms, write_platforms
from recipes.write_platforms import known, written

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "benchmarks/results/platforms.json").read_text()
RECORDS = json.loads(TEXT)
HERE = {"result": "passed", "date": "2026-11-27", "system": "Linux", "what": "a case"}


def test_the_page_and_the_doctors_table_are_what_the_command_writes():
    assert write_platforms.PAGE.read_text() == written(RECORDS)
    assert json.loads(write_platforms.TRIED.read_text()) == known(RECORDS)


def test_each_case_has_a_record_with_a_result_and_a_date():
    names = [one["name"] for one in RECORDS]
    assert set(names) <= {case.name for case in platforms.CASES} and len(set(names)) == len(names)
    for one in RECORDS:
        assert one["result"] in ("passed", "failed", "not run", "unfinished")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", one["date"])
        assert one["result"] != "not run" or one["why"]
        assert one["result"] != "passed" or not platforms.faults(one)


def test_the_records_hold_no_folder_and_no_address():
    assert not re.findall(r"(?<!benchmarks)(?<!\w)/\w+/\w+/|https?://|file://", TEXT)


def test_errors_are_kept_without_folders_and_addresses():
    said = "\x1b[31mError\x1b[0m at /home/me/work/a.py from https://index.example/simple/x: no"
    assert fresh.clean(said) == "Error at .../a.py from ADDRESS no"
    assert len(fresh.clean("x" * 5000)) == fresh.TOLD


def test_counts_are_read_from_what_pytest_says():
    good = "...\n= warnings =\n3 passed, 2 skipped in 1.05s\n"
    assert fresh.outcomes(good) == {"passed": 3, "skipped": 2}
    bad = "FAILED tests/a.py::test_b[1] - no\nFAILED tests/c.py::d\n2 failed, 1 passed in 2s"
    names = ["tests/a.py::test_b[1]", "tests/c.py::d"]
    assert fresh.outcomes(bad) == {"failed": 2, "passed": 1, "not_passed": names}
    none = "no tests ran\n1 skipped, 2 errors in 25.04s"
    assert fresh.outcomes(none) == {"error": none}


# -- running ------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Records in a file of the test's own: a function that tries one case."""
    monkeypatch.setattr(platforms, "RESULTS", tmp_path / "platforms.json")

    def tried(run, name="a"):
        case = platforms.Case(name, "a case", run)
        monkeypatch.setattr(platforms, "CASES", [case])
        return platforms.tried(case, tmp_path, lambda path: True)

    return tried


@pytest.mark.parametrize(
    ("found", "result"),
    [
        ({"notebooks": {"00": {"seconds": 1}}, "tests": {"passed": 3}}, "passed"),
        ({"notebooks": {"00": {"seconds": 1}, "01": {"error": "NameError"}}}, "failed"),
        ({"tests": {"passed": 3, "failed": 1}}, "failed"),
        ({"tests": {"error": "not collected"}}, "failed"),
        ({"doctor": "something needed is broken"}, "failed"),
        ({"limit": 2**30, "notebooks": {"05": {"error": "out of memory"}}}, "passed"),
    ],
)
def test_a_case_passes_only_if_all_of_it_did(found, result, elsewhere):
    assert elsewhere(lambda *words: found)["result"] == result


def test_what_cannot_be_run_or_stops_is_written_with_its_reason(elsewhere):
    def refuse(error):
        def run(*words):
            raise error

        return run

    found = elsewhere(refuse(platforms.NotRun("no channel")))
    assert (found["result"], found["why"]) == ("not run", "no channel")
    found = elsewhere(refuse(fresh.Failed("no wheel for it")))
    assert (found["result"], found["why"]) == ("failed", "no wheel for it")


def test_an_interrupted_case_keeps_the_notebooks_that_it_had_run(elsewhere):
    def interrupted(work, case, chosen, save):
        save({"notebooks": {"00": {"seconds": 1.0}}})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        elsewhere(interrupted)
    [found] = platforms.read()
    assert found["result"] == "unfinished" and platforms.of_today("a", "notebooks") == {
        "00": {"seconds": 1.0}
    }
    assert platforms.of_today("b", "notebooks") == {}


def test_a_case_with_notebooks_left_is_taken_up_again():
    of = {"result": "passed", "notebooks": {"00": {}}, "notebooks_in_all": 2}
    assert not platforms.complete(of)
    assert platforms.complete(of | {"notebooks_in_all": 1})
    assert not platforms.complete(of | {"notebooks_in_all": 1, "result": "failed"})
    assert platforms.complete({"result": "passed"})  # it has none


def test_tests_that_failed_run_again_alone_and_are_counted_once():
    known = {"passed": 10, "failed": 2, "skipped": 1, "not_passed": ["a", "b"]}
    assert platforms.after_fix(known, {"passed": 2}) == {
        "passed": 12,
        "skipped": 1,
        "after_fix": 2,
    }
    still = platforms.after_fix(known, {"passed": 1, "failed": 1, "not_passed": ["b"]})
    assert (still["passed"], still["failed"], still["not_passed"]) == (11, 1, ["b"])
    assert platforms.after_fix(still, {"passed": 1})["after_fix"] == 2
    assert platforms.after_fix(known, {"error": "not collected"}) == known


def test_a_command_that_fails_says_its_last_words(tmp_path):
    with pytest.raises(fresh.Failed, match="gone wrong"):
        fresh.call("sh", "-c", "echo gone wrong >&2; exit 3", cwd=tmp_path)
    assert fresh.call("sh", "-c", "echo fine", cwd=tmp_path) == "fine\n"


def test_a_name_that_is_no_case_is_refused(capsys):
    assert platforms.main(["--only", "python 2.7"]) == 2
    assert "python 2.7" in capsys.readouterr().err


def test_what_fits_in_less_is_not_run_again(elsewhere, monkeypatch):
    asked, name = [], platforms.NOTEBOOKS[0].stem
    monkeypatch.setattr(
        memory_limit, "run_limited", lambda path, size, work: asked.append(size) or {"seconds": 1}
    )
    monkeypatch.setattr(platforms, "NOTEBOOKS", platforms.NOTEBOOKS[:1])
    kept = {"name": "binder 1 GB", "notebooks": {name: {"seconds": 2}}}
    today = platforms.date.today().isoformat()
    monkeypatch.setattr(platforms, "read", lambda: [kept | {"date": today}])
    how = (ROOT, SimpleNamespace(name="binder 2 GB"), lambda path: True, lambda found: None)
    found = platforms.under_limit(*how, size=2**31)
    assert not asked and found["notebooks"] == {name: {"seconds": 2}}
    for small in ({"error": "out of memory"}, {"without": "SmolLM2"}):
        kept["notebooks"][name] = small
        platforms.under_limit(*how, size=2**31)
    assert asked == [2**31] * 2


def test_only_what_a_notebook_prints_says_that_it_went_without():
    code = nbformat.v4.new_code_cell('print("without SmolLM2")')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("a"), code])
    assert "SmolLM2" not in memory_limit.printed(notebook)
    code.outputs = [nbformat.v4.new_output("stream", text="without SmolLM2: no room\n")]
    assert memory_limit.printed(notebook).startswith("without SmolLM2: ")


def test_a_machine_without_control_groups_is_told(monkeypatch, tmp_path):
    (tmp_path / "memory").write_text("a file where the groups should be")
    monkeypatch.setitem(memory_limit.VERSIONS, 1, (tmp_path / "memory", "limit", "rss", "oom"))
    monkeypatch.setitem(memory_limit.VERSIONS, 2, (tmp_path / "memory", "limit", "rss", "oom"))
    with pytest.raises(memory_limit.NoLimit, match="Not a directory"):
        with memory_limit.limited(2**30):
            pass


# -- the page -----------------------------------------------------------------------------------


def test_a_failure_stands_on_the_page():
    notebooks = {"00_start_here": {"seconds": 1.0, "peak_mb": 500}, "01_voting": {"error": "no"}}
    one = HERE | {"name": "pip", "result": "failed", "notebooks": notebooks, "seconds": 9}
    tests = {"passed": 1234, "failed": 1, "not_passed": ["tests/a.py::b"]}
    one |= {"notebooks_in_all": 12, "tests": tests, "versions": {}}
    [row] = [line for line in written([one]).splitlines() if line.startswith("| `pip`")]
    assert "00; 2 of 12 tried; failed: 01" in row and "failed | " in row
    assert "1,234 passed, 1 failed; `tests/a.py::b`" in row and "| 500 | 1 |" in row


def test_the_page_says_what_fits_what_does_not_and_what_was_not_run():
    small = {"05_x": {"error": "out of memory"}, "00_y": {"peak_mb": 496, "seconds": 1}}
    of = [
        HERE | {"name": "binder 1 GB", "limit": 2**30, "notebooks": small, "notebooks_in_all": 26},
        HERE
        | {
            "name": "binder 2 GB",
            "limit": 2**31,
            "notebooks": {"00_y": small["00_y"]},
            "notebooks_in_all": 26,
        },
        HERE | {"name": "conda", "result": "not run", "why": "no channel"},
    ]
    page = written(of)
    assert "| 05_x | no: out of memory | not run |" in page
    small["00_y"]["without"] = "SmolLM2"
    assert "| 00_y | fits without SmolLM2, 496 MB" in written(of)
    del small["00_y"]["without"]
    assert "| 00_y | fits, 496 MB | fits, 496 MB |" in page
    assert "Tried: 2 of 26 and 1 of 26" in page and "- a case: no channel." in page
    assert "- Windows: not tried yet." in page and "- `make colab`" in page
    assert known(of)["memory"][str(2**30)] == {
        "fit": ["00"],
        "too large": ["05"],
        "in all": 26,
    }


def test_the_doctor_is_told_of_pythons_that_passed_and_no_others():
    of = [
        HERE | {"name": "python 3.12", "versions": {"python": "3.12.1"}},
        HERE | {"name": "python 3.13", "versions": {"python": "3.13.0"}, "result": "failed"},
    ]
    assert known(of)["pythons"] == {"3.12": {"date": "2026-11-27", "without": "PyTorch"}}
