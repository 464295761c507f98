"""The command `ensemble-lab`: advice, this machine, reports, a course, the gateway."""

from __future__ import annotations

import argparse
import ast
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import ensemble_lab

SERVED = """\
example, with two models that need no network:

  [models.small]
  load = "tiny-draft"
  confidence = "logprobs"

  [models.big]
  load = "tiny"

  [policies.cascade]
  kind = "Cascade"
  order = ["small", "big"]
  thresholds = [0.5]

A client asks it for the model "cascade", "small" or "big":

  openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")

All settings: help(ensemble_lab.systems.read_settings)"""
# Arguments of `read_table`. --latency and --time are limits and clocks of the advice.
COLUMNS = ("item", "model", "truth", "confidence", "cost", "latency", "tokens", "group")
LISTS, MORE = ("answer", "correct", "feature", "metric", "filter"), (
    "separator", "decimal", "latency_unit", "encoding", "grades", "on",
)  # fmt: skip
VERBATIM = "\ufdd0"  # not a character, so no word starts with it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 for success, 1 when something is broken, 2 for arguments that were not understood, 128
        plus the signal's number when a signal stopped it: 130 for Ctrl-C, 143 for SIGTERM, and 141
        when the output is no longer read, as with ``| head -1``.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(
            stream, "reconfigure"
        ):  # a terminal without these letters must not stop the command
            stream.reconfigure(errors="backslashreplace")
    chosen = build_parser().parse_args(_with_values(words))
    try:
        with _orderly():
            status = chosen.run(chosen)
            if sys.stdout is not None:
                sys.stdout.flush()  # here and not at exit, where its errors are tracebacks
        return status
    except KeyboardInterrupt as stop:
        _say(chosen, str(stop) or "stopped")
        return 128 + getattr(stop, "number", signal.SIGINT)
    except BrokenPipeError:
        _silence()
        return 128 + 13
    except OSError as error:
        if error.filename is not None:  # not from the terminal, the pipe or the file after >
            raise
        _silence()
        _say(chosen, f"the output cannot be printed: {error.strerror}")
        return 1


@contextmanager
def _orderly() -> Iterator[None]:
    """Turn SIGTERM into an error, so that half-written files are removed."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    if not here or before != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _silence() -> None:
    """Discard further output, so that the exit raises no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # no file, as in a notebook
        pass
    finally:
        os.close(nowhere)


def _say(chosen, text: str) -> None:
    """One line without control characters."""
    from ensemble_lab.reports.request import plain

    print(f"ensemble-lab {chosen.command}: {plain(text)}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from ensemble_lab.reports.request import plain

        super().error(plain(message))


def _with_values(words: list[str]) -> list[str]:
    """The arguments with `VERBATIM` before every value of ``-p NAME VALUE``.

    argparse reads a value that starts with a dash, such as -1e-3, as an option.
    """
    end = words.index("--") if "--" in words else len(words)
    marked = list(words)
    at = 0
    while at < end:
        if words[at] in ("-p", "--parameter") and at + 2 < len(words):
            marked[at + 2] = VERBATIM + words[at + 2]
            at += 2
        at += 1
    return marked


def build_parser() -> argparse.ArgumentParser:
    """Every subcommand with its options; each sets ``run``, a function of the parsed arguments."""
    parser = _Parser(prog="ensemble-lab", description=ensemble_lab.__doc__)
    parser.add_argument("--version", action="version", version=ensemble_lab.__version__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="what works here, and how to fix what does not")
    doctor.add_argument("--json", action="store_true", help="the same, for programs")
    doctor.set_defaults(run=_doctor)

    report = commands.add_parser("report", help="run notebooks and write one HTML file of each")
    report.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: notebooks/*")
    report.add_argument("--out", required=True, metavar="DIR", help="folder for the pages")
    report.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set one of the notebook's parameters",
    )
    report.add_argument("--state", metavar="FILE", help="a view that an explorer's button copied")
    report.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="time limit of one notebook; default: none"
    )
    report.add_argument("--slides", action="store_true", help="pages to show with the arrow keys")
    report.set_defaults(run=_report)

    site = commands.add_parser("site", help="run notebooks and write a site that needs no server")
    site.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: notebooks/*")
    site.add_argument("--out", required=True, metavar="DIR", help="folder for the site")
    site.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="time limit of one notebook; default: none"
    )
    site.set_defaults(run=_site)

    figures = commands.add_parser("figures", help="write the figures of run notebooks as SVG")
    figures.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="run before, as a report")
    figures.add_argument("--out", required=True, metavar="DIR", help="folder for the figures")
    figures.add_argument("--png", action="store_true", help="PNG too, where there is a Chromium")
    figures.set_defaults(run=_figures)

    student = commands.add_parser("student", help="write notebooks without their solutions")
    student.add_argument("--as", dest="version", default="student",
                         choices=("student", "solution", "instructor", "nbgrader"),
                         help="or solved, with all answers in sight, or for nbgrader")  # fmt: skip
    student.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: notebooks/*")
    student.add_argument("--out", required=True, metavar="DIR", help="folder for the notebooks")
    student.set_defaults(run=_student)

    grade = commands.add_parser("grade", help="judge the exercises in the notebooks of a class")
    grade.add_argument("folder", metavar="DIR", help="submissions: a folder a student, or files")
    grade.add_argument("--csv", required=True, metavar="FILE.csv", help="where the grades go")
    grade.add_argument("--lessons", nargs="+", default=[], metavar="NOTEBOOK",
                       help="what was handed out; default: notebooks/*")  # fmt: skip
    grade.add_argument("--seed", type=int, help="judge each student on hidden cases too")
    grade.add_argument("--checks", metavar="FILE.py", help="hidden checks, by the public names")
    grade.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS",
                       help="of a cell, and a fifth of a notebook's; default: 120")  # fmt: skip
    grade.set_defaults(run=_grade)

    serve = commands.add_parser(
        "serve",
        help="serve models and policies as OpenAI's API does",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=SERVED,
    )
    serve.add_argument("settings", metavar="FILE.toml", help="models and policies")
    serve.add_argument("--port", type=int, help="instead of the file's port; 0: a free one")
    serve.set_defaults(run=_serve)

    advise = commands.add_parser("advise", help="would an ensemble pay on your models? one page")
    advise.add_argument(
        "table", metavar="TABLE", help="who answered what: CSV, JSON lines, parquet"
    )
    advise.add_argument("--out", required=True, metavar="report.html", help="the page")
    for name, kind, unit, words in (
        ("--budget", float, "USD", "most USD an item, in the mean"),
        ("--latency", float, "SECONDS", "most seconds an item, in the mean"),
        ("--risk", float, "SHARE", "choose by the accuracy that is missed with this chance"),
        ("--rate", float, "PER_SECOND", "requests a second, to simulate how long people wait"),
        ("--cluster", str, "COLUMN", "rows that belong together, such as those of one user"),
        ("--time", str, "COLUMN", "a clock: each policy is judged on later rows"),
        ("--propensity", str, "COLUMN", "how likely the choice was, where one model answered each"),
        ("--graded-rows", str, "FILE.csv", "the rows to grade that were written, filled in"),
        ("--rows", int, "N", "how many rows to grade where nothing is graded; default: 300"),
    ):
        advise.add_argument(name, type=kind, metavar=unit, help=words)
    advise.add_argument("--servers", metavar="N|MODEL=N", action="append",
                        help="requests that a model answers at once; default: 4")  # fmt: skip
    advise.add_argument("--thorough", action="store_true", help="try more policies, on all rows")
    columns = advise.add_argument_group("columns, where they are not understood")
    for name in COLUMNS:
        flag = "--latency-column" if name == "latency" else f"--{name}"
        columns.add_argument(flag, metavar="COLUMN", dest=f"{name}_column")
    for name in LISTS:
        columns.add_argument(f"--{name}", metavar="COLUMN", action="append")
    columns.add_argument("--separator", metavar="SIGN")
    columns.add_argument("--decimal", metavar="SIGN")
    columns.add_argument("--latency-unit", metavar="s|ms|us|ns")
    columns.add_argument("--encoding", metavar="NAME")
    columns.add_argument("--grades", metavar="FILE", help="a file of grades, joined to the table")
    columns.add_argument("--on", metavar="COLUMN", help="that both files have")
    advise.set_defaults(run=_advise)
    return parser


def _advise(chosen) -> int:
    from ensemble_lab.advice.command import advise_file, servers_from
    from ensemble_lab.reports.request import plain

    given = {name: getattr(chosen, f"{name}_column") for name in COLUMNS}
    given |= {name: getattr(chosen, name) for name in (*LISTS, *MORE)}
    for name in ("answer", "correct"):  # one column, or one a model
        if given[name] and len(given[name]) == 1:
            given[name] = given[name][0]
    limits = {k: getattr(chosen, k) for k in ("budget", "latency", "risk", "rate", "thorough")}
    more = {} if chosen.rows is None else {"rows": chosen.rows}
    try:
        told = advise_file(
            chosen.table, chosen.out, given, cluster=chosen.cluster, time=chosen.time,
            propensity=chosen.propensity, graded_rows=chosen.graded_rows,
            servers=servers_from(chosen.servers), **limits, **more,
        )  # fmt: skip
    except (ValueError, LookupError, OSError) as error:
        _say(chosen, str(error))
        return 1
    for line in told.lines:
        print("\n".join(map(plain, line.split("\n"))))
    if told.stopped:
        _say(chosen, "stopped early: the page has the policies that were judged by then")
        return 128 + signal.SIGINT
    return 0


def _doctor(chosen) -> int:
    from ensemble_lab.doctor import examine, healthy, to_json, to_table
    from ensemble_lab.reports.request import plain

    findings = examine()
    print(to_json(findings) if chosen.json else plain(to_table(findings)))
    return 0 if healthy(findings) else 1


def _report(chosen) -> int:
    from ensemble_lab.reports.report import Stopped, report
    from ensemble_lab.reports.request import RequestError

    try:
        failures = report(
            chosen.notebooks, chosen.out, _parameters(chosen), chosen.timeout, chosen.slides
        )
    except RequestError as error:
        _say(chosen, str(error))
        return 1
    except Stopped as stop:
        for failure in stop.failures:
            _say(chosen, failure)
        raise
    for failure in failures:
        _say(chosen, failure)
    return 1 if failures else 0


def _site(chosen) -> int:
    from ensemble_lab.reports.request import RequestError
    from ensemble_lab.reports.site.build import site

    try:
        faults = site(chosen.notebooks, chosen.out, chosen.timeout)
    except RequestError as error:
        _say(chosen, str(error))
        return 1
    for fault in faults:
        _say(chosen, fault)
    return 1 if faults else 0


def _parameters(chosen) -> dict:
    """The report's parameters, each given once: by ``-p``, or by ``--state``."""
    from ensemble_lab.core.errors import shown
    from ensemble_lab.reports.request import RequestError, excerpt, find_notebooks, read_state

    given = {}
    for name, text in chosen.parameter:
        text = text.removeprefix(VERBATIM)
        if name in given:
            both = f"{shown(given[name], 60)} and {shown(text, 60)}"
            raise RequestError(f"-p {excerpt(name, 40)} is given twice: {both}; give one")
        given[name] = text
    parameters = {name: parse_value(text) for name, text in given.items()}
    if chosen.state is None:
        return parameters
    if "state" in given:
        raise RequestError(
            f"--state {shown(chosen.state, 150)} and -p state {shown(given['state'], 40)} both set"
            " the parameter 'state'; give one of them"
        )
    return parameters | {"state": read_state(chosen.state, find_notebooks(chosen.notebooks))}


def _figures(chosen) -> int:
    from ensemble_lab.reports.figures import write_figures
    from ensemble_lab.reports.request import RequestError, plain

    try:
        written, faults = write_figures(chosen.notebooks, chosen.out, chosen.png)
    except RequestError as error:
        _say(chosen, str(error))
        return 1
    for path in written:
        print(plain(str(path)))
    for fault in faults:
        _say(chosen, fault)
    return 1 if faults else 0


def _student(chosen) -> int:
    from ensemble_lab.reports.request import RequestError, plain
    from ensemble_lab.reports.versions import write_version

    try:
        written = write_version(chosen.notebooks, chosen.out, chosen.version)
    except RequestError as error:
        _say(chosen, str(error))
        return 1
    for path in written:
        print(plain(str(path)))
    return 0


def _grade(chosen) -> int:
    from ensemble_lab.reports.grading.grade import grade, summary
    from ensemble_lab.reports.request import RequestError, plain

    try:
        grades = grade(
            chosen.folder, chosen.csv, lessons=chosen.lessons, seed=chosen.seed,
            checks=chosen.checks, timeout=chosen.timeout,
        )  # fmt: skip
    except RequestError as error:
        _say(chosen, str(error))
        return 1
    for line in summary(grades):
        print(plain(line))
    return 0


def _serve(chosen) -> int:
    from ensemble_lab.core.missing import MissingPackage

    try:
        from ensemble_lab.systems.serve.settings import SettingsError, serve
    except ImportError as error:
        _say(chosen, f"{error.name} is missing: pip install 'ensemble-lab[serve]'")
        return 1
    try:
        serve(chosen.settings, chosen.port)
    except (SettingsError, MissingPackage) as error:
        _say(chosen, str(error))
        return 1
    return 0


def parse_value(text: str):
    """A parameter's value: a Python literal where it reads as one, else the text itself.

    Examples
    --------
    >>> parse_value("0.5"), parse_value("None"), parse_value("imdb-services")
    (0.5, None, 'imdb-services')
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return text if value is ... else value
