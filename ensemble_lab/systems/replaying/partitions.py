"""Partitions: files of one table that `Outcomes.to_parquet` wrote, checked before any is read.

Their columns and labels are found by name. A partition with the same labels in another order is
translated, and one with other labels is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.files import MATRICES, VERSION, outcomes_of
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.headers import FEATURE
from ensemble_lab.core.reading.opened import REFUSED
from ensemble_lab.systems.replaying.paths import named, paths

CELLS = 2**20  # of one matrix in a batch: 8 MB
ROWS = 2**16
FACTS = ("truth", "group")
NAMES = ("models", "labels")
# Kinds of facts that parts of one column may have; "null" where all of a part is missing.
ALIKE = ({"number", "whole number"}, {"text", "mixed", "null"})


@dataclass(frozen=True)
class Table:
    """What all partitions of a table have in common.

    Parameters
    ----------
    models, labels : tuple
        In the order of the first partition.
    model_group : tuple or None
    measures : frozenset of str
        Which of the matrices, `probability`, `truth` and `group` there are.
    kinds : dict of str to str
        Of each feature and of the group: ``"number"``, ``"whole number"``, ``"text"``, …
    """

    models: tuple[str, ...]
    labels: tuple
    model_group: tuple | None
    measures: frozenset[str]
    kinds: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows of a batch: fewer where a row is wide."""
        wide = len(self.labels) if "probability" in self.measures else 1
        return int(np.clip(CELLS // (len(self.models) * wide), 1, ROWS))


@dataclass(frozen=True)
class Partition:
    """One file: its path, what its footer says, and how many items it has."""

    path: Path
    table: Table
    items: int


def partitions(files) -> tuple[Table, list[Partition]]:
    """The partitions that `files` names, all of one table.

    Parameters
    ----------
    files : path, pattern or several of them
        As `replay` takes them.

    Raises
    ------
    FileNotFoundError
        A path that is no file, or a pattern that no file matches.
    ValueError
        A file twice; one that is no partition, or not of the first one's table.
    """
    found = [_footer(path) for path in paths(files)]
    if not any(part.items for part in found):
        raise ValueError(f"no items are in {named(found[0].path)}; give files that have some")
    first = found[0]
    for part in found[1:]:
        _check_same(part, first)
    # A feature that has fractions in one partition is a number in all, as in one table.
    kinds = dict(first.table.kinds)
    for part in found:
        kinds |= {name: kind for name, kind in part.table.kinds.items() if kind == "number"}
    return replace(first.table, kinds=kinds), found


def batches(part: Partition, table: Table) -> Iterator[Outcomes]:
    """The items of a partition as small tables with the models and labels of `table`.

    Raises
    ------
    ValueError
        A damaged file, or values that no table holds: named with the file.
    """
    import pyarrow.parquet as pq

    try:
        # Page after page: a column of a row group may be larger than the memory.
        with pq.ParquetFile(part.path, buffer_size=2**20) as file:
            about = json.loads(file.schema_arrow.metadata[b"ensemble_lab"])
            for batch in file.iter_batches(table.rows, use_threads=False):
                if not batch.num_rows:
                    continue
                columns = {
                    name: batch[name].to_numpy(zero_copy_only=False) for name in batch.schema.names
                }
                yield _arranged(outcomes_of(columns, about), table)
    except REFUSED as error:
        why = f"it lacks {error}" if type(error) is KeyError else str(error)
        raise ValueError(f"{named(part.path)} could not be read: {excerpt(why, 150)}") from error


def _footer(path: Path) -> Partition:
    """What the footer of one file says; the items are not read."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, items = file.schema_arrow, file.metadata.num_rows
            about = (schema.metadata or {}).get(b"ensemble_lab")
            if about is None:
                raise ValueError(
                    "Outcomes.to_parquet did not write it; Outcomes.read(path).to_parquet(…) does"
                )
            about = json.loads(about)
            if not isinstance(about, dict) or not all(isinstance(about[n], list) for n in NAMES):
                raise ValueError("what it says of its models and labels is damaged; write it again")
            if about["version"] != VERSION:
                raise ValueError(f"it has version {about['version']}, this package reads {VERSION}")
            return Partition(path, _table(about, schema), items)
    except REFUSED as error:
        why = f"it lacks {error}" if type(error) is KeyError else str(error)
        raise ValueError(f"{named(path)} is no partition: {excerpt(why, 150)}") from error


def _table(about: dict[str, Any], schema) -> Table:
    names, group = schema.names, about["model_group"]
    known = {name for name in FACTS if name in names}
    known |= {name for name in (*MATRICES, "probability") if f"{name}:0" in names}
    facts = [name for name in names if name == "group" or name.startswith(FEATURE)]
    return Table(
        models=tuple(about["models"]),
        labels=tuple(about["labels"]),
        model_group=None if group is None else tuple(group),
        measures=frozenset(known),
        kinds={
            name: "mixed" if name in about.get("json", ()) else _kind(schema.field(name).type)
            for name in facts
        },
    )


def _kind(kind) -> str:
    import pyarrow.types as pt

    if pt.is_dictionary(kind):
        kind = kind.value_type
    if pt.is_integer(kind):
        return "whole number"
    if pt.is_floating(kind):
        return "number"
    return "text" if pt.is_string(kind) or pt.is_large_string(kind) else str(kind)


def _check_same(part: Partition, first: Partition) -> None:
    """Refuse a partition of another table, and name what differs."""
    one, other = part.table, first.table
    groups = [dict(zip(t.models, t.model_group or (), strict=False)) for t in (one, other)]
    for what, ours, theirs in (
        ("models", sorted(one.models), sorted(other.models)),
        ("labels", _in_order(one.labels), _in_order(other.labels)),
        ("model_group", *groups),
        ("columns", sorted(one.measures), sorted(other.measures)),
        ("features", sorted(one.kinds), sorted(other.kinds)),
    ):
        if ours != theirs:
            differ = [x for x in ours if x not in theirs], [x for x in theirs if x not in ours]
            has, lacks = (shown(values, 40) for values in differ)
            raise ValueError(
                f"{named(part.path, 70)} has other {what} than {named(first.path, 70)}: it has"
                f" {has} more and lacks {lacks}; replay them apart"
            )
    for name, kind in one.kinds.items():
        kinds = {kind, other.kinds[name]}
        if len(kinds) > 1 and not any(kinds <= alike for alike in ALIKE):
            raise ValueError(
                f"{named(part.path, 70)} has {shown(name, 40)} as {kind},"
                f" {named(first.path, 70)} as {other.kinds[name]}; write them alike"
            )


def _in_order(labels: tuple) -> list:
    """Labels with their types, in one order: 1, True and '1' are three labels."""
    return sorted((type(label).__name__, label) for label in labels)


def _arranged(outcomes: Outcomes, table: Table) -> Outcomes:
    """The same items with models, labels and kinds of facts as in `table`."""
    parts: dict[str, Any] = {}
    if outcomes.labels != table.labels:
        place = {_typed(label): code for code, label in enumerate(table.labels)}
        code = np.array([place[_typed(label)] for label in outcomes.labels])
        parts["labels"] = table.labels
        for name in ("answer", "truth"):
            codes = getattr(outcomes, name)
            if codes is not None:
                parts[name] = np.where(codes < 0, codes, code[codes]).astype(np.int32)
        if outcomes.probability is not None:
            parts["probability"] = outcomes.probability[:, :, np.argsort(code)]
    fractions = [name for name, kind in table.kinds.items() if kind == "number"]
    if "group" in fractions:
        parts["group"] = outcomes.group.astype(float)
    features = {name.removeprefix(FEATURE) for name in fractions if name != "group"}
    if any(outcomes.features[name].dtype.kind != "f" for name in features):
        parts["features"] = {
            name: values.astype(float) if name in features else values
            for name, values in outcomes.features.items()
        }
    outcomes = replace(outcomes, **parts) if parts else outcomes
    return outcomes if outcomes.models == table.models else outcomes.select(models=table.models)


def _typed(label) -> tuple[str, Any]:
    return type(label).__name__, label
