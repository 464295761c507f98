"""Outcomes in files: our parquet with its own schema, tables of others, and live recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble_lab.core.checks import names_array
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.frames import columns_of
from ensemble_lab.core.reading.headers import FEATURE
from ensemble_lab.core.reading.opened import content, existing, is_zipped, kind_of, refusal
from ensemble_lab.core.reading.tables import from_columns
from ensemble_lab.core.reading.text import json_lines, separated
from ensemble_lab.core.recordings.recording import Recording, is_recording, name_in_utf8
from ensemble_lab.core.reply import in_utf8
from ensemble_lab.core.states import MEASURES
from ensemble_lab.core.whole import moved_to

VERSION = 1
MATRICES = ("correct", "answer", *MEASURES)
KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read(path: str | Path, columns: Mapping | None = None) -> Outcomes:
    """See `Outcomes.read`."""
    path = existing(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {shown(str(path), 200)}; give the path of a file that exists"
        )
    kind = _kind(path)
    with refusal(path):
        if kind == ".parquet":
            return _read_parquet(path, columns)
        data = content(path)
        if kind in (".csv", ".tsv"):
            return from_columns(separated(data, "\t" if kind == ".tsv" else ","), columns, False)
        if is_recording(data):
            if columns is not None:
                raise ValueError("it is a recording, which has its own names: leave out columns")
            return Recording.parse(data, texts=False).outcomes()
        return from_columns(json_lines(data), columns, False)


def _kind(path: Path) -> str:
    kind = kind_of(path)
    if kind in KINDS and not (kind == ".parquet" and is_zipped(path)):
        return kind
    if kind.startswith(".xls") or kind == ".ods":
        fix = "save it as CSV UTF-8 (comma separated)"
    elif kind == ".json":
        fix = "ensemble_lab.read_table(path) may do, or pandas.read_json(path) and from_frame"
    else:
        fix = "rename it, or Outcomes.from_frame(frame) takes a data frame"
    raise ValueError(f"{shown(path.name)} is not {', '.join(KINDS)} or such a text file .gz: {fix}")


def to_parquet(outcomes: Outcomes, path: str | Path) -> Path:
    """See `Outcomes.to_parquet`. Written to another file first, then moved: never half a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {shown(str(path.parent), 200)}; make it first")
    columns = {}
    for name in MATRICES:
        values = getattr(outcomes, name)
        if values is not None:
            columns |= {f"{name}:{j}": _small(values[:, j]) for j in range(values.shape[1])}
    if outcomes.probability is not None:
        n = len(outcomes)
        flat = outcomes.probability.reshape(n, -1)  # (n, m * k)
        columns |= {f"probability:{j}": flat[:, j] for j in range(flat.shape[1])}
    facts = {"item": outcomes.items, "truth": outcomes.truth, "group": outcomes.group}
    facts |= {FEATURE + _named(name): values for name, values in outcomes.features.items()}
    facts = {name: values for name, values in facts.items() if values is not None}
    written = [name for name, values in facts.items() if _is_mixed(values)]
    columns |= {
        name: _as_json(values, name) if name in written else _column(values, name)
        for name, values in facts.items()
    }
    about = {
        "version": VERSION,
        "models": outcomes.models,
        "labels": outcomes.labels,
        "cost_is_estimated": outcomes.cost_is_estimated,
        "model_group": outcomes.model_group,
        "json": written,
    }
    table = pa.table(columns).replace_schema_metadata({b"ensemble_lab": _json(about, "a label is")})
    # "x": never through a link that another user put there.
    with moved_to(path) as part, open(part, "xb") as file:
        pq.write_table(table, file, compression="zstd", compression_level=19)
    return path


def _named(feature) -> str:
    if not isinstance(feature, str):
        kind = type(feature).__name__
        raise TypeError(f"the feature name {shown(feature)} is {kind}; make it text")
    return name_in_utf8(feature, "feature")


def _column(values: np.ndarray, name: str):
    import pyarrow as pa

    try:
        return pa.array(_small(values))
    except NotImplementedError:
        raise _unkept(name, values[0], str(values.dtype)) from None


def _is_mixed(values: np.ndarray) -> bool:
    """Whether these are objects of mixed types, or texts that are not valid in UTF-8."""
    return values.dtype.kind == "O" and not all(
        v is None or (isinstance(v, str) and in_utf8(v) is v) for v in values
    )


def _as_json(values: np.ndarray, name: str) -> list[str]:
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    for value in plain:
        if not isinstance(value, str | int | float | None):
            raise _unkept(name, value, type(value).__name__)
    return [_json(value, f"{shown(name)} holds") for value in plain]


def _json(value, what: str) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # Python does not write longer ones
        raise ValueError(f"{what} a whole number of over 4,300 digits; make it text") from None


def _unkept(name: str, value, kind: str) -> TypeError:
    return TypeError(
        f"{shown(name)} holds {shown(value)} ({excerpt(kind, 40)}), which a file cannot hold; make"
        " it text or a number"
    )


def _small(values: np.ndarray) -> np.ndarray:
    """The narrowest integers that hold `values`: codes and counts need few bytes."""
    if values.dtype.kind != "i":
        return values
    widths = (np.int8, np.int16, np.int32)
    fits = [
        w for w in widths if np.iinfo(w).min <= values.min() and values.max() <= np.iinfo(w).max
    ]
    return values.astype(fits[0]) if fits else values


def _read_parquet(path: Path, names: Mapping | None) -> Outcomes:
    import pandas as pd
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = (table.schema.metadata or {}).get(b"ensemble_lab")
    if about is None or names is not None:  # another tool's: the same columns as a CSV
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)  # with its index, and exact
        return from_columns(columns_of(frame), names, False)
    about = json.loads(about)
    if about["version"] != VERSION:
        raise ValueError(f"it has version {about['version']}, this package reads {VERSION}")
    return outcomes_of({name: table[name].to_numpy() for name in table.column_names}, about)


def outcomes_of(columns: dict[str, np.ndarray], about: Mapping) -> Outcomes:
    """The table of a file's columns (n,), whose footer says what it is `about`."""
    for name in about.get("json", ()):
        columns[name] = names_array([json.loads(text) for text in columns[name]])
    m, k = len(about["models"]), len(about["labels"])
    parts = {
        name: np.column_stack([columns[f"{name}:{j}"] for j in range(m)])
        for name in MATRICES
        if f"{name}:0" in columns
    }
    if "probability:0" in columns:
        flat = np.column_stack([columns[f"probability:{j}"] for j in range(m * k)])
        parts["probability"] = flat.reshape(-1, m, k)
    parts |= {name: columns[name] for name in ("truth", "group") if name in columns}
    features = {c[len(FEATURE) :]: v for c, v in columns.items() if c.startswith(FEATURE)}
    return Outcomes(
        models=about["models"],
        items=columns["item"],
        labels=about["labels"],
        cost_is_estimated=about["cost_is_estimated"],
        model_group=about["model_group"],
        features=features,
        **parts,
    )
