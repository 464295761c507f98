"""Sample files of lm-evaluation-harness, written with ``--log_samples``: a folder a model.

Files are ``MODEL/samples_TASK_DATE.jsonl``, one row a document and filter (checked against version
0.4.13). A row's score is one of its ``metrics``. Options of a multiple choice have log-likelihoods:
their softmax at the option that was chosen is the confidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble_lab.core.checks import objects
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.reading.columns import Column, Typed
from ensemble_lab.core.reading.headers import tell
from ensemble_lab.core.reading.opened import content
from ensemble_lab.core.reading.samples import Sample, is_samples, sample
from ensemble_lab.core.reading.text import objects_in

NAME = re.compile(r"samples_(?P<task>.+?)(_(?P<run>\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl(\.gz)?")
OTHER = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
    "doc_hash", "prompt_hash", "target_hash", "schema_version", "exec_results",
}  # fmt: skip


def sample_files(folder: Path) -> list[Path]:
    """The sample files in a folder and its folders.

    Raises
    ------
    ValueError
        There is none.
    """
    found = sorted(path for path in folder.rglob("*") if NAME.fullmatch(path.name))
    if not found:
        raise ValueError(
            "the folder holds no samples_TASK_DATE.jsonl, which lm_eval --log_samples writes; give"
            " the path of a file"
        )
    return found


def sample_columns(
    files: Sequence[Path], metric: Sequence[str], filter: Sequence[str]
) -> list[tuple[str, Column]]:
    """Columns in the long form: an item is ``TASK/doc_id``.

    Parameters
    ----------
    files : sequence of path
    metric, filter : sequence of str
        Names that decide where a task has several.

    Raises
    ------
    ValueError
        Two runs of one task, several filters or metrics, or two documents under one name.
    """
    runs: dict[tuple[str, str], Path] = {}
    for path in files:
        match = NAME.fullmatch(path.name)
        task = match["task"] if match else path.stem
        key = _model(path), task
        if key in runs:
            raise ValueError(
                f"{shown(runs[key].name, 70)} and {shown(path.name, 70)} are two runs of task"
                f" {shown(task, 30)} by {shown(key[0], 30)}; keep one"
            )
        runs[key] = path
    samples: list[Sample] = []
    unused = {*metric, *filter}
    for (model, task), path in runs.items():
        rows = _one_filter(objects_in(content(path)), task, filter, unused)
        name = _one_metric(rows, task, metric, unused)
        samples += [sample(row, model, task, name) for row in rows]
    if unused:
        raise ValueError(f"no task has a metric or filter {shown(sorted(unused)[0], 40)}")
    _refuse_other_documents(samples)
    models = dict.fromkeys(model for model, _ in runs)
    tasks = dict.fromkeys(task for _, task in runs)
    tell(
        f"read as samples of lm-evaluation-harness: tasks {_few(tasks)}, models {_few(models)} (by"
        " their folders)"
    )
    for model in models:
        if lacking := [task for task in tasks if (model, task) not in runs]:
            tell(f"model {shown(model, 40)} has no task {_few(lacking)}")
    return _columns(samples, group=len(tasks) > 1)


def _model(path: Path) -> str:
    """The model's name: as the run's results file spells it, else the folder's name."""
    folder = path.resolve().parent
    for results in sorted(folder.glob("results*.json"), reverse=True):
        try:
            about = json.loads(results.read_bytes())
        except ValueError:
            continue
        if about.get("model_name") and about.get("model_name_sanitized") == folder.name:
            return str(about["model_name"])
    return folder.name


def _one_filter(rows: list[dict], task: str, wanted: Sequence[str], unused: set) -> list[dict]:
    known = dict.fromkeys(str(row.get("filter")) for row in rows)
    if not rows or not all(is_samples(row) for row in rows):
        raise ValueError(f"the file of task {shown(task, 40)} is not one of samples; leave it out")
    name = _decided(known, wanted, unused, "filter", task)
    kept = [row for row in rows if str(row.get("filter")) == name]
    seen = set()
    for row in kept:
        if row["doc_id"] in seen:
            why = (
                "; this version names no filter, so give a file with one row a document"
                if "filter" not in row
                else "; keep one run"
            )
            raise ValueError(f"doc_id {shown(row['doc_id'], 20)} of {shown(task, 40)} is there"
                             f" twice{why}")  # fmt: skip
        seen.add(row["doc_id"])
    if len(known) > 1:
        tell(f"task {shown(task, 30)}: filter {shown(name, 40)}, not {_few(known.keys() - {name})}")
    return kept


def _one_metric(rows: list[dict], task: str, wanted: Sequence[str], unused: set) -> str:
    first = rows[0]
    names = first.get("metrics") or [name for name in first if name not in OTHER]
    scores = {name: 0 for name in names if all(_is_score(row.get(name)) for row in rows)}
    if not scores:
        raise ValueError(
            f"task {shown(task, 40)} has no metric in [0, 1] a document ({_few(names)}); leave its"
            " file out"
        )
    name = _decided(scores, wanted, unused, "metric", task)
    tell(f"task {shown(task, 40)}: correct is {shown(name, 40)}")
    return name


def _is_score(value) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _decided(known: Mapping, wanted: Sequence[str], unused: set, what: str, task: str) -> str:
    chosen = [name for name in wanted if name in known]
    unused -= {*chosen}
    if len(known) == 1:
        return next(iter(known))
    if len(chosen) != 1:
        few = " or ".join(f"{what}={shown(name, 30)}" for name in [*known][:4])
        raise ValueError(f"task {shown(task, 40)} has {len(known)} {what}s: give {few}")
    return chosen[0]


def _refuse_other_documents(samples: Sequence[Sample]) -> None:
    first: dict[str, Sample] = {}
    for one in samples:
        other = first.setdefault(one.item, one)
        if other.document != one.document:
            raise ValueError(
                f"item {shown(one.item, 40)} is another document for {shown(one.model, 40)} than"
                f" for {shown(other.model, 40)}: run both on the same version of the task"
            )


def _columns(samples: Sequence[Sample], group: bool) -> list[tuple[str, Column]]:
    def column(name: str) -> tuple[str, Column]:
        return name, Typed(objects([getattr(one, name) for one in samples]), name)

    found = [column("item"), column("model")]
    found.append(("correct", Typed(np.array([one.correct for one in samples]), "correct")))
    if any(one.answer is not None for one in samples):
        found.append(column("answer"))
        told = {
            task for task in dict.fromkeys(one.task for one in samples) if _targets(samples, task)
        }
        if told:
            truths = [one.truth if one.task in told else None for one in samples]
            found.append(("truth", Typed(objects(truths), "truth")))
    confidence = np.array([one.confidence for one in samples])
    if not np.isnan(confidence).all():
        tell("confidence is the softmax of the options' log-likelihoods at the chosen one")
        found.append(("confidence", Typed(confidence, "confidence")))
    if group:
        found.append(("group", Typed(objects([one.task for one in samples]), "group")))
    return found


def _targets(samples: Sequence[Sample], task: str) -> bool:
    """Whether an answer equals its target exactly where it was scored right."""
    own = [one for one in samples if one.task == task]
    odd = [one for one in own if (one.answer == one.truth) != (one.correct == 1)]
    if odd:
        tell(
            f"task {shown(task, 30)}: targets are left out: {len(odd):,} of {len(own):,} scores do"
            f" not say whether the answer equals the target, such as {shown(odd[0].answer, 24)} and"
            f" {shown(odd[0].truth, 24)}"
        )
    return not odd


def _few(names) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(excerpt(name, 24) for name in names[:4]) + more
