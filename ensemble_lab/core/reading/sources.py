"""The columns of a file of any kind, as they stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.columns import Column
from ensemble_lab.core.reading.dialect import SEPARATORS, in_utf8, separator_of
from ensemble_lab.core.reading.foreign import refuse_foreign, refuse_foreign_text
from ensemble_lab.core.reading.frames import columns_of
from ensemble_lab.core.reading.harness import sample_columns, sample_files
from ensemble_lab.core.reading.nested import json_columns, json_rows
from ensemble_lab.core.reading.opened import content, kind_of
from ensemble_lab.core.reading.samples import is_samples
from ensemble_lab.core.reading.text import separated

TEXTS = (".csv", ".tsv", ".txt", ".psv")
JSONS = (".jsonl", ".ndjson", ".json")


class Dialect(NamedTuple):
    """How a text file is written, as far as the caller says so."""

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None

    def check(self) -> None:
        """Raise a `ValueError` for signs that no table is written with."""
        if self.separator is not None and self.separator not in tuple(SEPARATORS):
            known = ", ".join(shown(sign) for sign in SEPARATORS)
            raise ValueError(f"separator={shown(self.separator, 40)}; give one of {known}")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal={shown(self.decimal, 40)}; give '.' or ','")
        if self.decimal == "," == self.separator:
            raise ValueError("separator and decimal are both ','; give two signs")


def columns_in(
    path: Path, dialect: Dialect, metric: Sequence[str] = (), filter: Sequence[str] = ()
) -> list[tuple[str, Column]]:
    """Name and cells of each column of a table in a file, or of a folder of sample files.

    Raises
    ------
    ValueError
        A kind of file that is not a table, or one that is damaged.
    """
    if path.is_dir():
        return sample_columns(sample_files(path), metric, filter)
    kind = kind_of(path)
    if kind == ".parquet":
        import pandas as pd
        import pyarrow.parquet as pq

        frame = pq.read_table(path).to_pandas(types_mapper=pd.ArrowDtype)
        return [(str(name), column) for name, column in columns_of(frame)]
    if kind not in TEXTS + JSONS:
        kinds = ", ".join((*TEXTS, *JSONS, ".parquet"))
        fix = "save it as CSV UTF-8" if kind.startswith((".xls", ".ods")) else "rename it"
        if kind in (".pkl", ".pickle"):
            fix = "a pickle can run any code; where you trust it, save its frame as parquet"
        if kind == ".eval":
            fix = "samples_df of inspect_ai.analysis makes a frame of it; save that as parquet"
        raise ValueError(f"it is not one of {kinds}, nor one of these texts .gz: {fix}")
    data = in_utf8(content(path), dialect.encoding)
    if kind in JSONS:
        rows = json_rows(data, lines=kind != ".json")
        if rows and is_samples(rows[0]):
            return sample_columns([path], metric, filter)
        refuse_foreign(rows)
        return json_columns(rows)
    refuse_foreign_text(data)
    if dialect.separator is not None:
        return separated(data, dialect.separator)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    sign, data = separator_of(data.removeprefix(b"\xef\xbb\xbf"), "\t" if kind == ".tsv" else ",")
    return separated(data, sign)
