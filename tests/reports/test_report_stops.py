"""Reports that are stopped: by signals to real processes, by a time limit, by a kernel's end."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import ensemble_lab.reports.report as module
from ensemble_lab.cli import main
from ensemble_lab.reports.report import Stopped, report
from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.stops import SIGNALS, Stop

ROOT = Path(__file__).parents[2]
TAGGED = {"tags": ["parameters"]}
# A kernel that sleeps, with a process of its own that sleeps as well.
SLEEPS = """import subprocess, sys, time
if seconds:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("this much ran", flush=True)
open("begun", "w").close()
time.sleep(seconds)"""
COMMAND = "import sys; from ensemble_lab.cli import main; sys.exit(main())"


def write(path, *sources):
    cells = [new_code_cell("seconds = 0", metadata=TAGGED), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def old_run(out, names):
    """What the report before left: an index and pages under other parameters."""
    out.mkdir()
    for name in names:
        (out / f"{name}.html").write_text("of the run before")
        (out / f"{name}.ipynb").write_text("of the run before")
    (out / "index.html").write_text("".join(f'<a href="{name}.html">' for name in names))


def stopped(folder, send):
    """Start a report of two notebooks, `send` while the first sleeps; the process that ended."""
    for name in "ab":
        write(folder / f"{name}.ipynb", SLEEPS)
    old_run(folder / "out", "ab")
    words = ["report", f"{folder}/a.ipynb", f"{folder}/b.ipynb", "--out", f"{folder}/out"]
    said = open(folder / "said", "w")  # no pipe, which what is left running would keep open
    run = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words, "-p", "seconds", "600"],
        stderr=said,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    until = time.monotonic() + 120
    while not (folder / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    children = psutil.Process(run.pid).children(recursive=True)
    assert len(children) >= 2  # the kernel and what it started
    send(run.pid)
    run.wait(60)
    said.close()
    return run, (folder / "said").read_text(), children


def living(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def several_times(pid):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("send", "status", "name"),
    [
        (lambda pid: os.kill(pid, signal.SIGINT), 130, "SIGINT"),
        (lambda pid: os.killpg(pid, signal.SIGTERM), 143, "SIGTERM"),
        (several_times, 130, "SIGINT"),
    ],
    ids=["ctrl-c", "terminated with its group", "several times"],
)
def test_a_stop_leaves_no_process_and_an_index_of_what_ran(send, status, name, tmp_path):
    run, said, children = stopped(tmp_path, send)
    assert not living(children)
    assert run.returncode == status
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("ensemble-lab report: ")]
    assert "a.ipynb stopped at cell [3] (import subprocess, sys, time): the report was" in lines[0]
    assert lines[1].endswith(f"stopped ({name}); index.html has what ran; not run: b.ipynb")
    out = tmp_path / "out"
    index = (out / "index.html").read_text()
    assert not re.findall("href", index) and "seconds = 600" in index
    assert "not run: the report was stopped" in index
    assert sorted(path.name for path in out.iterdir()) == ["a.ipynb", "index.html"]
    assert "this much ran" in str(nbformat.read(out / "a.ipynb", as_version=4).cells[-1].outputs)


def test_after_sigkill_there_is_no_index_and_no_half_page(tmp_path):
    run, _, children = stopped(tmp_path, lambda pid: os.kill(pid, signal.SIGKILL))
    assert run.returncode == -signal.SIGKILL
    kernel, *others = children
    until = time.monotonic() + 30
    while living([kernel]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not living([kernel])  # by itself, as it looks for its parent
    for process in living(others):
        process.kill()
    assert all(path.name.startswith(".ensemble-lab-") for path in (tmp_path / "out").iterdir())


def test_what_ended_by_itself_is_told_and_the_others_go_on(tmp_path, capsys):
    write(tmp_path / "a.ipynb", "print('ran')", "import os\nos._exit(3)")
    write(tmp_path / "b.ipynb", "import time; time.sleep(600)")
    write(tmp_path / "c.ipynb", "print('whole')")
    out = tmp_path / "out"
    paths = [str(tmp_path / f"{name}.ipynb") for name in "abc"]
    assert main(["report", *paths, "--out", str(out), "--timeout", "8"]) == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ensemble-lab")]
    assert len(lines) == 2 and all(len(line) <= 300 for line in lines)
    assert "a.ipynb stopped at cell [3] (import os): Kernel died" in lines[0]
    assert lines[0].endswith("ended by its own code with exit status 3")
    assert "b.ipynb stopped at cell [2]" in lines[1] and "more than 8 s" in lines[1]
    assert "ran" in (out / "a.html").read_text() and "TimeoutError" in (out / "b.html").read_text()
    assert re.findall('href="([^"]*)"', (out / "index.html").read_text())[-1].endswith("c.html")
    book = nbformat.read(out / "c.ipynb", as_version=4)
    assert str(tmp_path) not in str(book)  # no folder of this machine travels along


# -- what is in the way, without a kernel -------------------------------------------------------


@pytest.fixture
def no_kernel(monkeypatch):
    """Notebooks are "run" by writing what they are; a name in `broken` fails or stops."""
    broken = {}

    def execute(path, executed, parameters, stop, seconds):
        if path.stem in broken:
            return broken[path.stem](stop)
        executed.write_bytes(path.read_bytes())
        return ""

    monkeypatch.setattr(module, "execute", execute)
    return broken


def three(folder):
    return [write(folder / f"{name}.ipynb", "1") for name in "abc"]


def links(out):
    return re.findall('href="(?:\\./)?([^"]*)"', (out / "index.html").read_text())


@pytest.mark.parametrize("name", ["a.ipynb", "a.html"])
def test_a_folder_in_the_way_is_a_failure_of_its_notebook(name, no_kernel, tmp_path):
    (tmp_path / "out" / name).mkdir(parents=True)
    (failure,) = report(three(tmp_path), tmp_path / "out", {})
    assert f"a.ipynb was not run: {name} is in the way" in failure and "move it away" in failure
    assert links(tmp_path / "out") == ["b.html", "c.html"]


def test_a_folder_in_the_way_of_the_index(no_kernel, tmp_path):
    (tmp_path / "out/index.html").mkdir(parents=True)
    (failure,) = report(three(tmp_path), tmp_path / "out", {})
    assert "index.html cannot be written" in failure
    assert (tmp_path / "out/c.html").is_file()
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("layout"), "KeyError: 'layout'"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_a_page_that_cannot_be_written_is_a_failure_of_its_notebook(
    error, told, no_kernel, tmp_path, monkeypatch
):
    real = module.write_page
    monkeypatch.setattr(
        module, "write_page", lambda p, slides: raising(error)() if p.stem == "b" else real(p)
    )
    (failure,) = report(three(tmp_path), tmp_path / "out", {})
    assert failure == f"b.ipynb has no page, which cannot be written: {told}"
    assert links(tmp_path / "out") == ["a.html", "c.html"]


def test_an_odd_figure_is_a_failure_and_has_a_page(no_kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write_page", lambda *_: ["a figure cannot be drawn (x)"] * 2)
    failures = report(three(tmp_path), tmp_path / "out", {})
    assert failures[0] == "in the page of a.ipynb, a figure cannot be drawn (x) and 1 more"


def test_what_stops_before_the_first_cell_is_a_failure(no_kernel, tmp_path):
    no_kernel["b"] = raising(OSError(28, "No space left on device"))
    (failure,) = report(three(tmp_path), tmp_path / "out", {})
    assert failure == "b.ipynb was not run: No space left on device"


def test_the_old_index_goes_first(no_kernel, tmp_path):
    old_run(tmp_path / "out", "abc")
    seen = []
    no_kernel["a"] = lambda stop: seen.extend(p.name for p in (tmp_path / "out").iterdir()) or ""
    report(three(tmp_path), tmp_path / "out", {})
    assert seen == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_while_a_page_is_drawn(number, no_kernel, tmp_path, monkeypatch):
    def draw(path, slides):
        (path.parent / "half").touch()
        signal.raise_signal(number)
        pytest.fail("the page is drawn to its end")

    if signal.getsignal(number) == signal.SIG_IGN:  # as SIGHUP under nohup: it stays ignored
        pytest.skip(f"this process ignores {number!r}")
    before = [signal.getsignal(number) for number in SIGNALS]
    monkeypatch.setattr(module, "write_page", draw)
    with pytest.raises(Stopped, match=r"not run: b\.ipynb, c\.ipynb") as stop:
        report(three(tmp_path), tmp_path / "out", {})
    assert stop.value.number == number
    assert stop.value.failures == ["a.ipynb ran, and its page was stopped"]
    assert links(tmp_path / "out") == []
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_stop_before_a_kernel_has_begun_still_ends_it():
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        kernel = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        with stop.kernel(None):
            stop.began(kernel.pid)
            assert kernel.wait(30) == -signal.SIGKILL
    assert stop.number == signal.SIGTERM


def test_signals_that_are_ignored_stay_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.number is None and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_reports_in_other_threads_have_no_signals(no_kernel, tmp_path):
    got = []
    work = threading.Thread(target=lambda: got.append(report(three(tmp_path), tmp_path / "o", {})))
    work.start()
    work.join()
    assert got == [[]]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e300])
def test_times_that_cannot_be_waited_for(seconds, tmp_path):
    with pytest.raises(RequestError, match="--timeout"):
        report(three(tmp_path), tmp_path / "out", {}, timeout=seconds)
    assert not (tmp_path / "out").exists()
