"""The command line: words in, exit status out, nothing heavy loaded before it is needed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ensemble_lab
from ensemble_lab.cli import main, parse_value

ROOT = Path(__file__).parents[1]


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == ensemble_lab.__version__


@pytest.mark.parametrize("words", [[], ["nonsense"], ["report"], ["bench", "answers"]])
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


def test_bench_hands_on_its_words_and_its_status(monkeypatch):
    seen = []

    def bench(*words):
        seen.append(words)
        return 3

    monkeypatch.setitem(sys.modules, "ensemble_lab.bench", SimpleNamespace(main=bench))
    assert main(["bench", "answers", "--only", "decide", "--quick", "--json", "a.json"]) == 3
    assert main(["bench", "speculative", "--json", "b.json", "--prompts", "p.jsonl"]) == 3
    assert seen == [
        ("answers", "decide", True, "a.json", None),
        ("speculative", None, False, "b.json", "p.jsonl"),
    ]


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
    assert all(command in said for command in ("doctor", "report", "student", "bench"))
