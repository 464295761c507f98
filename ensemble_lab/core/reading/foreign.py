"""Logs and files that are no tables: each is refused with how to make a table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

EVENT = {"run_id", "event_id", "sample_id", "type", "data"}  # of openai/evals, evals/record.py
INSTANCE = {"instance_id", "train_trial_index", "stats"}  # of HELM, per_instance_stats.json


def refuse_foreign_text(data: bytes) -> None:
    """Refuse a page or a pointer that was saved in place of the file.

    Raises
    ------
    ValueError
    """
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise ValueError(
            "it is a web page, perhaps one that asks you to sign in; download the file itself"
        )
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(
            "it is a pointer of Git LFS and not the file; fetch the file with: git lfs pull"
        )


def refuse_foreign(rows: Sequence[Mapping]) -> None:
    """Refuse rows of JSON that are events or statistics instead of answers.

    Raises
    ------
    ValueError
    """
    if any(row.keys() >= EVENT for row in rows[:2]):
        raise ValueError(
            "it is a log of openai/evals: the events of one run of one model. Write a table with a"
            " row for each event whose type is 'match': item = sample_id, model = the run's"
            " completion_fns, correct = data.correct, answer = data.picked; put all runs into it"
        )
    if rows and rows[0].keys() >= INSTANCE:
        raise ValueError(
            "it is HELM's statistics of one run of one model. Write a table with a row for each"
            " entry: item = instance_id, model = adapter_spec.model of run_spec.json, correct = the"
            " mean of the entry of stats whose name is the metric, such as exact_match; put all"
            " runs into it"
        )
    first = [value for row in rows[:1] for value in row.values()]
    if len(rows) == 1 and len(first) > 1 and all(_by_row(value) for value in first):
        raise ValueError(
            "it has its cells by column, as to_json of pandas writes them; write them by row:"
            " to_json(path, orient='records')"
        )


def _by_row(value) -> bool:
    """Whether this is a column as pandas writes it: ``{"0": …, "1": …}``."""
    return isinstance(value, Mapping) and list(value) == [str(i) for i in range(len(value))]
