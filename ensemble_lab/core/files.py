"""Outcomes in files: parquet that carries its own schema, people's CSV, and live recordings."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np

from ensemble_lab.core.frames import FEATURE, from_frame
from ensemble_lab.core.outcomes import MEASURES, Outcomes

VERSION = 1
MATRICES = ("correct", "answer", *MEASURES)
GAPS = ["", "NA", "N/A", "NaN", "nan", "null", "None"]


def read(path: str | Path) -> Outcomes:
    """See `Outcomes.read`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    readers = {".parquet": _read_parquet, ".csv": _read_csv, ".gz": _read_csv, ".jsonl": _read_log}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path.name!r} is not .csv, .csv.gz, .parquet or .jsonl")
    try:
        return readers[suffix](path)
    except (ValueError, TypeError, LookupError, OSError, EOFError, zlib.error) as error:
        why = f"it lacks {error}" if type(error) is KeyError else error
        raise ValueError(f"{str(path)!r} could not be read: {why}") from error


def _read_csv(path: Path) -> Outcomes:
    """Labels are read as written, and as numbers only where all of them are: one type for all."""
    import pandas as pd

    columns = pd.read_csv(path, nrows=0).columns
    labels = [c for c in columns if c in ("answer", "truth") or c.endswith(":answer")]
    # "None" and "NA" are answers that models give; elsewhere they are gaps.
    gaps = {c: [""] if c in labels else GAPS for c in columns}
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(labels, str), na_values=gaps, keep_default_na=False
    )
    try:
        numbers = {c: pd.to_numeric(frame[c]) for c in labels}
    except ValueError:
        numbers = {}
    return from_frame(frame.assign(**numbers))


def _read_log(path: Path) -> Outcomes:
    """A recording made by `record`: one JSON object a line, the first of them its header."""
    from ensemble_lab.core.recording import Recording

    return Recording.load(path).outcomes()


def to_parquet(outcomes: Outcomes, path: str | Path) -> Path:
    """See `Outcomes.to_parquet`. Written beside its place, then moved: never half a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"item": outcomes.items}
    for name in MATRICES:
        values = getattr(outcomes, name)
        if values is not None:
            columns |= {f"{name}:{j}": _small(values[:, j]) for j in range(values.shape[1])}
    if outcomes.probability is not None:
        n = len(outcomes)
        flat = outcomes.probability.reshape(n, -1)  # (n, m * k)
        columns |= {f"probability:{j}": flat[:, j] for j in range(flat.shape[1])}
    for name in ("truth", "group"):
        if getattr(outcomes, name) is not None:
            columns[name] = _small(getattr(outcomes, name))
    columns |= {FEATURE + name: _small(values) for name, values in outcomes.features.items()}
    about = {
        "version": VERSION,
        "models": outcomes.models,
        "labels": outcomes.labels,
        "cost_is_estimated": outcomes.cost_is_estimated,
        "model_group": outcomes.model_group,
    }
    table = pa.table(columns).replace_schema_metadata({b"ensemble_lab": json.dumps(about)})
    path = Path(path)
    part = path.with_name(path.name + ".part")
    pq.write_table(table, part, compression="zstd", compression_level=19)
    os.replace(part, path)
    return path


def _small(values: np.ndarray) -> np.ndarray:
    """The narrowest integers that hold `values`: codes and counts need few bytes."""
    if values.dtype.kind != "i":
        return values
    widths = (np.int8, np.int16, np.int32)
    fits = [
        w for w in widths if np.iinfo(w).min <= values.min() and values.max() <= np.iinfo(w).max
    ]
    return values.astype(fits[0]) if fits else values


def _read_parquet(path: Path) -> Outcomes:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = (table.schema.metadata or {}).get(b"ensemble_lab")
    if about is None:  # somebody's own parquet: the same columns as a CSV
        return from_frame(table.to_pandas())
    about = json.loads(about)
    if about["version"] != VERSION:
        raise ValueError(f"it has version {about['version']}, this package reads {VERSION}")
    columns = {name: table[name].to_numpy() for name in table.column_names}
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
