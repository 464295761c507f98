"""`read_table`: outcomes from a table as people have it, and what was understood, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.foreign import refuse_foreign_text
from ensemble_lab.core.reading.guess import as_frame
from ensemble_lab.core.reading.headers import listening, say, tell
from ensemble_lab.core.reading.joining import joined
from ensemble_lab.core.reading.meanings import MEANINGS, SETTINGS
from ensemble_lab.core.reading.opened import content, existing, kind_of, refusal
from ensemble_lab.core.reading.sources import Dialect, columns_in
from ensemble_lab.core.reading.tables import from_columns
from ensemble_lab.core.reading.understood import understood
from ensemble_lab.core.reading.units import SECONDS
from ensemble_lab.core.recordings.recording import is_recording


class ReadTable(NamedTuple):
    """A table that was read, and how it was understood; printed, it tells all of it.

    Parameters
    ----------
    outcomes : Outcomes
    sentences : list of str
        What was understood, and each doubt with the argument that decides otherwise.
    columns : DataFrame
        One row a column that is used: ``meaning``, ``column``, ``model``, ``known by``.
    """

    outcomes: Outcomes
    sentences: list[str]
    columns: Any

    def __repr__(self) -> str:
        said = "".join(f"- {sentence}\n" for sentence in self.sentences)
        return f"{self.outcomes!r}\n{said}{self.columns.to_string(index=False)}"


def read_table(
    path: str | Path,
    *,
    item: str | Sequence[str] | None = None,
    model: str | None = None,
    answer: str | Sequence[str] | None = None,
    truth: str | None = None,
    correct: str | Sequence[str] | None = None,
    confidence: str | None = None,
    cost: str | None = None,
    latency: str | None = None,
    tokens: str | None = None,
    group: str | None = None,
    time: str | None = None,
    feature: str | Sequence[str] | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    latency_unit: str | None = None,
    encoding: str | None = None,
    metric: str | Sequence[str] | None = None,
    filter: str | Sequence[str] | None = None,
    grades: str | Path | None = None,
    on: str | None = None,
) -> ReadTable:
    r"""Read a table of outcomes as people have it, long or wide, and say what was understood.

    Columns are known by their usual names (`prompt_id`, `llm`, `is_correct`, `elapsed_ms`, …), not
    by their numbers. Each argument names a column instead; ``""`` says that there is none. Two
    columns that may have one meaning are refused. Long: one row an item and model. Wide: columns
    ``MODEL:FIELD``, ``MODEL|FIELD``, ``MODEL_FIELD`` or ``FIELD_MODEL``, or lists of columns for
    `answer` or `correct`, each named by its model.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv``, ``.txt``, ``.jsonl``, ``.json``, these also as ``.gz``, or ``.parquet``;
        or a folder with a folder a model of sample files, as lm-evaluation-harness writes them with
        ``--log_samples``.
    item : str or sequence of str, optional
        The column that names the item; several make one name.
    model, truth, confidence, cost, latency, tokens, group, time : str, optional
        Columns. `time` becomes the feature ``time``, in seconds since 1970.
    answer, correct : str or sequence of str, optional
        A column, or in the wide form one column a model.
    feature : str or sequence of str, optional
        Columns that are facts about an item, known before any model is asked.
    separator, decimal, encoding : str, optional
        How a text file is written. Default: the sign that gives each row as many cells as the
        header has; the decimal sign that the numbers show; UTF-8, or UTF-16 with a mark.
    latency_unit : {"s", "ms", "us", "ns"}, optional
        Default: the end of the column's name, else seconds.
    metric, filter : str or sequence of str, optional
        Of sample files of lm-evaluation-harness, where a task has several.
    grades : path, optional
        A second file: grades or truths of the requests in a log.
    on : str, optional
        The column that names a request in both files. Default: their common ``request_id``, ``id``
        or such.

    Returns
    -------
    ReadTable
        ``outcomes``, ``sentences`` and ``columns``. `print` shows all three.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or one that cannot be read with certainty: what is in doubt, and the argument
        that decides it.

    Warns
    -----
    UserWarning
        Each sentence that is a doubt.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "runs.csv")
    >>> _ = path.write_text("prompt_id;llm;score;elapsed_ms\nq1;a;1;250\nq1;b;0,5;90\n")
    >>> table = read_table(path)
    >>> table.outcomes.latency
    array([[0.25, 0.09]])
    >>> table.sentences[0]
    'read with semicolons between cells'
    """
    given = dict(
        item=item, model=model, answer=answer, truth=truth, correct=correct, confidence=confidence,
        cost=cost, latency=latency, tokens=tokens, group=group, time=time, feature=feature,
    )  # fmt: skip
    dialect = Dialect(separator, decimal, encoding)
    dialect.check()
    if latency_unit is not None and latency_unit not in tuple(SECONDS):
        raise ValueError(
            f"latency_unit={shown(latency_unit, 40)}; give one of {', '.join(SECONDS)}"
        )
    named = _named(given)
    chosen = _named({"metric": metric, "filter": filter})
    path = existing(path)
    with listening() as said:
        if _is_ours(path):
            _refuse_arguments(named, grades)
            outcomes = Outcomes.read(path)
            tell("read as a file of ensemble_lab")
            return ReadTable(outcomes, said, as_frame([]))
        with refusal(path):
            raw = columns_in(path, dialect, **chosen)
        if grades is not None:
            grades = existing(grades)
            with refusal(grades):
                marks = columns_in(grades, Dialect(encoding=encoding))
            raw = joined(raw, marks, on)
        elif on is not None:
            raise ValueError(f"on={shown(on, 40)} needs grades; give the path of their file")
        with refusal(path):
            found, table = understood(raw, named, decimal, latency_unit)
            outcomes = from_columns(table, None, False)
        if len(outcomes.models) > 1 and (~outcomes.absent).sum(axis=1).max() < 2:
            say(
                "each item was answered by one model only: models can be compared only where they"
                " answered the same items; item=… may name the question"
            )
    return ReadTable(outcomes, said, as_frame(found))


def _is_ours(path: Path) -> bool:
    """Whether this is a recording, or parquet with our own footer."""
    if path.is_dir():
        return False
    if kind_of(path) == ".parquet":
        import pyarrow.parquet as pq

        with refusal(path):
            with open(path, "rb") as file:
                refuse_foreign_text(file.read(500))
            return b"ensemble_lab" in (pq.read_schema(path).metadata or {})
    if kind_of(path) not in (".jsonl", ".ndjson"):
        return False
    with refusal(path):
        return is_recording(content(path))


def _refuse_arguments(named: Mapping, grades) -> None:
    if grades is not None:
        raise ValueError("this is a recording; read_traffic(path, correct=grades) grades it")
    if named:
        raise ValueError(f"this is a file of ensemble_lab, whose columns are known; leave out"
                         f" {next(iter(named))}")  # fmt: skip


def _named(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Meaning to the columns that the caller gave, as lists; an empty list for ``""``."""
    found = {}
    many = {one.name for one in (*MEANINGS, *SETTINGS) if one.several}
    for meaning, value in given.items():
        if value is None:
            continue
        columns = [value] if isinstance(value, str) else several(value, meaning)
        columns = [column for column in columns if column != ""]
        odd = next((column for column in columns if not isinstance(column, str)), None)
        if odd is not None or (len(columns) > 1 and meaning not in many):
            wanted = "names" if meaning in many else "one name"
            raise ValueError(f"{meaning}={shown(value)}; give {wanted} as text")
        found[meaning] = columns
    return found
