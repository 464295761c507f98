"""A folder of submissions: each is run in a kernel of its own, and its exercises are judged."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.grading.asked import Exercise, changed, exercises_of
from ensemble_lab.reports.grading.cells import as_cell, of_cell
from ensemble_lab.reports.grading.submission import lesson_of, opened, run, student_of
from ensemble_lab.reports.kernel import kernel_environment
from ensemble_lab.reports.request import RequestError, excerpt, find_notebooks, named, read_notebook
from ensemble_lab.reports.stops import Stop, Stopped

LIMIT = 120.0  # seconds of a cell


@dataclass(frozen=True)
class Grade:
    """One exercise of one submission: a row of the CSV file.

    `note` says what became of its check. `key` follows from the submission, the seed, the hidden
    checks and the limit: where one of them is new, the submission is graded again.
    """

    student: str
    file: str
    lesson: str
    exercise: str
    passed: int
    message: str
    note: str
    key: str


COLUMNS = [field.name for field in fields(Grade)]


def grade(
    folder: str | Path,
    path: str | Path,
    *,
    lessons: Sequence[str | Path] = (),
    seed: int | None = None,
    checks: str | Path | None = None,
    timeout: float = LIMIT,
) -> list[Grade]:
    """Run each notebook in `folder`, judge its exercises and add a row for each to a CSV file.

    What a notebook contains is run as it is: grade in a container, or on a machine that may be
    lost. The checks run in the notebook's own process: they find mistakes, not deceit. A submission
    whose rows are in the file is not run again, so an interrupted run goes on where it was.

    Parameters
    ----------
    folder : path
        Submissions, in a folder for each student or named ``lesson_student.ipynb``.
    path : path
        The CSV file; its columns are the fields of `Grade`. A cell that a spreadsheet would compute
        has a ' before it.
    lessons : sequence of path
        What was handed out; empty for all of ``notebooks/``.
    seed : int, optional
        Judges each student on other cases too, which follow from it and from the student's name.
    checks : path, optional
        A Python file of hidden checks: a `Check` of the name of a public one is asked after it.
    timeout : float
        Seconds after which a cell is interrupted. A notebook that takes five times as long is
        stopped.

    Returns
    -------
    list of Grade
        Of all submissions, those of an earlier run included.

    Raises
    ------
    RequestError
        No submissions, no lesson that asks for something, a file that cannot be written or is of
        something else, or a file of checks that does not exist.
    Stopped
        A signal. The rows of the submissions that had run are in the file.
    """
    from tqdm.auto import tqdm

    folder, path = Path(folder), Path(path)
    asked = _lessons(lessons)
    files = _submissions(folder)
    if checks is not None and not Path(checks).is_file():
        raise RequestError(f"no file {shown(str(checks), 150)} with checks")
    if not timeout > 0:
        raise RequestError(f"--timeout {shown(timeout, 20)}; give seconds above 0")
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise RequestError(f"--seed {shown(seed, 20)}; give a whole number from 0 up")
    rows = _earlier(path)
    own = "" if checks is None else Path(checks).read_text("utf-8")
    hidden = f"{seed} {timeout:g} {own}".encode()
    found: list[Grade] = []
    with kernel_environment(), Stop() as stop:
        for file in tqdm(files, desc="grading", unit="notebook", disable=not sys.stderr.isatty()):
            name = os.fsencode(file.relative_to(folder).as_posix()).decode(
                "utf-8", "backslashreplace"
            )
            content, failure = _read(file)
            key = hashlib.sha256(hidden + content).hexdigest()[:16]
            if not _stands(rows.get(name, ()), key, asked):
                about = {"file": name, "key": key}
                how = {"seed": seed, "checks": checks, "timeout": timeout}
                graded = _graded(about, content, failure, asked, stop, how)
                if stop.number is not None:
                    raise Stopped(f"stopped at {named(file)}", number=stop.number)
                rows[name] = graded
                _write(path, rows)
            found += rows[name]
    return found


def _lessons(sources: Sequence[str | Path]) -> dict[str, tuple[Exercise, ...]]:
    found = {path.stem: exercises_of(read_notebook(path)) for path in find_notebooks(sources)}
    found = {name: exercises for name, exercises in found.items() if exercises}
    if not found:
        raise RequestError("these lessons have no exercises; name notebooks that call check_…")
    return found


def _submissions(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RequestError(f"no folder {named(folder)}; give the one with the submissions")
    found = sorted(
        path for path in folder.rglob("*")
        if path.suffix.lower() == ".ipynb"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (path.is_file() or not path.exists())  # a link to nothing is named, not passed over
    )  # fmt: skip
    if not found:
        raise RequestError(f"no notebooks in {named(folder)}; give the folder of submissions")
    return found


def _read(file: Path) -> tuple[bytes, str]:
    """The content of a file, or why it has none."""
    try:
        return file.read_bytes(), ""
    except OSError as error:
        return b"", f"it cannot be read: {error.strerror}"


def _stands(rows: Sequence[Grade], key: str, lessons: Mapping[str, tuple[Exercise, ...]]) -> bool:
    """Whether the rows of an earlier run are still right; where nothing ran, it is looked again."""
    if not rows or not rows[0].lesson or any(one.key != key for one in rows):
        return False
    asked = lessons.get(rows[0].lesson)
    return asked is None or [one.exercise for one in rows] == [one.check for one in asked]


def _earlier(path: Path) -> dict[str, list[Grade]]:
    """The rows of earlier runs by file. The table is written at once, if there is none."""
    found: dict[str, list[Grade]] = {}
    if not path.exists():
        _write(path, found)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != COLUMNS:
                raise RequestError(f"{named(path)} is no file of grades; choose another --csv")
            for row in rows:
                texts = {name: of_cell(cell) for name, cell in row.items()}
                one = Grade(**{**texts, "passed": int(row["passed"])})
                found.setdefault(one.file, []).append(one)
    except OSError as error:
        raise RequestError(
            f"{named(path)} cannot be read: {error.strerror}; choose another --csv"
        ) from error
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        why = excerpt(str(error), 80)
        raise RequestError(f"{named(path)} is damaged: {why}; move it away") from error
    return found


def _write(path: Path, rows: Mapping[str, Sequence[Grade]]) -> None:
    """The whole table: a run that ends early leaves no half row."""
    text = io.StringIO(newline="")
    table = csv.writer(text)  # with \r\n at the end of a row, both are quoted within a cell
    table.writerow(COLUMNS)
    for grades in rows.values():
        table.writerows([as_cell(str(getattr(one, name))) for name in COLUMNS] for one in grades)
    try:
        write_whole(path, text.getvalue())
    except OSError as error:
        raise RequestError(
            f"{named(path)} cannot be written: {error.strerror}; choose another --csv"
        ) from error


def _graded(about: Mapping[str, str], content: bytes, failure: str,
            lessons: Mapping[str, tuple[Exercise, ...]], stop: Stop, how: Mapping[str, Any]
            ) -> list[Grade]:  # fmt: skip
    """The grades of one submission; whatever is wrong with it is said in its rows."""
    name, nothing = about["file"], {"exercise": "", "passed": 0, "note": ""}
    try:
        notebook = None if failure else opened(content)
    except Exception as error:  # nbformat has many, and one file must not stop the class
        why = str(error) or type(error).__name__
        failure = f"not a notebook: {excerpt(why, 100)}"
    if failure:
        who = student_of(name, "")
        return [Grade(**about, **nothing, student=who, lesson="", message=failure)]
    lesson = lesson_of(name, notebook, lessons)
    about = {**about, "student": student_of(name, lesson)}
    if not lesson:
        message = "no lesson is recognised: it has none of their checks and functions"
        return [Grade(**about, **nothing, lesson="", message=message)]
    exercises, notes = lessons[lesson], changed(notebook, lessons[lesson])
    verdicts, failure = run(notebook, exercises, about["student"], stop, **how)
    return [
        Grade(
            **about, lesson=lesson, exercise=one.check, note=notes.get(one.check, ""),
            passed=int(verdict is not None and verdict["passed"]),
            message=failure if verdict is None else verdict["message"],
        )
        for one, verdict in zip(exercises, verdicts, strict=True)
    ]  # fmt: skip


def summary(grades: Sequence[Grade]) -> Iterator[str]:
    """A line for each student: how many exercises passed, and what to look at."""
    for student in dict.fromkeys(one.student for one in grades):
        own = [one for one in grades if one.student == student]
        passed, asked = sum(one.passed for one in own), sum(bool(one.exercise) for one in own)
        files = {(one.lesson, one.file) for one in own}
        lessons = [lesson for lesson, _ in files]
        twice = sorted({one for one in lessons if one and lessons.count(one) > 1})
        odd = [f"{one.exercise}: {one.note}" for one in own if one.note]
        odd += [f"{one.file}: {one.message}" for one in own if not one.exercise]
        odd += [f"two files are {lesson}; both were graded" for lesson in twice]
        yield f"{student}: {passed} of {asked}" + "".join(f"\n    {excerpt(one)}" for one in odd)
