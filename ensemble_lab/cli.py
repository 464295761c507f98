"""The command `ensemble-lab`: this machine, reports, student versions, benchmarks."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence

import ensemble_lab

VERBATIM = "\ufdd0"  # a character that is none, so no word begins with it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 when all went well, 1 when something is broken, 2 for words that were not understood.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    chosen = build_parser().parse_args(_with_values(words))
    return chosen.run(chosen)


def _with_values(words: list[str]) -> list[str]:
    """The words with `VERBATIM` before every value of ``-p NAME VALUE``.

    argparse takes a value that begins with a dash, such as -1e-3, for an option.
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
    """Every subcommand with its options; each sets ``run``, a function of the parsed words."""
    parser = argparse.ArgumentParser(prog="ensemble-lab", description=ensemble_lab.__doc__)
    parser.add_argument("--version", action="version", version=ensemble_lab.__version__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="what works here, and how to mend what does not")
    doctor.add_argument("--json", action="store_true", help="the same, for programs")
    doctor.set_defaults(run=_doctor)

    report = commands.add_parser("report", help="run notebooks and write one HTML file of each")
    report.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: notebooks/*")
    report.add_argument("--out", required=True, metavar="DIR", help="where the pages go")
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
    report.set_defaults(run=_report)

    student = commands.add_parser("student", help="write notebooks without their solutions")
    student.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: notebooks/*")
    student.add_argument("--out", required=True, metavar="DIR", help="where the notebooks go")
    student.set_defaults(run=_student)

    bench = commands.add_parser("bench", help="measure one level, peers beside it")
    bench.add_argument("name", metavar="NAME", help="which benchmarks, for example: answers")
    bench.add_argument("--only", metavar="RECORD", help="one record alone")
    bench.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    bench.add_argument("--json", required=True, metavar="FILE", help="where the records go")
    bench.add_argument(
        "--prompts", metavar="FILE", help="your own prompts, as JSON lines (benchmark speculative)"
    )
    bench.set_defaults(run=_bench)
    return parser


def _doctor(chosen) -> int:
    from ensemble_lab.doctor import examine, healthy, to_json, to_table

    findings = examine()
    print(to_json(findings) if chosen.json else to_table(findings))
    return 0 if healthy(findings) else 1


def _report(chosen) -> int:
    from ensemble_lab.report import report
    from ensemble_lab.requested import RequestError

    try:
        failures = report(chosen.notebooks, chosen.out, _parameters(chosen))
    except RequestError as error:
        print(f"ensemble-lab report: {error}", file=sys.stderr)
        return 1
    for failure in failures:
        print(f"ensemble-lab report: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _parameters(chosen) -> dict:
    """The report's parameters, each given once: by ``-p``, or by ``--state``."""
    from ensemble_lab.core.errors import shown
    from ensemble_lab.requested import RequestError, excerpt, read_state

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
            f"--state {shown(chosen.state)} and -p state {shown(given['state'])} both set the"
            " parameter 'state'; give one of them"
        )
    return parameters | {"state": read_state(chosen.state)}


def _student(chosen) -> int:
    from ensemble_lab.requested import RequestError
    from ensemble_lab.student import student

    try:
        written = student(chosen.notebooks, chosen.out)
    except RequestError as error:
        print(f"ensemble-lab student: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


def _bench(chosen) -> int:
    from ensemble_lab.bench import main as bench
    from ensemble_lab.core.errors import UnknownName
    from ensemble_lab.requested import RequestError

    try:
        return bench(chosen.name, chosen.only, chosen.quick, chosen.json, chosen.prompts)
    except (UnknownName, RequestError, OSError) as error:
        print(f"ensemble-lab bench: {error}", file=sys.stderr)
        return 1


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
