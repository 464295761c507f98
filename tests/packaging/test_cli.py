"""The command line: words in, exit status out, nothing heavy loaded before it is needed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ensemble_lab
from ensemble_lab import doctor
from ensemble_lab.cli import main, parse_value

ROOT = Path(__file__).parents[2]


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == ensemble_lab.__version__


@pytest.mark.parametrize("words", [[], ["nonsense"], ["report"], ["bench"]])
def test_words_that_are_not_understood(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: ensemble-lab" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("-3", -3), ("None", None), ("True", True), ("[1, 2]", [1, 2])],
)
def test_parameters_read_as_python_literals(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["imdb-services", "Microsoft", "lambda: 0", "1 +", ""])
def test_other_parameters_stay_text(text):
    assert parse_value(text) == text


def test_the_parser_loads_nothing_heavy():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from ensemble_lab.cli import build_parser\n"
        "build_parser().parse_args(['doctor'])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'plotly', 'papermill'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in ("doctor", "report", "student"))


# -- what stands at the other end of the output --------------------------------------------------

DOCTOR = (
    "import sys, ensemble_lab.doctor as doctor\n"
    "from ensemble_lab.cli import main\n"
    "doctor.examine = lambda: [doctor.Finding('name', {value})]\n"
    "sys.exit(main(['doctor']))"
)


def run(code, **how):
    return subprocess.run(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | how.pop("env", {}),
        **how,
    )


@pytest.mark.parametrize("value", ["'a few words'", "'many words' * 10**6"])
def test_the_output_is_no_longer_read(value):
    reads, writes = os.pipe()
    os.close(reads)
    done = run(DOCTOR.format(value=value), stdout=writes)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("value", ["'a few words'", "'many words' * 10**6"])
def test_a_disk_that_is_full(value):
    with open("/dev/full", "w") as full:
        done = run(DOCTOR.format(value=value), stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "ensemble-lab doctor: the output cannot be printed: No space left on device\n"
    )


def test_a_terminal_without_these_letters():
    code = DOCTOR.format(value=r"'\u00e4 \u6a21 \udc80'")
    done = run(code, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "\\xe4 \\u6a21 \\udc80" in done.stdout


@pytest.mark.parametrize(
    ("stop", "status"), [("raise KeyboardInterrupt", 130), ("os.kill(os.getpid(), 15)", 143)]
)
def test_other_commands_stop_without_a_traceback(stop, status):
    code = (
        "import os, sys, time, ensemble_lab.doctor as doctor\n"
        "from ensemble_lab.cli import main\n"
        f"def examine():\n    {stop}\n    time.sleep(60)\n"
        "doctor.examine = examine\nsys.exit(main(['doctor']))"
    )
    done = run(code, stdout=subprocess.PIPE)
    assert done.returncode == status and "Traceback" not in done.stderr


STEERING = "\x1b]0;title\x07 \x1b[2J \x1b[31mred\x1b[0m \x9b1m \u202e \x7f"


@pytest.mark.parametrize(
    "words",
    [
        ["report", f"a{STEERING}.ipynb", "--out", "o"],
        ["report", "--out", f"\0{STEERING}"],
        ["report", "a.ipynb", "--out", "o", "--state", f"v{STEERING}"],
        ["student", f"a{STEERING}.ipynb", "--out", "o"],
        [STEERING],
        ["doctor", f"--{STEERING}"],
    ],
)
def test_no_message_steers_the_terminal(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        assert main(words) in (1, 2)
    except SystemExit as stop:
        assert stop.code == 2
    said = capsys.readouterr()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said.out + said.err)
    assert "Traceback" not in said.err and said.err


def test_a_doctors_finding_steers_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("name", STEERING)])
    main(["doctor"])
    assert "\x1b" not in capsys.readouterr().out
